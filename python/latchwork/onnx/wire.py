# SPDX-License-Identifier: Apache-2.0
"""Counts the parts of an ONNX file before Protocol Buffers read it.

Called by graph.py. An empty node takes two bytes in a file and a hundred times that in memory, so a file of nothing but
those is refused while it is still bytes. What is malformed is left to the parser, which says so.
"""
from __future__ import annotations

from ..errors import FormatError
from .limits import MOST_PARTS

_GRAPH = 7  # of a model
_NODE = 1  # of a graph
_LENGTHS = {1: 8, 5: 4}  # bytes of the fixed wire types
_MESSAGE = 2


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends; IndexError beyond the data."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128 or shift > 63:
            return value, at
        shift += 7


class _Counter:
    def __init__(self) -> None:
        self.parts = 0

    def walk(self, data: memoryview, inner: tuple[int, ...]) -> None:
        """Counts the fields of a message, and of those inside that `inner` names, level by level."""
        at, end = 0, len(data)
        while at < end:
            self.parts += 1
            if self.parts > MOST_PARTS:
                raise FormatError(f"the ONNX file has more than {MOST_PARTS} parts")
            key, at = _varint(data, at)
            kind = key & 7
            if kind == _MESSAGE:
                size, at = _varint(data, at)
                if inner and key >> 3 == inner[0]:
                    self.walk(data[at : at + size], inner[1:])
                at += size
            elif kind == 0:
                _, at = _varint(data, at)
            elif kind in _LENGTHS:
                at += _LENGTHS[kind]
            else:  # groups, which a parser would skip whole, and numbers that are no wire type
                raise FormatError(f"this is not an ONNX file: it has a field of wire type {kind}")


def check_parts(data: bytes) -> None:
    """Refuses a file whose graph and nodes have more parts than any honest one."""
    try:
        _Counter().walk(memoryview(data), (_GRAPH, _NODE))
    except IndexError:
        pass
