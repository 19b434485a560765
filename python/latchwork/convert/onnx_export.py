# SPDX-License-Identifier: Apache-2.0
"""Writes a model as an ONNX graph, of version 14 of ONNX's operators, without custom ones. Needs the package onnx.

The input is "x" (T, B, I), the output "y" (T, B, O), or (B, O) with `last`. A recurrent layer is one node; dense bricks
are MatMul and Add.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .. import GRU, LSTM, Activation, Dense, Model, __version__
from ..onnx.recurrent import COUPLED_ORDER, GATES, ORDER, PEEPHOLE_ORDER
from .files import PathLike, replace_file
from .model import RECURRENT, Array, Converted, Recurrent, output_width, take_apart

OPSET = 14
IR_VERSION = 8
_OPERATOR = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
_FUNCTION = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}


def _back(values: Array, order: Sequence[int], gates: int, hidden: int) -> Array:
    """The engine's gates at their places in ONNX's tensor; a gate that the engine has not is zero."""
    blocks = values.reshape(len(order), hidden, -1)
    result = np.zeros((gates, hidden, blocks.shape[2]), np.float32)
    result[list(order)] = blocks
    return result.reshape(gates * hidden, *values.shape[1:]) if values.ndim > 1 else result.reshape(-1)


class _Exporter:
    def __init__(self, source: Converted) -> None:
        self.source = source
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.value = "x"

    def constant(self, name: str, values: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, [self.value, *inputs], [output], name=output + "_node", **attributes))
        self.value = output

    def _weights(self, brick: Recurrent, layer: int) -> tuple[list[str], list[str]]:
        """The names of W, R, B, then of initial_h, initial_c, P; "" where there is none."""
        op = _OPERATOR[brick.kind]
        coupled, peepholes = isinstance(brick, LSTM) and brick.coupled, isinstance(brick, LSTM) and brick.peepholes
        order, gates = COUPLED_ORDER if coupled else ORDER[op], GATES[op]
        suffixes = {"forward": [""], "reverse": ["_reverse"], "bidirectional": ["", "_reverse"]}[brick.direction]
        base, get = f"{brick.name}_l{layer}", self.source.parameters

        def stack(key: str) -> Array:
            parts = [get[f"{brick.name}.{key}_l{layer}{suffix}"] for suffix in suffixes]
            return np.stack([_back(part, order, gates, brick.hidden) for part in parts])

        names = [self.constant(base + "_W", stack("weight_ih")), self.constant(base + "_R", stack("weight_hh")), ""]
        if brick.bias:
            both = np.concatenate([stack("bias_ih"), stack("bias_hh")], 1)
            names[2] = self.constant(base + "_B", both)
        others = [self._initial(brick, base, memory, layer, suffixes) for memory in ("hidden", "cell")]
        others.append("")
        if peepholes:
            parts = [get[f"{brick.name}.weight_peephole_l{layer}{suffix}"] for suffix in suffixes]
            rows = np.stack([part[list(PEEPHOLE_ORDER)].reshape(-1) for part in parts])
            others[2] = self.constant(base + "_P", rows)
        return names, others

    def _initial(self, brick: Recurrent, base: str, memory: str, layer: int, suffixes: Sequence[str]) -> str:
        """A state to start from, spread over the rows of the batch."""
        names = [f"{brick.name}.{memory}_l{layer}{suffix}" for suffix in suffixes]
        if not any(name in self.source.initial for name in names):
            return ""
        nothing = np.zeros(brick.hidden, np.float32)
        rows = np.stack([self.source.initial.get(name, nothing) for name in names])[:, None]
        start = self.constant(f"{base}_{memory}", rows.astype(np.float32))
        shape, batch, spread = f"{base}_{memory}_shape", f"{base}_{memory}_batch", f"{base}_{memory}_rows"
        one = self.constant(f"{base}_{memory}_one", np.array([1], np.int64))
        make = helper.make_node
        self.nodes.append(make("Shape", ["x"], [shape]))
        self.nodes.append(make("Gather", [shape, one], [batch]))
        self.nodes.append(make("Concat", [one, batch, one], [shape + "_all"], axis=0))
        self.nodes.append(make("Expand", [start, shape + "_all"], [spread]))
        return spread

    def recurrent(self, brick: Recurrent, layer: int, last: bool) -> None:
        base, directions = f"{brick.name}_l{layer}", 2 if brick.direction == "bidirectional" else 1
        (w, r, b), (h, c, p) = self._weights(brick, layer)
        attributes: dict[str, Any] = {"hidden_size": brick.hidden, "direction": brick.direction}
        if brick.gate_clip:
            attributes["clip"] = brick.gate_clip
        inputs = [self.value, w, r, b, "", h]
        if isinstance(brick, LSTM):
            inputs += [c, p]
            if brick.coupled:
                attributes["input_forget"] = 1
        elif isinstance(brick, GRU):
            attributes["linear_before_reset"] = int(brick.reset == "after")
        else:
            attributes["activations"] = [_FUNCTION[brick.function]] * directions
        while not inputs[-1]:
            inputs.pop()
        outputs = ["", base + "_Y_h"] if last else [base + "_Y"]
        self.nodes.append(helper.make_node(_OPERATOR[brick.kind], inputs, outputs, name=base, **attributes))
        self.value = outputs[-1]
        if directions == 1:
            self.node("Squeeze", [self.constant(base + "_axis", np.array([0 if last else 1], np.int64))], base + "_y")
            return
        self.node("Transpose", [], base + "_side", perm=[1, 0, 2] if last else [0, 2, 1, 3])
        shape = np.array([0, -1] if last else [0, 0, -1], np.int64)
        self.node("Reshape", [self.constant(base + "_joined", shape)], base + "_y")

    def function(self, function: str, name: str) -> None:
        if function != "linear":
            self.node(_FUNCTION[function], [], f"{name}_{function}")

    def dense(self, brick: Dense) -> None:
        name, get = str(brick.name), self.source.parameters
        self.node("MatMul", [self.constant(f"{name}_weight", get[f"{name}.weight"].T)], f"{name}_product")
        if brick.bias:
            self.node("Add", [self.constant(f"{name}_bias", get[f"{name}.bias"])], f"{name}_y")
        self.function(brick.function, name)


def _check(brick: Recurrent) -> None:
    if isinstance(brick, LSTM) and (brick.projection or brick.cell_clip):
        raise NotImplementedError(f"brick '{brick.name}': ONNX's LSTM has no projection and no clipping of the cell")


def to_onnx(model: Union[Model, Converted], last: bool = False) -> onnx.ModelProto:
    """The model as an ONNX message."""
    source = take_apart(model)
    last = last or source.last
    recurrent = [index for index, brick in enumerate(source.bricks) if isinstance(brick, RECURRENT)]
    if last and not recurrent:
        raise ValueError("last: the model has no recurrent layer, so it has no last step")
    exporter, width = _Exporter(source), 0
    for index, brick in enumerate(source.bricks):
        if isinstance(brick, RECURRENT):
            _check(brick)
            for layer in range(brick.layers):
                exporter.recurrent(brick, layer, last and index == recurrent[-1] and layer == brick.layers - 1)
        elif isinstance(brick, Dense):
            exporter.dense(brick)
        else:
            assert isinstance(brick, Activation)
            exporter.function(brick.function, str(brick.name))
        width = output_width(brick, width or brick.input)
    exporter.node("Identity", [], "y")
    kind = onnx.TensorProto.FLOAT
    shape: list[Union[int, str]] = ["batch", width] if last else ["time", "batch", width]
    inputs = [helper.make_tensor_value_info("x", kind, ["time", "batch", source.bricks[0].input])]
    outputs = [helper.make_tensor_value_info("y", kind, shape)]
    graph = helper.make_graph(exporter.nodes, "latchwork", inputs, outputs, exporter.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    made.producer_name, made.producer_version = "latchwork", __version__
    onnx.checker.check_model(made, full_check=True)
    return made


def save_onnx(model: Union[Model, Converted], path: PathLike, last: bool = False) -> list[str]:
    """Writes an ONNX file; returns what is to be said about it."""
    replace_file(path, to_onnx(model, last).SerializeToString())
    return []
