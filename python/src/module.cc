// SPDX-License-Identifier: Apache-2.0
//
// The module latchwork._core: its classes and functions, and how failures become exceptions.
#include <cstring>

#include "array.hpp"
#include "recurrent.hpp"

namespace binding
{

Names *names = nullptr;

std::string shape_text(const std::vector<size_t> &shape)
{
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); i++)
        text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + (shape.size() == 1 ? ",)" : ")");
}

std::string text(nb::handle object)
{
    nb::str value(object);
    Py_ssize_t size;
    const char *bytes = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
    if (!bytes)
        throw nb::python_error(); // lone surrogates
    return std::string(bytes, static_cast<size_t>(size));
}

std::string kind_name(nb::handle object)
{
    return text(object.type().attr("__name__"));
}

size_t to_count(nb::handle value, const std::string &what)
{
    nb::object number = nb::steal(PyNumber_Index(value.ptr()));
    if (!number.is_valid()) {
        PyErr_Clear();
        wrong_type(what + " is a " + kind_name(value) + ", expected an integer");
    }
    Py_ssize_t count = PyLong_AsSsize_t(number.ptr());
    if (count < 0) {
        PyErr_Clear(); // beyond the range, on either side
        wrong_value(what + " is " + text(number) + ", expected 0 or more and below 2^63");
    }
    return static_cast<size_t>(count);
}

uint64_t to_seed(nb::handle value)
{
    nb::object number = nb::steal(PyNumber_Index(value.ptr()));
    if (!number.is_valid()) {
        PyErr_Clear();
        wrong_type("seed is a " + kind_name(value) + ", expected an integer");
    }
    unsigned long long seed = PyLong_AsUnsignedLongLong(number.ptr());
    if (PyErr_Occurred()) {
        PyErr_Clear(); // beyond the range, on either side
        wrong_value("seed is " + text(number) + ", expected 0 or more and below 2^64");
    }
    return seed;
}

size_t to_threads(nb::handle value)
{
    size_t count = to_count(value, "threads");
    if (count > LW_THREADS_MAX)
        wrong_value("threads is " + std::to_string(count) + ", expected at most " + std::to_string(LW_THREADS_MAX));
    return count;
}

std::string to_path(nb::handle path)
{
    nb::bytes bytes = nb::bytes(nb::module_::import_("os").attr("fsencode")(path));
    if (strlen(bytes.c_str()) != bytes.size())
        wrong_value("path holds a NUL character");
    return {bytes.c_str(), bytes.size()};
}

nb::object empty_array(const std::vector<size_t> &shape)
{
    nb::list list;
    for (size_t extent : shape)
        list.append(extent);
    return names->empty(nb::tuple(list), names->float32);
}

static PyObject *exception_type(const Failure &failure)
{
    switch (failure.status) {
    case LW_ERR_ARGUMENT:
    case LW_ERR_SHAPE:
        return PyExc_ValueError;
    case LW_ERR_MEMORY:
        return PyExc_MemoryError;
    case LW_ERR_FILE:
        return failure.missing ? PyExc_FileNotFoundError : PyExc_OSError;
    case LW_ERR_FORMAT:
        return names->format_error.ptr();
    case LW_ERR_UNSUPPORTED:
        return PyExc_NotImplementedError;
    case LW_ERR_NOT_FOUND:
        return failure.key ? PyExc_KeyError : PyExc_LookupError;
    default:
        return PyExc_RuntimeError;
    }
}

static void translate(const std::exception_ptr &pointer, void *)
{
    try {
        std::rethrow_exception(pointer);
    } catch (const Failure &failure) {
        // A path need not be UTF-8: its other bytes become what os.fsdecode makes of them.
        nb::object sentence = nb::steal(PyUnicode_DecodeUTF8(
            failure.sentence.data(), static_cast<Py_ssize_t>(failure.sentence.size()), "surrogateescape"));
        if (sentence.is_valid())
            PyErr_SetObject(exception_type(failure), sentence.ptr());
    }
}

} // namespace binding

NB_MODULE(_core, module)
{
    using namespace binding;
    nb::set_leak_warnings(false); // objects that live until the interpreter ends are no leak
    nb::register_exception_translator(translate);

    // Kept for good: destroying it at exit would need an interpreter that is gone by then.
    names = new Names;
    nb::module_ numpy = nb::module_::import_("numpy");
    names->empty = numpy.attr("empty");
    names->float32 = numpy.attr("dtype")("float32");
    names->bricks = nb::module_::import_("latchwork.bricks");
    names->format_error = nb::module_::import_("latchwork.errors").attr("FormatError");

    nb::class_<Model> model(module, "Model", "A stack of recurrent and dense layers.");
    define_state(module);
    define_model(module, model);
    define_run(model);
    define_explain(model);
    define_stream(module, model);
    define_train(module, model);
    define_machine(module);
    define_recurrent(module);
}
