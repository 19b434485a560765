# SPDX-License-Identifier: Apache-2.0
"""The driver protocol for engines in Python (PROTOCOL.md): reads the commands, draws the numbers, takes the times and
writes the outputs. Called by the *_driver.py, each of which gives `serve` a class derived from Engine."""

import json
import math
import os
import resource
import sys
import time

import numpy as np

MASK = (1 << 64) - 1
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class Unsupported(Exception):
    """The engine does not offer what the workload asks for; the message says what."""


def mix(z):
    """On uint64 arrays, which wrap around as the recipe wants."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def bits(seed, name, count):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & MASK
    key = mix(np.array([(seed ^ value) & MASK], dtype=np.uint64))
    return mix(key + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def draw(seed, name, shape, fan=1):
    """A tensor of the recipe; `fan` is what the scale is the inverse square root of."""
    unit = (bits(seed, name, math.prod(shape)) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23)
    return ((unit - np.float32(1)) * np.float32(1.0 / math.sqrt(fan))).reshape(shape)


class Workload:
    """The fields of PROTOCOL.md as attributes, and what follows from them."""

    def __init__(self, fields):
        for name in ("mode", "cell", "direction"):
            setattr(self, name, fields[name])
        for name in ("layers", "steps", "batch", "input", "hidden", "dense", "threads", "seed"):
            setattr(self, name, int(fields[name]))
        self.lengths_seed = fields.get("lengths")
        if self.cell not in GATES or self.mode not in ("sequence", "step", "streams"):
            raise ValueError(f"no cell or mode of this protocol: {self.cell}, {self.mode}")
        if self.direction not in ("forward", "bidirectional"):
            raise Unsupported(f"direction {self.direction}")
        self.train = fields.get("train", False)
        if self.train not in (False, True, "update"):
            raise ValueError(f"train is {self.train}, not false, true or update")
        self.directions = 2 if self.direction == "bidirectional" else 1
        self.gates = GATES[self.cell]
        self.width = self.dense or self.directions * self.hidden
        self.calls = 1 if self.mode == "sequence" else self.steps

    def inputs(self):
        return draw(self.seed, "input", (self.steps, self.batch, self.input))

    def lengths(self):
        """(B) or None."""
        if self.lengths_seed is None:
            return None
        drawn = bits(self.lengths_seed, "lengths", self.batch) >> np.uint64(33)
        return (1 + drawn % np.uint64(self.steps)).astype(np.int64)

    def output_gradient(self):
        """(T, B, O), for training."""
        rows = self.steps * self.batch
        return draw(self.seed, "output_gradient", (self.steps, self.batch, self.width), rows)

    def layer(self, index):
        """The tensors of a layer: a list with, for each direction, (weight_ih, weight_hh, bias_ih, bias_hh)."""
        rows = self.gates * self.hidden
        width = self.input if index == 0 else self.directions * self.hidden
        shapes = {"weight_ih": (rows, width), "weight_hh": (rows, self.hidden), "bias_ih": (rows,), "bias_hh": (rows,)}
        return [
            [draw(self.seed, f"rnn.{name}_l{index}{suffix}", shape, self.hidden) for name, shape in shapes.items()]
            for suffix in ("", "_reverse")[: self.directions]
        ]

    def head(self):
        """(weight, bias) of the dense layer."""
        fan = self.directions * self.hidden
        return (
            draw(self.seed, "head.weight", (self.dense, fan), fan),
            draw(self.seed, "head.bias", (self.dense,), fan),
        )


class Engine:
    """What a driver fills in. `version` and `details` are asked once; the constructor imports what it needs."""

    name = ""
    trains = False

    def version(self):
        raise NotImplementedError

    def details(self):
        return ""

    def prepare(self, workload, inputs):
        """`inputs` is (T, B, I). Raises Unsupported."""
        raise NotImplementedError

    def call(self, step):
        """One call, taking the input of `step` (0 for sequences)."""
        raise NotImplementedError

    def reset(self):
        """States of zeros, and the parameters as they were drawn, for the next call."""
        raise NotImplementedError

    def result(self):
        """Output of the last call as an array: (T, B, O) of a sequence, else (B, O); of training what PROTOCOL.md says."""
        raise NotImplementedError


class Session:
    def __init__(self, engine):
        self.engine = engine
        self.workload = None
        self.next = 0

    def calls(self, count):
        call, step, steps = self.engine.call, self.next, self.workload.calls
        for _ in range(count):
            call(step)
            step += 1
            if step == steps:
                step = 0
        self.next = step

    def prepare(self, command):
        self.workload = None
        workload = Workload(command["workload"])
        if workload.train and not self.engine.trains:
            raise Unsupported("training")
        self.engine.prepare(workload, workload.inputs())
        self.workload, self.next = workload, 0
        return {"ok": True}

    def run(self, command):
        inner = int(command["inner"])
        if self.workload.train == "update":  # many updates would carry the parameters away
            self.engine.reset()
        self.calls(int(command["warmup"]))
        times = []
        cpu = time.process_time()
        for _ in range(int(command["repeat"])):
            begin = time.perf_counter()
            self.calls(inner)
            times.append((time.perf_counter() - begin) / inner * 1e6)
        return {"times_us": times, "cpu_us": (time.process_time() - cpu) / inner / len(times) * 1e6}

    def output(self, command):
        count = 0
        self.engine.reset()
        self.next = 0
        with open(command["file"], "wb") as file:
            for _ in range(self.workload.calls):
                self.calls(1)
                values = np.ascontiguousarray(self.engine.result(), dtype="<f4")
                values.tofile(file)
                count += values.size
        return {"count": count}

    def answer(self, command):
        name = command["cmd"]
        if name == "info":
            engine = self.engine
            return {"engine": engine.name, "version": engine.version(), "details": engine.details()}
        if name == "prepare":
            return self.prepare(command)
        if name == "memory":
            unit = 1 if sys.platform == "darwin" else 1024
            return {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
        if name not in ("run", "output"):
            return {"error": "the command must be info, prepare, run, output or memory"}
        if self.workload is None:
            return {"error": "no workload is prepared"}
        return self.run(command) if name == "run" else self.output(command)


def serve(engine_class):
    """Answers commands until the input ends."""
    # Libraries print on standard output; only answers may go there.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    session, missing = None, ""
    try:
        session = Session(engine_class())
    except ImportError as error:
        missing = str(error)
    for line in sys.stdin:
        try:
            command = json.loads(line)
            reply = session.answer(command) if session else {"missing": missing}
        except Unsupported as error:
            reply = {"unsupported": str(error)}
        except Exception as error:  # whatever a library throws becomes the answer's sentence
            reply = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(reply) + "\n")
        out.flush()
