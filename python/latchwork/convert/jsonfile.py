# SPDX-License-Identifier: Apache-2.0
"""Takes JSON apart that somebody else wrote: bounded in depth, no key twice, every number finite.

Called by the importers of RTNeural, Neural Amp Modeler, Keras and safetensors. `numbers` turns nested lists into an
array only when they have exactly the expected shape.
"""
from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import FormatError
from .model import Array

MOST_DEPTH = 64
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _check_depth(data: bytes, who: str) -> None:
    """Counts the brackets outside of strings, before a parser goes down as many levels."""
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(unescaped.split(b'"')[::2]).translate(None, _NO_BRACKETS)
    brackets = np.frombuffer(outside, np.uint8)
    steps = np.where((brackets == ord("[")) | (brackets == ord("{")), 1, -1)
    if steps.size and steps.cumsum().max() > MOST_DEPTH:
        raise FormatError(f"{who}: it is nested more than {MOST_DEPTH} deep")


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise FormatError(f"the key {twice[:60]!r} is there twice")
    return result


def _no_number(text: str) -> Any:
    raise FormatError(f"{text} is no number in JSON")


def parse(data: bytes, who: str) -> Any:
    """The value of a JSON text."""
    try:
        text = data.decode("utf-8")
        _check_depth(data, who)
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except FormatError as error:
        sentence = str(error)
        raise FormatError(sentence if sentence.startswith(who) else f"{who}: {sentence}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{who}: it is not JSON: {error}") from None


def member(value: Any, key: str, kind: Any, who: str) -> Any:
    """A member of an object that must be there and be of that type."""
    if not isinstance(value, dict):
        raise FormatError(f"{who}: it is no object")
    if key not in value:
        raise FormatError(f"{who}: it has no {key!r}")
    found = value[key]
    if not isinstance(found, kind) or (isinstance(found, bool) and kind is int):
        wanted = {str: "text", int: "a whole number", list: "a list", dict: "an object"}.get(kind, "something else")
        raise FormatError(f"{who}: its {key!r} is {json.dumps(found)[:40]}, expected {wanted}")
    return found


def size(value: Any, key: str, who: str) -> int:
    """A member that counts something: 1 to 2^24."""
    number: int = member(value, key, int, who)
    if not 1 <= number <= 1 << 24:
        raise FormatError(f"{who}: its {key!r} is {number}, expected 1 to {1 << 24}")
    return number


def numbers(value: Any, shape: Sequence[int], who: str) -> Array:
    """The float32 array in nested lists of exactly that shape."""
    _check_lists(value, tuple(shape), who)
    array = np.array(value, np.float64).reshape(tuple(shape))
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise FormatError(f"{who}: a number is beyond what float32 holds")
    return narrow


def _check_lists(value: Any, shape: tuple[int, ...], who: str) -> None:
    if not isinstance(value, list) or len(value) != shape[0]:
        found = f"a list of {len(value)}" if isinstance(value, list) else "no list"
        raise FormatError(f"{who}: there is {found}, expected a list of {shape[0]}")
    if len(shape) > 1:
        for inner in value:
            _check_lists(inner, shape[1:], who)
        return
    for number in value:
        if type(number) not in (int, float) or (type(number) is int and abs(number) >= 1 << 128):
            raise FormatError(f"{who}: {json.dumps(number)[:40]} is no number that float32 holds")
        if not math.isfinite(number):
            raise FormatError(f"{who}: a number is beyond what float32 holds")
