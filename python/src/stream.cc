// SPDX-License-Identifier: Apache-2.0
//
// latchwork.Stream: a state with a context of its own, for one step at a time. The path of a step is kept short: the
// shapes are ready, NumPy's arrays come through the buffer protocol, and the interpreter lock is kept where a step
// takes less time than waiting for it would.
#include <algorithm>
#include <chrono>

#include "array.hpp"

namespace binding
{

namespace
{

constexpr double short_flops = 200e3; // some 10 microseconds on one core

struct Stream {
    Context context;
    nb::object state_object; // a State, shared with whoever asked for it
    State *state;
    size_t input, output;
    bool releases;                     // the interpreter lock during a step
    nb::object flat, rows;             // shapes of the results: (O,) and (B, O)
    std::unique_ptr<float[]> gathered; // (B, I), for an input with gaps
};

std::unique_ptr<Stream> make_stream(Model &model, nb::handle batch, nb::handle given)
{
    auto stream = std::make_unique<Stream>();
    stream->state = to_state(given);
    if (stream->state) {
        stream->state_object = nb::borrow(given);
    } else {
        stream->state_object = nb::cast(std::make_unique<State>(model.handle, to_count(batch, "batch")));
        stream->state = to_state(stream->state_object);
    }
    if (stream->state->model != model.handle)
        wrong_value("the state is of another model");
    stream->context = model.take_context();
    stream->input = model.input;
    stream->output = model.output;
    const size_t count = stream->state->batch();
    stream->releases = model.step_flops * static_cast<double>(count) > short_flops;
    stream->flat = nb::make_tuple(model.output);
    stream->rows = nb::make_tuple(count, model.output);
    stream->gathered.reset(new float[count * model.input + 1]);
    return stream;
}

/// Is it (B, width), or (width,) for a stream of one row?
bool fits(const Array &array, size_t rows, size_t width)
{
    return array.rank == 2 ? array.shape[0] == rows && array.shape[1] == width
                           : array.rank == 1 && rows == 1 && array.shape[0] == width;
}

[[noreturn]] void wrong_shape(const Array &array, const char *what, size_t rows, size_t width)
{
    wrong_value(std::string(what) + " has shape " + shape_text(array.dims()) + ", expected " +
                shape_text({rows, width}) + (rows == 1 ? " or " + shape_text({width}) : ""));
}

lw_status step_released(lw_context *context, lw_state *state, const float *x, float *y)
{
    nb::gil_scoped_release released;
    return lw_step(context, state, x, y);
}

nb::object step(Stream &self, nb::handle x, nb::handle out)
{
    Use use(self.state->used, "state");
    const size_t rows = self.state->batch();
    Array input(x, "x", Array::Read);
    if (!fits(input, rows, self.input))
        wrong_shape(input, "x", rows, self.input);
    const float *from = reinterpret_cast<const float *>(input.data);
    if (!input.dense()) {
        input.copy_to(self.gathered.get());
        from = self.gathered.get();
    }
    if (rows == 0)
        from = self.gathered.get();
    nb::object result = out.is_none() ? names->empty(input.rank == 1 ? self.flat : self.rows, names->float32)
                                      : nb::borrow(out);
    Array target(result, "out", Array::Write);
    if (!fits(target, rows, self.output))
        wrong_shape(target, "out", rows, self.output);
    if (!target.dense())
        wrong_value("out must be dense (C order, without gaps)");
    float *to = reinterpret_cast<float *>(target.data);
    lw_state *state = self.state->handle.get();
    check(self.releases ? step_released(self.context.get(), state, from, to)
                        : lw_step(self.context.get(), state, from, to));
    return out.is_none() ? same_kind(x, result) : result;
}

/// One step of many streams, each with a state of one row.
nb::object step_many(Model &self, nb::handle list, nb::handle x, nb::handle out)
{
    if (!nb::isinstance<nb::iterable>(list))
        wrong_type("states is a " + kind_name(list) + ", expected a list of State");
    std::vector<nb::object> held; // a generator's states live nowhere else
    std::vector<lw_state *> states;
    std::vector<std::unique_ptr<Use>> uses;
    for (nb::handle entry : nb::iter(list)) {
        State *state = to_state(entry);
        if (!state)
            wrong_type("states[" + std::to_string(states.size()) + "] is None, expected a State");
        held.push_back(nb::borrow(entry));
        uses.push_back(std::make_unique<Use>(state->used, "state (or it is named twice)"));
        states.push_back(state->handle.get());
    }
    const size_t count = states.size();
    Array input(x, "x", Array::Read);
    if (input.rank != 2 || input.shape[0] != count || input.shape[1] != self.input)
        wrong_value("x has shape " + shape_text(input.dims()) + ", expected " + shape_text({count, self.input}));
    std::unique_ptr<float[]> gathered;
    const float *from = reinterpret_cast<const float *>(input.data);
    if (!input.dense()) {
        gathered.reset(new float[input.count()]);
        input.copy_to(gathered.get());
        from = gathered.get();
    }
    nb::object result = out.is_none() ? empty_array({count, self.output}) : nb::borrow(out);
    Array target(result, "out", Array::Write);
    if (target.dims() != std::vector<size_t>{count, self.output} || !target.dense())
        wrong_value("out has shape " + shape_text(target.dims()) + ", expected " + shape_text({count, self.output}) +
                    ", dense (C order, without gaps)");
    if (count == 0)
        return out.is_none() ? same_kind(x, result) : result;
    Lease context(self);
    lw_status status;
    {
        nb::gil_scoped_release released;
        status = lw_step_many(context.get(), states.data(), count, from, reinterpret_cast<float *>(target.data));
    }
    check(status);
    return out.is_none() ? same_kind(x, result) : result;
}

/// Seconds that one step of one row takes without Python, the least of `tries` rounds of `count` (overhead.py).
double step_seconds(Model &model, size_t count, size_t tries)
{
    State state(model.handle, 1);
    Lease context(model);
    std::vector<float> x(model.input, 0.5f), y(model.output);
    double least = 1e9;
    for (size_t round = 0; round < tries; round++) {
        auto start = std::chrono::steady_clock::now();
        for (size_t i = 0; i < count; i++)
            check(lw_step(context.get(), state.handle.get(), x.data(), y.data()));
        std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        least = std::min(least, seconds.count() / static_cast<double>(count));
    }
    return least;
}

} // namespace

void define_stream(nb::module_ &module, nb::class_<Model> &type)
{
    using nb::literals::operator""_a;
    nb::class_<Stream>(module, "Stream", "A state that moves one step at a time.")
        .def("step", step, "x"_a.none(), "out"_a = nb::none(),
             "One step of every row: x (B, I) gives (B, O); of one row also (I,) gives (O,).")
        .def(
            "reset",
            [](Stream &self) {
                Use use(self.state->used, "state");
                check(lw_state_reset(self.state->handle.get()));
            },
            "Back to the beginning: the state becomes zero.")
        .def_prop_ro(
            "state", [](const Stream &self) { return self.state_object; }, "The State that it moves.")
        .def_prop_ro(
            "batch", [](const Stream &self) { return self.state->batch(); }, "The number of rows.");
    module.def("step_seconds", step_seconds, "model"_a, "count"_a, "tries"_a);
    type.def(
            "state",
            [](Model &self, nb::handle batch) {
                return std::make_unique<State>(self.handle, to_count(batch, "batch"));
            },
            "batch"_a.none() = 1, "A new state of that many rows, all zero.")
        .def("stream", make_stream, "batch"_a.none() = 1, "state"_a = nb::none(),
             "A stream from a new state of that many rows, or from a given state.")
        .def("step_many", step_many, "states"_a.none(), "x"_a.none(), "out"_a = nb::none(),
             "One step of many streams at once, each with a state of one row: x (count, I) gives (count, O).");
}

} // namespace binding
