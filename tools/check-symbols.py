#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the library to what it shows: exactly the functions of latchwork.h, all named lw_*, kernels without state, and
a shared object that gives an attacker no writable code, no writable tables and no executable stack.

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


def flags(library):
    """The words of FLAGS and FLAGS_1, and the names of the dynamic entries, TEXTREL and RPATH among them."""
    for line in run('readelf', '-dW', library).splitlines():
        entry = re.match(r'\s*0x[0-9a-f]+ \((\w+)\)\s*(.*)$', line)
        if entry:
            yield entry.group(1)
            if entry.group(1) in ('FLAGS', 'FLAGS_1'):
                yield from re.sub('Flags:', '', entry.group(2)).split()


def segments(library):
    """Type and flags of each segment: ('GNU_STACK', 'RW')."""
    for line in run('readelf', '-lW', library).splitlines():
        segment = re.match(r'\s+([A-Z_]+)\s+(?:0x[0-9a-f]+\s+){5}([RWE ]{3})', line)
        if segment:
            yield segment.group(1), segment.group(2).replace(' ', '')


def weaknesses(library):
    """What a hardened shared object does not have."""
    here, parts = set(flags(library)), dict(segments(library))
    if not {'BIND_NOW', 'NOW'} & here:
        yield 'symbols are bound late: -z now is missing'
    if 'GNU_RELRO' not in parts:
        yield 'its tables stay writable: -z relro is missing'
    if 'E' in parts.get('GNU_STACK', 'E'):
        yield 'it asks for an executable stack'
    yield from (f'segment {kind} is writable and executable' for kind, rights in segments(library)
                if 'W' in rights and 'E' in rights)
    if 'TEXTREL' in here:
        yield 'its code is changed at load (text relocations)'


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
             [] if 'NODELETE' in set(flags(library)) else ['the flag NODELETE is not set'])
    tap.case('a hardened shared object', list(weaknesses(library)))
    tap.case('no static thread-local storage, of which a process has little left for libraries opened late',
             ['the flag STATIC_TLS is set'] if 'STATIC_TLS' in set(flags(library)) else [])
    if objects:
        tap.case(f'kernels have no variables ({len(objects)} objects)', list(writable(objects)))
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
