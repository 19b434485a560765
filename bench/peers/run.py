# SPDX-License-Identifier: Apache-2.0
"""Measures Latchwork beside its peers on the workloads of workloads.json and writes a table with the ratio of the best
peer's time to Latchwork's, as Markdown and as JSON. Every engine is a driver process (PROTOCOL.md); one that is missing,
crashes, hangs, answers rubbish or computes something else is named as such, and the run goes on.

    python bench/peers/run.py --build build --out build/peers.md
    python bench/peers/run.py --build build --only step --seconds 2 --driver RTNeural=/opt/rtneural_driver
    python bench/peers/run.py --build build --self-test
"""

import argparse
import json
import os
import platform
import shlex
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = ("PyTorch", "ONNX Runtime", "OpenVINO", "oneDNN")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", default="build", help="the build directory with the drivers in C (default: build)")
    parser.add_argument("--out", help="the Markdown table; the figures go beside it as .json (default: to the terminal)")
    parser.add_argument("--workloads", default=os.path.join(HERE, "workloads.json"), help="another file of workloads")
    parser.add_argument("--only", action="append", metavar="WORD", help="workloads whose name holds the word; repeatable")
    parser.add_argument("--peers", help=f"comma-separated choice of peers (default: {','.join(PEERS)})")
    parser.add_argument("--driver", action="append", default=[], metavar="NAME=COMMAND",
                        help="another engine, or another command for a known one; repeatable")
    parser.add_argument("--seconds", type=float, default=6.0, help="time for the rounds of one workload (default: 6)")
    parser.add_argument("--timeout", type=float, default=60.0, help="longest wait for one answer, in seconds (default: 60)")
    parser.add_argument("--threads", help="thread counts to try, comma-separated (default: 1 and all CPUs)")
    parser.add_argument("--list", action="store_true", help="print the names of the workloads and end")
    parser.add_argument("--self-test", action="store_true", help="check the harness with honest and dishonest engines")
    options = parser.parse_args()
    if not options.seconds > 0 or not options.timeout > 0:
        parser.error("--seconds and --timeout must be above 0")
    try:
        cpus = len(os.sched_getaffinity(0))
        options.counts = sorted({int(n) for n in options.threads.split(",")} if options.threads else {1, cpus})
    except ValueError:
        parser.error(f"--threads must be numbers with commas between them, not {options.threads}")
    if options.counts[0] < 1:
        parser.error("--threads must be 1 or more")
    return parser, options


def commands(parser, options):
    """(name, command) of each peer, in the order of the table."""
    known = {
        "PyTorch": [sys.executable, os.path.join(HERE, "torch_driver.py")],
        "ONNX Runtime": [sys.executable, os.path.join(HERE, "onnxruntime_driver.py")],
        "OpenVINO": [sys.executable, os.path.join(HERE, "openvino_driver.py")],
        "oneDNN": [os.path.join(options.build, "bench", "peers", "onednn_driver")],
    }
    chosen = PEERS if options.peers is None else tuple(name for name in options.peers.split(",") if name)
    for name in chosen:
        if name not in known:
            parser.error(f"no peer is called {name}: {', '.join(PEERS)}")
    result = {name: known[name] for name in chosen}
    for text in options.driver:
        name, equals, command = text.partition("=")
        if not name or not equals or not command.strip():
            parser.error(f"--driver must be NAME=COMMAND, not {text}")
        result[name] = shlex.split(command)
    if "Latchwork" in result:
        return list(result.items()), result.pop("Latchwork")
    return list(result.items()), [os.path.join(options.build, "latchwork"), "bench", "serve"]


def load_workloads(path):
    """The rows of the file, each workload complete."""
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    rows = []
    for row in content["workloads"]:
        workload = {**content["defaults"], **row["workload"]}
        rows.append({
            "name": row["name"],
            "regime": row["regime"],
            "workload": workload,
            "target": row.get("ratio"),
            "limit": row.get("limit"),
            "own": row.get("own", []),
            "own_targets": {own["name"]: own["ratio"] for own in row.get("own", [])},
        })
    return rows


def introduce(drivers, tell):
    """What each engine says of itself; one that is missing keeps the reason."""
    from driver import Trouble

    about = []
    for driver in drivers:
        try:
            about.append({"name": driver.name, **driver.info()})
            tell(f"{driver.name}: {about[-1]['version']} {about[-1]['details']}")
        except Trouble as trouble:
            reason = trouble.text if trouble.kind == "missing" else f"{trouble.kind}: {trouble.text}"
            about.append({"name": driver.name, "missing": reason})
            tell(f"{driver.name} is missing: {reason}")
        driver.pause()
    return about


def measure_rows(rows, latchwork, peers, about, own_command, options, tell):
    """Fills in each row's engines. Variants of Latchwork run in processes of their own."""
    from driver import Driver, Trouble
    from measure import Entry, measure

    missing = {engine["name"]: engine["missing"] for engine in about if "missing" in engine}
    for row in rows:
        entries = [Entry("Latchwork", latchwork, row["workload"])]
        variants = []
        for own in row["own"]:
            variants.append(Driver(own["name"], own_command, options.timeout))
            entries.append(Entry(own["name"], variants[-1], {**row["workload"], **own["change"]}, own))
        for peer in peers:
            entries.append(Entry(peer.name, peer, row["workload"]))
            if peer.name in missing:
                entries[-1].trouble = Trouble("missing", missing[peer.name])
        rounds = measure(entries, options.counts, options.seconds)
        for variant in variants:
            variant.end()
        row["rounds"] = rounds
        row["engines"] = [entry.result() for entry in entries]
        del row["own"]
        tell(f"{row['name']}: " + ", ".join(
            f"{e['engine']} {e['median_us']:.2f} us" if e["status"] == "ok" else f"{e['engine']} {e['status']}"
            for e in row["engines"]))


def ask_limits(latchwork, tell):
    from driver import Trouble

    try:
        return latchwork.ask(cmd="limits")
    except Trouble as trouble:
        tell(f"the machine's limits are not known: {trouble.text}")
        return None
    finally:
        latchwork.pause()


def compare_engines(rows, peer_commands, own_command, options, tell):
    """The whole run; returns what is written as JSON."""
    import table
    from driver import Driver

    latchwork = Driver("Latchwork", own_command, options.timeout)
    peers = [Driver(name, command, options.timeout) for name, command in peer_commands]
    try:
        about = introduce([latchwork] + peers, tell)
        limits = None if "missing" in about[0] else ask_limits(latchwork, tell)
        if "missing" not in about[0]:
            measure_rows(rows, latchwork, peers, about, own_command, options, tell)
    finally:
        for driver in [latchwork] + peers:
            driver.end()
    if "missing" in about[0]:
        raise SystemExit(f"run.py: Latchwork's own driver does not run: {about[0]['missing']}\n"
                         "        `make bench` builds it, or name the build directory with --build")
    for row in rows:
        table.judge(row, limits)
    machine = f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} CPUs"
    return {
        "machine": machine,
        "command": " ".join(["python", "bench/peers/run.py"] + [shlex.quote(a) for a in sys.argv[1:]]),
        "engines": about,
        "limits": limits,
        "rows": rows,
    }


def main():
    parser, options = arguments()
    if options.list:
        print("\n".join(row["name"] for row in load_workloads(options.workloads)))
        return 0
    try:
        import numpy  # noqa: F401 the outputs are compared with it
    except ImportError:
        sys.exit("run.py: numpy is needed: pip install -r bench/peers/requirements.txt")
    if options.self_test:
        import self_test

        return self_test.main(options)
    import table

    def tell(text):
        print(text, file=sys.stderr, flush=True)

    rows = load_workloads(options.workloads)
    if options.only:
        rows = [row for row in rows if any(word in row["name"] for word in options.only)]
    if not rows:
        parser.error(f"no workload's name holds {' or '.join(options.only or ['anything'])}; --list shows them")
    peer_commands, own_command = commands(parser, options)
    results = compare_engines(rows, peer_commands, own_command, options, tell)
    text = table.markdown(results)
    if not options.out:
        print(text, end="")
        return 0
    with open(options.out, "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.splitext(options.out)[0] + ".json", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    tell(f"written: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
