# SPDX-License-Identifier: Apache-2.0
"""Latchwork: recurrent networks (LSTM, GRU, RNN) on CPUs.

    model = latchwork.load("voice.safetensors")
    y = model(x)                    # x: float32 of shape (T, I) or (T, B, I)
    stream = model.stream()
    y = stream.step(x[0])           # the same bits, one step at a time
"""
from ._core import (
    Model,
    State,
    Stream,
    __version__,
    info,
    isa,
    isas,
    load,
    set_isa,
    set_threads,
)
from .bricks import GRU, LSTM, RNN, Activation, Brick, Dense, Layer
from .errors import FormatError
from .explanation import Choice, Explanation
from .training import (
    Gradients,
    LearningRate,
    Optimiser,
    Score,
    Tape,
    binary_cross_entropy,
    cross_entropy,
    squared_error,
)

__all__ = [
    "Activation",
    "Brick",
    "Choice",
    "Dense",
    "Explanation",
    "FormatError",
    "GRU",
    "Gradients",
    "LSTM",
    "Layer",
    "LearningRate",
    "Model",
    "Optimiser",
    "RNN",
    "Score",
    "State",
    "Stream",
    "Tape",
    "__version__",
    "binary_cross_entropy",
    "cross_entropy",
    "info",
    "isa",
    "isas",
    "load",
    "set_isa",
    "set_threads",
    "squared_error",
]
