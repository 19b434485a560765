// SPDX-License-Identifier: Apache-2.0
//
// latchwork.Tape and latchwork.Optimiser, and what latchwork/training.py calls for losses and learning rates. The
// parameters are the caller's arrays, by name; a tape has an architecture of its own, so that the model that it was
// made from can still be given the parameters that came of the training.
#include "run.hpp"

namespace binding
{

namespace
{

lw_parameter parameter_at(const lw_model *model, size_t index)
{
    lw_parameter parameter{};
    parameter.size = sizeof parameter;
    check(lw_model_parameter(model, index, &parameter));
    return parameter;
}

/// arrays[name], or an invalid object where there is none.
nb::object find(nb::handle arrays, const std::string &name, const char *what)
{
    if (!PyMapping_Check(arrays.ptr()) || nb::isinstance<nb::list>(arrays))
        wrong_type(std::string(what) + " is a " + kind_name(arrays) + ", expected a dict of arrays by name");
    nb::object value = nb::steal(PyObject_GetItem(arrays.ptr(), nb::str(name.c_str()).ptr()));
    if (value.is_valid())
        return value;
    if (!PyErr_ExceptionMatches(PyExc_KeyError))
        throw nb::python_error();
    PyErr_Clear();
    return nb::object();
}

/// A dense array of that shape (an empty one: of any) with that many elements.
std::unique_ptr<Array> take(nb::handle object, const std::string &name, const std::vector<size_t> &shape, size_t count,
                            Array::Access access)
{
    auto array = std::make_unique<Array>(object, name.c_str(), access);
    if (!shape.empty() ? array->dims() != shape : array->count() != count)
        wrong_value(name + " has shape " + shape_text(array->dims()) + ", expected " +
                    (shape.empty() ? std::to_string(count) + " elements" : shape_text(shape)));
    if (!array->dense())
        wrong_value(name + " must be dense (C order, without gaps)");
    return array;
}

float *floats(const Array &array)
{
    return reinterpret_cast<float *>(array.data);
}

struct Recorder {
    std::shared_ptr<lw_model> model;
    std::unique_ptr<lw_tape, void (*)(lw_tape *)> handle{nullptr, lw_tape_destroy};
    std::vector<lw_parameter> parameters;
    std::vector<size_t> x_shape, y_shape; // of the last run; empty: none
    size_t steps = 0, rows = 0, input = 0, output = 0;
    bool last = false, batch_first = false, used = false;

    std::vector<size_t> shape_of(size_t index) const
    {
        return {parameters[index].shape, parameters[index].shape + parameters[index].rank};
    }
};

void make_tape(Recorder *self, Model &model, nb::handle threads, nb::handle segment)
{
    auto made = std::make_unique<Recorder>();
    made->model = std::shared_ptr<lw_model>(build_model(describe_bricks(model.get()), nb::none()), lw_model_destroy);
    lw_context_options options{};
    options.size = sizeof options;
    options.threads = threads.is_none() ? default_threads : to_threads(threads);
    lw_tape *tape = nullptr;
    check(lw_tape_create(made->model.get(), &options, &tape));
    made->handle.reset(tape);
    check(lw_tape_set_segment(tape, to_count(segment, "segment")));
    for (size_t i = 0; i < lw_model_parameter_count(made->model.get()); i++)
        made->parameters.push_back(parameter_at(made->model.get(), i));
    made->input = model.input;
    made->output = model.output;
    new (self) Recorder(std::move(*made));
}

nb::object forward(Recorder &self, nb::handle parameters, nb::handle x, nb::handle state, nb::handle lengths, bool last,
                   bool batch_first)
{
    Use use(self.used, "tape");
    Sequence sequence(x, self.input, batch_first);
    std::vector<std::unique_ptr<Array>> held;
    std::vector<const float *> pointers;
    for (size_t i = 0; i < self.parameters.size(); i++) {
        const std::string name = self.parameters[i].name;
        nb::object values = find(parameters, name, "parameters");
        if (!values.is_valid())
            throw Failure{LW_ERR_NOT_FOUND, "parameters has no '" + name + "'", true};
        held.push_back(take(values, name, self.shape_of(i), 0, Array::Read));
        pointers.push_back(floats(*held.back()));
    }
    std::vector<size_t> list, shape = result_shape(sequence, self.output, last, batch_first);
    nb::object result = empty_array(shape);
    Array target(result, "out", Array::Write);
    lw_io io = read_io(sequence);
    io.size = sizeof io;
    io.output = floats(target);
    io.output_kind = last ? LW_OUTPUT_LAST : LW_OUTPUT_SEQUENCE;
    if (batch_first && sequence.batched && !last) {
        io.output_step_stride = self.output;
        io.output_row_stride = sequence.steps * self.output;
    }
    if (!lengths.is_none()) {
        list = read_lengths(lengths, io.batch);
        io.lengths = list.data();
    }
    State *initial = to_state(state);
    std::unique_ptr<Use> in_use;
    if (initial)
        in_use = std::make_unique<Use>(initial->used, "state");
    self.y_shape.clear(); // until the run has succeeded
    lw_status status;
    {
        nb::gil_scoped_release released;
        status = lw_tape_forward(self.handle.get(), pointers.data(), initial ? initial->handle.get() : nullptr, &io);
    }
    check(status);
    self.steps = sequence.steps;
    self.rows = sequence.rows;
    self.last = last;
    self.batch_first = batch_first && sequence.batched;
    self.x_shape = result_shape(sequence, self.input, false, batch_first);
    self.y_shape = shape;
    return result;
}

/// (gradients by name, of x or None, of the initial state or None)
nb::tuple backward(Recorder &self, nb::handle dy, nb::handle final_state, bool input, bool initial, nb::handle add_to)
{
    Use use(self.used, "tape");
    if (self.y_shape.empty())
        throw Failure{LW_ERR_BUSY, "the tape has recorded no run: call forward first"};
    lw_gradients gradients{};
    gradients.size = sizeof gradients;
    std::unique_ptr<Array> given;
    if (!dy.is_none()) {
        given = take(dy, "output", self.y_shape, 0, Array::Read);
        gradients.output = floats(*given);
    }
    if (self.batch_first && !self.last) {
        gradients.output_step_stride = self.output;
        gradients.output_row_stride = self.steps * self.output;
    }
    State *last = to_state(final_state);
    std::unique_ptr<Use> in_use;
    if (last) {
        in_use = std::make_unique<Use>(last->used, "state");
        gradients.final_state = last->handle.get();
    }
    nb::dict result;
    std::vector<std::unique_ptr<Array>> held;
    std::vector<float *> pointers;
    gradients.store = add_to.is_none() ? LW_OVERWRITE : LW_ACCUMULATE;
    for (size_t i = 0; i < self.parameters.size(); i++) {
        const std::string name = self.parameters[i].name;
        nb::object values = add_to.is_none() ? empty_array(self.shape_of(i)) : find(add_to, name, "add_to");
        if (!values.is_valid()) {
            pointers.push_back(nullptr);
            continue;
        }
        held.push_back(take(values, name, self.shape_of(i), 0, Array::Write));
        pointers.push_back(floats(*held.back()));
        result[name.c_str()] = values;
    }
    gradients.parameters = pointers.data();
    nb::object dx = nb::none(), dstate = nb::none();
    std::unique_ptr<Array> dx_array;
    if (input) {
        dx = empty_array(self.x_shape);
        dx_array = std::make_unique<Array>(dx, "input", Array::Write);
        gradients.input = floats(*dx_array);
        if (self.batch_first) {
            gradients.input_step_stride = self.input;
            gradients.input_row_stride = self.steps * self.input;
        }
    }
    if (initial) {
        dstate = nb::cast(std::make_unique<State>(self.model, self.rows));
        gradients.initial_state = to_state(dstate)->handle.get();
    }
    lw_status status;
    {
        nb::gil_scoped_release released;
        status = lw_tape_backward(self.handle.get(), &gradients);
    }
    check(status);
    return nb::make_tuple(result, dx, dstate);
}

struct Optimiser {
    std::unique_ptr<lw_optimiser, void (*)(lw_optimiser *)> handle{nullptr, lw_optimiser_destroy};
    std::vector<std::string> names;
    std::vector<size_t> counts;
};

double number(nb::handle options, const char *name, double otherwise)
{
    nb::object value = find(options, name, "options");
    if (!value.is_valid() || value.is_none())
        return otherwise;
    double result;
    if (!nb::try_cast(value, result))
        wrong_type(std::string(name) + " is a " + kind_name(value) + ", expected a number");
    return result;
}

void make_optimiser(Optimiser *self, const std::string &kind, nb::handle parameters, nb::handle settings)
{
    const std::pair<const char *, lw_optimiser_kind> kinds[] = {
        {"sgd", LW_SGD}, {"rmsprop", LW_RMSPROP}, {"adam", LW_ADAM}, {"adamw", LW_ADAMW}};
    lw_optimiser_options options{};
    for (const auto &entry : kinds)
        if (kind == entry.first)
            options.kind = entry.second;
    if (options.kind == 0)
        wrong_value("kind is '" + kind + "', expected 'sgd', 'rmsprop', 'adam' or 'adamw'");
    options.size = sizeof options;
    options.options = number(settings, "nesterov", 0) != 0 ? LW_NESTEROV : 0;
    options.momentum = number(settings, "momentum", 0); // the rest as LW_OPTIMISER_OPTIONS_INIT
    options.alpha = number(settings, "alpha", 0.99);
    options.beta1 = number(settings, "beta1", 0.9);
    options.beta2 = number(settings, "beta2", 0.999);
    options.epsilon = number(settings, "epsilon", 1e-8);
    options.decay = number(settings, "decay", options.kind == LW_ADAMW ? 0.01 : 0.0);
    options.clip_norm = number(settings, "clip_norm", 0);
    options.clip_value = number(settings, "clip_value", 0);
    auto made = std::make_unique<Optimiser>();
    nb::object keys = nb::steal(PyMapping_Keys(parameters.ptr()));
    if (!keys.is_valid()) {
        PyErr_Clear();
        wrong_type("parameters is a " + kind_name(parameters) + ", expected a dict of arrays by name");
    }
    for (nb::handle key : keys) {
        made->names.push_back(text(key));
        made->counts.push_back(
            Array(find(parameters, text(key), "parameters"), text(key).c_str(), Array::Read).count());
    }
    lw_optimiser *optimiser = nullptr;
    check(lw_optimiser_create(&options, made->counts.data(), made->counts.size(), &optimiser));
    made->handle.reset(optimiser);
    new (self) Optimiser(std::move(*made));
}

double step(Optimiser &self, nb::handle parameters, nb::handle gradients, double rate)
{
    std::vector<std::unique_ptr<Array>> held;
    std::vector<float *> values;
    std::vector<const float *> slopes;
    for (size_t i = 0; i < self.names.size(); i++) {
        const std::string &name = self.names[i];
        nb::object value = find(parameters, name, "parameters"), slope = find(gradients, name, "gradients");
        if (!value.is_valid())
            throw Failure{LW_ERR_NOT_FOUND, "parameters has no '" + name + "'", true};
        held.push_back(take(value, name, {}, self.counts[i], Array::Write));
        values.push_back(floats(*held.back()));
        const bool given = slope.is_valid() && !slope.is_none();
        if (given)
            held.push_back(take(slope, "the gradient of " + name, {}, self.counts[i], Array::Read));
        slopes.push_back(given ? floats(*held.back()) : nullptr);
    }
    double norm = 0;
    lw_status status;
    {
        nb::gil_scoped_release released;
        status = lw_optimiser_step(self.handle.get(), values.data(), slopes.data(), rate, &norm);
    }
    check(status);
    return norm;
}

nb::bytes save_optimiser(Optimiser &self)
{
    std::vector<char> buffer(lw_optimiser_bytes(self.handle.get()));
    check(lw_optimiser_save(self.handle.get(), buffer.data(), buffer.size()));
    return nb::bytes(buffer.data(), buffer.size());
}

/// (loss, counted, correct). Arrays are dense; `classes` and `mask` are addresses of int32 and bytes, or 0.
nb::tuple loss(int kind, nb::handle y, nb::handle target, size_t classes, nb::handle lengths, size_t mask,
               double divisor, int32_t ignore, nb::handle gradient)
{
    Array output(y, "y", Array::Read), slope(gradient, "gradient", Array::Write);
    if (output.rank != 3 || slope.dims() != output.dims() || !output.dense() || !slope.dense())
        wrong_value("y and gradient must be dense and (T, B, O)");
    lw_loss loss{};
    loss.size = sizeof loss;
    loss.kind = static_cast<lw_loss_kind>(kind);
    loss.steps = output.shape[0];
    loss.batch = output.shape[1];
    loss.width = output.shape[2];
    loss.output = floats(output);
    std::unique_ptr<Array> wanted;
    if (!target.is_none()) {
        wanted = take(target, "target", output.dims(), 0, Array::Read);
        loss.target = floats(*wanted);
    }
    loss.classes = reinterpret_cast<const int32_t *>(classes);
    loss.mask = reinterpret_cast<const unsigned char *>(mask);
    loss.divisor = divisor;
    loss.ignore = ignore;
    loss.gradient = floats(slope);
    std::vector<size_t> list;
    if (!lengths.is_none()) {
        list = read_lengths(lengths, loss.batch);
        loss.lengths = list.data();
    }
    lw_score score{};
    score.size = sizeof score;
    check(lw_loss_evaluate(&loss, &score));
    return nb::make_tuple(score.loss, score.counted, score.correct);
}

double learning_rate(int kind, double rate, uint64_t warm_up, uint64_t every, double gamma, uint64_t updates,
                     double floor, uint64_t update)
{
    lw_learning_rate schedule{};
    schedule.size = sizeof schedule;
    schedule.kind = static_cast<lw_rate_kind>(kind);
    schedule.rate = rate;
    schedule.warm_up = warm_up;
    schedule.every = every;
    schedule.gamma = gamma;
    schedule.updates = updates;
    schedule.floor = floor;
    double result = 0;
    check(lw_learning_rate_at(&schedule, update, &result));
    return result;
}

lw_initial to_initial(const char *what, const std::string &rule)
{
    const char *rules[] = {"uniform", "zero", "xavier_uniform", "xavier_normal", "orthogonal"};
    for (int i = 0; i < 5; i++)
        if (rule == rules[i])
            return static_cast<lw_initial>(i);
    wrong_value(std::string(what) + " is '" + rule +
                "', expected 'uniform', 'zero', 'xavier_uniform', 'xavier_normal' or 'orthogonal'");
}

void initialise(Model &self, nb::handle seed, const std::string &input, const std::string &recurrent,
                const std::string &bias, nb::handle chrono)
{
    lw_initialise_options options{};
    options.size = sizeof options;
    options.seed = to_seed(seed);
    options.input = to_initial("input", input);
    options.recurrent = to_initial("recurrent", recurrent);
    options.bias = to_initial("bias", bias);
    options.chrono = to_count(chrono, "chrono");
    check(lw_model_initialise_with(self.get(), &options));
}

} // namespace

void define_train(nb::module_ &module, nb::class_<Model> &type)
{
    using nb::literals::operator""_a;
    type.def("initialise", initialise, "seed"_a.none(), "input"_a = "uniform", "recurrent"_a = "uniform",
             "bias"_a = "uniform", "chrono"_a.none() = 0,
             "Fills every parameter anew; by default as PyTorch does. The numbers depend on these arguments alone.");
    nb::class_<Recorder>(module, "Tape", "Runs a model forward and gives the gradients.")
        .def("__init__", make_tape, "model"_a, "threads"_a = nb::none(), "segment"_a.none() = 0)
        .def("forward", forward, "parameters"_a.none(), "x"_a.none(), "state"_a = nb::none(), "lengths"_a = nb::none(),
             "last"_a = false, "batch_first"_a = false,
             "As model(x), with these parameters, and keeps what `backward` needs.")
        .def("_backward", backward, "output"_a.none(), "final_state"_a.none(), "input"_a, "initial_state"_a,
             "add_to"_a.none())
        .def(
            "state",
            [](Recorder &self, nb::handle batch) {
                return std::make_unique<State>(self.model, to_count(batch, "batch"));
            },
            "batch"_a.none() = 1, "A new state for `forward`, all zero.")
        .def(
            "bytes",
            [](Recorder &self, nb::handle steps, nb::handle batch) {
                return lw_tape_bytes(self.handle.get(), to_count(steps, "steps"), to_count(batch, "batch"));
            },
            "steps"_a.none(), "batch"_a.none() = 1, "Memory that it holds for a run of that shape.");
    nb::class_<Optimiser>(module, "_Optimiser")
        .def("__init__", make_optimiser, "kind"_a, "parameters"_a.none(), "settings"_a)
        .def("step", step, "parameters"_a.none(), "gradients"_a.none(), "rate"_a,
             "One update of the parameters, in place; the norm of all gradients before clipping.")
        .def_prop_ro(
            "updates", [](const Optimiser &self) { return lw_optimiser_updates(self.handle.get()); },
            "Updates so far, those before a restored state included.")
        .def("to_bytes", save_optimiser, "Its moments, the same bytes on every machine.")
        .def(
            "from_bytes",
            [](Optimiser &self, nb::bytes data) {
                check(lw_optimiser_restore(self.handle.get(), data.c_str(), data.size()));
            },
            "data"_a, "Goes on from what `to_bytes` gave, with the same bits.");
    module.def("_loss", loss, "kind"_a, "y"_a, "target"_a.none(), "classes"_a, "lengths"_a.none(), "mask"_a,
               "divisor"_a, "ignore"_a, "gradient"_a);
    module.def("_learning_rate", learning_rate, "kind"_a, "rate"_a, "warm_up"_a, "every"_a, "gamma"_a, "updates"_a,
               "floor"_a, "update"_a);
}

} // namespace binding
