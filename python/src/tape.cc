// SPDX-License-Identifier: Apache-2.0
//
// latchwork._core.RecurrentTape: one recorded run of a Recurrent, for the gradients. Called by latchwork/torch. A tape
// is lent by its module's pool and goes back there when Python lets go of it, so that the second round of training
// allocates nothing.
#include <nanobind/stl/unique_ptr.h>

#include "recurrent.hpp"

namespace binding
{

namespace
{

constexpr size_t most_kept = 2; // idle tapes of a module; each has the memory of its longest run

using TapeHandle = std::unique_ptr<lw_tape, void (*)(lw_tape *)>;
using StateHandle = std::unique_ptr<lw_state, void (*)(lw_state *)>;

struct Reel {
    TapeHandle tape{nullptr, lw_tape_destroy};
    StateHandle state{nullptr, lw_state_destroy}, other{nullptr, lw_state_destroy};
    size_t threads = 0;
    Looks looks; // of the parameters that it has packed
};

lw_state *state_of(StateHandle &handle, const lw_model *model, size_t batch)
{
    if (!handle || lw_state_batch(handle.get()) != batch) {
        lw_state *made = nullptr;
        check(lw_state_create(model, batch, &made));
        handle.reset(made);
    }
    return handle.get();
}

} // namespace

struct TapePool {
    std::vector<std::unique_ptr<Reel>> idle;
};

namespace
{

struct Tape {
    std::shared_ptr<TapePool> pool;
    std::unique_ptr<Reel> reel;
    Recurrent *module = nullptr; // kept alive by keep_alive below
    size_t steps = 0, batch = 0, rows = 0;
    bool batch_first = false, used = false;
    std::vector<int64_t> sizes;

    ~Tape()
    {
        give_back();
    }
    void give_back()
    {
        if (reel && pool->idle.size() < most_kept)
            pool->idle.push_back(std::move(reel));
        reel.reset();
    }
};

/// An idle reel for that number of threads, or a new one.
std::unique_ptr<Reel> take(Recurrent &self, size_t threads)
{
    auto &idle = self.tapes->idle;
    for (size_t i = idle.size(); i-- > 0;) {
        std::unique_ptr<Reel> reel = std::move(idle[i]);
        idle.erase(idle.begin() + static_cast<ptrdiff_t>(i));
        if (reel->threads == threads)
            return reel;
    }
    auto reel = std::make_unique<Reel>();
    lw_context_options options{};
    options.size = sizeof options;
    options.threads = threads;
    lw_tape *made = nullptr;
    check(lw_tape_create(self.shape.get(), &options, &made));
    reel->tape.reset(made);
    reel->threads = threads;
    return reel;
}

std::unique_ptr<Tape> record(Recurrent &self, nb::handle tensors, size_t input, size_t steps, size_t rows,
                             bool batch_first, size_t h0, size_t c0, size_t output, size_t h, size_t c, size_t sizes,
                             size_t threads)
{
    if (!self.tapes)
        self.tapes = std::make_shared<TapePool>();
    auto tape = std::make_unique<Tape>();
    tape->pool = self.tapes;
    tape->module = &self;
    tape->reel = take(self, threads);
    Reel &reel = *tape->reel;
    Looks now;
    if (!self.look(tensors, reel.looks, now))
        return nullptr;
    Sequences sequences{input, steps, rows, batch_first, h0, c0, output, h, c, sizes};
    Walked walked(self, sequences);
    lw_state *state = state_of(reel.state, self.shape.get(), walked.io.batch);
    write_state(self, state, h0, c0);
    std::vector<const float *> parameters(now.size());
    for (size_t i = 0; i < now.size(); i++)
        parameters[self.places[i]] = now[i].data;
    const bool same = now == reel.looks;
    reel.looks.clear(); // until the run has taken them
    lw_status status;
    {
        nb::gil_scoped_release released;
        status = lw_tape_forward(reel.tape.get(), same ? nullptr : parameters.data(), state, &walked.io);
    }
    check(status);
    reel.looks = std::move(now);
    read_state(self, state, h, c);
    walked.pack_output(self, sequences);
    tape->steps = steps;
    tape->rows = rows;
    tape->batch = walked.io.batch;
    tape->batch_first = batch_first;
    if (sizes) {
        const int64_t *list = reinterpret_cast<const int64_t *>(sizes);
        tape->sizes.assign(list, list + steps);
    }
    return tape;
}

/// Gradients at these addresses; 0: zero, or not wanted. `parameters` has one for each, in the module's order.
void backward(Tape &self, size_t dy, size_t dh, size_t dc, size_t dx, size_t dh0, size_t dc0, nb::list parameters)
{
    Use use(self.used, "tape");
    if (!self.reel)
        throw Failure{LW_ERR_BUSY, "the tape of this run has been given back"};
    Recurrent &module = *self.module;
    Reel &reel = *self.reel;
    const size_t in = module.brick.input, out = module.width() * module.directions();
    if (nb::len(parameters) != module.places.size())
        wrong_value("parameters has the wrong length");
    std::vector<float *> targets(module.places.size());
    for (size_t i = 0; i < targets.size(); i++)
        targets[module.places[i]] = reinterpret_cast<float *>(nb::cast<size_t>(parameters[i]));
    lw_gradients gradients{};
    gradients.size = sizeof gradients;
    gradients.output = reinterpret_cast<const float *>(dy);
    gradients.input = reinterpret_cast<float *>(dx);
    gradients.parameters = targets.data();
    std::unique_ptr<float[]> spread, gathered;
    if (!self.sizes.empty()) {
        if (dy) {
            spread.reset(new float[self.steps * self.batch * out]);
            spread_rows(self.sizes.data(), self.steps, self.batch, out, gradients.output, spread.get());
            gradients.output = spread.get();
        }
        if (dx) {
            gathered.reset(new float[self.steps * self.batch * in]);
            gradients.input = gathered.get();
        }
    } else if (self.batch_first) {
        gradients.output_step_stride = out;
        gradients.output_row_stride = self.steps * out;
        gradients.input_step_stride = in;
        gradients.input_row_stride = self.steps * in;
    }
    if (dh || dc) {
        lw_state *final_state = state_of(reel.state, module.shape.get(), self.batch);
        write_state(module, final_state, dh, dc);
        gradients.final_state = final_state;
    }
    if (dh0 || dc0)
        gradients.initial_state = state_of(reel.other, module.shape.get(), self.batch);
    lw_status status;
    {
        nb::gil_scoped_release released;
        status = lw_tape_backward(reel.tape.get(), &gradients);
    }
    check(status);
    if (gradients.initial_state)
        read_state(module, gradients.initial_state, dh0, dc0);
    if (gathered)
        gather_rows(self.sizes.data(), self.steps, self.batch, in, gathered.get(), reinterpret_cast<float *>(dx));
}

} // namespace

void define_tape(nb::module_ &module, nb::class_<Recurrent> &type)
{
    using nb::literals::operator""_a;
    nb::class_<Tape>(module, "RecurrentTape", "One recorded run, for its gradients.")
        .def("backward", backward, "output"_a, "h"_a, "c"_a, "input"_a, "h0"_a, "c0"_a, "parameters"_a,
             "Writes the gradients to these addresses; 0: not wanted.")
        .def(
            "give_back",
            [](Tape &self) {
                Use use(self.used, "tape");
                self.give_back();
            },
            "Lets the next run use its memory.");
    type.def("record", record, nb::keep_alive<0, 1>(), "tensors"_a, "input"_a, "steps"_a, "rows"_a, "batch_first"_a,
             "h0"_a, "c0"_a, "output"_a, "h"_a, "c"_a, "sizes"_a, "threads"_a,
             "Runs as `run` does and keeps what the gradients need. None where `run` would say False.");
}

} // namespace binding
