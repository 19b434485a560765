# SPDX-License-Identifier: Apache-2.0
"""HDF5 files as plain dictionaries, read in a process of its own (hdf5_dump.py).

Called by keras_file.py. The HDF5 library is not made for hostile files: a crash in it, or a loop without end, becomes
an exception here and nothing more.
"""
from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ..errors import FormatError
from .jsonfile import parse
from .model import Array

SECONDS = 20
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
        raise ImportError("reading Keras' files needs the package h5py (pip install latchwork[keras])")
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
    if done.returncode != 0 or len(done.stdout) < 8:
        raise FormatError(f"{who}: it is damaged: the HDF5 library ended with status {done.returncode}")
    length = int.from_bytes(done.stdout[:8], "little")
    header, values = parse(done.stdout[8 : 8 + length], who), memoryview(done.stdout)[8 + length :]
    arrays: dict[str, Array] = {}
    for path, entry in header["arrays"].items():
        count = int(np.prod(entry["shape"], dtype=np.int64))
        flat = np.frombuffer(values, "<f4", count, entry["offset"]) if count else np.zeros(0, np.float32)
        arrays[path] = flat.astype(np.float32).reshape(entry["shape"])
    return Hdf5(header["groups"], arrays)
