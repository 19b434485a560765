# SPDX-License-Identifier: Apache-2.0
"""What one step from Python costs over the library's own.

Usage: python -m latchwork.overhead [HIDDEN]     (an LSTM of one input and that many units; 16)
"""
import sys
import time
from typing import Callable

import numpy as np

from . import LSTM, Model
from ._core import step_seconds

COUNT = 20_000
TRIES = 15


def least_seconds(call: Callable[[], object]) -> float:
    """Seconds of one call: the least of the rounds, so that what else the machine does drops out."""
    least = float("inf")
    for _ in range(TRIES):
        start = time.perf_counter()
        for _ in range(COUNT):
            call()
        least = min(least, (time.perf_counter() - start) / COUNT)
    return least


def main() -> None:
    """Prints a line for each way to call."""
    hidden = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    model = Model([LSTM(1, hidden)], threads=1)
    model.initialise(1)
    stream = model.stream()
    x = np.full(1, 0.5, np.float32)
    out = np.empty(hidden, np.float32)
    nothing = least_seconds(lambda: None)
    library = step_seconds(model, COUNT, TRIES)
    print(f"LSTM 1 -> {hidden}, {model.isa}, the least of {TRIES} rounds of {COUNT} steps")
    print(f"{'the library alone':<28} {library * 1e6:8.3f} us")
    for name, call in (
        ("stream.step(x)", lambda: stream.step(x)),
        ("stream.step(x, out)", lambda: stream.step(x, out)),
    ):
        seconds = least_seconds(call) - nothing
        print(f"{name:<28} {seconds * 1e6:8.3f} us, {(seconds - library) * 1e6:.3f} us over the library")


if __name__ == "__main__":
    main()
