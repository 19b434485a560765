// SPDX-License-Identifier: Apache-2.0
//
// latchwork._core.Recurrent.call and .quick: a whole call of a module without gradients, from PyTorch's tensors to
// PyTorch's tensors; `quick` stands for nn.Module.__call__ too. Checks, addresses and results cost less here than in
// Python, and a small step costs little else. Whatever is not the plain case gives None, and latchwork/torch/modules.py
// decides.
#include "recurrent.hpp"

namespace binding
{

namespace
{

/// What a call must not pass by: hooks, modes, a forward() that is not ours. Given by latchwork/torch/modules.py.
struct Watchers {
    nb::object module_class, module_call; // nn.Module and its __call__ as it was
    nb::object forwards;                  // ours: a tuple
    nb::object global_hooks, watching;    // tuples: dicts that must be empty; functions that must say no
    nb::object forward_ad, threads;
    nb::object call_name, forward_name, level_name;
    nb::object hooks[4], compiled, parameters, dropout, training, batch_first, hx;

    Watchers()
    {
        nb::object given = nb::module_::import_("latchwork.torch.modules").attr("_WATCHERS");
        module_class = given["module"];
        module_call = given["call"];
        forwards = given["forwards"];
        global_hooks = given["hooks"];
        watching = given["watching"];
        forward_ad = given["forward_ad"];
        threads = given["threads"];
        const std::pair<nb::object *, const char *> texts[] = {{&call_name, "__call__"},
                                                               {&forward_name, "forward"},
                                                               {&level_name, "_current_level"},
                                                               {&hooks[0], "_forward_hooks"},
                                                               {&hooks[1], "_forward_pre_hooks"},
                                                               {&hooks[2], "_backward_hooks"},
                                                               {&hooks[3], "_backward_pre_hooks"},
                                                               {&compiled, "_compiled_call_impl"},
                                                               {&parameters, "_parameters"},
                                                               {&dropout, "dropout"},
                                                               {&training, "training"},
                                                               {&batch_first, "batch_first"},
                                                               {&hx, "hx"}};
        for (const auto &text : texts)
            *text.first = nb::steal(PyUnicode_InternFromString(text.second));
    }
};

/// Anything but an empty dict.
bool holds_hooks(PyObject *dict)
{
    return !dict || !PyDict_Check(dict) || PyDict_Size(dict) != 0;
}

bool is_true(nb::handle dict, const nb::object &key)
{
    PyObject *value = PyDict_GetItem(dict.ptr(), key.ptr());
    int truth = value ? PyObject_IsTrue(value) : 0;
    if (truth < 0)
        PyErr_Clear();
    return truth != 0;
}

/// Is nobody looking at this call of the module with that __dict__, so that it may go straight to the kernels?
bool unwatched(const Watchers &watchers, nb::handle module, nb::handle dict)
{
    for (const nb::object &hooks : watchers.hooks)
        if (holds_hooks(PyDict_GetItem(dict.ptr(), hooks.ptr())))
            return false;
    for (Py_ssize_t i = 0, count = PyTuple_Size(watchers.global_hooks.ptr()); i < count; i++)
        if (holds_hooks(PyTuple_GetItem(watchers.global_hooks.ptr(), i)))
            return false;
    if (PyDict_GetItem(dict.ptr(), watchers.forward_name.ptr()) || is_true(dict, watchers.compiled) ||
        !attribute(watchers.module_class, watchers.call_name).is(watchers.module_call))
        return false;
    nb::object forward = attribute(module.type(), watchers.forward_name);
    if (!forward.is(nb::handle(PyTuple_GetItem(watchers.forwards.ptr(), 0))) &&
        !forward.is(nb::handle(PyTuple_GetItem(watchers.forwards.ptr(), 1))))
        return false;
    for (Py_ssize_t i = 0, count = PyTuple_Size(watchers.watching.ptr()); i < count; i++) {
        nb::object answer = nb::steal(
            PyObject_Vectorcall(PyTuple_GetItem(watchers.watching.ptr(), i), nullptr, 0, nullptr));
        if (!answer.is_valid())
            throw nb::python_error();
        if (PyObject_IsTrue(answer.ptr()) != 0)
            return false;
    }
    nb::object level = attribute(watchers.forward_ad, watchers.level_name);
    return !level.is_valid() || PyLong_AsLong(level.ptr()) < 0;
}

/// An initial state of that shape, dense; invalid where PyTorch must do it.
nb::object take_state(const Torch &torch, nb::handle given, const Shape &expected, size_t &address)
{
    View view;
    if (!torch.view(given, view) || !(view.shape == expected))
        return nb::object();
    address = view.address;
    if (view.dense)
        return nb::borrow(given);
    nb::object dense = torch.method(given, torch.contiguous);
    address = dense.is_valid() ? torch.address(dense) : 0;
    return address ? dense : nb::object();
}

nb::object call(Recurrent &self, nb::handle tensors, nb::handle x, nb::handle hx, bool batch_first, size_t threads)
{
    const Torch &torch = torch_names();
    const bool lstm = self.brick.kind == LW_LSTM, cell = self.cell;
    View view;
    if (!torch.view(x, view))
        return nb::none();
    const Shape &shape = view.shape;
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

    nb::object input = nb::borrow(x), h0, c0; // held while their addresses are used
    sequences.input = view.address;
    if (!view.dense) {
        input = torch.method(x, torch.contiguous);
        sequences.input = input.is_valid() ? torch.address(input) : 0;
    }
    if (!sequences.input)
        return nb::none();
    if (!hx.is_none()) {
        nb::handle given_h = hx, given_c;
        if (lstm) {
            if (!PyTuple_Check(hx.ptr()) || PyTuple_Size(hx.ptr()) != 2)
                return nb::none();
            given_h = PyTuple_GetItem(hx.ptr(), 0);
            given_c = PyTuple_GetItem(hx.ptr(), 1);
        }
        h0 = take_state(torch, given_h, h_shape, sequences.h0);
        if (lstm && h0.is_valid())
            c0 = take_state(torch, given_c, c_shape, sequences.c0);
        if (!h0.is_valid() || (lstm && !c0.is_valid()))
            return nb::none();
    }
    nb::object y = torch.make(input, y_shape, sequences.output), h, c;
    if (!cell)
        h = torch.make(input, h_shape, sequences.h);
    if (lstm)
        c = torch.make(input, c_shape, sequences.c);
    if (!sequences.output || !run_module(self, tensors, sequences, threads))
        return nb::none();
    if (cell)
        return lstm ? nb::object(nb::make_tuple(y, c)) : y;
    return lstm ? nb::make_tuple(y, nb::make_tuple(h, c)) : nb::make_tuple(y, h);
}

/// The whole of module(*args, **kwargs), where nothing but the result would be seen of it.
nb::object quick(Recurrent &self, nb::handle module, nb::handle args, nb::handle kwargs)
{
    static const Watchers *kept = new Watchers;
    const Watchers &watchers = *kept;
    nb::object dict = nb::steal(PyObject_GenericGetDict(module.ptr(), nullptr));
    const Py_ssize_t count = PyTuple_Size(args.ptr()), keywords = PyDict_Size(kwargs.ptr());
    if (!dict.is_valid() || count < 1 || count + keywords > 2 || !unwatched(watchers, module, dict) ||
        (is_true(dict, watchers.dropout) && is_true(dict, watchers.training))) {
        PyErr_Clear();
        return nb::none();
    }
    PyObject *hx = count == 2      ? PyTuple_GetItem(args.ptr(), 1)
                   : keywords == 1 ? PyDict_GetItem(kwargs.ptr(), watchers.hx.ptr())
                                   : Py_None;
    PyObject *parameters = PyDict_GetItem(dict.ptr(), watchers.parameters.ptr());
    nb::object threads = nb::steal(PyObject_Vectorcall(watchers.threads.ptr(), nullptr, 0, nullptr));
    if (!hx || !parameters || !threads.is_valid()) {
        PyErr_Clear();
        return nb::none();
    }
    return call(self, parameters, PyTuple_GetItem(args.ptr(), 0), hx, is_true(dict, watchers.batch_first),
                nb::cast<size_t>(threads));
}

} // namespace

void define_eager(nb::class_<Recurrent> &type)
{
    using nb::literals::operator""_a;
    type.def("call", call, "tensors"_a, "x"_a.none(), "hx"_a.none(), "batch_first"_a, "threads"_a,
             "The module's result for x and hx, without gradients; None where it is not the plain case.")
        .def("quick", quick, "module"_a, "args"_a, "kwargs"_a,
             "module(*args, **kwargs) where that needs no more than `call`; None where it does.")
        .def_static(
            "use_shim", [](bool use) { torch_names().shim = use; }, "use"_a,
            "Whether results are made through PyTorch's C shim, where there is one.");
}

} // namespace binding
