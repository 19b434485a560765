// SPDX-License-Identifier: Apache-2.0
//
// latchwork.State: what a stream remembers. Every method marks the state as in use, so that a run in another Python
// thread is answered with an error instead of torn numbers.
#include "array.hpp"

namespace binding
{

State::State(const std::shared_ptr<lw_model> &owner, size_t batch) : model(owner)
{
    lw_state *state = nullptr;
    check(lw_state_create(model.get(), batch, &state));
    handle.reset(state);
}

State *to_state(nb::handle object)
{
    if (object.is_none())
        return nullptr;
    if (!nb::isinstance<State>(object))
        wrong_type("state is a " + kind_name(object) + ", expected a State that this model made");
    return nb::cast<State *>(object);
}

static lw_memory to_memory(nb::handle memory)
{
    if (nb::isinstance<nb::str>(memory)) {
        std::string name = text(memory);
        if (name == "hidden" || name == "cell")
            return name == "hidden" ? LW_HIDDEN : LW_CELL;
    }
    wrong_value("memory is " + text(nb::repr(memory)) + ", expected 'hidden' or 'cell'");
}

/// (B, width) of one vector set. The library says whether the layer has it.
static std::vector<size_t> memory_shape(const State &self, size_t layer, lw_memory memory)
{
    lw_layer facts{};
    facts.size = sizeof facts;
    check(lw_model_layer(self.model.get(), layer, &facts));
    return {self.batch(), memory == LW_CELL ? facts.hidden : facts.output};
}

static nb::object get(State &self, nb::handle layer, nb::handle memory, bool reverse)
{
    Use use(self.used, "state");
    size_t index = to_count(layer, "layer");
    lw_memory kind = to_memory(memory);
    nb::object result = empty_array(memory_shape(self, index, kind));
    Array values(result, "values", Array::Write);
    check(lw_state_get(self.handle.get(), index, reverse ? LW_REVERSE : LW_FORWARD, kind,
                       reinterpret_cast<float *>(values.data), values.count()));
    return result;
}

static void set(State &self, nb::handle values, nb::handle layer, nb::handle memory, bool reverse)
{
    Use use(self.used, "state");
    size_t index = to_count(layer, "layer");
    lw_memory kind = to_memory(memory);
    std::vector<size_t> shape = memory_shape(self, index, kind);
    Array array(values, "values", Array::Read);
    if (array.dims() != shape)
        wrong_value("values has shape " + shape_text(array.dims()) + ", expected " + shape_text(shape));
    std::vector<float> copy(array.count() + 1); // one more, so that there is memory even for no row
    array.copy_to(copy.data());
    check(lw_state_set(self.handle.get(), index, reverse ? LW_REVERSE : LW_FORWARD, kind, copy.data(), array.count()));
}

static std::unique_ptr<State> copy(State &self)
{
    Use use(self.used, "state");
    auto result = std::make_unique<State>(self.model, self.batch());
    check(lw_state_copy(result->handle.get(), self.handle.get()));
    return result;
}

static void reset(State &self)
{
    Use use(self.used, "state");
    check(lw_state_reset(self.handle.get()));
}

static nb::bytes to_bytes(State &self)
{
    Use use(self.used, "state");
    std::vector<char> buffer(lw_state_bytes(self.handle.get()));
    check(lw_state_save(self.handle.get(), buffer.data(), buffer.size()));
    return nb::bytes(buffer.data(), buffer.size());
}

static void from_bytes(State &self, nb::handle data)
{
    Use use(self.used, "state");
    if (!nb::isinstance<nb::bytes>(data))
        wrong_type("data is a " + kind_name(data) + ", expected bytes that to_bytes gave");
    nb::bytes bytes = nb::borrow<nb::bytes>(data);
    check(lw_state_restore(self.handle.get(), bytes.data(), bytes.size()));
}

void define_state(nb::module_ &module)
{
    using nb::literals::operator""_a;
    nb::class_<State>(module, "State", "What a stream remembers: h, and c of an LSTM, of every layer and direction.")
        .def_prop_ro("batch", &State::batch, "The number of rows.")
        .def("get", get, "layer"_a.none() = 0, "memory"_a.none() = "hidden", "reverse"_a = false,
             "A copy of the hidden or cell vectors of a layer, (B, width).")
        .def("set", set, "values"_a.none(), "layer"_a.none() = 0, "memory"_a.none() = "hidden", "reverse"_a = false,
             "Sets the hidden or cell vectors of a layer, (B, width).")
        .def("reset", reset, "Back to zero.")
        .def("copy", copy, "A state of its own with the same contents.")
        .def("to_bytes", to_bytes, "The contents as bytes, the same on every machine and instruction set.")
        .def("from_bytes", from_bytes, "data"_a.none(),
             "Takes over the contents that to_bytes gave for a state like this.")
        .def("__copy__", copy)
        .def(
            "__deepcopy__", [](State &self, nb::handle) { return copy(self); }, "memo"_a)
        .def("__repr__",
             [](const State &self) { return "<latchwork.State of " + std::to_string(self.batch()) + " rows>"; });
}

} // namespace binding
