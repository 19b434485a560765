# SPDX-License-Identifier: Apache-2.0
"""Reads the data that an ONNX file keeps in other files, when the caller allowed it and named the folder.

Called by tensors.py. Nothing outside that folder is ever opened: no absolute path, no "..", no symbolic link on the
way, no second name of a file that lives elsewhere, and nothing but regular files.
"""
from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Optional

from ..errors import FormatError


def _number(entries: dict[str, str], key: str, who: str) -> Optional[int]:
    text = entries.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise FormatError(f"{who}: its external {key} is {text[:40]!r}, expected a number of bytes")
    return int(text)


def _open(folder: str, location: str, who: str) -> int:
    """A descriptor of the file, found step by step so that no link is followed on the way."""
    parts = location.split("/")
    if "\\" in location or "\0" in location or any(part in ("", ".", "..") for part in parts):
        raise FormatError(f"{who}: its external data is {location[:100]!r}, expected a path inside the model's folder")
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = inner
        # A FIFO would hold up the opening, so it is opened without waiting and refused afterwards.
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    except OSError as error:
        raise FormatError(
            f"{who}: its external data {location[:100]!r} cannot be opened without following links: {error.strerror}"
        ) from error
    finally:
        os.close(here)


def read(folder: Optional[str], pairs: Iterable[tuple[str, str]], bytes_wanted: int, who: str) -> bytes:
    """The bytes of one tensor; `folder` None means that the caller did not allow external data."""
    entries: dict[str, str] = {}
    for key, value in pairs:
        if not isinstance(key, str) or not isinstance(value, str):  # Protocol Buffers hand on bytes where it is not
            raise FormatError(f"{who}: its external data names {(key, value)!r:.100}, which is not text in UTF-8")
        if key in entries:
            raise FormatError(f"{who}: its external data says {key[:40]!r} twice")
        entries[key] = value
    if folder is None:
        raise FormatError(
            f"{who}: its data lies in another file ({entries.get('location', '')[:100]!r}); "
            "that is read only when external data is allowed"
        )
    offset, length = _number(entries, "offset", who) or 0, _number(entries, "length", who)
    if length is not None and length != bytes_wanted:
        raise FormatError(f"{who}: its external length is {length}, its shape and type need {bytes_wanted}")
    descriptor = _open(folder, entries.get("location", ""), who)
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise FormatError(f"{who}: its external data is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        if facts.st_nlink > 1:
            raise FormatError(f"{who}: its external data is a file with {facts.st_nlink} names, expected one")
        if offset > facts.st_size or bytes_wanted > facts.st_size - offset:
            raise FormatError(
                f"{who}: its external data ends at byte {offset + bytes_wanted}, "
                f"but the file has {facts.st_size} bytes"
            )
        file.seek(offset)
        data = file.read(bytes_wanted)
    if len(data) != bytes_wanted:
        raise FormatError(f"{who}: its external data became shorter while it was read")
    return data
