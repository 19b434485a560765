#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the library to what it shows: exactly the functions of latchwork.h, all named lw_*, and kernels without state.

Usage: tools/check-symbols.py LIBRARY.so [KERNEL_OBJECT ...]    (TAP on standard output; exit status 1 on a failure)
"""
import re
import subprocess
import sys
from pathlib import Path

import sources

DECLARED = re.compile(r'\bLW_API\b[^;{]*?\b(lw_\w+)\s*\(')


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def exported(library):
    """Names in the dynamic table, without versions."""
    for line in run('nm', '-D', '--defined-only', library).splitlines():
        kind, name = line.split()[-2:]
        if kind != 'A':
            yield name.split('@')[0]


def needed(library):
    for line in run('readelf', '-dW', library).splitlines():
        match = re.search(r'\((?:FLAGS|FLAGS_1)\).*?(\w[\w ]*)$', line)
        if match:
            yield from match.group(1).split()


def writable(objects):
    for path in objects:
        for line in run('objdump', '-h', path).splitlines():
            match = re.match(r'\s*\d+ (\.(?:data|bss|tdata|tbss)\S*)\s+([0-9a-f]+)', line)
            if match and int(match.group(2), 16) and not match.group(1).startswith('.data.rel.ro'):
                yield f'{path}: {match.group(1)} has {int(match.group(2), 16)} bytes'


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    library, objects = sys.argv[1], sys.argv[2:]
    tap = sources.Tap()
    shown = set(exported(library))
    header = sources.strip_c(sources.read(Path('include/latchwork.h')))
    declared = set(DECLARED.findall(header))
    tap.case(f'only lw_* is exported ({len(shown)} names)',
             sorted(name for name in shown if not name.startswith('lw_')) + ([] if shown else ['nothing is exported']))
    tap.case('every exported function is declared in latchwork.h',
             sorted(name for name in shown - declared if name.startswith('lw_')))
    tap.case('every function of latchwork.h is exported', sorted(declared - shown))
    tap.case('the library is never unloaded (-z nodelete)',
             [] if 'NODELETE' in set(needed(library)) else ['the flag NODELETE is not set'])
    if objects:
        tap.case(f'kernels have no variables ({len(objects)} objects)', list(writable(objects)))
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
