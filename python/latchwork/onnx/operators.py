# SPDX-License-Identifier: Apache-2.0
"""The operators that usually stand around recurrent nodes, in NumPy.

Called by graph.py: `compile_node` gives a callable from a node's inputs to its outputs. Results whose size does not
follow from the inputs' own are checked before memory is asked for.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np

from .limits import check_result, elements
from .node import Node
from .recurrent import GATES, RecurrentKernel
from .tensors import TYPES, Array, type_name

Inputs = Sequence[Optional[Array]]
Kernel = Callable[[Inputs], list[Optional[Array]]]
Function = Callable[[Node, Inputs], Any]


def _in(inputs: Inputs, place: int) -> Array:
    value = inputs[place]
    if value is None:
        raise ValueError(f"its input {place} is left out, but the operator needs it")
    return value


def _given(inputs: Inputs, place: int) -> Optional[Array]:
    return inputs[place] if place < len(inputs) else None


def _integers(node: Node, inputs: Inputs, place: int, attribute: str) -> Optional[list[int]]:
    """A list that newer versions take as an input and older ones as an attribute."""
    value = _given(inputs, place)
    if value is None:
        listed: Optional[list[int]] = node.attributes.get(attribute)
        return listed
    if value.dtype not in (np.int64, np.int32) or value.ndim > 1:
        raise ValueError(f"its {attribute} are {value.dtype} of shape {value.shape}, expected a list of whole numbers")
    return [int(item) for item in value.ravel()]


def _needed(node: Node, inputs: Inputs, place: int, attribute: str) -> list[int]:
    listed = _integers(node, inputs, place, attribute)
    if listed is None:
        raise ValueError(f"it has no {attribute}")
    return listed


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is outside {-rank} to {rank - 1}")
    return axis % rank


def _same_types(first: Array, *others: Array) -> None:
    for other in others:
        if other.dtype != first.dtype:
            raise ValueError(f"its inputs are of {first.dtype} and {other.dtype}, expected the same type")


def _floating(x: Array) -> Array:
    if x.dtype.kind != "f":
        raise ValueError(f"its input is of {x.dtype}, expected floating point")
    return x


def _constant(node: Node, inputs: Inputs) -> Array:
    found = list(node.attributes)
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} values, expected one")
    value = node.attributes[found[0]]
    kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    if found[0] == "value":
        return np.asarray(value)
    if found[0] not in kinds:
        raise NotImplementedError(f"{node.label}: its {found[0]} is not supported")
    return np.array(value, kinds[found[0]])


def _transpose(node: Node, inputs: Inputs) -> Array:
    x = _in(inputs, 0)
    perm = node.attributes.get("perm", list(range(x.ndim))[::-1])
    if sorted(perm) != list(range(x.ndim)):
        raise ValueError(f"its perm is {perm}, its input has {x.ndim} dimensions")
    return x.transpose(perm)


def _squeeze(node: Node, inputs: Inputs) -> Array:
    x, axes = _in(inputs, 0), _integers(node, inputs, 1, "axes")
    if axes is None:
        axes = [axis for axis, size in enumerate(x.shape) if size == 1]
    axes = [_axis(axis, x.ndim) for axis in axes]
    for axis in axes:
        if x.shape[axis] != 1:
            raise ValueError(f"axis {axis} of shape {x.shape} is not 1")
    return x.reshape([size for axis, size in enumerate(x.shape) if axis not in axes])


def _unsqueeze(node: Node, inputs: Inputs) -> Array:
    x, axes = _in(inputs, 0), _needed(node, inputs, 1, "axes")
    rank = x.ndim + len(axes)
    check_result([1] * rank, 1, node.label)
    places = [_axis(axis, rank) for axis in axes]
    if len(set(places)) != len(places):
        raise ValueError(f"its axes {axes} name one twice")
    sizes = iter(x.shape)
    return x.reshape([1 if axis in places else next(sizes) for axis in range(rank)])


def _reshape(node: Node, inputs: Inputs) -> Array:
    x, shape = _in(inputs, 0), _needed(node, inputs, 1, "shape")
    if not node.attributes.get("allowzero", 0):
        if any(size == 0 and axis >= x.ndim for axis, size in enumerate(shape)):
            raise ValueError(f"a 0 in {shape} stands for a dimension that its input of shape {x.shape} has not")
        shape = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)]
    if any(size < -1 for size in shape):
        raise ValueError(f"the new shape {shape} has a negative size")
    return x.reshape(shape)


def _flatten(node: Node, inputs: Inputs) -> Array:
    x, axis = _in(inputs, 0), node.attributes.get("axis", 1)
    if not -x.ndim <= axis <= x.ndim:
        raise ValueError(f"axis {axis} is outside {-x.ndim} to {x.ndim}")
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(elements(x.shape[:axis]), elements(x.shape[axis:]))


def _concat(node: Node, inputs: Inputs) -> Array:
    arrays = [_in(inputs, place) for place in range(len(inputs))]
    axis = _axis(node.attributes["axis"], arrays[0].ndim)
    _same_types(*arrays)
    if any(array.ndim != arrays[0].ndim for array in arrays):
        raise ValueError("its inputs have different numbers of dimensions")
    shape = list(arrays[0].shape)
    shape[axis] = sum(array.shape[axis] for array in arrays)
    check_result(shape, arrays[0].itemsize, node.label)
    return np.concatenate(arrays, axis)


def _split(node: Node, inputs: Inputs) -> list[Array]:
    x, sizes = _in(inputs, 0), _integers(node, inputs, 1, "split")
    axis, parts = _axis(node.attributes.get("axis", 0), x.ndim), len(node.outputs)
    if node.attributes.get("num_outputs", parts) != parts:
        raise ValueError(f"its num_outputs is {node.attributes['num_outputs']}, but it has {parts}")
    if sizes is None:  # equal parts, the last one smaller
        chunk = -(-x.shape[axis] // parts)
        sizes = [min(chunk, max(0, x.shape[axis] - chunk * part)) for part in range(parts)]
    if len(sizes) != parts or min(sizes) < 0 or sum(sizes) != x.shape[axis]:
        raise ValueError(f"parts of {sizes} do not make up {x.shape[axis]} in {parts} outputs")
    return np.split(x, np.cumsum(sizes)[:-1].tolist(), axis)


def _slice(node: Node, inputs: Inputs) -> Array:
    x = _in(inputs, 0)
    starts, ends = _needed(node, inputs, 1, "starts"), _needed(node, inputs, 2, "ends")
    axes, steps = _integers(node, inputs, 3, "axes"), _integers(node, inputs, 4, "steps")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise ValueError("its starts, ends, axes and steps have different lengths")
    places = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        axis = _axis(axis, x.ndim)
        size = x.shape[axis]
        if step == 0:
            raise ValueError("a step is 0")
        low, high = (0, size) if step > 0 else (-1, size - 1)
        start = min(max(start + size if start < 0 else start, 0), high if step < 0 else size)
        end = min(max(end + size if end < 0 else end, low), size)
        places[axis] = slice(start, None if end < 0 else end, step)
    return x[tuple(places)]


def _gather(node: Node, inputs: Inputs) -> Array:
    x, indices = _in(inputs, 0), _in(inputs, 1)
    axis = _axis(node.attributes.get("axis", 0), x.ndim)
    if indices.dtype not in (np.int64, np.int32):
        raise ValueError(f"its indices are of {indices.dtype}, expected int32 or int64")
    check_result((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.itemsize, node.label)
    if indices.size and (indices.min() < -x.shape[axis] or indices.max() >= x.shape[axis]):
        raise ValueError(f"an index is outside axis {axis} of {x.shape[axis]}")
    return np.take(x, indices, axis)


def _shape(node: Node, inputs: Inputs) -> Array:
    return np.array(_in(inputs, 0).shape[node.attributes.get("start", 0) : node.attributes.get("end")], np.int64)


def _constant_of_shape(node: Node, inputs: Inputs) -> Array:
    shape = _integers(node, inputs, 0, "shape") or []
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    if value.size != 1 or any(size < 0 for size in shape):
        raise ValueError(f"shape {shape} and {value.size} values, expected no negative size and one value")
    check_result(shape, value.itemsize, node.label)
    return np.full(shape, value.ravel()[0], value.dtype)


def _broadcast(node: Node, shape: Sequence[int], other: Sequence[int], item_bytes: int) -> tuple[int, ...]:
    together = np.broadcast_shapes(tuple(shape), tuple(other))
    check_result(together, item_bytes, node.label)
    return together


def _expand(node: Node, inputs: Inputs) -> Array:
    x, shape = _in(inputs, 0), _integers(node, inputs, 1, "shape") or []
    if any(size < 0 for size in shape):
        raise ValueError(f"the new shape {shape} has a negative size")
    return np.broadcast_to(x, _broadcast(node, x.shape, shape, x.itemsize)).copy()


def _cast(node: Node, inputs: Inputs) -> Array:
    to = node.attributes["to"]
    if to not in TYPES:
        raise NotImplementedError(f"{node.label}: a cast to {type_name(to)} is not supported")
    return _in(inputs, 0).astype(TYPES[to][1])


def _arithmetic(function: Callable[[Array, Array], Array]) -> Function:
    def run(node: Node, inputs: Inputs) -> Array:
        a, b = _in(inputs, 0), _in(inputs, 1)
        _same_types(a, b)
        _broadcast(node, a.shape, b.shape, a.itemsize)
        return function(a, b)

    return run


def _matmul(node: Node, inputs: Inputs) -> Array:
    a, b = _in(inputs, 0), _in(inputs, 1)
    _same_types(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("its inputs must have dimensions")
    if a.ndim > 1 and b.ndim > 1:
        _broadcast(node, (*a.shape[:-2], a.shape[-2], b.shape[-1]), (*b.shape[:-2], 1, 1), a.itemsize)
    return np.asarray(np.matmul(a, b))


def _gemm(node: Node, inputs: Inputs) -> Array:
    a, b, c = _in(inputs, 0), _in(inputs, 1), _given(inputs, 2)
    _same_types(_floating(a), b, *([] if c is None else [c]))
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"its inputs have the shapes {a.shape} and {b.shape}, expected two dimensions")
    a = a.T if node.attributes.get("transA", 0) else a
    b = b.T if node.attributes.get("transB", 0) else b
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"matrices of shapes {a.shape} and {b.shape} do not fit")
    shape = (a.shape[0], b.shape[1])
    check_result(shape, a.itemsize, node.label)
    y = a @ b
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    if alpha != 1.0:
        y = y * a.dtype.type(alpha)
    if c is not None:
        if np.broadcast_shapes(c.shape, shape) != shape:
            raise ValueError(f"C of shape {c.shape} cannot be spread over {shape}")
        y = y + (c if beta == 1.0 else c * a.dtype.type(beta))
    return np.asarray(y)


def _sigmoid(node: Node, inputs: Inputs) -> Array:
    x = _floating(_in(inputs, 0))
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)), x.dtype)


def _dropout(node: Node, inputs: Inputs) -> list[Array]:
    x, training = _in(inputs, 0), _given(inputs, 2)
    if training is not None and training.any():
        raise NotImplementedError(f"{node.label}: dropout in training is not supported")
    return [x, np.ones(x.shape, np.bool_)]


FUNCTIONS: dict[str, Function] = {
    "Add": _arithmetic(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": lambda node, inputs: _in(inputs, 0),
    "MatMul": _matmul,
    "Mul": _arithmetic(np.multiply),
    "Relu": lambda node, inputs: np.maximum(_in(inputs, 0), _in(inputs, 0).dtype.type(0)),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _sigmoid,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sub": _arithmetic(np.subtract),
    "Tanh": lambda node, inputs: np.tanh(_floating(_in(inputs, 0))),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}


def compile_node(node: Node, constants: Inputs) -> Kernel:
    """What runs a node. `constants` holds each input that is known beforehand, None for the others."""
    if node.op in GATES:
        return RecurrentKernel(node, constants)
    if node.op not in FUNCTIONS:
        raise NotImplementedError(
            f"{node.label}: the operator is not supported (supported: {', '.join(sorted({*FUNCTIONS, *GATES}))})"
        )
    function = FUNCTIONS[node.op]

    def run(inputs: Inputs) -> list[Optional[Array]]:
        try:
            result = function(node, inputs)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            sentence = str(error)
            raise ValueError(sentence if sentence.startswith(node.label) else f"{node.label}: {sentence}") from error
        return list(result) if isinstance(result, list) else [np.asarray(result)]

    return run
