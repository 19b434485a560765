// SPDX-License-Identifier: Apache-2.0
//
// latchwork._core.Recurrent.call: a whole call of a module without gradients, from PyTorch's tensors to PyTorch's
// tensors. Checks, addresses and results cost less here than in Python, and a small step costs little else. Whatever is
// not the plain case gives None, and latchwork/torch/modules.py decides.
#include "recurrent.hpp"

namespace binding
{

namespace
{

constexpr size_t most_axes = 3;

struct Shape {
    size_t rank = 0, extents[most_axes] = {0, 0, 0};
    bool operator==(const Shape &other) const
    {
        return rank == other.rank && extents[0] == other.extents[0] && extents[1] == other.extents[1] &&
               extents[2] == other.extents[2];
    }
};

/// False where there are more axes than a sequence has.
bool read_shape(const Torch &torch, nb::handle tensor, Shape &shape)
{
    nb::object sizes = nb::steal(PyObject_GetAttr(tensor.ptr(), torch.shape.ptr()));
    if (!sizes.is_valid() || !PyTuple_Check(sizes.ptr())) {
        PyErr_Clear();
        return false;
    }
    Py_ssize_t rank = PyTuple_Size(sizes.ptr());
    if (rank < 1 || rank > static_cast<Py_ssize_t>(most_axes))
        return false;
    shape.rank = static_cast<size_t>(rank);
    for (Py_ssize_t i = 0; i < rank; i++) {
        Py_ssize_t extent = PyLong_AsSsize_t(PyTuple_GetItem(sizes.ptr(), i));
        if (extent <= 0) { // nothing to run, or no number
            PyErr_Clear();
            return false;
        }
        shape.extents[i] = static_cast<size_t>(extent);
    }
    return true;
}

/// x.new_empty(...): by arguments, which PyTorch reads a third quicker than a tuple.
nb::object make_empty(const Torch &torch, nb::handle x, const Shape &shape)
{
    nb::object extents[most_axes];
    PyObject *arguments[1 + most_axes] = {x.ptr()};
    for (size_t i = 0; i < shape.rank; i++) {
        extents[i] = nb::steal(PyLong_FromSize_t(shape.extents[i]));
        arguments[1 + i] = extents[i].ptr();
    }
    nb::object result = nb::steal(PyObject_VectorcallMethod(torch.new_empty.ptr(), arguments, 1 + shape.rank, nullptr));
    if (!result.is_valid())
        throw nb::python_error();
    return result;
}

/// A dense tensor with these elements; invalid where PyTorch must do it.
nb::object dense(const Torch &torch, nb::handle tensor)
{
    if (torch.method(tensor, torch.is_contiguous).is(nb::handle(Py_True)))
        return nb::borrow(tensor);
    return torch.method(tensor, torch.contiguous);
}

/// An initial state of that shape.
bool take_state(const Torch &torch, nb::handle given, const Shape &expected, nb::object &state)
{
    Shape shape;
    if (!torch.plain(given) || !read_shape(torch, given, shape) || !(shape == expected))
        return false;
    state = dense(torch, given);
    return state.is_valid();
}

nb::object call(Recurrent &self, nb::handle tensors, nb::handle x, nb::handle hx, bool batch_first, bool cell,
                size_t threads)
{
    const Torch &torch = torch_names();
    const bool lstm = self.brick.kind == LW_LSTM;
    Shape shape;
    if (!torch.plain(x) || !read_shape(torch, x, shape))
        return nb::none();
    const size_t batched_rank = cell ? 2 : 3, last = shape.rank - 1;
    const bool batched = shape.rank == batched_rank;
    if ((!batched && shape.rank + 1 != batched_rank) || shape.extents[last] != self.brick.input)
        return nb::none();
    batch_first = batch_first && batched;
    Sequences sequences{};
    sequences.batch_first = batch_first;
    sequences.steps = cell ? 1 : shape.extents[batch_first ? 1 : 0];
    sequences.rows = !batched ? 1 : shape.extents[cell || batch_first ? 0 : 1];

    Shape y_shape = shape, h_shape = shape, c_shape;
    y_shape.extents[last] = self.width() * self.directions();
    if (!cell) {
        h_shape.extents[0] = self.brick.layers * self.directions();
        if (batched)
            h_shape.extents[1] = sequences.rows;
    }
    h_shape.extents[last] = self.width();
    c_shape = h_shape;
    c_shape.extents[last] = self.brick.hidden;

    nb::object h0, c0;
    if (!hx.is_none()) {
        nb::handle given_h = hx, given_c;
        if (lstm) {
            if (!PyTuple_Check(hx.ptr()) || PyTuple_Size(hx.ptr()) != 2)
                return nb::none();
            given_h = PyTuple_GetItem(hx.ptr(), 0);
            given_c = PyTuple_GetItem(hx.ptr(), 1);
        }
        if (!take_state(torch, given_h, h_shape, h0) || (lstm && !take_state(torch, given_c, c_shape, c0)))
            return nb::none();
    }
    nb::object input = dense(torch, x);
    if (!input.is_valid())
        return nb::none();
    nb::object y = make_empty(torch, input, y_shape), h, c;
    if (!cell)
        h = make_empty(torch, input, h_shape);
    if (lstm)
        c = make_empty(torch, input, c_shape);
    sequences.input = torch.address(input);
    sequences.output = torch.address(y);
    sequences.h0 = h0.is_valid() ? torch.address(h0) : 0;
    sequences.c0 = c0.is_valid() ? torch.address(c0) : 0;
    sequences.h = h.is_valid() ? torch.address(h) : 0;
    sequences.c = c.is_valid() ? torch.address(c) : 0;
    if (!sequences.input || !sequences.output || (h0.is_valid() && !sequences.h0) || (c0.is_valid() && !sequences.c0) ||
        !run_module(self, tensors, sequences, threads))
        return nb::none();
    if (cell)
        return lstm ? nb::object(nb::make_tuple(y, c)) : y;
    return lstm ? nb::make_tuple(y, nb::make_tuple(h, c)) : nb::make_tuple(y, h);
}

} // namespace

void define_eager(nb::class_<Recurrent> &type)
{
    using nb::literals::operator""_a;
    type.def("call", call, "tensors"_a, "x"_a.none(), "hx"_a.none(), "batch_first"_a, "cell"_a, "threads"_a,
             "The module's result for x and hx, without gradients; None where it is not the plain case.");
}

} // namespace binding
