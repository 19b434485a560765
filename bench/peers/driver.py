# SPDX-License-Identifier: Apache-2.0
"""A driver process, seen from the harness: starts it, asks it, stops and continues it between its turns, and turns
everything that can go wrong with it into a Trouble with a kind and a sentence. Called by run.py and measure.py."""

import json
import math
import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time

import numpy as np


class Trouble(Exception):
    """kind: missing, unsupported, error, rubbish, crashed, timeout or differs."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind
        self.text = text


class Driver:
    """Starts when it is first asked. After a crash, a timeout or rubbish it is ended, and started anew at the next
    question."""

    def __init__(self, name, command, timeout, working_directory=None):
        self.name = name
        self.command = shlex.split(command) if isinstance(command, str) else list(command)
        self.timeout = timeout
        self.working_directory = working_directory
        self.process = None
        self.stopped = False

    def start(self):
        self.words = tempfile.TemporaryFile()
        try:
            # A session of its own, so that a wrapper and what it started are stopped and ended together.
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.words,
                cwd=self.working_directory,
                start_new_session=True,
            )
        except OSError as error:
            raise Trouble("missing", f"{self.command[0]} cannot be started: {error.strerror}") from error
        self.buffer = b""
        self.stopped = False

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def end(self):
        if self.process is None:
            return
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.words.close()
        self.process = None

    def pause(self):
        if self.process is not None and not self.stopped:
            self.signal(signal.SIGSTOP)
            self.stopped = True

    def resume(self):
        if self.process is not None and self.stopped:
            self.signal(signal.SIGCONT)
            self.stopped = False

    def last_words(self):
        self.words.seek(0)
        lines = self.words.read().decode(errors="replace").strip().splitlines()
        return f'; its last words: "{lines[-1][:160]}"' if lines else ""

    def died(self):
        # The pipe ends a moment before the process does.
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            status = None
        words = self.last_words()
        self.end()
        if status is None:
            return Trouble("crashed", f"it closed its output{words}")
        if status < 0:
            return Trouble("crashed", f"it was ended by signal {-status}{words}")
        return Trouble("crashed", f"it ended with status {status}{words}")

    def write(self, line):
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise self.died() from error

    def read_line(self, timeout):
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    self.end()
                    raise Trouble("timeout", f"no answer within {timeout:g} s")
                data = os.read(self.process.stdout.fileno(), 1 << 16)
                if not data:
                    raise self.died()
                self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def rubbish(self, what, line):
        self.end()
        return Trouble("rubbish", f'{what}: "{str(line)[:80]}"')

    def ask(self, timeout=None, **command):
        """The answer as a dictionary."""
        if self.process is None:
            self.start()
        self.resume()
        self.write(json.dumps(command).encode() + b"\n")
        line = self.read_line(self.timeout if timeout is None else timeout)
        try:
            answer = json.loads(line)
        except ValueError:
            raise self.rubbish("the answer is no JSON", line.decode(errors="replace")) from None
        if not isinstance(answer, dict):
            raise self.rubbish("the answer is no JSON object", line.decode(errors="replace"))
        for kind in ("missing", "unsupported", "error"):
            if kind in answer:
                raise Trouble(kind, str(answer[kind])[:300])
        return answer

    def info(self):
        answer = self.ask(cmd="info")
        return {name: str(answer.get(name, "")) for name in ("engine", "version", "details")}

    def prepare(self, workload):
        answer = self.ask(cmd="prepare", workload=workload)
        if answer.get("ok") is not True:
            raise self.rubbish("prepare was not answered by ok", answer)

    def run(self, repeat, inner, warmup):
        """`repeat` times in microseconds."""
        times = self.ask(cmd="run", repeat=repeat, inner=inner, warmup=warmup).get("times_us")
        numbers = isinstance(times, list) and all(
            isinstance(t, (int, float)) and not isinstance(t, bool) and math.isfinite(t) and t > 0 for t in times
        )
        if not numbers or len(times) != repeat:
            raise self.rubbish(f"times_us is no list of {repeat} times", times)
        return times

    def output(self, count):
        """The output as an array of `count` floats."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "output.f32")
            answer = self.ask(cmd="output", file=path)
            if answer.get("count") != count or not os.path.exists(path) or os.path.getsize(path) != 4 * count:
                raise self.rubbish(f"the output is no file of {count} numbers", answer)
            return np.fromfile(path, dtype="<f4")
