// SPDX-License-Identifier: Apache-2.0
//
// One recurrent module of PyTorch, as latchwork.torch sees it: parameters come as objects that have `data_ptr()` and
// `_version`, everything else as plain addresses and sizes, because a call of one step must cost next to nothing.
// Invariant: packed weights are used only while nothing says that the tensors have changed since (see Look).
#pragma once

#include <cstdint>

#include "tensors.hpp"

namespace binding
{

/// What was seen of a parameter when it was packed. The tensor is held, so that its address names nothing else.
struct Look {
    nb::object tensor;
    const float *data = nullptr;
    long long version = -1; // -1: the tensor counts no versions
    uint32_t sum = 0;       // over all of a small or uncounted tensor, else over samples
    bool operator==(const Look &other) const
    {
        return tensor.is(other.tensor) && data == other.data && version == other.version && sum == other.sum;
    }
};
using Looks = std::vector<Look>;

/// A sequence where the caller holds it; all arrays dense. With `sizes` the rows are those of a packed sequence: step t
/// has sizes[t] rows, and `rows` counts them all.
struct Sequences {
    size_t input, steps, rows;
    bool batch_first;
    size_t h0, c0;       // addresses; 0: zeros
    size_t output, h, c; // addresses; 0: not wanted
    size_t sizes;
};

/// Weights packed once, with what runs them.
struct Packed {
    std::shared_ptr<lw_model> model;
    Looks looks;
    size_t threads = 0;
    std::vector<Context> contexts;
    std::vector<std::unique_ptr<lw_state, void (*)(lw_state *)>> states;
};

struct TapePool;

struct Recurrent {
    lw_brick brick{};
    std::vector<nb::object> keys;         // the same as the framework's own texts
    std::vector<size_t> places;           // of each in the library's order
    std::vector<lw_parameter> parameters; // in the framework's order
    std::shared_ptr<lw_model> shape;      // the architecture alone
    std::shared_ptr<Packed> packed;
    std::shared_ptr<TapePool> tapes;
    double step_flops = 0; // of one row
    bool cell = false;     // named as a cell's parameters are: one step of one layer

    size_t directions() const
    {
        return brick.direction == LW_BIDIRECTIONAL ? 2 : 1;
    }
    size_t width() const // of h
    {
        return brick.projection ? brick.projection : brick.hidden;
    }
    lw_model *build() const;
    /// Looks at every parameter. False where one is none that the library can read: then the framework must do it.
    bool look(nb::handle tensors, const Looks &before, Looks &now) const;
};

/// The sequence as the library walks it; a packed one is laid out with its longest row's steps for every row.
struct Walked {
    lw_io io{};
    std::vector<size_t> lengths;
    std::unique_ptr<float[]> input, output;

    Walked(const Recurrent &self, const Sequences &sequences);
    void pack_output(const Recurrent &self, const Sequences &sequences) const;
};
/// Between (total, width) and (T, B, width).
void spread_rows(const int64_t *sizes, size_t steps, size_t batch, size_t width, const float *from, float *to);
void gather_rows(const int64_t *sizes, size_t steps, size_t batch, size_t width, const float *from, float *to);

/// h and c of every layer and direction, (L * D, B, width) each, at these addresses; 0: zeros, or not wanted.
void write_state(const Recurrent &self, lw_state *state, size_t h, size_t c);
void read_state(const Recurrent &self, const lw_state *state, size_t h, size_t c);

/// The packed weights of these tensors, packed anew where they may have changed; NULL where one cannot be read.
std::shared_ptr<Packed> weights_of(Recurrent &self, nb::handle tensors);

/// Runs at these addresses. False where a parameter cannot be read.
bool run_module(Recurrent &self, nb::handle tensors, const Sequences &sequences, size_t threads);

constexpr double brief_flops = 200e3; // some 10 microseconds on one core: not worth giving up the interpreter lock

void define_eager(nb::class_<Recurrent> &type);
void define_tape(nb::module_ &module, nb::class_<Recurrent> &type);
void define_recurrent(nb::module_ &module);

} // namespace binding
