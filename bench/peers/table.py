# SPDX-License-Identifier: Apache-2.0
"""Ratios, shares of the machine's limits, and the table as Markdown. Called by run.py on the results of measure.py."""

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
WORDS = {
    "missing": "missing",
    "unsupported": "not offered",
    "error": "failed",
    "rubbish": "answered rubbish",
    "crashed": "crashed",
    "timeout": "hung",
    "differs": "wrong answers",
}


def shape_of(w):
    parts = [w["cell"].upper()] if w["cell"] != "lstm" else []
    parts += [f"T{w['steps']}"] if w["mode"] == "sequence" else []
    parts += [f"{w['batch']} streams of" if w["mode"] == "streams" else f"B{w['batch']}", f"I{w['input']} H{w['hidden']}"]
    parts += [f"L{w['layers']}"] if w["layers"] > 1 else []
    parts += ["bidirectional"] if w["direction"] == "bidirectional" else []
    parts += ["lengths 1..T"] if w["lengths"] is not None else []
    parts += ["+ dense"] if w["dense"] else []
    return " ".join(parts)


def parameters(w):
    """(of all input parts and the head, of all recurrent parts), biases left out."""
    d = 2 if w["direction"] == "bidirectional" else 1
    rows = d * GATES[w["cell"]] * w["hidden"]
    inputs = rows * (w["input"] + (w["layers"] - 1) * d * w["hidden"]) + d * w["hidden"] * w["dense"]
    return inputs, rows * w["hidden"] * w["layers"]


def holding_level(size, threads, limits):
    """The nearest level that holds `size` bytes split over `threads`."""
    if size / threads <= limits["l1_bytes"]:
        return "L1"
    if size / threads <= limits["l2_bytes"]:
        return "L2"
    return "L3" if size <= limits["l3_bytes"] else "DRAM"


def share_of_limit(workload, kind, threads, median_us, limits):
    """(share, which limit) or None where the machine's limit is not known. A step must read all weights; in a sequence
    the input part of all steps can be one product, so only the recurrent weights of each step count. A share above 1
    means that a part of the weights stayed in a nearer level than the one that holds all of them."""
    inputs, recurrent = parameters(workload)
    seconds = median_us * 1e-6
    if kind == "peak":
        rows = workload["batch"] * (workload["steps"] if workload["mode"] == "sequence" else 1)
        limit = limits["flops_per_second"].get(str(threads), 0)
        return (2.0 * (inputs + recurrent) * rows / seconds / limit, "FMA peak") if limit else None
    level = holding_level(4 * (inputs + recurrent), threads, limits)
    steps = workload["steps"] if workload["mode"] == "sequence" else 1
    read = 4 * (recurrent * steps if workload["mode"] == "sequence" else inputs + recurrent)
    limit = limits["bytes_per_second"][level].get(str(threads), 0)
    return (read / seconds / limit, level) if limit else None


def judge(row, limits):
    """Adds best_peer, ratio, own_ratios and share to a row of results."""
    latchwork = row["engines"][0]
    if latchwork["status"] != "ok":
        return
    ours = latchwork["median_us"]
    peers = [e for e in row["engines"][1:] if e["status"] == "ok" and not e["own"]]
    if peers:
        best = min(peers, key=lambda e: e["median_us"])
        row["best_peer"] = best["engine"]
        row["ratio"] = best["median_us"] / ours
    row["own_ratios"] = {e["engine"]: e["median_us"] / ours for e in row["engines"] if e["own"] and e["status"] == "ok"}
    if row["limit"] and limits:
        share = share_of_limit(row["workload"], row["limit"]["kind"], latchwork["threads"], ours, limits)
        if share:
            row["share"], row["share_of"] = share


def number(us):
    return f"{us:,.2f}" if us < 10 else f"{us:,.1f}" if us < 1000 else f"{us:,.0f}"


def time_cell(engine, brief=False):
    if engine["status"] != "ok":
        return WORDS[engine["status"]]
    median = number(engine["median_us"])
    return f"{median} ({engine['threads']})" if brief else (
        f"{median} ({engine['threads']})<br>{number(engine['p5_us'])} – {number(engine['p95_us'])}"
    )


def mark(value, target):
    if target is None:
        return ""
    return " ✓" if value >= target else " **short**"


def ratio_cell(row):
    if "ratio" not in row:
        return "–"
    return f"{row['ratio']:.2f} ({row['best_peer']}){mark(row['ratio'], row['target'])}"


def share_cell(row):
    if not row["limit"]:
        return "–"
    if "share" not in row:
        return "not known"
    wanted = row["limit"]["share"]
    return f"{row['share']:.2f} of {row['share_of']} (≥ {wanted}){mark(row['share'], wanted)}"


def own_cell(row):
    cells = []
    for name, target in row["own_targets"].items():
        value = row.get("own_ratios", {}).get(name)
        cells.append(f"{name}: " + ("–" if value is None else f"{value:.2f} (≥ {target}){mark(value, target)}"))
    return "<br>".join(cells) or "–"


def limits_text(limits):
    lines = []
    for threads, flops in limits["flops_per_second"].items():
        reads = ", ".join(
            f"{level} {by[threads] * 1e-9:.0f}" if by[threads] else f"{level} not known"
            for level, by in limits["bytes_per_second"].items()
        )
        lines.append(f"- {threads} thread{'s' if threads != '1' else ''}: FMA peak {flops * 1e-9:.0f} GFLOP/s; "
                     f"reading, GB/s: {reads}")
    return lines


def markdown(results):
    names = [engine["name"] for engine in results["engines"]]
    peers = names[1:]
    lines = ["# Latchwork beside its peers", ""]
    lines += [f"Machine: {results['machine']}. Command: `{results['command']}`", ""]
    lines += ["Engines:", ""]
    for engine in results["engines"]:
        about = engine.get("missing") and f"**missing**: {engine['missing']}" or (
            ", ".join(filter(None, (engine.get("version"), engine.get("details"))))
        )
        lines.append(f"- {engine['name']}: {about}")
    if results["limits"]:
        lines += ["", "Limits of the machine, measured in the same run:", ""] + limits_text(results["limits"])
    lines += ["", "Medians in µs (threads: the better count of each engine), below them the 5th and 95th percentile; "
              "ratio: best peer / Latchwork. Of the limit: the FMA peak, or the reading bandwidth of the nearest level that "
              "holds all weights (above 1: a part of them stayed nearer). LSTM unless said.", ""]
    head = ["regime", "shape", "Latchwork"] + peers + ["ratio", "to reach", "of the limit", "against itself"]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    notes = []
    for row in results["rows"]:
        by_name = {engine["engine"]: engine for engine in row["engines"]}
        cells = [row["regime"], shape_of(row["workload"]), time_cell(by_name[names[0]])]
        cells += [time_cell(by_name[name], brief=True) for name in peers]
        cells += [ratio_cell(row), f"≥ {row['target']}" if row["target"] else "–", share_cell(row), own_cell(row)]
        lines.append("| " + " | ".join(cells) + " |")
        notes += [
            f"- {row['name']}, {engine['engine']}: {WORDS[engine['status']]}: {engine['text']}"
            for engine in row["engines"]
            if engine["status"] not in ("ok", "missing")
        ]
    if notes:
        lines += ["", "What did not run:", ""] + notes
    return "\n".join(lines).replace("|  |", "| |") + "\n"
