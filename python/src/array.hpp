// SPDX-License-Identifier: Apache-2.0
//
// Arrays that cross the border: anything with the buffer protocol (NumPy) or DLPack (PyTorch, JAX). The buffer protocol
// comes first because it is what makes a one-step call cheap. Nothing is copied unless the library cannot walk it.
#pragma once

#include <memory>

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include "core.hpp"

namespace binding
{

/// An array of f32, held while this object lives. Strides are in bytes.
class Array
{
  public:
    enum Access { Read, Write };
    static constexpr int most_axes = 8;

    Array(nb::handle object, const char *what, Access access);
    ~Array();
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;

    char *data = nullptr;
    int rank = 0;
    size_t shape[most_axes];
    ptrdiff_t strides[most_axes];

    std::vector<size_t> dims() const
    {
        return {shape, shape + rank};
    }
    size_t count() const;
    /// Without gaps, in the order of C, and aligned.
    bool dense() const;
    /// Copies all elements, in the order of C.
    void copy_to(float *to) const;

  private:
    void take_buffer(nb::handle object, const char *what, Access access);
    void take_dlpack(nb::handle object, const char *what, Access access);

    Py_buffer buffer_;
    bool has_buffer_ = false;
    std::unique_ptr<nb::ndarray<>> foreign_;
};

/// Does this object hand over its memory by itself, so that results are NumPy arrays?
bool is_buffer(nb::handle object);
/// The NumPy array `result` as the kind of array that `source` is.
nb::object same_kind(nb::handle source, nb::object result);

/// A sequence (T, B, width) as the library walks it: strides in floats from step to step and from row to row.
struct Walk {
    float *data = nullptr;
    size_t step = 0, row = 0;
};

/// The walk over `array`, whose axes are given (`row_axis` may be -1: one row); false if it must be copied first.
bool walk_in_place(const Array &array, int step_axis, int row_axis, Walk &walk);

} // namespace binding
