# SPDX-License-Identifier: Apache-2.0
"""`latchwork convert` and `python -m latchwork.convert`: one file in, one file out.

Exit status: 0 done (and, with --verify, agreed); 1 refused, with one sentence on the error stream; 2 wrong usage;
3 written, but the results differ or there was nothing to compare them with.
"""
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Optional

from .. import GRU, LSTM, RNN, Dense
from .. import load as load_model
from .formats import FORMATS, SOURCES, load, save, source_format, target_format
from .model import Converted, take_apart
from .verify import TOLERANCE, Difference, Unavailable, verify_source, verify_target


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="latchwork convert",
        description="Converts a model from or for another tool. The formats follow from the names: "
        + ", ".join(SOURCES)
        + " are read, .safetensors (Latchwork's own), .onnx and .json (RTNeural) are written.",
    )
    parser.add_argument("source", help="the file to read")
    parser.add_argument("target", help="the file to write")
    parser.add_argument("--to", choices=FORMATS, help="the format, if the name does not say it (torch: a state_dict)")
    parser.add_argument("--last", action="store_true", help="an ONNX file that answers once a sequence")
    parser.add_argument("--external-data", action="store_true", help="let an ONNX file keep data in files beside it")
    parser.add_argument("--verify", action="store_true", help="run both sides, where the other tool is installed")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser.parse_args(argv)


def _describe(converted: Converted) -> str:
    parts = []
    for brick in take_apart(converted).bricks:
        sizes = f" {brick.input}->{brick.output}" if isinstance(brick, Dense) else ""
        if isinstance(brick, (LSTM, GRU, RNN)):
            layers = f" x{brick.layers}" if brick.layers > 1 else ""
            side = "" if brick.direction == "forward" else f" {brick.direction}"
            sizes = f" {brick.input}->{brick.hidden}{layers}{side}"
        parts.append(f"{brick.kind}{sizes}" if sizes else str(getattr(brick, "function", brick.kind)))
    return ", ".join(parts)


def _verify(arguments: argparse.Namespace, converted: Converted, kind: str, say: Callable[[str], None]) -> bool:
    """Both ends where they belong to another tool; True when something was compared and all of it agreed."""
    checks: list[tuple[str, Callable[[], Difference]]] = []
    if source_format(arguments.source) != "native":
        checks.append((arguments.source, lambda: verify_source(converted, arguments.source)))
    if kind != "native":
        checks.append((arguments.target, lambda: verify_target(converted, arguments.target, kind, arguments.last)))
    good = bool(checks)
    if not checks:
        print("latchwork convert: not verified: both files are Latchwork's own", file=sys.stderr)
    for name, check in checks:
        try:
            found = check()
        except Unavailable as reason:
            print(f"latchwork convert: {name}: not verified: {reason}", file=sys.stderr)
            good = False
            continue
        verdict = "agrees" if found.good else f"DIFFERS by more than {TOLERANCE:g}"
        say(f"{name}: {found.tool} {verdict}: worst difference {found.worst:.3g} in {found.values} values")
        good = good and found.good
    return good


def _convert(arguments: argparse.Namespace) -> int:
    def say(text: str) -> None:
        if not arguments.quiet:
            print(text)

    kind = target_format(arguments.target, arguments.to)
    if os.path.exists(arguments.target) and os.path.samefile(arguments.source, arguments.target):
        raise ValueError(f"{arguments.target}: the source and the target are the same file")
    converted = load(arguments.source, arguments.external_data)
    notes = save(converted, arguments.target, arguments.to, arguments.last)
    if kind == "native":
        load_model(arguments.target)
    say(f"{arguments.target}: {_describe(converted)}, {Path(arguments.target).stat().st_size} bytes")
    if converted.last and kind != "onnx":
        say("  the original answers once a sequence: call the model with last=True")
    for note in (*converted.notes, *notes):
        say(f"  {note}")
    if not arguments.verify:
        return 0
    return 0 if _verify(arguments, converted, kind, say) else 3


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = _arguments(argv)
    try:
        return _convert(arguments)
    except (OSError, ValueError, TypeError, NotImplementedError, ImportError, MemoryError) as error:
        sentence = str(error) or type(error).__name__
        print(f"latchwork convert: {' '.join(sentence.split())}", file=sys.stderr)
        return 1
