# SPDX-License-Identifier: Apache-2.0
"""HDF5 files as plain dictionaries, read in a process of its own (hdf5_dump.py).

Called by keras_file.py. The HDF5 library is not made for hostile files: a crash in it, or a loop without end, becomes
an exception here and nothing more.
"""
from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ..errors import FormatError
from .jsonfile import member, parse
from .model import Array

SECONDS = 20
MOST_RANK = 16
MOST_NUMBERS = 1 << 40  # in an array's shape, zeros left out: NumPy holds that against its bound too
BYTES_A_SECOND = 10_000_000


@dataclass
class Hdf5:
    """Groups by their paths (the root is ""), with the attributes that Keras writes; arrays by theirs."""

    groups: dict[str, dict[str, Any]]
    arrays: dict[str, Array]

    def children(self, path: str) -> list[str]:
        """The paths of the groups right below one that is not the root."""
        above = path + "/"
        return [name for name in self.groups if name.startswith(above) and "/" not in name[len(above) :]]


def read_hdf5(data: bytes, who: str, seconds: Optional[float] = None) -> Hdf5:
    """Takes a file apart, or says what is wrong with it."""
    if importlib.util.find_spec("h5py") is None:
        raise ImportError("reading Keras' files needs the package h5py (pip install 'latchwork[keras]')")
    limit = seconds if seconds is not None else SECONDS + len(data) / BYTES_A_SECOND
    script = str(Path(__file__).with_name("hdf5_dump.py"))
    command = [sys.executable, "-I", script, json.dumps([os.path.abspath(place) for place in sys.path])]
    # One thread of NumPy's library: its buffers for many would not fit the bound on memory.
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=limit, check=False, env=alone)
    except subprocess.TimeoutExpired:
        raise FormatError(f"{who}: it is damaged: the HDF5 library did not finish within {limit:.0f} seconds") from None
    if done.returncode == 3:
        sentence = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise FormatError(f"{who}: {sentence[:300] or 'it is damaged'}")
    if done.returncode != 0:
        raise FormatError(f"{who}: it is damaged: the HDF5 library ended with status {done.returncode}")
    return _read_answer(done.stdout, f"{who}: what the HDF5 library made of it")


def _read_answer(answer: bytes, who: str) -> Hdf5:
    """Takes the answer apart. A library that a file has led astray may have written anything."""
    length = int.from_bytes(answer[:8], "little")
    header, values = parse(answer[8 : 8 + length], who), answer[8 + length :]
    groups = member(header, "groups", dict, who)
    if "" not in groups:
        raise FormatError(f"{who}: it has no root")
    for name in groups:
        for attribute in member(groups, name, dict, who).values():
            texts = attribute if isinstance(attribute, list) else [] if attribute is None else [attribute]
            if not all(isinstance(text, str) for text in texts):
                raise FormatError(f"{who}: an attribute of '{name[:60]}' is no text")
    arrays = member(header, "arrays", dict, who)
    return Hdf5(groups, {name: _array(member(arrays, name, dict, who), values, who) for name in arrays})


def _array(entry: dict[str, Any], values: bytes, who: str) -> Array:
    shape, offset = member(entry, "shape", list, who), member(entry, "offset", int, who)
    sizes = all(type(size) is int and size >= 0 for size in shape)
    if not sizes or len(shape) > MOST_RANK or math.prod(size or 1 for size in shape) > MOST_NUMBERS:
        raise FormatError(f"{who}: the shape {str(shape)[:60]} is none")
    count = math.prod(shape)
    if not 0 <= offset <= len(values) - 4 * count:
        raise FormatError(f"{who}: an array of shape {str(shape)[:60]} goes beyond the end")
    flat = np.frombuffer(values, "<f4", count, offset) if count else np.zeros(0, np.float32)
    return flat.astype(np.float32).reshape(shape)
