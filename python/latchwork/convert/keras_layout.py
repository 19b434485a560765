# SPDX-License-Identifier: Apache-2.0
"""Keras' layouts of recurrent weights, which RTNeural shares, and the engine's.

Called by keras.py and rtneural.py. A kernel is (inputs, gates * units), the transpose of the engine's. Keras' LSTM has
the engine's gate order (i, f, c, o: i, f, g, o) and one bias; its GRU has z, r, h against r, z, n, with one bias where
the reset gate is applied before the product and two where after. Swapping a GRU's gates twice gives them back.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import numpy as np

from .model import Array

GRU_ORDER = (1, 0, 2)


def swap_gru(values: Array) -> Array:
    """(..., 3 * units) with its gates in the other order."""
    blocks = values.reshape(*values.shape[:-1], 3, values.shape[-1] // 3)
    return np.ascontiguousarray(blocks[..., list(GRU_ORDER), :]).reshape(values.shape)


def from_lstm(brick: str, layer: str, kernel: Array, recurrent: Array, bias: Optional[Array]) -> dict[str, Array]:
    """Parameters of one layer; `brick` ends with a dot, `layer` is "l0" or "l0_reverse". Also that of a plain RNN."""
    parameters = {
        f"{brick}weight_ih_{layer}": np.ascontiguousarray(kernel.T),
        f"{brick}weight_hh_{layer}": np.ascontiguousarray(recurrent.T),
    }
    if bias is not None:
        parameters[f"{brick}bias_ih_{layer}"] = bias
        parameters[f"{brick}bias_hh_{layer}"] = np.zeros_like(bias)
    return parameters


def from_gru(brick: str, layer: str, kernel: Array, recurrent: Array, bias: Optional[Array]) -> dict[str, Array]:
    """The same for a GRU, whose bias is (2, 3 * units), or (3 * units) where the reset comes before the product."""
    parameters = {
        f"{brick}weight_ih_{layer}": np.ascontiguousarray(swap_gru(kernel).T),
        f"{brick}weight_hh_{layer}": np.ascontiguousarray(swap_gru(recurrent).T),
    }
    if bias is not None:
        both = swap_gru(bias) if bias.ndim == 2 else np.stack([swap_gru(bias), np.zeros_like(bias)])
        parameters[f"{brick}bias_ih_{layer}"] = np.ascontiguousarray(both[0])
        parameters[f"{brick}bias_hh_{layer}"] = np.ascontiguousarray(both[1])
    return parameters


def _biases(parameters: Mapping[str, Array], brick: str, layer: str, size: int) -> tuple[Array, Array]:
    nothing = np.zeros(size, np.float64)
    first = parameters.get(f"{brick}bias_ih_{layer}", nothing)
    return first.astype(np.float64), parameters.get(f"{brick}bias_hh_{layer}", nothing).astype(np.float64)


def to_lstm(parameters: Mapping[str, Array], brick: str, layer: str, units: int) -> list[Array]:
    """Kernel, recurrent kernel and the sum of both biases."""
    first, second = _biases(parameters, brick, layer, 4 * units)
    return [parameters[f"{brick}weight_ih_{layer}"].T, parameters[f"{brick}weight_hh_{layer}"].T, first + second]


def to_gru(parameters: Mapping[str, Array], brick: str, layer: str, units: int) -> list[Array]:
    """Kernel, recurrent kernel and both biases of a GRU whose reset gate comes after the product."""
    biases = np.stack(_biases(parameters, brick, layer, 3 * units))
    kernel, recurrent = parameters[f"{brick}weight_ih_{layer}"], parameters[f"{brick}weight_hh_{layer}"]
    return [swap_gru(kernel.T), swap_gru(recurrent.T), swap_gru(biases)]
