// SPDX-License-Identifier: Apache-2.0
//
// Between the dataclasses of latchwork/bricks.py and lw_brick: models are built from them and described by them.
// A dataclass has an attribute for each field that its kind knows; what it lacks stays at the library's default.
#include <cstring>
#include <limits>

#include "core.hpp"

namespace binding
{

namespace
{

struct Kind {
    lw_kind kind;
    const char *name, *type;
};
const Kind kinds[] = {{LW_LSTM, "lstm", "LSTM"},
                      {LW_GRU, "gru", "GRU"},
                      {LW_RNN, "rnn", "RNN"},
                      {LW_DENSE, "dense", "Dense"},
                      {LW_ACTIVATION, "activation", "Activation"}};

struct Word {
    int value;
    const char *text;
};
const Word directions[] = {
    {LW_FORWARD, "forward"}, {LW_REVERSE, "reverse"}, {LW_BIDIRECTIONAL, "bidirectional"}, {0, nullptr}};
const Word functions[] = {
    {LW_LINEAR, "linear"}, {LW_RELU, "relu"}, {LW_TANH, "tanh"}, {LW_SIGMOID, "sigmoid"}, {0, nullptr}};
const Word resets[] = {{0, "after"}, {1, "before"}, {0, nullptr}};

const char *text_of(const Word *words, int value)
{
    while (words->text && words->value != value)
        words++;
    return words->text ? words->text : "unknown";
}

/// The attributes of one brick, read by name.
class Reader
{
  public:
    Reader(nb::handle object, size_t index) : object_(object), place_("brick " + std::to_string(index))
    {
    }

    const Kind &kind() const
    {
        if (nb::hasattr(object_, "kind") && nb::isinstance<nb::str>(object_.attr("kind")))
            for (const Kind &kind : kinds)
                if (text(object_.attr("kind")) == kind.name)
                    return kind;
        wrong_type(place_ + " is a " + kind_name(object_) + ", expected LSTM, GRU, RNN, Dense or Activation");
    }

    void size(const char *name, size_t &to) const
    {
        if (nb::hasattr(object_, name))
            to = to_count(object_.attr(name), place_ + ": " + name);
    }

    void number(const char *name, float &to) const
    {
        if (!nb::hasattr(object_, name))
            return;
        double value = PyFloat_AsDouble(nb::object(object_.attr(name)).ptr());
        if (value == -1.0 && PyErr_Occurred()) {
            PyErr_Clear();
            wrong_type(place_ + ": " + name + " is a " + kind_name(object_.attr(name)) + ", expected a number");
        }
        to = static_cast<float>(value);
    }

    int word(const char *name, const Word *words, int otherwise) const
    {
        if (!nb::hasattr(object_, name))
            return otherwise;
        nb::object value = object_.attr(name);
        std::string known;
        for (const Word *word = words; word->text; word++) {
            if (nb::isinstance<nb::str>(value) && text(value) == word->text)
                return word->value;
            known += std::string(known.empty() ? "'" : ", '") + word->text + "'";
        }
        wrong_value(place_ + ": " + name + " is " + text(nb::repr(value)) + ", expected one of " + known);
    }

    bool flag(const char *name, bool otherwise) const
    {
        if (!nb::hasattr(object_, name))
            return otherwise;
        nb::object value = object_.attr(name);
        if (!nb::isinstance<nb::bool_>(value))
            wrong_type(place_ + ": " + name + " is a " + kind_name(value) + ", expected True or False");
        return nb::cast<bool>(value);
    }

    bool title(const char *name, std::string &to) const
    {
        nb::object value = nb::getattr(object_, name, nb::none());
        if (value.is_none())
            return false;
        if (!nb::isinstance<nb::str>(value))
            wrong_type(place_ + ": " + name + " is a " + kind_name(value) + ", expected a text");
        to = text(value);
        if (to.find('\0') != std::string::npos)
            wrong_value(place_ + ": " + name + " holds a NUL character");
        return true;
    }

  private:
    nb::handle object_;
    std::string place_;
};

lw_brick read_brick(nb::handle object, size_t index, std::string &name)
{
    Reader reader(object, index);
    lw_brick brick{};
    brick.size = sizeof brick;
    brick.kind = reader.kind().kind;
    brick.layers = 1;
    if (reader.title("name", name))
        brick.name = name.c_str();
    reader.size("input", brick.input);
    reader.size("hidden", brick.hidden);
    reader.size("output", brick.hidden);
    reader.size("layers", brick.layers);
    reader.size("projection", brick.projection);
    reader.number("cell_clip", brick.cell_clip);
    reader.number("gate_clip", brick.gate_clip);
    reader.number("forget_bias", brick.forget_bias);
    brick.direction = static_cast<lw_direction>(reader.word("direction", directions, LW_FORWARD));
    brick.function = static_cast<lw_function>(reader.word("function", functions, LW_FUNCTION_DEFAULT));
    brick.options = (reader.flag("bias", true) ? 0 : LW_NO_BIAS) |
                    (reader.flag("peepholes", false) ? LW_PEEPHOLES : 0) |
                    (reader.flag("coupled", false) ? LW_COUPLED : 0) |
                    (reader.word("reset", resets, 0) ? LW_RESET_BEFORE : 0);
    return brick;
}

} // namespace

lw_model *build_model(nb::handle bricks, nb::handle isa)
{
    std::vector<std::unique_ptr<std::string>> texts;
    std::vector<lw_brick> list;
    if (!nb::isinstance<nb::iterable>(bricks))
        wrong_type("bricks is a " + kind_name(bricks) + ", expected a list of LSTM, GRU, RNN, Dense and Activation");
    for (nb::handle brick : nb::iter(bricks)) {
        texts.push_back(std::make_unique<std::string>());
        list.push_back(read_brick(brick, list.size(), *texts.back()));
    }
    lw_model_options options = model_options(isa);
    lw_model *model = nullptr;
    check(lw_model_create(list.data(), list.size(), &options, &model));
    return model;
}

nb::list describe_bricks(const lw_model *model)
{
    nb::list result;
    for (size_t i = 0; i < lw_model_brick_count(model); i++) {
        lw_brick brick{};
        brick.size = sizeof brick;
        check(lw_model_brick(model, i, &brick));
        nb::dict fields;
        const bool dense = brick.kind == LW_DENSE, recurrent = !dense && brick.kind != LW_ACTIVATION;
        fields["name"] = brick.name;
        fields["input"] = brick.input;
        if (brick.kind != LW_ACTIVATION) {
            fields[dense ? "output" : "hidden"] = brick.hidden;
            fields["bias"] = !(brick.options & LW_NO_BIAS);
        }
        if (recurrent) {
            fields["layers"] = brick.layers;
            fields["direction"] = text_of(directions, brick.direction);
            fields["gate_clip"] = brick.gate_clip;
        }
        if (brick.kind == LW_LSTM) {
            fields["peepholes"] = (brick.options & LW_PEEPHOLES) != 0;
            fields["coupled"] = (brick.options & LW_COUPLED) != 0;
            fields["projection"] = brick.projection;
            fields["cell_clip"] = brick.cell_clip;
            fields["forget_bias"] = brick.forget_bias;
        } else if (brick.kind == LW_GRU) {
            fields["reset"] = brick.options & LW_RESET_BEFORE ? "before" : "after";
        } else {
            fields["function"] = text_of(functions, brick.function);
        }
        for (const Kind &kind : kinds)
            if (kind.kind == brick.kind)
                result.append(names->bricks.attr(kind.type)(**fields));
    }
    return result;
}

nb::list describe_layers(const lw_model *model)
{
    nb::list result;
    for (size_t i = 0; i < lw_model_layer_count(model); i++) {
        lw_layer layer{};
        lw_brick brick{};
        layer.size = sizeof layer;
        brick.size = sizeof brick;
        check(lw_model_layer(model, i, &layer));
        check(lw_model_brick(model, layer.brick, &brick));
        nb::list signals;
        for (size_t k = 0; k < layer.signals; k++)
            signals.append(lw_layer_signal(model, i, k));
        nb::dict fields;
        fields["brick"] = brick.name;
        for (const Kind &kind : kinds)
            if (kind.kind == layer.kind)
                fields["kind"] = kind.name;
        fields["direction"] = text_of(directions, layer.direction);
        fields["input"] = layer.input;
        fields["hidden"] = layer.hidden;
        fields["output"] = layer.output;
        fields["parameters"] = layer.parameters;
        fields["flops"] = layer.flops;
        fields["signals"] = nb::tuple(signals);
        result.append(names->bricks.attr("Layer")(**fields));
    }
    return result;
}

} // namespace binding
