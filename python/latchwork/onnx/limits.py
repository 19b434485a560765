# SPDX-License-Identifier: Apache-2.0
"""The bounds that hold whatever a file says: bytes of a file, of a result, and of what is kept of a model.

Called by everything here that reads or allocates. A shape is checked before memory is asked for; Python's integers
cannot overflow, so a product of any sizes is what it is.
"""
from __future__ import annotations

from collections.abc import Sequence

MOST_FILE_BYTES = (1 << 31) - 1  # what Protocol Buffers allow for one message
MOST_RESULT_BYTES = 1 << 32
MOST_FOLDED_BYTES = 1 << 26  # of results that are kept because they depend on constants alone
MOST_RANK = 16
MOST_NODES = 1 << 20
MOST_PARTS = 1 << 21  # of a file: its nodes, their inputs, outputs and attributes, the graph's tensors and values


def elements(shape: Sequence[int]) -> int:
    """The product of a shape."""
    count = 1
    for size in shape:
        count *= size
    return count


def room(shape: Sequence[int]) -> int:
    """The product of a shape's sizes but for zeros, which NumPy too holds against its bound for arrays without elements."""
    return elements([size for size in shape if size])


def check_result(shape: Sequence[int], item_bytes: int, who: str) -> None:
    """Refuses a result that is larger than any honest one."""
    if len(shape) > MOST_RANK:
        raise ValueError(f"{who}: a result of {len(shape)} dimensions, at most {MOST_RANK} are supported")
    if room(shape) * item_bytes > MOST_RESULT_BYTES:
        raise ValueError(f"{who}: a result of shape {tuple(shape)} would take more than {MOST_RESULT_BYTES} bytes")
