# SPDX-License-Identifier: Apache-2.0
"""Writes a model as a state_dict of PyTorch in a safetensors file, and says which modules it loads into.

The names stay the bricks' own, so a module with an attribute of each brick's name loads it with load_state_dict. Only
what PyTorch's modules compute is written.
"""
from __future__ import annotations

from typing import Union

from .. import GRU, LSTM, RNN, Brick, Dense, Model
from .files import PathLike, replace_file
from .model import Converted, Recurrent, take_apart
from .tensorfile import to_bytes


def _refusal(brick: Recurrent) -> str:
    if brick.direction == "reverse":
        return "PyTorch has no layers that walk backwards alone"
    if brick.gate_clip or (isinstance(brick, LSTM) and brick.cell_clip):
        return "PyTorch has no clipping"
    if isinstance(brick, LSTM) and (brick.peepholes or brick.coupled):
        return "PyTorch's LSTM has no peepholes and no coupled gates"
    if isinstance(brick, GRU) and brick.reset != "after":
        return "PyTorch applies a GRU's reset gate after the product alone"
    return ""


def _module(brick: Brick) -> str:
    """The line of Python that makes the module."""
    if isinstance(brick, Dense):
        bias = "" if brick.bias else ", bias=False"
        behind = "" if brick.function == "linear" else f", then torch.{brick.function}"
        return f"{brick.name} = torch.nn.Linear({brick.input}, {brick.output}{bias}){behind}"
    if not isinstance(brick, (LSTM, GRU, RNN)):
        return f"then torch.{brick.function}"
    words = [str(brick.input), str(brick.hidden)]
    words += [f"num_layers={brick.layers}"] if brick.layers > 1 else []
    words += ["bidirectional=True"] if brick.direction == "bidirectional" else []
    words += [] if brick.bias else ["bias=False"]
    words += [f"proj_size={brick.projection}"] if isinstance(brick, LSTM) and brick.projection else []
    words += ['nonlinearity="relu"'] if isinstance(brick, RNN) and brick.function == "relu" else []
    return f"{brick.name} = torch.nn.{brick.kind.upper()}({', '.join(words)})"


def save_torch(model: Union[Model, Converted], path: PathLike) -> list[str]:
    """Writes the state_dict; returns the modules that it is made for, one line each."""
    source = take_apart(model)
    for brick in source.bricks:
        reason = _refusal(brick) if isinstance(brick, (LSTM, GRU, RNN)) else ""
        if reason:
            raise NotImplementedError(f"brick '{brick.name}': {reason}")
    replace_file(path, to_bytes(source.parameters, {"format": "pt"}))
    notes = [_module(brick) for brick in source.bricks]
    return notes + (["the initial state is not in a state_dict"] if source.initial else [])
