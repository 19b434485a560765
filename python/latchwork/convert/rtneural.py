# SPDX-License-Identifier: Apache-2.0
"""RTNeural's JSON, both ways: LSTM, GRU, dense and activation layers.

RTNeural keeps Keras' layouts: matrices are (inputs, gates * units), an LSTM's gates are i, f, c, o with one bias, a
GRU's are z, r, h with two biases and the reset gate after the product.
"""
from __future__ import annotations

import json
import os
from typing import Any, Union

import numpy as np

from .. import GRU, LSTM, RNN, Activation, Brick, Dense, Model
from ..errors import FormatError
from .files import PathLike, read_bytes, replace_file
from .jsonfile import member, numbers, parse
from .keras_layout import from_gru, from_lstm, to_gru, to_lstm
from .model import Array, Converted, Names, output_width, take_apart

_FUNCTIONS = ("relu", "tanh", "sigmoid")


def _last_size(value: Any, key: str, who: str) -> int:
    shape = member(value, key, list, who)
    if not shape or type(shape[-1]) is not int or not 1 <= shape[-1] <= 1 << 24:
        raise FormatError(f"{who}: its {key!r} must end with a size of 1 to {1 << 24}")
    return int(shape[-1])


def _function(layer: Any, who: str) -> str:
    name = layer.get("activation", "")
    if not isinstance(name, str):
        raise FormatError(f"{who}: its activation is no text")
    if name in ("", "linear"):
        return ""
    if name not in _FUNCTIONS:
        raise NotImplementedError(f"{who}: its activation is {name[:40]!r}, expected {', '.join(_FUNCTIONS)}")
    return name


def _parts(layer: Any, count: int, who: str) -> list[Any]:
    weights: list[Any] = member(layer, "weights", list, who)
    if len(weights) != count:
        raise FormatError(f"{who}: it has {len(weights)} weights, expected {count}")
    return weights


def _layer(layer: Any, width: int, names: Names, who: str) -> tuple[Brick, dict[str, Array]]:
    kind = member(layer, "type", str, who)
    who = f"{who} ({kind[:40]})"
    if kind not in ("lstm", "gru", "dense", "time-distributed-dense", "activation"):
        raise NotImplementedError(f"{who}: layers of this type are not supported, only lstm, gru, dense and activation")
    units, function = _last_size(layer, "shape", who), _function(layer, who)
    if kind == "activation":
        if units != width or not function:
            raise FormatError(f"{who}: its width is {units} and its activation {function!r}, expected {width} and one")
        return Activation(function, name=names.take("activation")), {}
    if kind in ("dense", "time-distributed-dense"):
        matrix, bias = _parts(layer, 2, who)
        name = names.take("dense")
        parameters = {
            f"{name}.weight": numbers(matrix, (width, units), f"{who}: its matrix").T,
            f"{name}.bias": numbers(bias, (units,), f"{who}: its bias"),
        }
        return Dense(width, units, function or "linear", name=name), parameters
    if function not in ("", "tanh"):
        raise NotImplementedError(f"{who}: its activation is {function!r}, only tanh is supported")
    gates = 4 if kind == "lstm" else 3
    kernel, recurrent, bias = _parts(layer, 3, who)
    shape = (4 * units,) if kind == "lstm" else (2, 3 * units)
    arrays = (
        numbers(kernel, (width, gates * units), f"{who}: its kernel"),
        numbers(recurrent, (units, gates * units), f"{who}: its recurrent kernel"),
        numbers(bias, shape, f"{who}: its bias"),
    )
    name = names.take(kind)
    if kind == "lstm":
        return LSTM(width, units, name=name), from_lstm(f"{name}.", "l0", *arrays)
    return GRU(width, units, name=name), from_gru(f"{name}.", "l0", *arrays)


def load_rtneural(path: PathLike) -> Converted:
    """Reads a model that RTNeural's own parser would read."""
    who = os.fspath(path)
    value = parse(read_bytes(path), who)
    width, names = _last_size(value, "in_shape", who), Names()
    bricks: list[Brick] = []
    parameters: dict[str, Array] = {}
    for index, layer in enumerate(member(value, "layers", list, who)):
        brick, made = _layer(layer, width, names, f"{who}: layer {index}")
        bricks.append(brick)
        parameters.update(made)
        width = output_width(brick, width)
    if not bricks:
        raise FormatError(f"{who}: it has no layers")
    return Converted(bricks, parameters)


def _refuse(brick: Brick) -> None:
    who = f"brick '{brick.name}'"
    if isinstance(brick, RNN):
        raise NotImplementedError(f"{who}: RTNeural has no plain recurrent layer")
    if isinstance(brick, (LSTM, GRU)):
        if brick.direction != "forward":
            raise NotImplementedError(f"{who}: RTNeural has no {brick.direction} layers")
        if brick.gate_clip or (isinstance(brick, LSTM) and brick.cell_clip):
            raise NotImplementedError(f"{who}: RTNeural has no clipping")
    if isinstance(brick, LSTM) and (brick.projection or brick.peepholes or brick.coupled):
        raise NotImplementedError(f"{who}: RTNeural has no projections, peepholes or coupled gates")
    if isinstance(brick, GRU) and brick.reset != "after":
        raise NotImplementedError(f"{who}: RTNeural applies a GRU's reset gate after the product alone")


def save_rtneural(model: Union[Model, Converted], path: PathLike) -> list[str]:
    """Writes a model for RTNeural; returns what is to be said about it."""
    source = take_apart(model)
    layers: list[dict[str, Any]] = []
    width = 0

    def add(kind: str, units: int, weights: list[Array], activation: str = "") -> None:
        lists = [array.astype(np.float64).tolist() for array in weights]
        layers.append({"type": kind, "activation": activation, "shape": [None, None, units], "weights": lists})

    for brick in source.bricks:
        _refuse(brick)
        first = width or brick.input
        if isinstance(brick, Activation):
            add("activation", first, [], brick.function)
        elif isinstance(brick, Dense):
            weight = source.parameters[f"{brick.name}.weight"]
            bias = source.parameters.get(f"{brick.name}.bias", np.zeros(brick.output, np.float32))
            add("dense", brick.output, [weight.T, bias], "" if brick.function == "linear" else brick.function)
        elif isinstance(brick, (LSTM, GRU)):
            write = to_lstm if isinstance(brick, LSTM) else to_gru
            for layer in range(brick.layers):
                add(brick.kind, brick.hidden, write(source.parameters, f"{brick.name}.", f"l{layer}", brick.hidden))
        width = output_width(brick, first)
    text = json.dumps({"in_shape": [None, None, source.bricks[0].input], "layers": layers})
    replace_file(path, text.encode())
    return ["RTNeural starts from zero: the initial state is not in the file"] if source.initial else []
