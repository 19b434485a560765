# SPDX-License-Identifier: Apache-2.0
"""Times calls side by side in alternating rounds, for the scripts beside this file: what disturbs a machine disturbs all."""
import statistics
import time

ROUND = 0.01  # seconds of each call in a round


def seconds_of(call, count):
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def medians(calls, budget, pause=0.0):
    """The median seconds of each call without arguments: at least five rounds, more until `budget` seconds are over;
    `pause` seconds and one call that does not count before each, for threads that another side has left spinning."""
    for call in calls:
        call()
    counts = [max(1, int(ROUND / max(seconds_of(call, 2), 1e-7))) for call in calls]
    rounds, end = [[] for _ in calls], time.perf_counter() + budget
    while len(rounds[0]) < 5 or time.perf_counter() < end:
        for found, call, count in zip(rounds, calls, counts):
            if pause:
                time.sleep(pause)
                call()
            found.append(seconds_of(call, count))
    return [statistics.median(found) for found in rounds]
