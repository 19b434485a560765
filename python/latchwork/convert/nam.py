# SPDX-License-Identifier: Apache-2.0
"""Neural Amp Modeler's .nam files of LSTM architecture.

The weights are one flat list: for each layer a matrix of rows i, f, g, o over the input and the hidden state side by
side, one bias, the initial hidden and cell state; then the head's weights and its bias. The initial states are what
the amplifier has settled at, so they come along.
"""
from __future__ import annotations

import os

import numpy as np

from .. import LSTM, Brick, Dense
from ..errors import FormatError
from .files import PathLike, read_bytes
from .jsonfile import member, numbers, parse, size
from .model import Array, Converted

MOST_LAYERS = 1 << 10
MOST_RATE = 1e9  # of samples a second that is worth a note


def load_nam(path: PathLike) -> Converted:
    """Reads a .nam file; NotImplementedError for the other architectures."""
    who = os.fspath(path)
    value = parse(read_bytes(path), who)
    architecture = member(value, "architecture", str, who)
    if architecture != "LSTM":
        raise NotImplementedError(f"{who}: its architecture is {architecture[:40]!r}, only 'LSTM' is supported")
    config = member(value, "config", dict, who)
    inputs, hidden, layers = (size(config, key, who) for key in ("input_size", "hidden_size", "num_layers"))
    if layers > MOST_LAYERS:
        raise FormatError(f"{who}: it has {layers} layers, at most {MOST_LAYERS} are supported")
    for key in ("in_channels", "out_channels"):
        if config.get(key, 1) != 1:
            raise NotImplementedError(f"{who}: its {key} is {str(config[key])[:40]}, only 1 is supported")
    count = hidden + 1
    for layer in range(layers):
        width = inputs if layer == 0 else hidden
        count += 4 * hidden * (width + hidden + 1) + 2 * hidden
    flat = numbers(member(value, "weights", list, who), (count,), f"{who}: its weights")
    place = 0

    def take(*shape: int) -> Array:
        nonlocal place
        amount = int(np.prod(shape))
        place += amount
        return flat[place - amount : place].reshape(shape)

    parameters: dict[str, Array] = {}
    initial: dict[str, Array] = {}
    for layer in range(layers):
        width = inputs if layer == 0 else hidden
        matrix = take(4 * hidden, width + hidden)
        parameters[f"lstm.weight_ih_l{layer}"] = np.ascontiguousarray(matrix[:, :width])
        parameters[f"lstm.weight_hh_l{layer}"] = np.ascontiguousarray(matrix[:, width:])
        parameters[f"lstm.bias_ih_l{layer}"] = take(4 * hidden)
        parameters[f"lstm.bias_hh_l{layer}"] = np.zeros(4 * hidden, np.float32)
        initial[f"lstm.hidden_l{layer}"] = take(hidden)
        initial[f"lstm.cell_l{layer}"] = take(hidden)
    parameters["head.weight"] = take(1, hidden)
    parameters["head.bias"] = take(1)
    notes = []
    rate = value.get("sample_rate")
    if isinstance(rate, (int, float)) and not isinstance(rate, bool) and 0 < rate < MOST_RATE:
        notes.append(f"made for {rate:g} samples a second")
    bricks: list[Brick] = [LSTM(inputs, hidden, layers=layers, name="lstm"), Dense(hidden, 1, name="head")]
    initial = {name: values for name, values in initial.items() if values.any()}
    return Converted(bricks, parameters, initial, notes=notes)
