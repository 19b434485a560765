# SPDX-License-Identifier: Apache-2.0
"""An engine for the harness's own test (run.py --self-test): computes the workload honestly with NumPy in double precision,
from PROTOCOL.md and nothing else, or misbehaves in the way that its argument names."""

import os
import sys
import time

import numpy as np

from protocol import Engine, Unsupported, serve


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm(a, b, state):
    i, f, g, o = np.split(a + b, 4, axis=-1)
    c = sigmoid(f) * state["c"] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(a, b, state):
    (ar, az, an), (br, bz, bn) = np.split(a, 3, axis=-1), np.split(b, 3, axis=-1)
    r, z = sigmoid(ar + br), sigmoid(az + bz)
    n = np.tanh(an + r * bn)
    return (1 - z) * n + z * state["h"], state["c"]


def rnn(a, b, state):
    return np.tanh(a + b), state["c"]


CELLS = {"lstm": lstm, "gru": gru, "rnn": rnn}


class Honest(Engine):
    name = "Honest"

    def version(self):
        return "1"

    def prepare(self, workload, inputs):
        self.workload = workload
        self.inputs = inputs.astype(np.float64)
        self.layers = [workload.layer(index) for index in range(workload.layers)]
        self.lengths = workload.lengths()
        self.reset()

    def reset(self):
        w = self.workload
        shape = (w.batch, w.hidden)
        self.states = [
            [{"h": np.zeros(shape), "c": np.zeros(shape)} for _ in range(w.directions)] for _ in range(w.layers)
        ]

    def direction(self, x, tensors, state, order):
        """x (T, B, I); rows whose length is over keep their state and give zeros."""
        weight_ih, weight_hh, bias_ih, bias_hh = (t.astype(np.float64) for t in tensors)
        y = np.zeros(x.shape[:2] + (self.workload.hidden,))
        for t in order:
            alive = np.ones((x.shape[1], 1), bool) if self.lengths is None else (t < self.lengths)[:, None]
            h, c = CELLS[self.workload.cell](
                x[t] @ weight_ih.T + bias_ih, state["h"] @ weight_hh.T + bias_hh, state
            )
            state["h"], state["c"] = np.where(alive, h, state["h"]), np.where(alive, c, state["c"])
            y[t] = np.where(alive, h, 0.0)
        return y

    def call(self, step):
        w = self.workload
        if w.mode == "sequence":
            self.reset()
        x = self.inputs if w.mode == "sequence" else self.inputs[step : step + 1]
        for tensors, states in zip(self.layers, self.states):
            orders = (range(len(x)), reversed(range(len(x))))
            x = np.concatenate(
                [self.direction(x, t, s, order) for t, s, order in zip(tensors, states, orders)], axis=-1
            )
        if w.dense:
            weight, bias = (t.astype(np.float64) for t in w.head())
            x = x @ weight.T + bias
        self.output = x

    def result(self):
        return self.output


class Wrong(Honest):
    def result(self):
        values = self.output.copy()
        values.flat[-1] += 1e-3
        return values


class Refusing(Honest):
    def prepare(self, workload, inputs):
        raise Unsupported("anything at all")


class Failing(Honest):
    def prepare(self, workload, inputs):
        raise ValueError("some reason")


class Missing(Honest):
    def __init__(self):
        raise ImportError("no such library")


class Crashing(Honest):
    def call(self, step):
        os.abort()


class Leaving(Honest):
    def call(self, step):
        print("giving up", file=sys.stderr, flush=True)
        os._exit(3)


class Hanging(Honest):
    def call(self, step):
        time.sleep(3600)


# These do not speak the protocol: each answers `run` with its own line.
LINES = {
    "babble": "Segmentation fault? No, just words.",
    "list": "[1, 2, 3]",
    "negative": '{"times_us": [-1.0]}',
    "few": '{"times_us": []}',
    "words": '{"times_us": ["fast"]}',
    "nan": '{"times_us": [NaN]}',
}


def speak(line):
    for command in sys.stdin:
        if '"info"' in command:
            print('{"engine":"fake","version":"1","details":""}', flush=True)
        elif '"prepare"' in command:
            print('{"ok":true}', flush=True)
        else:
            print(line, flush=True)


if __name__ == "__main__":
    kinds = {kind.__name__.lower(): kind for kind in Engine.__subclasses__() + Honest.__subclasses__()}
    if sys.argv[1] in LINES:
        speak(LINES[sys.argv[1]])
    else:
        serve(kinds[sys.argv[1]])
