// SPDX-License-Identifier: Apache-2.0
//
// PyTorch's tensors as the binding sees them, without a build against PyTorch: read through DLPack's table of C
// functions and made through PyTorch's stable C shim, where this PyTorch has these, and otherwise through attributes.
#pragma once

#include <nanobind/ndarray.h>

#include "core.hpp"

namespace binding
{

/// Extents of at most three axes, as a recurrent module's tensors have.
struct Shape {
    static constexpr size_t most_axes = 3;
    size_t rank = 0, extents[most_axes] = {0, 0, 0};
    bool operator==(const Shape &other) const
    {
        return rank == other.rank && extents[0] == other.extents[0] && extents[1] == other.extents[1] &&
               extents[2] == other.extents[2];
    }
};

/// A tensor's memory, valid while the tensor lives and nobody changes it.
struct View {
    Shape shape;
    size_t address = 0;
    bool dense = false; // in the order of C, without gaps
};

/// Texts and objects of PyTorch's that every call needs; made once and kept for good.
struct Torch {
    nb::object data_ptr, version, dtype_name, layout_name, is_cpu, is_neg, is_contiguous, contiguous, shape, new_empty;
    nb::object tensor, parameter, float32, strided;
    Torch();
    /// Is it of exactly PyTorch's own class?
    bool own(nb::handle object) const
    {
        nb::handle type = object.type();
        return type.is(tensor) || type.is(parameter);
    }
    /// A tensor of exactly PyTorch's own class, f32 on the CPU, with an address. False may leave no exception behind.
    bool plain(nb::handle object) const;
    /// tensor.name(), or an invalid object with the exception cleared.
    nb::object method(nb::handle tensor, const nb::object &name) const;
    /// Its address; 0 where it has none.
    size_t address(nb::handle tensor) const;
    /// A plain tensor of one to three axes, none of them empty, and what is in it.
    bool view(nb::handle object, View &view) const;
    /// A new f32 tensor on the CPU, its elements not set, and its address. `like` is any plain tensor.
    nb::object make(nb::handle like, const Shape &shape, size_t &address) const;

    /// Whether tensors are made through the C shim (tests switch it off).
    mutable bool shim = true;

  private:
    bool read_shape(nb::handle object, Shape &shape) const;
    nb::object make_in_shim(const Shape &shape, size_t &address) const;
    int (*look_)(void *, nb::dlpack::dltensor *) = nullptr;
    int32_t (*empty_)(int64_t, const int64_t *, const int64_t *, int32_t, int32_t, int32_t, void **) = nullptr;
    int32_t (*free_)(void *) = nullptr;
    int32_t (*data_of_)(void *, void **) = nullptr;
    PyObject *(*wrap_)(const void *) = nullptr;
    int32_t type_ = 0, device_ = 0;
};
const Torch &torch_names();

nb::object attribute(nb::handle object, const nb::object &name); // invalid where there is none

} // namespace binding
