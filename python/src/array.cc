// SPDX-License-Identifier: Apache-2.0
//
// Taking arrays from Python and giving them back. Called by every function that has one as an argument.
#include "array.hpp"

#include <cstring>

namespace binding
{

// Python 3.9 and 3.10 have these only outside the stable interface, which is where those builds live.
bool is_buffer(nb::handle object)
{
    return PyObject_CheckBuffer(object.ptr()) != 0;
}

static std::string dtype_text(nb::handle object, const char *otherwise)
{
    if (nb::hasattr(object, "dtype"))
        return text(object.attr("dtype"));
    return otherwise;
}

[[noreturn]] static void wrong_dtype(nb::handle object, const char *what, const char *format)
{
    wrong_type(std::string(what) + " has elements of " + dtype_text(object, format) + ", expected float32");
}

Array::Array(nb::handle object, const char *what, Access access)
{
    if (is_buffer(object))
        take_buffer(object, what, access);
    else if (nb::hasattr(object, "__dlpack__"))
        take_dlpack(object, what, access);
    else
        wrong_type(std::string(what) + " is a " + kind_name(object) +
                   ", expected an array of float32 (NumPy's, or one that speaks DLPack)");
}

Array::~Array()
{
    if (has_buffer_)
        PyBuffer_Release(&buffer_);
}

void Array::take_buffer(nb::handle object, const char *what, Access access)
{
    if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_RECORDS_RO | (access == Write ? PyBUF_WRITABLE : 0)) != 0) {
        PyErr_Clear();
        // NumPy gives no buffer of types that C does not know (datetime64), and none to write into a read-only array.
        if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_RECORDS_RO) != 0) {
            PyErr_Clear();
            wrong_dtype(object, what, "an unknown type");
        }
        PyBuffer_Release(&buffer_);
        wrong_value(std::string(what) + " is read-only, expected an array that can be written");
    }
    has_buffer_ = true;
    const char *format = buffer_.format ? buffer_.format : "B";
    const char *name = format + (*format == '@' || *format == '=');
    if (buffer_.itemsize != sizeof(float) || name[0] != 'f' || name[1] != '\0' || buffer_.ndim > most_axes) {
        PyBuffer_Release(&buffer_);
        has_buffer_ = false;
        if (buffer_.ndim > most_axes)
            wrong_value(std::string(what) + " has more than " + std::to_string(most_axes) + " axes");
        wrong_dtype(object, what, "another type");
    }
    data = static_cast<char *>(buffer_.buf);
    rank = buffer_.ndim;
    for (int i = 0; i < rank; i++) {
        shape[i] = static_cast<size_t>(buffer_.shape[i]);
        strides[i] = buffer_.strides[i];
    }
}

void Array::take_dlpack(nb::handle object, const char *what, Access access)
{
    // Called here rather than by the cast, whose failure would hide the framework's own sentence.
    nb::object capsule, give = object.attr("__dlpack__");
    try {
        capsule = give(nb::arg("max_version") = nb::make_tuple(1, 0));
    } catch (nb::python_error &error) {
        if (!error.matches(PyExc_TypeError)) // a producer that knows no versions
            throw;
    }
    if (!capsule.is_valid())
        capsule = give();
    std::string type = kind_name(object);
    foreign_ = std::make_unique<nb::ndarray<>>();
    nb::ndarray<nb::ro> readable;
    if (access == Write) {
        if (!nb::try_cast<nb::ndarray<>>(capsule, *foreign_))
            wrong_value(std::string(what) + ": this " + type + " gives no memory that can be written");
    } else {
        if (!nb::try_cast<nb::ndarray<nb::ro>>(capsule, readable))
            wrong_value(std::string(what) + ": the DLPack capsule of this " + type + " could not be read");
        *foreign_ = nb::ndarray<>(readable.handle());
    }
    if (foreign_->device_type() != nb::device::cpu::value)
        wrong_value(std::string(what) + ": this " + type + " lies on another device, expected memory of the CPU");
    if (foreign_->dtype() != nb::dtype<float>())
        wrong_dtype(object, what, "another type");
    if (foreign_->ndim() > static_cast<size_t>(most_axes))
        wrong_value(std::string(what) + " has more than " + std::to_string(most_axes) + " axes");
    data = static_cast<char *>(foreign_->data());
    rank = static_cast<int>(foreign_->ndim());
    for (int i = 0; i < rank; i++) {
        shape[i] = foreign_->shape(static_cast<size_t>(i));
        strides[i] = foreign_->stride(static_cast<size_t>(i)) * static_cast<ptrdiff_t>(sizeof(float));
    }
}

size_t Array::count() const
{
    size_t product = 1; // of memory that exists, so it does not overflow
    for (int i = 0; i < rank; i++)
        product *= shape[i];
    return product;
}

bool Array::dense() const
{
    size_t expected = sizeof(float);
    for (int i = rank - 1; i >= 0; i--) {
        if (shape[i] > 1 && strides[i] != static_cast<ptrdiff_t>(expected))
            return false;
        expected *= shape[i];
    }
    return reinterpret_cast<uintptr_t>(data) % sizeof(float) == 0;
}

static void copy_axis(const Array &array, int axis, const char *from, float *&to)
{
    if (axis == array.rank) {
        memcpy(to++, from, sizeof(float));
        return;
    }
    if (axis == array.rank - 1 && array.strides[axis] == sizeof(float)) {
        memcpy(to, from, array.shape[axis] * sizeof(float));
        to += array.shape[axis];
        return;
    }
    for (size_t i = 0; i < array.shape[axis]; i++)
        copy_axis(array, axis + 1, from + static_cast<ptrdiff_t>(i) * array.strides[axis], to);
}

void Array::copy_to(float *to) const
{
    if (count() != 0)
        copy_axis(*this, 0, data, to);
}

// A stride in floats. An axis of one element or none has none, and gets what a dense array would have.
static bool float_stride(const Array &array, int axis, size_t otherwise, size_t &stride)
{
    if (axis < 0 || array.shape[axis] <= 1) {
        stride = otherwise;
        return true;
    }
    ptrdiff_t bytes = array.strides[axis];
    stride = static_cast<size_t>(bytes) / sizeof(float);
    return bytes > 0 && bytes % static_cast<ptrdiff_t>(sizeof(float)) == 0;
}

bool walk_in_place(const Array &array, int step_axis, int row_axis, Walk &walk)
{
    const size_t width = array.shape[array.rank - 1];
    const size_t steps = array.shape[step_axis], rows = row_axis < 0 ? 1 : array.shape[row_axis];
    walk.data = reinterpret_cast<float *>(array.data);
    if (array.count() == 0) {
        walk.step = walk.row = 0;
        return true;
    }
    size_t inner;
    if (reinterpret_cast<uintptr_t>(array.data) % sizeof(float) != 0 ||
        !float_stride(array, array.rank - 1, 1, inner) || inner != 1 ||
        !float_stride(array, row_axis, width, walk.row) || !float_stride(array, step_axis, rows * walk.row, walk.step))
        return false;
    // The library's own rule: rows must not overlap, time first or batch first.
    const size_t row_extent = (rows - 1) * walk.row, step_extent = (steps - 1) * walk.step;
    bool time_first = (rows == 1 || walk.row >= width) && (steps == 1 || walk.step >= row_extent + width);
    bool batch_first = (steps == 1 || walk.step >= width) && (rows == 1 || walk.row >= step_extent + width);
    return time_first || batch_first;
}

nb::object same_kind(nb::handle source, nb::object result)
{
    if (is_buffer(source))
        return result;
    nb::object space;
    if (nb::hasattr(source, "__array_namespace__")) {
        space = source.attr("__array_namespace__")();
    } else {
        std::string module = text(source.type().attr("__module__"));
        space = nb::module_::import_(module.substr(0, module.find('.')).c_str());
    }
    return nb::hasattr(space, "from_dlpack") ? nb::object(space.attr("from_dlpack")(result)) : result;
}

} // namespace binding
