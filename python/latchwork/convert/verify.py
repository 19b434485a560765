# SPDX-License-Identifier: Apache-2.0
"""Runs a model and the tool that its file belongs to on the same random sequence, and measures the worst difference.

Called by the command for --verify. `Unavailable` means that there is no such tool here; it never counts as agreement.
"""
from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import GRU, LSTM, RNN, Dense
from .files import PathLike
from .formats import source_format
from .model import Array, Converted, start_state, take_apart

STEPS, BATCH, SEED = 37, 3, 1
# f32 on both sides with other orders of summation and other activations.
TOLERANCE = 1e-4


class Unavailable(Exception):
    """The other tool is not installed, or does not exist for Python."""


@dataclass
class Difference:
    tool: str
    worst: float  # of |ours - theirs| / max(1, |theirs|)
    values: int

    @property
    def good(self) -> bool:
        return self.worst <= TOLERANCE


def _tool(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"{name} is not installed ({error})") from None


def _sequence(width: int) -> Array:
    return np.random.default_rng(SEED).standard_normal((STEPS, BATCH, width)).astype(np.float32)


def _ours(converted: Converted, x: Array) -> Array:
    model = converted.model()
    return model(x, start_state(converted, model, x.shape[1]), last=converted.last)


def _compare(tool: str, ours: Array, theirs: Array) -> Difference:
    if ours.size != theirs.size:
        raise ValueError(f"{tool} gives {theirs.shape}, Latchwork gives {ours.shape}")
    theirs = theirs.reshape(ours.shape).astype(np.float64)
    if not (np.isfinite(theirs) == np.isfinite(ours)).all():
        return Difference(tool, float("inf"), ours.size)
    gap = np.abs(ours.astype(np.float64) - theirs) / np.maximum(1, np.abs(theirs))
    return Difference(tool, float(gap.max(initial=0.0)), ours.size)


def _in_onnxruntime(converted: Converted, path: PathLike) -> Difference:
    runtime = _tool("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    width = converted.model().input_size
    steps, batch = STEPS, BATCH
    inputs = session.get_inputs()
    before, after = converted.layout
    for letter, size in zip(before, inputs[0].shape):  # where the file fixes a size
        if isinstance(size, int):
            steps, batch = (size if letter == "T" else steps), (size if letter == "B" else batch)
    if len(inputs) > 1:
        raise Unavailable(f"the file has {len(inputs)} inputs, one can be checked")
    x = np.random.default_rng(SEED).standard_normal((steps, batch, width)).astype(np.float32)
    given = x.swapaxes(0, 1) if before == "BTF" else x
    theirs = session.run([session.get_outputs()[0].name], {inputs[0].name: np.ascontiguousarray(given)})[0]
    letters = [letter for letter in after if letter in "TBF"]
    theirs = theirs.reshape([size for size, letter in zip(theirs.shape, after) if letter in "TBF"])
    wanted = [letter for letter in "TBF" if letter in letters]
    return _compare("onnxruntime", _ours(converted, x), theirs.transpose([letters.index(letter) for letter in wanted]))


def _in_keras(converted: Converted, path: PathLike) -> Difference:
    if "KERAS_BACKEND" not in os.environ:
        for backend in ("tensorflow", "jax", "torch"):
            if importlib.util.find_spec(backend) is not None:
                os.environ["KERAS_BACKEND"] = backend
                break
    keras = _tool("keras")
    theirs = keras.models.load_model(os.fspath(path), compile=False)
    x = _sequence(converted.model().input_size)
    output = np.asarray(theirs(np.ascontiguousarray(x.swapaxes(0, 1))))
    return _compare("keras", _ours(converted, x), output.swapaxes(0, 1) if output.ndim == 3 else output)


def _in_torch(converted: Converted, path: PathLike) -> Difference:
    torch, files = _tool("torch"), _tool("safetensors.torch")
    source = take_apart(converted)
    state, x = files.load_file(os.fspath(path)), _sequence(source.bricks[0].input)
    value = torch.from_numpy(x)
    for brick in source.bricks:
        own = {name.split(".", 1)[1]: data for name, data in state.items() if name.split(".")[0] == brick.name}
        if isinstance(brick, Dense):
            module = torch.nn.Linear(brick.input, brick.output, brick.bias)
        elif isinstance(brick, (LSTM, GRU, RNN)):
            words: dict[str, Any] = {"num_layers": brick.layers, "bidirectional": brick.direction == "bidirectional"}
            if isinstance(brick, LSTM):
                words["proj_size"] = brick.projection
            elif isinstance(brick, RNN):
                words["nonlinearity"] = brick.function
            module = getattr(torch.nn, brick.kind.upper())(brick.input, brick.hidden, bias=brick.bias, **words)
        else:
            value = getattr(torch, brick.function)(value)
            continue
        module.load_state_dict(own)
        with torch.no_grad():
            value = module(value)
        value = value if isinstance(brick, Dense) else value[0]
        if isinstance(brick, Dense) and brick.function != "linear":
            value = getattr(torch, brick.function)(value)
    # A state_dict has no initial state, and gives the whole sequence.
    return _compare("torch", source.model()(x), value.detach().numpy())


def verify_source(converted: Converted, path: PathLike) -> Difference:
    """Holds what was read against the tool that the source belongs to."""
    kind = source_format(path)
    if kind == "onnx":
        return _in_onnxruntime(converted, path)
    if kind == "keras":
        return _in_keras(converted, path)
    names = {"rtneural": "RTNeural", "nam": "Neural Amp Modeler", "native": "Latchwork's own file"}
    raise Unavailable(f"{names[kind]} has no other tool in Python that could run it")


def verify_target(converted: Converted, path: PathLike, kind: str, last: bool) -> Difference:
    """Holds what was written against the tool that the target belongs to."""
    if kind == "onnx":
        once = last or converted.last
        layout = ("TBF", "BF" if once else "TBF")
        written = Converted(converted.bricks, converted.parameters, converted.initial, once, [], layout)
        return _in_onnxruntime(written, path)
    if kind == "torch":
        return _in_torch(Converted(converted.bricks, converted.parameters), path)
    raise Unavailable("RTNeural has no other tool in Python that could run it")
