# SPDX-License-Identifier: Apache-2.0
"""An engine for test_bench_peers.py: computes the workload honestly with NumPy in double precision, from PROTOCOL.md and
nothing else, or misbehaves in the way that its argument names. bench/peers must be in PYTHONPATH."""

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
    trains = True

    def version(self):
        return "1"

    def prepare(self, workload, inputs):
        self.workload = workload
        self.inputs = inputs.astype(np.float64)
        drawn = [workload.layer(index) for index in range(workload.layers)]
        self.layers = [[[t.astype(np.float64) for t in tensors] for tensors in layer] for layer in drawn]
        self.head = [t.astype(np.float64) for t in workload.head()] if workload.dense else []
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
        weight_ih, weight_hh, bias_ih, bias_hh = tensors
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
        if self.workload.train:
            self.learn()
        else:
            self.forward(step)

    def forward(self, step):
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
            weight, bias = self.head
            x = x @ weight.T + bias
        self.output = x

    def learn(self):
        """Gradients by central differences, one parameter after another; then Adam's first update."""
        w = self.workload
        given, alive = w.output_gradient().astype(np.float64), np.arange(w.steps)[:, None, None]
        if self.lengths is not None:
            given = given * (alive < self.lengths[None, :, None])
        self.prepare(w, self.inputs)
        tensors = [t for layer in self.layers for direction in layer for t in direction] + list(self.head)
        gradients = []
        for tensor in tensors:
            for index in np.ndindex(tensor.shape):
                losses = []
                for change in (1e-5, -2e-5):
                    tensor[index] += change
                    self.forward(0)
                    losses.append((self.output * given).sum())
                tensor[index] += 1e-5
                gradients.append((losses[0] - losses[1]) / 2e-5)
        self.output = np.array(gradients)
        if w.train == "update":
            values = np.concatenate([t.ravel() for t in tensors])
            self.output = values - 1e-4 * self.output / (np.abs(self.output) + 1e-4)

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


class Lazy(Honest):
    """Leaves the update out."""

    def learn(self):
        super().learn()
        self.output = np.concatenate([t.ravel() for layer in self.layers for tensors in layer for t in tensors])


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
