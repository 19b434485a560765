# SPDX-License-Identifier: Apache-2.0
"""Reads whole files of a bounded size, and writes whole files or none.

Called by every reader and writer here and by latchwork.onnx. Memory is asked for by the file's size, not by the bound.
"""
from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Union

from ..errors import FormatError

PathLike = Union[str, "os.PathLike[str]"]
MOST_BYTES = 1 << 29


def read_bytes(path: PathLike, most: int = MOST_BYTES) -> bytes:
    """A whole regular file of at most that many bytes."""
    who = os.fspath(path)
    # Opened without waiting, so that a FIFO is refused and not waited for.
    if os.path.isdir(path):
        raise IsADirectoryError(f"{who}: it is a folder, expected a file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise FormatError(f"{who}: it is not a regular file")
        if facts.st_size > most:
            raise FormatError(f"{who}: it has {facts.st_size} bytes, at most {most} are read")
        data = file.read(facts.st_size)
    if len(data) != facts.st_size:
        raise FormatError(f"{who}: it became shorter while it was read")
    return data


def replace_file(path: PathLike, data: bytes) -> None:
    """Writes a whole file or leaves the old one as it was."""
    target = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
