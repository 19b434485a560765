# SPDX-License-Identifier: Apache-2.0
"""Writes safetensors files, and reads back the few tensors that lie beside a model's own.

Called by the command and by the exporter to PyTorch. A file is written beside its place and takes it in one step. The
model itself is always read by the library, which checks the whole file.
"""
from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import numpy as np

from .. import Model
from ..errors import FormatError
from .files import PathLike, read_bytes, replace_file
from .jsonfile import member, parse
from .model import Array, Converted

INITIAL = "initial."
_MOST_HEADER = 100_000_000
_MOST_FILE = 1 << 40


def to_bytes(tensors: Mapping[str, Array], metadata: Optional[Mapping[str, str]] = None) -> bytes:
    """The bytes of a file with these float32 tensors."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    parts, place = [], 0
    for name in sorted(tensors):
        data = np.ascontiguousarray(tensors[name], "<f4").tobytes()
        shape = list(tensors[name].shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, place + len(data)]}
        parts.append(data)
        place += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def _header(data: bytes, who: str) -> tuple[dict[str, object], bytes]:
    length = int.from_bytes(data[:8], "little") if len(data) >= 8 else _MOST_FILE
    if length > min(len(data) - 8, _MOST_HEADER):
        raise FormatError(f"{who}: its header does not fit into its {len(data)} bytes")
    header = parse(data[8 : 8 + length], who)
    if not isinstance(header, dict):
        raise FormatError(f"{who}: its header is no object")
    return header, data[8 + length :]


def _f32(entry: object, data: bytes, who: str) -> Array:
    shape, offsets = member(entry, "shape", list, who), member(entry, "data_offsets", list, who)
    whole = all(type(number) is int and 0 <= number <= _MOST_FILE for number in (*shape, *offsets))
    if member(entry, "dtype", str, who) != "F32" or not whole or len(offsets) != 2 or len(shape) != 1:
        raise FormatError(f"{who}: expected a list of float32 with two offsets")
    first, end = offsets
    if not first <= end <= len(data) or end - first != 4 * shape[0]:
        raise FormatError(f"{who}: its offsets {offsets} do not fit its shape {shape} and the file")
    return np.frombuffer(data[first:end], "<f4").astype(np.float32)


def save_native(converted: Converted, path: PathLike) -> Model:
    """Writes Latchwork's own file; initial states lie in it as tensors named initial.<brick>.<memory>_l<layer>."""
    model = converted.model()
    if not converted.initial:
        model.save(path)
        return model
    with tempfile.TemporaryDirectory(dir=Path(path).resolve().parent, prefix=".latchwork-") as folder:
        plain = Path(folder) / "model.safetensors"
        model.save(plain)
        header, _ = _header(read_bytes(plain, _MOST_FILE), os.fspath(path))
    metadata = header["__metadata__"]
    assert isinstance(metadata, dict)
    beside = {INITIAL + name: values for name, values in converted.initial.items()}
    replace_file(path, to_bytes({**converted.parameters, **beside}, metadata))
    return model


def read_initial(path: PathLike) -> dict[str, Array]:
    """The initial states in a file of Latchwork's own; none where it has none."""
    who = os.fspath(path)
    header, data = _header(read_bytes(path, _MOST_FILE), who)
    return {
        name[len(INITIAL) :]: _f32(entry, data, f"{who}: {name[:80]}")
        for name, entry in header.items()
        if name.startswith(INITIAL)
    }
