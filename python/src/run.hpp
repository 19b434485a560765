// SPDX-License-Identifier: Apache-2.0
//
// Sequences from Python as the library takes them. Called by run.cc and train.cc.
#pragma once

#include "array.hpp"

namespace binding
{

/// The axes of a sequence as the caller holds it.
struct Axes {
    int step = 0, row = -1; // row: -1 for (T, width)
    Axes(int rank, bool batch_first)
    {
        if (rank == 3) {
            step = batch_first ? 1 : 0;
            row = batch_first ? 0 : 1;
        }
    }
};

/// The input of one run, copied only where the library cannot walk it.
class Sequence
{
  public:
    Sequence(nb::handle x, size_t width, bool batch_first, const char *what = "x") : array_(x, what, Array::Read)
    {
        const bool fits = (array_.rank == 2 || array_.rank == 3) && array_.shape[array_.rank - 1] == width;
        if (!fits) {
            std::string w = std::to_string(width);
            wrong_value(std::string(what) + " has shape " + shape_text(array_.dims()) + ", expected (T, " + w +
                        ") or " + (batch_first ? "(B, T, " : "(T, B, ") + w + ")");
        }
        Axes axes(array_.rank, batch_first);
        batched = array_.rank == 3;
        steps = array_.shape[axes.step];
        rows = batched ? array_.shape[axes.row] : 1;
        if (!walk_in_place(array_, axes.step, axes.row, walk)) {
            copy_.reset(new float[array_.count()]);
            array_.copy_to(copy_.get());
            walk.data = copy_.get();
            walk.step = batched && batch_first ? width : rows * width;
            walk.row = batched && batch_first ? steps * width : width;
        }
    }

    bool batched;
    size_t steps, rows;
    Walk walk;

  private:
    Array array_;
    std::unique_ptr<float[]> copy_;
};

/// (T, B, width) or (B, T, width) or, of one unbatched sequence, (T, width); without T for the last step.
std::vector<size_t> result_shape(const Sequence &x, size_t width, bool last, bool batch_first);
/// One for each row.
std::vector<size_t> read_lengths(nb::handle lengths, size_t rows);
lw_io read_io(const Sequence &x);

} // namespace binding
