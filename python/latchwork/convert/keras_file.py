# SPDX-License-Identifier: Apache-2.0
"""The files that Keras writes: their description of the layers, in order, and the arrays of each layer.

Called by keras.py. A .keras archive is a ZIP file of config.json and model.weights.h5, in which a layer's arrays are
numbered; an .h5 file has them by name. Nothing is unpacked to disk, and every size is held against a bound first.
"""
from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from typing import Any, Optional

from ..errors import FormatError
from .files import MOST_BYTES, PathLike, read_bytes
from .hdf5 import Hdf5, read_hdf5
from .jsonfile import member, parse
from .model import Array

MOST_WEIGHT_BYTES = 1 << 32
MOST_EXPANSION = 16
_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _snake(name: str) -> str:
    """The name that Keras makes of a class: "simple_rnn" of "SimpleRNN"."""
    return _SNAKE.sub("_", name).lower()


class LayerWeights:
    """The arrays of one layer."""

    def __init__(self, file: Hdf5, path: str, names: Optional[list[str]], who: str) -> None:
        """`path` is the layer's group, `names` its arrays in an .h5 file, in Keras' order; None: they are numbered."""
        self.file, self.path, self.names, self.who = file, path, names, who

    def inner(self, part: str) -> LayerWeights:
        """The arrays of a layer inside: "cell", "layer", "forward_layer", "backward_layer"."""
        if self.names is None:
            return LayerWeights(self.file, f"{self.path}/{part}", None, self.who)
        names = self.names
        if part in ("forward_layer", "backward_layer"):  # the first half and the second, as Keras orders them
            half = len(names) // 2
            names = names[:half] if part == "forward_layer" else names[half:]
        return LayerWeights(self.file, self.path, names, self.who)

    def get(self, name: str, number: int, shape: tuple[Optional[int], ...]) -> Array:
        """An array of that shape, None standing for any size of 1 or more."""
        who = f"{self.who}: its {name}"
        if self.names is None:
            place = f"vars/{number}"
        else:
            fitting = [full for full in self.names if full.split("/")[-1].split(":")[0] == name]
            if len(fitting) != 1:
                raise FormatError(f"{who}: the file has {len(fitting)} arrays of that name, expected one")
            place = fitting[0]
        data = self.file.arrays.get(f"{self.path}/{place}")
        if data is None:
            raise FormatError(f"{who} is missing, or is no array of floating point")
        fits = len(data.shape) == len(shape) and all(
            found >= 1 if wanted is None else found == wanted for found, wanted in zip(data.shape, shape)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise FormatError(f"{who} has the shape {data.shape}, expected ({wanted})")
        return data


class KerasFile:
    """An open file; `layers` are the descriptions in the order of the chain."""

    def __init__(self, path: PathLike) -> None:
        self.who = os.fspath(path)
        data = read_bytes(path, MOST_WEIGHT_BYTES)
        self.archive = data[:4] == b"PK\3\4"
        if self.archive:
            config, data = self._unpack(data)
        self.file = read_hdf5(data, self.who)
        if not self.archive:
            found = self.file.groups[""].get("model_config")
            if not isinstance(found, str):
                raise FormatError(
                    f"{self.who}: it has no model_config: it holds weights alone; save the whole model instead"
                )
            config = found.encode("utf-8", "surrogatepass")  # what is not UTF-8 is refused by parse
        self.layers = _chain(parse(config, self.who), self.who)
        self.groups = self._numbered() if self.archive else {}

    def _unpack(self, data: bytes) -> tuple[bytes, bytes]:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                most = MOST_EXPANSION * len(data)  # Keras stores its members without compression
                config = self._member(archive, "config.json", min(most, MOST_BYTES))
                return config, self._member(archive, "model.weights.h5", min(most, MOST_WEIGHT_BYTES))
        except KeyError as error:
            raise FormatError(f"{self.who}: the archive is no model of Keras: {error.args[0]}") from None
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError) as error:
            raise FormatError(f"{self.who}: the archive is damaged: {error}") from None

    def _member(self, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
        info = archive.getinfo(name)
        if info.file_size > most:
            raise FormatError(f"{self.who}: its {name} has {info.file_size} bytes, at most {most} are read")
        with archive.open(info) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise FormatError(f"{self.who}: its {name} has more than {most} bytes")
        return data

    def _numbered(self) -> dict[str, str]:
        """Each layer's group by its name. Groups are named by class and count; newer files say whose they are."""
        groups: dict[str, str] = {}
        counts: dict[str, int] = {}
        root = "layers" if "layers" in self.file.groups else "_layer_checkpoint_dependencies"
        for layer in self.layers:
            stem = _snake(str(layer["class_name"]))
            count = counts.get(stem, 0)
            counts[stem] = count + 1
            path = f"{root}/{stem}_{count}" if count else f"{root}/{stem}"
            if path in self.file.groups:
                groups[str(layer["config"].get("name", ""))] = path
        for path in self.file.children(root):
            name = self.file.groups.get(f"{path}/vars", {}).get("name")
            if isinstance(name, str):
                groups[name] = path
        return groups

    def weights(self, name: str, who: str) -> LayerWeights:
        """The arrays of the layer of that name."""
        if self.archive:
            if name not in self.groups:
                raise FormatError(f"{who}: the file has no weights for it")
            return LayerWeights(self.file, self.groups[name], None, who)
        path = f"model_weights/{name}"
        names = self.file.groups.get(path, {}).get("weight_names")
        if not isinstance(names, list):
            raise FormatError(f"{who}: the file has no weights for it")
        return LayerWeights(self.file, path, names, who)


def _sources(layer: dict[str, Any], who: str) -> list[str]:
    """The layers that feed a layer of a functional model, as Keras 2 and as Keras 3 write it."""
    found: list[str] = []
    nodes = layer.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        raise FormatError(f"{who}: the inbound_nodes of a layer are no list")
    for node in nodes:
        values = node.get("args", []) if isinstance(node, dict) else node
        for value in values if isinstance(values, list) else []:
            if isinstance(value, dict):
                history = member(value, "config", dict, who).get("keras_history")
            else:
                history = value
            if not isinstance(history, list) or not history or not isinstance(history[0], str):
                raise NotImplementedError(f"{who}: a layer with several inputs is not supported")
            found.append(history[0])
    return found


def _chain(description: Any, who: str) -> list[dict[str, Any]]:
    """The layers of a Sequential model, or of a Functional one that is a chain."""
    kind = member(description, "class_name", str, who)
    config = member(description, "config", (dict, list), who)
    layers = config if isinstance(config, list) else member(config, "layers", list, who)  # a list: before Keras 2.3
    for layer in layers:
        member(layer, "class_name", str, who)
        member(layer, "config", dict, who)
    if kind == "Sequential":
        return list(layers)
    if kind not in ("Functional", "Model"):
        raise NotImplementedError(f"{who}: its model is a {kind[:40]}, expected Sequential or Functional")
    before = ""
    for layer in layers:
        name = str(layer.get("name", layer["config"].get("name", "")))
        sources = _sources(layer, who)
        if sources != ([before] if before else []):
            raise NotImplementedError(
                f"{who}: layer {name[:60]!r} takes its input from {str(sources)[:80]}, "
                f"expected a chain of layers{f', here from {before[:60]!r}' if before else ''}"
            )
        before = name
    return list(layers)
