# SPDX-License-Identifier: Apache-2.0
"""Which reader and which writer a file gets.

Called by the command and from Python. A source is told by the end of its name; .h5 and .keras are the same reader. The
modules behind a format are imported when it is asked for, because onnx and h5py are optional.
"""
from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Union

from .. import Model, State
from .. import load as load_model
from .files import PathLike
from .model import Converted, merge_layers, start_state, take_apart
from .tensorfile import read_initial, save_native

SOURCES = {
    ".onnx": "onnx",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".json": "rtneural",
    ".nam": "nam",
    ".safetensors": "native",
}
TARGETS = {".onnx": "onnx", ".json": "rtneural", ".safetensors": "native"}
FORMATS = ("native", "onnx", "torch", "rtneural")


def source_format(path: PathLike) -> str:
    """The format of a file by its name."""
    suffix = Path(path).suffix.lower()
    if suffix not in SOURCES:
        raise ValueError(f"{os.fspath(path)}: the name ends with {suffix!r}, expected one of {', '.join(SOURCES)}")
    return SOURCES[suffix]


def target_format(path: PathLike, wanted: Optional[str] = None) -> str:
    """The format to write: what is asked for, else by the file's name."""
    if wanted is not None:
        if wanted not in FORMATS:
            raise ValueError(f"the format is {wanted!r}, expected one of {', '.join(FORMATS)}")
        return wanted
    suffix = Path(path).suffix.lower()
    if suffix not in TARGETS:
        raise ValueError(f"{os.fspath(path)}: the name ends with {suffix!r}, expected one of {', '.join(TARGETS)}")
    return TARGETS[suffix]


def load(path: PathLike, external_data: bool = False) -> Converted:
    """Reads a model of any format. `external_data`: whether an ONNX file may keep data in other files of its folder."""
    kind = source_format(path)
    if kind == "onnx":
        try:
            from .onnx_import import load_onnx
        except ModuleNotFoundError as error:
            raise _missing(error, "onnx") from None
        return merge_layers(load_onnx(path, external_data))
    if kind == "keras":
        from .keras import load_keras

        return merge_layers(load_keras(path))
    if kind == "rtneural":
        from .rtneural import load_rtneural

        return merge_layers(load_rtneural(path))
    if kind == "nam":
        from .nam import load_nam

        return load_nam(path)
    converted = take_apart(load_model(path))
    converted.initial = read_initial(path)
    return converted


def save(model: Union[Model, Converted], path: PathLike, to: Optional[str] = None, last: bool = False) -> list[str]:
    """Writes a model in the format `to` (else by the file's name); returns what is to be said about it.

    `last`: an ONNX file answers once a sequence; the other formats do not say."""
    kind = target_format(path, to)
    if kind == "onnx":
        try:
            from .onnx_export import save_onnx
        except ModuleNotFoundError as error:
            raise _missing(error, "onnx") from None
        return save_onnx(model, path, last)
    if kind == "torch":
        from .torch_export import save_torch

        return save_torch(model, path)
    if kind == "rtneural":
        from .rtneural import save_rtneural

        return save_rtneural(model, path)
    save_native(take_apart(model), path)
    return []


def initial_state(path: PathLike, model: Model, batch: int = 1) -> State:
    """A state of `model` with the initial values that lie in a file of Latchwork's own, the same in every row."""
    return start_state(Converted([], {}, read_initial(path)), model, batch)


def _missing(error: ModuleNotFoundError, package: str) -> ImportError:
    return ImportError(f"this needs the package {package} (pip install 'latchwork[{package}]'): {error}")
