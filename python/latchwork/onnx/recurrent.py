# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU and RNN nodes: what their attributes mean, their weights in the engine's order, and their runs.

Called by operators.py, and by the converter for the first two. Gates: ONNX's i, o, f, c become i, f, g, o (i, g, o when
coupled), z, r, h become r, z, n, and peepholes i, o, f become i, f, o. Numbers are copied, none is changed.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np

from .. import GRU, LSTM, RNN, Model
from ..errors import FormatError
from .limits import check_result
from .node import Node
from .tensors import Array

NEWEST = 22  # version of the three operators
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}  # for each gate of the engine, its place in ONNX's tensor
COUPLED_ORDER = (0, 3, 1)
PEEPHOLE_ORDER = (0, 2, 1)
_FLOAT_MAX = float(np.finfo(np.float32).max)

Recurrent = Union[LSTM, GRU, RNN]


@dataclass
class Settings:
    """What the attributes of a node say."""

    op: str
    label: str
    direction: str
    hidden: Optional[int]
    clip: float  # 0: none
    function: str  # of an RNN
    coupled: bool
    reset: str  # of a GRU
    batch_first: bool

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the parameters' names, one for each direction in ONNX's order."""
        return {"forward": ("",), "reverse": ("_reverse",), "bidirectional": ("", "_reverse")}[self.direction]


def _function(node: Node, directions: int) -> str:
    """Holds the list of activations against what the engine computes; returns that of an RNN."""
    wanted = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}[node.op]
    names = [name.lower() for name in node.attributes.get("activations", [])]
    if not names:
        return "tanh"
    if node.op == "RNN" and directions == 1 and len(names) == 2:
        names.pop()  # ONNX gives an RNN two by default, whatever its direction
    if len(names) != len(wanted) * directions:
        raise FormatError(
            f"{node.label}: it names {len(names)} activations, expected {len(wanted)} for each of "
            f"{directions} direction{'s' * (directions - 1)}"
        )
    if node.op == "RNN" and names[0] == "relu":
        wanted = ["relu"]
    for index, name in enumerate(names):
        if name != wanted[index % len(wanted)]:
            expected = "Tanh or Relu" if node.op == "RNN" and index == 0 else wanted[index % len(wanted)].capitalize()
            raise NotImplementedError(
                f"{node.label}: its activation {index} is {node.attributes['activations'][index][:40]}, "
                f"only {expected} is supported there"
            )
    return wanted[0] if node.op == "RNN" else "tanh"


def read_settings(node: Node) -> Settings:
    """Reads the attributes of an LSTM, GRU or RNN node."""
    if node.version > NEWEST:
        raise NotImplementedError(f"{node.label}: the operator is of version {node.version}, expected at most {NEWEST}")
    get = node.attributes.get
    direction = get("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise FormatError(
            f"{node.label}: its direction is '{direction[:40]}', expected forward, reverse or bidirectional"
        )
    for name, allowed in (("layout", (0, 1)), ("input_forget", (0, 1))):
        if get(name, 0) not in allowed:
            raise FormatError(f"{node.label}: its {name} is {get(name)}, expected 0 or 1")
    hidden = get("hidden_size")
    if hidden is not None and hidden < 1:
        raise FormatError(f"{node.label}: its hidden_size is {hidden}, expected 1 or more")
    clip = get("clip", math.inf)
    if not clip > 0:
        raise FormatError(f"{node.label}: its clip is {clip:g}, expected a positive number")
    return Settings(
        op=node.op,
        label=node.label,
        direction=direction,
        hidden=hidden,
        clip=clip if clip < _FLOAT_MAX else 0.0,
        function=_function(node, 2 if direction == "bidirectional" else 1),
        coupled=bool(get("input_forget", 0)),
        reset="after" if get("linear_before_reset", 0) else "before",
        batch_first=bool(get("layout", 0)),
    )


def _expect(array: Array, name: str, shape: Sequence[int], label: str) -> Array:
    if array.dtype not in (np.float32, np.float16):
        raise NotImplementedError(f"{label}: {name} is of {array.dtype}, Latchwork computes in float32")
    if array.shape != tuple(shape):
        raise ValueError(f"{label}: {name} has the shape {array.shape}, expected {tuple(shape)}")
    return array.astype(np.float32, copy=False)


def make_brick(
    settings: Settings, weights: Sequence[Optional[Array]], name: str
) -> tuple[Recurrent, dict[str, Array]]:
    """The brick of a node and its parameters, out of W, R, B and P (the last two may be None)."""
    w, r, bias, peephole = weights
    label, gates, directions = settings.label, GATES[settings.op], settings.directions
    if w is None or r is None:
        raise ValueError(f"{label}: W or R is left out, but the operator needs both")
    if w.ndim != 3 or r.ndim != 3:
        raise ValueError(f"{label}: W and R have {w.ndim} and {r.ndim} dimensions, expected 3")
    hidden, inputs = r.shape[2], w.shape[2]
    if hidden < 1 or inputs < 1:
        raise ValueError(f"{label}: W of shape {w.shape} and R of shape {r.shape}: every size must be 1 or more")
    r = _expect(r, "R", (directions, gates * hidden, hidden), label)
    if settings.hidden is not None and settings.hidden != hidden:
        raise ValueError(f"{label}: its hidden_size is {settings.hidden}, but R has {hidden}")
    w = _expect(w, "W", (directions, gates * hidden, inputs), label)
    order = COUPLED_ORDER if settings.coupled else ORDER[settings.op]
    parameters: dict[str, Array] = {}

    def put(key: str, suffix: str, values: Array, places: Sequence[int]) -> None:
        blocks = values.reshape(values.shape[0] // hidden, hidden, *values.shape[1:])
        picked = np.ascontiguousarray(blocks[list(places)])
        if key != "weight_peephole_l0":
            picked = picked.reshape(len(places) * hidden, *values.shape[1:])
        parameters[f"{name}.{key}{suffix}"] = picked

    if bias is not None:
        bias = _expect(bias, "B", (directions, 2 * gates * hidden), label)
    if peephole is not None:
        peephole = _expect(peephole, "P", (directions, 3 * hidden), label)
    for direction, suffix in enumerate(settings.suffixes):
        put("weight_ih_l0", suffix, w[direction], order)
        put("weight_hh_l0", suffix, r[direction], order)
        if bias is not None:
            put("bias_ih_l0", suffix, bias[direction, : gates * hidden], order)
            put("bias_hh_l0", suffix, bias[direction, gates * hidden :], order)
        if peephole is not None:
            put("weight_peephole_l0", suffix, peephole[direction], PEEPHOLE_ORDER)
    common: dict[str, Any] = {
        "input": inputs,
        "hidden": hidden,
        "direction": settings.direction,
        "bias": bias is not None,
        "gate_clip": settings.clip,
        "name": name,
    }
    if settings.op == "LSTM":
        return LSTM(peepholes=peephole is not None, coupled=settings.coupled, **common), parameters
    if settings.op == "GRU":
        return GRU(reset=settings.reset, **common), parameters
    return RNN(function=settings.function, **common), parameters


def _model(settings: Settings, weights: Sequence[Optional[Array]]) -> Model:
    brick, parameters = make_brick(settings, weights, "node")
    model = Model([brick])
    for key, values in parameters.items():
        model.set_parameter(key, values)
    return model


class RecurrentKernel:
    """Runs a node. Constant weights are packed once; others are packed at each call."""

    def __init__(self, node: Node, constants: Sequence[Optional[Array]]) -> None:
        """`constants` holds each input that is known beforehand, None for the others."""
        self.node, self.settings = node, read_settings(node)
        self.model: Optional[Model] = None
        known = [constants[place] if place < len(constants) else None for place in (1, 2, 3, 7)]
        absent = [node.input_name(place) == "" for place in (1, 2, 3, 7)]
        if all(values is not None or left_out for values, left_out in zip(known, absent)):
            self.model = _model(self.settings, known)

    def __call__(self, inputs: Sequence[Optional[Array]]) -> list[Optional[Array]]:
        settings, label = self.settings, self.node.label
        given = [inputs[place] if place < len(inputs) else None for place in range(8)]
        model = self.model or _model(settings, [given[place] for place in (1, 2, 3, 7)])
        x = given[0]
        if x is None or x.ndim != 3:
            raise ValueError(f"{label}: X has the shape {None if x is None else x.shape}, expected three dimensions")
        if settings.batch_first:
            x = x.swapaxes(0, 1)
        steps, batch, _ = x.shape
        kind = x.dtype
        x = _expect(x, "X", (steps, batch, model.input_size), label)
        hidden, directions = model.layers[0].hidden, settings.directions
        check_result((steps, batch, directions, hidden), 4, label)
        outputs = self._run(model, x, given, steps, batch, hidden)
        return [None if values is None else values.astype(kind, copy=False) for values in outputs]

    def _run(
        self, model: Model, x: Array, given: Sequence[Optional[Array]], steps: int, batch: int, hidden: int
    ) -> list[Optional[Array]]:
        settings, node, directions = self.settings, self.node, self.settings.directions
        lengths = None
        if given[4] is not None:
            lengths = self._lengths(given[4], steps, batch)
        memories = [("hidden", "initial_h", given[5])]
        if settings.op == "LSTM":
            memories.append(("cell", "initial_c", given[6]))
        shape = (batch, directions, hidden) if settings.batch_first else (directions, batch, hidden)
        starts = []
        for memory, name, values in memories:
            if values is not None:
                values = _expect(values, name, shape, node.label)
                starts.append((memory, values.swapaxes(0, 1) if settings.batch_first else values))
        if batch == 0:
            empty = np.zeros((steps, directions, 0, hidden), np.float32)
            return self._arrange(empty, [empty.reshape(directions, 0, hidden) for _ in memories])
        state = model.state(batch)
        for memory, values in starts:
            for direction, suffix in enumerate(settings.suffixes):
                state.set(np.ascontiguousarray(values[direction]), 0, memory, suffix != "")
        y = model(x, state, lengths).reshape(steps, batch, directions, hidden).swapaxes(1, 2)
        last = [
            np.stack([state.get(0, memory, suffix != "") for suffix in settings.suffixes]) for memory, *_ in memories
        ]
        # Rows without a step end in zeros, as those of ONNX Runtime do.
        idle = [row for row in range(batch) if (steps if lengths is None else lengths[row]) == 0]
        for values in last:
            values[:, idle] = 0
        return self._arrange(y, last)

    def _arrange(self, y: Array, last: list[Array]) -> list[Optional[Array]]:
        """y (T, D, B, H) and the final states (D, B, H) as the node's layout wants them."""
        if self.settings.batch_first:
            y, last = y.transpose(2, 0, 1, 3), [values.swapaxes(0, 1) for values in last]
        outputs: list[Optional[Array]] = [y, *last]
        return [np.ascontiguousarray(values) if self.node.wants(i) else None for i, values in enumerate(outputs)]

    def _lengths(self, values: Array, steps: int, batch: int) -> list[int]:
        if values.dtype.kind != "i" or values.shape != (batch,):
            raise ValueError(
                f"{self.node.label}: sequence_lens is {values.dtype} of shape {values.shape}, "
                f"expected whole numbers of shape {(batch,)}"
            )
        lengths = [int(value) for value in values]
        for row, length in enumerate(lengths):
            if not 0 <= length <= steps:
                raise ValueError(f"{self.node.label}: sequence_lens of row {row} is {length}, expected 0 to {steps}")
        return lengths
