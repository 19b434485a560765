# SPDX-License-Identifier: Apache-2.0
"""The harness's own test (run.py --self-test): Latchwork's driver against an honest engine written from PROTOCOL.md, on
small workloads of every kind; then engines that crash, hang, lie or babble, each of which must be named as what it is
while the honest one beside it is measured to the end. Takes a few seconds."""

import os
import sys
import tempfile

import table
from driver import Driver, Trouble
from measure import Entry, measure

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = {"mode": "sequence", "cell": "lstm", "direction": "forward", "layers": 1, "steps": 7, "batch": 3, "input": 5,
        "hidden": 11, "dense": 0, "lengths": None, "together": True, "train": False, "seed": 42}
SMALL = [
    {},
    {"cell": "gru", "layers": 2},
    {"cell": "rnn", "hidden": 19, "seed": 2**63 - 1},
    {"direction": "bidirectional", "layers": 2, "dense": 3},
    {"cell": "gru", "direction": "bidirectional", "lengths": 7, "batch": 6},
    {"mode": "step", "batch": 1, "dense": 2},
    {"mode": "step", "cell": "gru", "layers": 2},
    {"mode": "streams", "batch": 9},
    {"mode": "streams", "batch": 4, "together": False},
]
# What is asked for, the kind of trouble, and a word of its sentence.
DISHONEST = [
    ("wrong", "differs", "outputs differ"),
    ("refusing", "unsupported", "anything at all"),
    ("failing", "error", "some reason"),
    ("missing", "missing", "no such library"),
    ("crashing", "crashed", "signal 6"),
    ("leaving", "crashed", "giving up"),
    ("hanging", "timeout", "within 1 s"),
    ("babble", "rubbish", "no JSON"),
    ("list", "rubbish", "no JSON object"),
    ("negative", "rubbish", "list of 1 times"),
    ("few", "rubbish", "list of 1 times"),
    ("words", "rubbish", "list of 1 times"),
    ("nan", "rubbish", "list of 1 times"),
]


class Checks:
    def __init__(self):
        self.failures = 0

    def check(self, good, what, found=""):
        print(f"{'ok' if good else 'FAILED'}: {what}" + ("" if good else f": {found}"))
        self.failures += not good


def fake(kind, timeout):
    return Driver(kind, [sys.executable, os.path.join(HERE, "fake_driver.py"), kind], timeout)


def check_answers(checks, latchwork, honest):
    for change in SMALL:
        workload = {**BASE, **change}
        entries = [Entry("Latchwork", latchwork, workload), Entry("honest", honest, workload)]
        measure(entries, [1, 2], 0.02)
        troubles = [f"{e.name}: {e.trouble.text}" for e in entries if e.trouble]
        checks.check(not troubles and all(e.times for e in entries), f"answers agree: {change or 'plain'}", troubles)


def check_dishonest(checks, latchwork, honest):
    workload = {**BASE, "steps": 3}
    fakes = [fake(kind, 1.0 if kind == "hanging" else 20.0) for kind, _, _ in DISHONEST]
    fakes.append(Driver("absent", [os.path.join(HERE, "no_such_driver")], 1.0))
    entries = [Entry("Latchwork", latchwork, workload)] + [Entry(f.name, f, workload) for f in fakes]
    entries.append(Entry("honest", honest, workload))
    measure(entries, [1], 0.1)
    for entry, (kind, trouble, word) in zip(entries[1:], DISHONEST):
        found = entry.trouble and (entry.trouble.kind, entry.trouble.text)
        checks.check(found and found[0] == trouble and word in found[1], f"{kind} is named as {trouble}", found)
    checks.check(entries[-2].trouble and entries[-2].trouble.kind == "missing", "an absent program is missing",
                 entries[-2].trouble)
    checks.check(not entries[-1].trouble and len(entries[-1].times) >= 3, "the honest engine is measured to the end",
                 entries[-1].trouble)
    for driver in fakes:
        driver.end()
    check_table(checks, entries, workload)


def check_table(checks, entries, workload):
    row = {"name": "test", "regime": "test", "workload": workload, "target": 1e9, "limit": None, "own_targets": {},
           "engines": [entry.result() for entry in entries]}
    table.judge(row, None)
    about = [{"name": entry.name, "version": "1", "details": ""} for entry in entries]
    text = table.markdown({"machine": "m", "command": "c", "engines": about, "limits": None, "rows": [row]})
    named = all(word in text for word in ("hung", "crashed", "answered rubbish", "wrong answers", "missing"))
    checks.check(named and row["best_peer"] == "honest" and "**short**" in text, "the table names all of it", text)


def check_commands(checks, latchwork):
    """Bad commands get a sentence, and the driver goes on."""
    with tempfile.TemporaryDirectory() as folder:
        bad = [
            ({"cmd": "dance"}, "the command must be"),
            ({}, "cmd"),
            ({"cmd": "prepare"}, "mode"),
            ({"cmd": "prepare", "workload": {**BASE, "threads": 1, "hidden": 0}}, "hidden"),
            ({"cmd": "prepare", "workload": {**BASE, "threads": 1, "cell": "perceptron"}}, "cell"),
            ({"cmd": "prepare", "workload": {**BASE, "threads": 1, "hidden": 2**24, "input": 2**24}}, "numbers"),
            ({"cmd": "run", "repeat": 1, "inner": 1, "warmup": 0}, "prepared"),
            ({"cmd": "output", "file": os.path.join(folder, "no", "file")}, "prepared"),
        ]
        for command, word in bad:
            try:
                found = latchwork.ask(**command)
            except Trouble as trouble:
                found = (trouble.kind, trouble.text)
            checks.check(found[0] == "error" and word in found[1] if isinstance(found, tuple) else False,
                         f"a sentence answers {str(command)[:70]}", found)
    latchwork.prepare({**BASE, "threads": 1})
    checks.check(len(latchwork.run(2, 1, 0)) == 2, "the driver goes on")


def main(options):
    checks = Checks()
    latchwork = Driver("Latchwork", [os.path.join(options.build, "latchwork"), "bench", "serve"], 20.0)
    honest = fake("honest", 20.0)
    try:
        check_commands(checks, latchwork)
        check_answers(checks, latchwork, honest)
        check_dishonest(checks, latchwork, honest)
    except Trouble as trouble:
        checks.check(False, "the drivers run", f"{trouble.kind}: {trouble.text}")
    finally:
        latchwork.end()
        honest.end()
    print(f"{checks.failures} failed" if checks.failures else "all passed")
    return 1 if checks.failures else 0
