// SPDX-License-Identifier: Apache-2.0
//
// Reading and making PyTorch's tensors. Called by eager.cc and weights.cc. A small step costs less than three of
// PyTorch's own calls that make a tensor, hence the C functions; without them everything works, some microseconds
// slower. Invariant: no PyTorch exception is left behind by a function that answers "no".
#include <dlfcn.h>

#include "tensors.hpp"

namespace binding
{

namespace
{

/// The beginning of DLPackExchangeAPI as DLPack 1.3 lays it down; the table belongs to PyTorch and lives for good.
struct Exchange {
    struct {
        uint32_t major, minor;
        const void *older;
    } header;
    void *make, *export_owned, *import_owned;
    int (*look)(void *object, nb::dlpack::dltensor *tensor);
};

template <typename Function> void find(void *library, const char *name, Function *&function)
{
    function = library ? reinterpret_cast<Function *>(dlsym(library, name)) : nullptr;
}

} // namespace

nb::object attribute(nb::handle object, const nb::object &name)
{
    nb::object value = nb::steal(PyObject_GetAttr(object.ptr(), name.ptr()));
    if (!value.is_valid())
        PyErr_Clear();
    return value;
}

Torch::Torch()
{
    const std::pair<nb::object *, const char *> texts[] = {
        {&data_ptr, "data_ptr"},           {&version, "_version"},      {&dtype_name, "dtype"},
        {&layout_name, "layout"},          {&is_cpu, "is_cpu"},         {&is_neg, "is_neg"},
        {&is_contiguous, "is_contiguous"}, {&contiguous, "contiguous"}, {&shape, "shape"},
        {&new_empty, "new_empty"}};
    for (const auto &text : texts)
        *text.first = nb::steal(PyUnicode_InternFromString(text.second));
    nb::module_ torch = nb::module_::import_("torch");
    tensor = torch.attr("Tensor");
    parameter = torch.attr("nn").attr("Parameter");
    float32 = torch.attr("float32");
    strided = torch.attr("strided");
    if (nb::hasattr(tensor, "__dlpack_c_exchange_api__")) {
        nb::object capsule = tensor.attr("__dlpack_c_exchange_api__");
        auto table = static_cast<const Exchange *>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
        if (!table)
            PyErr_Clear();
        else if (table->header.major == 1)
            look_ = table->look;
    }
    // Both libraries are in the process since torch was imported. A handle of the shim is a pointer to an at::Tensor.
    void *shim = dlopen("libtorch_cpu.so", RTLD_NOLOAD | RTLD_NOW);
    void *python = dlopen("libtorch_python.so", RTLD_NOLOAD | RTLD_NOW);
    int32_t (*type)(), (*device)();
    find(shim, "aoti_torch_empty_strided", empty_);
    find(shim, "aoti_torch_delete_tensor_object", free_);
    find(shim, "aoti_torch_get_data_ptr", data_of_);
    find(shim, "aoti_torch_dtype_float32", type);
    find(shim, "aoti_torch_device_type_cpu", device);
    find(python, "_Z16THPVariable_WrapRKN2at10TensorBaseE", wrap_);
    if (empty_ && free_ && data_of_ && type && device && wrap_) {
        type_ = type();
        device_ = device();
    } else {
        wrap_ = nullptr;
    }
}

const Torch &torch_names()
{
    static const Torch *kept = new Torch;
    return *kept;
}

nb::object Torch::method(nb::handle object, const nb::object &name) const
{
    PyObject *arguments[1] = {object.ptr()};
    nb::object value = nb::steal(PyObject_VectorcallMethod(name.ptr(), arguments, 1, nullptr));
    if (!value.is_valid())
        PyErr_Clear();
    return value;
}

size_t Torch::address(nb::handle object) const
{
    nb::object value = method(object, data_ptr);
    size_t address = value.is_valid() ? PyLong_AsSize_t(value.ptr()) : 0;
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return address;
}

bool Torch::plain(nb::handle object) const
{
    return own(object) && attribute(object, dtype_name).is(float32) &&
           attribute(object, is_cpu).is(nb::handle(Py_True)) && attribute(object, layout_name).is(strided) &&
           method(object, is_neg).is(nb::handle(Py_False));
}

bool Torch::read_shape(nb::handle object, Shape &result) const
{
    nb::object sizes = attribute(object, shape);
    if (!sizes.is_valid() || !PyTuple_Check(sizes.ptr()))
        return false;
    Py_ssize_t rank = PyTuple_Size(sizes.ptr());
    if (rank < 1 || rank > static_cast<Py_ssize_t>(Shape::most_axes))
        return false;
    result = Shape{};
    result.rank = static_cast<size_t>(rank);
    for (Py_ssize_t i = 0; i < rank; i++) {
        Py_ssize_t extent = PyLong_AsSsize_t(PyTuple_GetItem(sizes.ptr(), i));
        if (extent <= 0) { // nothing to run, or no number
            PyErr_Clear();
            return false;
        }
        result.extents[i] = static_cast<size_t>(extent);
    }
    return true;
}

bool Torch::view(nb::handle object, View &view) const
{
    if (!look_) {
        if (!plain(object) || !read_shape(object, view.shape))
            return false;
        view.dense = method(object, is_contiguous).is(nb::handle(Py_True));
        view.address = address(object);
        return view.address != 0;
    }
    if (!own(object))
        return false;
    nb::dlpack::dltensor seen;
    if (look_(object.ptr(), &seen) != 0) {
        PyErr_Clear();
        return false;
    }
    const bool floats = seen.dtype.code == static_cast<uint8_t>(nb::dlpack::dtype_code::Float) &&
                        seen.dtype.bits == 32 && seen.dtype.lanes == 1;
    if (!floats || seen.device.device_type != nb::device::cpu::value || seen.ndim < 1 ||
        seen.ndim > static_cast<int32_t>(Shape::most_axes) || !seen.data || !seen.strides)
        return false;
    view.shape = Shape{};
    view.shape.rank = static_cast<size_t>(seen.ndim);
    view.dense = true;
    int64_t expected = 1;
    for (size_t i = view.shape.rank; i-- > 0;) {
        if (seen.shape[i] <= 0)
            return false;
        view.shape.extents[i] = static_cast<size_t>(seen.shape[i]);
        view.dense = view.dense && (seen.shape[i] == 1 || seen.strides[i] == expected);
        expected *= seen.shape[i];
    }
    view.address = reinterpret_cast<size_t>(seen.data) + seen.byte_offset;
    return method(object, is_neg).is(nb::handle(Py_False)); // DLPack does not tell
}

/// Invalid where the shim cannot.
nb::object Torch::make_in_shim(const Shape &shape, size_t &address) const
{
    int64_t sizes[Shape::most_axes], strides[Shape::most_axes];
    size_t stride = 1; // PyTorch refuses what overflows
    for (size_t i = shape.rank; i-- > 0; stride *= shape.extents[i]) {
        sizes[i] = static_cast<int64_t>(shape.extents[i]);
        strides[i] = static_cast<int64_t>(stride);
    }
    void *handle = nullptr, *data = nullptr;
    if (empty_(static_cast<int64_t>(shape.rank), sizes, strides, type_, device_, 0, &handle) != 0)
        return nb::object();
    PyObject *result = nullptr;
    if (data_of_(handle, &data) == 0 && data) {
        try {
            result = wrap_(handle);
        } catch (...) {
        }
    }
    free_(handle);
    if (!result)
        PyErr_Clear();
    address = reinterpret_cast<size_t>(data);
    return nb::steal(result);
}

nb::object Torch::make(nb::handle like, const Shape &wanted, size_t &address_of) const
{
    if (wrap_ && shim) {
        nb::object made = make_in_shim(wanted, address_of);
        if (made.is_valid())
            return made;
    }
    nb::object extents[Shape::most_axes]; // as arguments, which PyTorch reads a third quicker than a tuple
    PyObject *arguments[1 + Shape::most_axes] = {like.ptr()};
    for (size_t i = 0; i < wanted.rank; i++) {
        extents[i] = nb::steal(PyLong_FromSize_t(wanted.extents[i]));
        arguments[1 + i] = extents[i].ptr();
    }
    nb::object made = nb::steal(PyObject_VectorcallMethod(new_empty.ptr(), arguments, 1 + wanted.rank, nullptr));
    if (!made.is_valid())
        throw nb::python_error();
    address_of = address(made);
    return made;
}

} // namespace binding
