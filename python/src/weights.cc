// SPDX-License-Identifier: Apache-2.0
//
// The weights of a module of PyTorch: reading them from tensors, and knowing when they must be packed anew. Called by
// recurrent.cc and tape.cc. Invariant: nothing is read at an address before the tensor's type, device, layout and shape
// have been checked for exactly this tensor, version and address.
#include "recurrent.hpp"

#include <cstring>

namespace binding
{

namespace
{

constexpr size_t summed_whole = 4096; // floats of a tensor that is summed as a whole at every call, some 0.1 us
constexpr size_t samples = 64;        // of a larger one

/// Any change of one element changes it; so do nearly all others.
uint32_t sum_bits(const float *values, size_t count, bool whole)
{
    uint32_t lanes[16] = {0}, sum = 0, bits;
    if (whole || count <= summed_whole) {
        size_t i = 0;
        for (; i + 16 <= count; i += 16) {
            uint32_t block[16];
            memcpy(block, values + i, sizeof block);
            for (size_t k = 0; k < 16; k++)
                lanes[k] = lanes[k] + block[k];
        }
        for (; i < count; i++) {
            memcpy(&bits, values + i, sizeof bits);
            lanes[i % 16] += bits;
        }
    } else {
        for (size_t i = 0; i < samples; i++) {
            memcpy(&bits, values + (count - 1) * i / (samples - 1), sizeof bits);
            lanes[i % 16] += bits * static_cast<uint32_t>(2 * i + 1);
        }
    }
    for (size_t k = 0; k < 16; k++)
        sum = (sum << 5 | sum >> 27) * 0x9e3779b1u + lanes[k];
    return sum;
}

/// A tensor of exactly this class, f32, dense, on the CPU and of that shape.
bool readable(nb::handle tensor, const lw_parameter &parameter)
{
    const Torch &torch = torch_names();
    if (!torch.plain(tensor) || !torch.method(tensor, torch.is_contiguous).is(nb::handle(Py_True)))
        return false;
    nb::object shape = tensor.attr("shape");
    if (nb::len(shape) != parameter.rank)
        return false;
    for (size_t i = 0; i < parameter.rank; i++)
        if (nb::cast<size_t>(shape[i]) != parameter.shape[i])
            return false;
    return true;
}

/// An integer that is not negative, or -1 with the exception cleared.
long long number(PyObject *object)
{
    long long value = object ? PyLong_AsLongLong(object) : -1;
    Py_XDECREF(object);
    if (value < 0)
        PyErr_Clear();
    return value;
}

} // namespace

bool Recurrent::look(nb::handle tensors, const Looks &before, Looks &now) const
{
    const Torch &torch = torch_names();
    const bool by_name = PyDict_Check(tensors.ptr());
    if (!by_name && (!PyList_Check(tensors.ptr()) || static_cast<size_t>(PyList_Size(tensors.ptr())) != keys.size()))
        return false;
    now.resize(keys.size());
    for (size_t i = 0; i < keys.size(); i++) {
        PyObject *tensor = by_name ? PyDict_GetItem(tensors.ptr(), keys[i].ptr())
                                   : PyList_GetItem(tensors.ptr(), static_cast<Py_ssize_t>(i));
        if (!tensor) {
            PyErr_Clear();
            return false;
        }
        Look &look = now[i];
        look.tensor = nb::borrow(tensor);
        const Look *old = i < before.size() ? &before[i] : nullptr;
        const bool known = old && old->tensor.is(look.tensor);
        if (!known && !readable(tensor, parameters[i]))
            return false;
        look.version = number(PyObject_GetAttr(tensor, torch.version.ptr()));
        if (known && (look.version < 0 || look.version != old->version) && !readable(tensor, parameters[i]))
            return false;
        look.data = reinterpret_cast<const float *>(torch.address(tensor));
        if (!look.data || (known && look.data != old->data && !readable(tensor, parameters[i])))
            return false;
        look.sum = sum_bits(look.data, parameters[i].count, look.version < 0);
    }
    return true;
}

std::shared_ptr<Packed> weights_of(Recurrent &self, nb::handle tensors)
{
    static const Looks none;
    static thread_local Looks spare; // its memory; taken, because looking may run Python code that comes here again
    Looks now = std::move(spare);
    std::shared_ptr<Packed> packed = self.packed;
    if (!self.look(tensors, packed ? packed->looks : none, now))
        return nullptr;
    if (!packed || now != packed->looks) {
        packed.reset();
        self.packed.reset(); // its memory, before the next is taken
        auto fresh = std::make_shared<Packed>();
        fresh->model = std::shared_ptr<lw_model>(self.build(), lw_model_destroy);
        for (size_t i = 0; i < now.size(); i++)
            check(lw_model_parameter_set(fresh->model.get(), self.places[i], now[i].data, self.parameters[i].count));
        fresh->looks = now;
        self.packed = packed = std::move(fresh);
    }
    now.clear(); // holds nobody's tensors
    spare = std::move(now);
    return packed;
}

} // namespace binding
