# SPDX-License-Identifier: Apache-2.0
"""Recurrent networks in double precision with NumPy, written from the equations, to prove the golden files.

Called by make_golden.py alone. Shares nothing with the library, PyTorch or ONNX Runtime: one row and one step at a time,
a row of a batch ends at its length, and everything beyond it is zero.
"""
import numpy as np


def sigmoid(x):
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def clipped(x, limit):
    return np.clip(x, -limit, limit) if limit else x


def lstm_step(brick, w, x, h, c):
    hidden = brick["hidden"]
    gate_count = 3 if brick.get("coupled") else 4
    a = (w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"]).reshape(gate_count, hidden)
    peephole = w.get("weight_peephole", np.zeros((3, hidden)))
    limit = brick.get("gate_clip", 0)
    i = sigmoid(clipped(a[0] + peephole[0] * c, limit))
    f = 1.0 - i if gate_count == 3 else sigmoid(clipped(a[1] + peephole[1] * c, limit))
    g = np.tanh(clipped(a[-2], limit))
    c = clipped(f * c + i * g, brick.get("cell_clip", 0))
    o = sigmoid(clipped(a[-1] + peephole[2] * c, limit))
    h = o * np.tanh(c)
    return (w["weight_hr"] @ h if "weight_hr" in w else h), c


def gru_step(brick, w, x, h, c):
    hidden, limit = brick["hidden"], brick.get("gate_clip", 0)
    x_part = (w["weight_ih"] @ x + w["bias_ih"]).reshape(3, hidden)
    h_part = (w["weight_hh"] @ h + w["bias_hh"]).reshape(3, hidden)
    r = sigmoid(clipped(x_part[0] + h_part[0], limit))
    z = sigmoid(clipped(x_part[1] + h_part[1], limit))
    if brick.get("reset", "after") == "after":
        candidate = x_part[2] + r * h_part[2]
    else:
        candidate = x_part[2] + w["weight_hh"][2 * hidden:] @ (r * h) + w["bias_hh"][2 * hidden:]
    n = np.tanh(clipped(candidate, limit))
    return (1.0 - z) * n + z * h, c


def rnn_step(brick, w, x, h, c):
    a = clipped(w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"], brick.get("gate_clip", 0))
    return (np.maximum(a, 0.0) if brick.get("function") == "relu" else np.tanh(a)), c


STEPS = {"lstm": lstm_step, "gru": gru_step, "rnn": rnn_step}


def direction_suffixes(brick):
    return {"forward": [""], "reverse": ["_reverse"], "bidirectional": ["", "_reverse"]}[
        brick.get("direction", "forward")]


def layer_weights(brick, tensors, layer, suffix):
    """The parameters of one layer and direction in double, by role; biases that are not there are zero."""
    roles = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_peephole")
    names = {role: f"{brick['name']}.{role}_l{layer}{suffix}" for role in roles}
    w = {role: tensors[name].astype(np.float64) for role, name in names.items() if name in tensors}
    for role in ("bias_ih", "bias_hh"):
        w.setdefault(role, np.zeros(len(w["weight_ih"])))
    return w


def run(brick, tensors, golden):
    """Runs one recurrent brick. `golden` maps input, h0.<layer><suffix>, c0..., lengths. Returns output, hn..., cn..."""
    x = golden["input"].astype(np.float64)
    steps, batch = x.shape[:2]
    lengths = golden.get("lengths", np.full(batch, steps))
    step = STEPS[brick["kind"]]
    result = {}
    for layer in range(brick.get("layers", 1)):
        outputs = []
        for suffix in direction_suffixes(brick):
            w = layer_weights(brick, tensors, layer, suffix)
            h_all = golden[f"h0.{layer}{suffix}"].astype(np.float64)
            c_all = golden.get(f"c0.{layer}{suffix}", np.zeros((batch, brick["hidden"]))).astype(np.float64)
            y = np.zeros((steps, batch, h_all.shape[1]))
            for row in range(batch):
                times = range(int(lengths[row]))
                for t in reversed(times) if suffix else times:
                    h_all[row], c_all[row] = step(brick, w, x[t, row], h_all[row], c_all[row])
                    y[t, row] = h_all[row]
            outputs.append(y)
            result[f"hn.{layer}{suffix}"] = h_all
            if brick["kind"] == "lstm":
                result[f"cn.{layer}{suffix}"] = c_all
        x = np.concatenate(outputs, axis=2)
    result["output"] = x
    return result
