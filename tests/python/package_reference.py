# SPDX-License-Identifier: Apache-2.0
"""The models of the Python package in double precision, written from the formulas with NumPy alone.

Used by test_package.py; shares nothing with the library. One row at a time: a row is a sequence (length, I).
"""
import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


FUNCTIONS = {'linear': lambda x: x, 'relu': lambda x: np.maximum(x, 0.0), 'tanh': np.tanh, 'sigmoid': sigmoid}


def clip(x, limit):
    return np.clip(x, -limit, limit) if limit else x


class Weights:
    """The tensors of one layer and direction, in double."""

    def __init__(self, parameters, brick, layer, suffix):
        self.get = lambda name: parameters[f'{brick.name}.{name}_l{layer}{suffix}'].astype(np.float64)
        self.bias = brick.bias

    def gates(self, side, value, count):
        sums = self.get(f'weight_{side}') @ value
        return (sums + self.get(f'bias_{side}') if self.bias else sums).reshape(count, -1)


def lstm(brick, w, x, h, c):
    count = 3 if brick.coupled else 4
    sums = w.gates('ih', x, count) + w.gates('hh', h, count)
    if brick.peepholes:
        p = w.get('weight_peephole')
        sums[0] += p[0] * c
        sums[1] += 0 if brick.coupled else p[1] * c
    i = sigmoid(clip(sums[0], brick.gate_clip))
    f = 1.0 - i if brick.coupled else sigmoid(clip(sums[1], brick.gate_clip))
    g = np.tanh(clip(sums[-2], brick.gate_clip))
    c = clip(f * c + i * g, brick.cell_clip)
    o = sigmoid(clip(sums[-1] + (p[2] * c if brick.peepholes else 0), brick.gate_clip))
    full = o * np.tanh(c)
    h = w.get('weight_hr') @ full if brick.projection else full
    return h, c, {'input': i, 'forget': f, 'output': o, 'candidate': g, 'cell': c, 'hidden': full}


def gru(brick, w, x, h, c):
    a = w.gates('ih', x, 3)
    b = w.gates('hh', h, 3)
    r = sigmoid(clip(a[0] + b[0], brick.gate_clip))
    z = sigmoid(clip(a[1] + b[1], brick.gate_clip))
    if brick.reset == 'before':
        part = w.gates('hh', r * h, 3)[2]
    else:
        part = r * b[2]
    n = np.tanh(clip(a[2] + part, brick.gate_clip))
    h = (1.0 - z) * n + z * h
    return h, c, {'reset': r, 'update': z, 'candidate': n, 'hidden': h}


def rnn(brick, w, x, h, c):
    h = FUNCTIONS[brick.function](clip(w.gates('ih', x, 1) + w.gates('hh', h, 1), brick.gate_clip)[0])
    return h, c, {'hidden': h}


CELLS = {'lstm': lstm, 'gru': gru, 'rnn': rnn}


def directions(brick):
    return {'forward': [''], 'reverse': ['_reverse'], 'bidirectional': ['', '_reverse']}[brick.direction]


def walk(brick, w, x, backward):
    """Outputs, signals of each step, and the final h and c of one direction from a zero state."""
    h = np.zeros(getattr(brick, 'projection', 0) or brick.hidden)
    c = np.zeros(brick.hidden)
    outputs, signals = [None] * len(x), [None] * len(x)
    for t in range(len(x))[::-1 if backward else 1]:
        h, c, signals[t] = CELLS[brick.kind](brick, w, x[t], h, c)
        outputs[t] = h
    return np.array(outputs).reshape(len(x), len(h)), signals, h, c


def run(model, x):
    """Output of one row (length, I), and by (layer, suffix) the signals, h and c."""
    parameters = model.parameters()
    x = x.astype(np.float64)
    layers, index = {}, 0
    for brick in model.bricks:
        if brick.kind == 'activation':
            x, index = FUNCTIONS[brick.function](x), index + 1
        elif brick.kind == 'dense':
            x = x @ parameters[f'{brick.name}.weight'].astype(np.float64).T
            x, index = FUNCTIONS[brick.function](x + (parameters[f'{brick.name}.bias'] if brick.bias else 0)), index + 1
        else:
            for layer in range(brick.layers):
                sides = []
                for suffix in directions(brick):
                    outputs, *rest = walk(brick, Weights(parameters, brick, layer, suffix), x, suffix != '')
                    layers[index, suffix] = rest
                    sides.append(outputs)
                x, index = np.concatenate(sides, axis=1), index + 1
    return x, layers
