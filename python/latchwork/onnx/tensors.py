# SPDX-License-Identifier: Apache-2.0
"""Turns ONNX's tensors into arrays, refusing every one whose data is unlike its shape and type.

Called for initializers, for Constant nodes and for attributes. An array never shares memory with the message and is
read-only, because a model is immutable.
"""
from __future__ import annotations

import sys
from typing import Any, Optional

import numpy as np
from onnx import TensorProto

from ..errors import FormatError
from . import external
from .limits import MOST_FILE_BYTES, MOST_RANK, elements, room

Array = np.ndarray[Any, Any]

# Of each type: its array's type, and the field that holds it when it is not raw.
TYPES: dict[int, tuple[str, Any, str]] = {
    TensorProto.FLOAT: ("float32", np.float32, "float_data"),
    TensorProto.DOUBLE: ("float64", np.float64, "double_data"),
    TensorProto.FLOAT16: ("float16", np.float16, "int32_data"),
    TensorProto.INT8: ("int8", np.int8, "int32_data"),
    TensorProto.UINT8: ("uint8", np.uint8, "int32_data"),
    TensorProto.INT32: ("int32", np.int32, "int32_data"),
    TensorProto.INT64: ("int64", np.int64, "int64_data"),
    TensorProto.BOOL: ("bool", np.bool_, "int32_data"),
}
_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def type_name(number: int) -> str:
    """ONNX's name of an element type, or its number."""
    if number in TYPES:
        return TYPES[number][0]
    try:
        return str(TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"number {number}"


def _typed(tensor: TensorProto, field: str, kind: Any, count: int, who: str) -> Array:
    values = getattr(tensor, field)
    if len(values) != count:
        raise FormatError(f"{who}: it has {len(values)} numbers, its shape {tuple(tensor.dims)} needs {count}")
    if field != "int32_data":
        return np.array(values, kind)
    wide = np.array(values, np.int32)
    if kind is np.float16:  # the bits of each number in 16 of 32
        if count and (wide.min() < 0 or wide.max() > 0xFFFF):
            raise FormatError(f"{who}: a float16 is given by more than 16 bits")
        return wide.astype(np.uint16).view(np.float16)
    narrow = wide.astype(kind)
    if not np.array_equal(narrow.astype(np.int32), wide):
        raise FormatError(f"{who}: a number is outside the range of {np.dtype(kind).name}")
    return narrow


def to_array(tensor: TensorProto, who: str, folder: Optional[str] = None) -> Array:
    """The array that the tensor describes. `folder`: where external data may be, None: refused."""
    dims = tuple(tensor.dims)
    if tensor.data_type not in TYPES:
        raise NotImplementedError(f"{who}: its type is {type_name(tensor.data_type)}, which is not supported")
    if len(dims) > MOST_RANK:
        raise FormatError(f"{who}: it has {len(dims)} dimensions, at most {MOST_RANK} are supported")
    if any(size < 0 for size in dims):
        raise FormatError(f"{who}: its shape {dims} has a negative size")
    if tensor.HasField("segment"):
        raise NotImplementedError(f"{who}: it is a segment of a tensor, which is not supported")
    _, kind, field = TYPES[tensor.data_type]
    count = elements(dims)
    size = count * np.dtype(kind).itemsize
    outside = tensor.data_location == TensorProto.EXTERNAL
    filled = [name for name in _FIELDS if len(getattr(tensor, name))]
    if tensor.HasField("raw_data"):
        filled.append("raw_data")
    if outside and filled:
        raise FormatError(f"{who}: it has both external data and {filled[0]}")
    if len(filled) > 1 or (filled and filled[0] not in ("raw_data", field)):
        raise FormatError(f"{who}: it has {' and '.join(filled)}, expected raw_data or {field}")
    needed = room(dims) * np.dtype(kind).itemsize
    if needed > MOST_FILE_BYTES and not (outside and size):
        raise FormatError(f"{who}: its shape {dims} needs {needed} bytes, more than a file can hold")
    if outside:
        data = external.read(folder, ((entry.key, entry.value) for entry in tensor.external_data), size, who)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        array = _typed(tensor, field, kind, count, who).reshape(dims)
        array.flags.writeable = False
        return array
    if len(data) != size:
        raise FormatError(f"{who}: it has {len(data)} bytes of data, its shape {dims} and type need {size}")
    array = np.frombuffer(data, kind).reshape(dims)
    if sys.byteorder == "big":
        array = array.byteswap()
    if kind is np.bool_ and count and array.view(np.uint8).max() > 1:
        raise FormatError(f"{who}: a truth value is neither 0 nor 1")
    return array
