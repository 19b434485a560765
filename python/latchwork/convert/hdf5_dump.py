# SPDX-License-Identifier: Apache-2.0
"""Runs in a process of its own: reads an HDF5 file from standard input and writes what Keras keeps in it in plain form.

Started by hdf5.py alone, with the parent's search path as its argument. The HDF5 library may crash or run on forever
over a damaged file, so it only ever runs here, with bounds on time and memory. The answer is a length of eight bytes, a
JSON text, and the arrays one after the other; links are not followed, and arrays in other files are not read.
"""
from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

MOST_DEPTH = 16
MOST_OBJECTS = 100_000
CPU_SECONDS = 60
SPARE_BYTES = 2 << 30  # for Python and its libraries


class Refusal(Exception):
    """A sentence for the user."""


class Dump:
    def __init__(self, data: bytes) -> None:
        import h5py

        self.h5py, self.most, self.objects = h5py, len(data), 0
        self.groups: dict[str, dict[str, Any]] = {}
        self.arrays: dict[str, dict[str, Any]] = {}
        self.parts: list[bytes] = []
        self.place = 0
        with h5py.File(io.BytesIO(data), "r") as file:
            self.group(file, "", 0)

    def attribute(self, group: Any, name: str) -> Any:
        value = group.attrs.get(name)
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if isinstance(value, str) or value is None:
            return value
        return [item.decode("utf-8") if isinstance(item, bytes) else str(item) for item in list(value)]

    def group(self, group: Any, path: str, depth: int) -> None:
        """Writes down a group and what is in it."""
        if depth > MOST_DEPTH:
            raise Refusal(f"its groups are nested more than {MOST_DEPTH} deep")
        wanted = ("model_config", "name", "weight_names")
        self.groups[path] = {name: self.attribute(group, name) for name in wanted if name in group.attrs}
        for key in group:
            self.objects += 1
            if self.objects > MOST_OBJECTS:
                raise Refusal(f"it has more than {MOST_OBJECTS} objects")
            inner = f"{path}/{key}" if path else key
            if not isinstance(group.get(key, getlink=True), self.h5py.HardLink):
                raise Refusal(f"'{inner[:80]}' is a link, which is not followed")
            value = group[key]
            if isinstance(value, self.h5py.Group):
                self.group(value, inner, depth + 1)
            elif isinstance(value, self.h5py.Dataset):
                self.array(value, inner)

    def array(self, data: Any, path: str) -> None:
        """Writes down an array of floats; Keras does not compress, so no honest one is larger than its file."""
        if data.is_virtual or data.external:
            raise Refusal(f"'{path[:80]}' lies in another file, which is not read")
        if data.dtype.kind != "f":
            return
        if data.nbytes + self.place > 2 * self.most:
            raise Refusal(f"'{path[:80]}' takes {data.nbytes} bytes, more than its whole file")
        values = data[()].astype("<f4")
        text = values.tobytes()
        self.arrays[path] = {"shape": list(data.shape), "offset": self.place}
        self.place += len(text)
        self.parts.append(text)

    def answer(self) -> Iterator[bytes]:
        """What the parent reads."""
        header = json.dumps({"groups": self.groups, "arrays": self.arrays}).encode()
        yield len(header).to_bytes(8, "little") + header
        yield from self.parts


def main() -> int:
    """Reads, writes, and returns 0; 3 with a sentence on the error stream where the file is refused."""
    sys.path[:] = json.loads(sys.argv[1])
    data = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    bound = 8 * len(data) + SPARE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        dump = Dump(data)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 3
    except Exception as error:  # whatever h5py makes of damage
        print(f"it is damaged: {error}", file=sys.stderr)
        return 3
    for part in dump.answer():
        sys.stdout.buffer.write(part)
    return 0


if __name__ == "__main__":
    sys.exit(main())
