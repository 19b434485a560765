# SPDX-License-Identifier: Apache-2.0
"""Measures one workload with all engines in turn, A B C A B C: first each finds its better thread count, and its answers
are compared with Latchwork's; then come the rounds that count. Called by run.py."""

import statistics

import numpy as np

from driver import Trouble

RELATIVE, ABSOLUTE = 1e-4, 1e-5
ROUNDS, LEAST_ROUNDS = 10, 3
SHORTEST_US = 100.0  # a single time is never taken of less: calls are put together
GAIN = 1.03  # more threads must be quicker by more than the noise


class Entry:
    """An engine in one workload: its times, or the trouble that ended its part."""

    def __init__(self, name, driver, workload, own=None):
        self.name = name
        self.driver = driver
        self.workload = workload
        self.own = own  # a variant of Latchwork itself, from workloads.json
        self.threads = None
        self.probe = {}
        self.estimate = None
        self.times = []
        self.trouble = None
        self.difference = None

    def attempt(self, action, *arguments):
        """Runs a part of the measurement; a trouble ends the entry. Returns what the action returns, or None."""
        if self.trouble:
            return None
        try:
            return action(*arguments)
        except Trouble as trouble:
            self.trouble = trouble
            return None
        finally:
            self.driver.pause()

    def inner(self, estimate):
        return max(1, int(SHORTEST_US / estimate) + 1) if estimate < SHORTEST_US else 1

    def find_threads(self, counts, seconds):
        """A short probe of each thread count; stays prepared with the better one, the smaller one if it is as good."""
        for count in counts:
            self.driver.prepare({**self.workload, "threads": count})
            estimate = self.driver.run(1, 1, 1)[0]
            inner = self.inner(estimate)
            repeat = max(3, min(1000, int(seconds * 1e6 / (estimate * inner))))
            self.probe[count] = statistics.median(self.driver.run(repeat, inner, 1))
        best = min(self.probe.values())
        self.threads = min(count for count, time in self.probe.items() if time <= GAIN * best)
        self.estimate = self.probe[self.threads]
        if self.threads != counts[-1]:
            self.driver.prepare({**self.workload, "threads": self.threads})

    def turn(self, seconds):
        inner = self.inner(self.estimate)
        repeat = max(1, min(1000, int(seconds * 1e6 / (self.estimate * inner))))
        self.times += self.driver.run(repeat, inner, min(inner, 100))

    def result(self):
        answer = {"engine": self.name, "own": bool(self.own)}
        if self.difference is not None:
            answer["largest_difference"] = self.difference
        if self.trouble:
            return {**answer, "status": self.trouble.kind, "text": self.trouble.text}
        p5, median, p95 = np.percentile(self.times, [5, 50, 95])
        return {
            **answer,
            "status": "ok",
            "threads": self.threads,
            "median_us": median,
            "p5_us": p5,
            "p95_us": p95,
            "samples": len(self.times),
            "probe_us": self.probe,
        }


def compare(entry, expected, values):
    """Raises Trouble where the outputs do not agree."""
    entry.difference = float(np.max(np.abs(values.astype(np.float64) - expected), initial=0.0))
    wrong = ~(np.abs(values.astype(np.float64) - expected) <= RELATIVE * np.abs(expected) + ABSOLUTE)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise Trouble(
            "differs",
            f"{int(wrong.sum())} of {wrong.size} outputs differ from Latchwork's; "
            f"number {first} is {values[first]:.7g}, not {expected[first]:.7g}",
        )


def output_count(workload):
    directions = 2 if workload["direction"] == "bidirectional" else 1
    return workload["steps"] * workload["batch"] * (workload["dense"] or directions * workload["hidden"])


def measure(entries, counts, seconds):
    """`entries`: Latchwork's first. `seconds` bounds the rounds of all engines together, but for the least rounds."""
    latchwork = entries[0]
    for entry in entries:
        fixed = entry.own and entry.own["change"].get("threads")
        entry.attempt(entry.find_threads, [fixed] if fixed else counts, seconds / 40)
    expected = latchwork.attempt(latchwork.driver.output, output_count(latchwork.workload))
    for entry in entries[1:]:
        if expected is None or (entry.own and entry.own.get("other_answer")):
            continue
        values = entry.attempt(entry.driver.output, output_count(entry.workload))
        if values is not None:
            entry.attempt(compare, entry, expected.astype(np.float64), values)
    running = [entry for entry in entries if not entry.trouble]
    if not running:
        return 0
    slot = seconds / ROUNDS / len(running)
    # An engine that needs more than its slot for one call takes two calls, the first of which warms up.
    round_seconds = sum(max(slot, 2e-6 * entry.estimate) for entry in running)
    rounds = max(LEAST_ROUNDS, min(ROUNDS, int(seconds / round_seconds)))
    for _ in range(rounds):
        for entry in running:
            entry.attempt(entry.turn, slot)
    return rounds
