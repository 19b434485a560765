# SPDX-License-Identifier: Apache-2.0
"""Builds a workload as an ONNX model, for the engines that run such models. Called by onnxruntime_driver.py and
openvino_driver.py. Inputs: x (T, B, I), `lengths` (B) of a ragged batch and, for steps, h0, c0, h1, ... of each layer;
outputs: y (T, B, O) and, for steps, the new states as new_h0, new_c0, ..."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
# ONNX's order of gates (LSTM i, o, f, c; GRU z, r, h) as indices into PyTorch's.
ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}


def reordered(values, cell):
    gates = np.split(values, len(ORDER[cell]))
    return np.concatenate([gates[index] for index in ORDER[cell]])


def build(workload):
    """Returns (serialised model, names of the states, their shape)."""
    w, cell = workload, workload.cell
    stepping = w.mode != "sequence"
    steps = 1 if stepping else w.steps
    width = w.directions * w.hidden
    state_shape = (w.directions, w.batch, w.hidden)
    nodes, constants, states = [], [], []

    def constant(name, values):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (steps, w.batch, w.input))]
    if w.lengths_seed is not None:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, (w.batch,)))
    value = "x"
    for index in range(w.layers):
        tensors = [[reordered(t, cell) for t in direction] for direction in w.layer(index)]
        names = [
            value,
            constant(f"W{index}", np.stack([t[0] for t in tensors])),
            constant(f"R{index}", np.stack([t[1] for t in tensors])),
            constant(f"B{index}", np.stack([np.concatenate(t[2:]) for t in tensors])),
            "lengths" if w.lengths_seed is not None else "",
        ]
        results = [f"Y{index}"]
        if stepping:
            kinds = ("h", "c") if cell == "lstm" else ("h",)
            layer_states = [f"{kind}{index}" for kind in kinds]
            names += layer_states
            results += [f"new_{name}" for name in layer_states]
            states += layer_states
        attributes = {"hidden_size": w.hidden, "direction": w.direction}
        if cell == "gru":
            attributes["linear_before_reset"] = 1
        nodes.append(helper.make_node(OPERATORS[cell], names, results, **attributes))
        last = index + 1 == w.layers
        value = "y" if last and not w.dense else f"y{index}"
        if w.directions == 1:
            nodes.append(helper.make_node("Squeeze", [f"Y{index}", constant(f"axis{index}", np.array([1]))], [value]))
        else:
            shape = constant(f"shape{index}", np.array([steps, w.batch, width]))
            nodes.append(helper.make_node("Transpose", [f"Y{index}"], [f"Z{index}"], perm=(0, 2, 1, 3)))
            nodes.append(helper.make_node("Reshape", [f"Z{index}", shape], [value]))
    if w.dense:
        weight, bias = w.head()
        nodes.append(helper.make_node("MatMul", [value, constant("head_weight", weight.T)], ["head"]))
        nodes.append(helper.make_node("Add", ["head", constant("head_bias", bias)], ["y"]))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (steps, w.batch, w.width))]
    inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, state_shape) for name in states]
    outputs += [helper.make_tensor_value_info(f"new_{name}", TensorProto.FLOAT, state_shape) for name in states]
    graph = helper.make_graph(nodes, "workload", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString(), states, state_shape


def without_padding(values, lengths):
    """A dense layer's bias beyond a row's length becomes the zero that the protocol wants."""
    if lengths is None:
        return values
    return values * (np.arange(values.shape[0])[:, None, None] < np.asarray(lengths)[None, :, None])
