# SPDX-License-Identifier: Apache-2.0
"""The bricks that a model is made of, and the rows of its table of layers.

An `input` of 0 means the width of the brick before; the first brick must say its own. `name` is the first part of the
names of the brick's parameters; None gives it its kind and position, as in "lstm0".
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Union

if TYPE_CHECKING:
    from ._core import Model


@dataclass(frozen=True)
class LSTM:
    """Long short-term memory with PyTorch's equations and gate order."""

    kind: ClassVar[str] = "lstm"
    input: int
    hidden: int
    layers: int = 1
    direction: str = "forward"  # or "reverse", "bidirectional"
    bias: bool = True
    projection: int = 0  # width of the projected state, smaller than hidden; 0: none
    peepholes: bool = False  # the gates see the cell
    coupled: bool = False  # forget gate = 1 - input gate
    cell_clip: float = 0.0  # 0: off
    gate_clip: float = 0.0  # 0: off
    forget_bias: float = 0.0  # what Model.initialise puts into the forget gate's bias
    name: Optional[str] = None


@dataclass(frozen=True)
class GRU:
    """Gated recurrent unit; `reset` says whether the reset gate acts after the product (PyTorch) or before it."""

    kind: ClassVar[str] = "gru"
    input: int
    hidden: int
    layers: int = 1
    direction: str = "forward"
    bias: bool = True
    reset: str = "after"
    gate_clip: float = 0.0
    name: Optional[str] = None


@dataclass(frozen=True)
class RNN:
    """The plain recurrent layer, with "tanh" or "relu"."""

    kind: ClassVar[str] = "rnn"
    input: int
    hidden: int
    layers: int = 1
    direction: str = "forward"
    function: str = "tanh"
    bias: bool = True
    gate_clip: float = 0.0
    name: Optional[str] = None


@dataclass(frozen=True)
class Dense:
    """y = function(W x + b) at each step; "linear", "relu", "tanh" or "sigmoid"."""

    kind: ClassVar[str] = "dense"
    input: int
    output: int
    function: str = "linear"
    bias: bool = True
    name: Optional[str] = None


@dataclass(frozen=True)
class Activation:
    """y = function(x) at each step; "relu", "tanh" or "sigmoid"."""

    kind: ClassVar[str] = "activation"
    function: str
    input: int = 0
    name: Optional[str] = None


Brick = Union[LSTM, GRU, RNN, Dense, Activation]


@dataclass(frozen=True)
class Layer:
    """One level of a model's stack: a brick of three layers gives three."""

    brick: str  # name of its brick
    kind: str
    direction: str
    input: int
    hidden: int
    output: int  # width of one direction's output
    parameters: int  # numbers in its tensors, all directions
    flops: int  # of one step of one row, a multiply-add counted as two
    signals: tuple[str, ...]  # what Model.gates records


def rebuild(bricks: Sequence[Brick], parameters: Mapping[str, Any], threads: Optional[int]) -> Model:
    """The model that a pickle or a copy stands for."""
    from ._core import Model

    model = Model(bricks, threads=threads)
    for name, values in parameters.items():
        model.set_parameter(name, values)
    return model
