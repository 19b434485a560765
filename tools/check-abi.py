#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the binary interface to what programs were built against: nothing is removed, moved or changed between releases.

Usage: tools/check-abi.py [--write]     (TAP on standard output; exit status 1 on a failure)

tests/abi/latchwork.txt describes the interface of the last release: a line for each function with its types, each
structure with its size, each field with its place, size and type, each enumerator and macro with its value. The compiler
measures them. New lines may come, and a structure that begins with its `size` may grow at its end; whatever else
differs is a break. --write makes the description of now the one to keep: at a release, and before the first one.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import sources

HEADER = Path('include/latchwork.h')
KEPT = sources.ROOT / 'tests/abi/latchwork.txt'
STRUCT = re.compile(r'typedef struct (lw_\w+) \{(.*?)\} \1;', re.DOTALL)
ENUM = re.compile(r'typedef enum (lw_\w+) \{(.*?)\}', re.DOTALL)
FUNCTION = re.compile(r'\bLW_API\b(?!\s*(?:__|\n))([^;{}]*?\blw_\w+\s*\([^;]*\));')
CALLBACK = re.compile(r'typedef ([^;{}]*?\(\*lw_\w+\)\([^;]*\));')
MACRO = re.compile(r'^#define (LW_[A-Z_0-9]+) (\(?\(?.*[0-9].*)$', re.MULTILINE)


def squeeze(text):
    return re.sub(r'\s+', ' ', text).strip()


def fields(body):
    """(declaration, name) of each field; one declaration may hold several names."""
    for declaration in body.split(';'):
        declaration = squeeze(declaration)
        if not declaration:
            continue
        first, *others = declaration.split(',')
        name = re.search(r'(\w+)(?:\s*\[[^]]*\])*$', first).group(1)
        yield declaration, name
        for other in others:
            yield declaration, re.search(r'(\w+)(?:\s*\[[^]]*\])*$', other.strip()).group(1)


def program(text):
    """A program that prints what only the compiler knows."""
    lines = ['#include <latchwork.h>', '#include <stdio.h>', 'int main(void) {']

    def say(form, *values):
        lines.append(f'printf("{form}\\n", {", ".join(values)});')

    for name, body in STRUCT.findall(text):
        say(f'struct {name} %zu', f'sizeof({name})')
        for declaration, field in fields(body):
            member = f'(({name} *)0)->{field}'
            say(f'field {name}.{field} at %zu, %zu bytes: {declaration}', f'offsetof({name}, {field})',
                f'sizeof({member})')
    for name, body in ENUM.findall(text):
        say(f'enum {name} %zu', f'sizeof({name})')
        for item in body.split(','):
            word = re.match(r'\s*(LW_\w+)', item)
            if word:
                say(f'value {word.group(1)} %lld', f'(long long){word.group(1)}')
    for name, _ in MACRO.findall(text):
        if not name.startswith('LW_VERSION') and not name.endswith('_INIT'):
            say(f'value {name} %llu', f'(unsigned long long){name}')
    return '\n'.join(lines + ['return 0;', '}', ''])


def description():
    text = sources.strip_c(sources.read(HEADER))
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, 'abi.c'), Path(folder, 'abi')
        source.write_text(program(text))
        subprocess.run([*os.environ.get('CC', 'cc').split(), '-std=c17', f'-I{sources.ROOT / "include"}', str(source),
                        '-o', str(binary)], check=True)
        lines = subprocess.run([str(binary)], capture_output=True, text=True, check=True).stdout.splitlines()
    lines += [f'function {squeeze(match)}' for match in FUNCTION.findall(text)]
    lines += [f'callback {squeeze(match)}' for match in CALLBACK.findall(text)]
    return sorted(set(lines))


def broken(kept, now):
    """The kept lines that no longer hold."""
    sizes = {words[1]: int(words[2]) for words in (line.split() for line in now) if words[0] == 'struct'}
    open_ended = {line.split()[1].partition('.')[0] for line in now
                  if re.match(r'field \w+\.size at 0, .*: size_t size$', line)}
    for line in kept:
        words = line.split()
        if line in now:
            continue
        if words[0] == 'struct' and words[1] in open_ended and sizes.get(words[1], 0) >= int(words[2]):
            continue
        yield line


def main():
    now = description()
    if sys.argv[1:] == ['--write']:
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text('\n'.join(now) + '\n')
        return 0
    if sys.argv[1:]:
        sys.exit(__doc__)
    tap = sources.Tap()
    kept = KEPT.read_text().splitlines()
    for kind in ('function', 'callback', 'struct', 'field', 'enum', 'value'):
        lines = [line for line in kept if line.startswith(kind + ' ')]
        tap.case(f'{len(lines)} lines of kind {kind}',
                 [f'gone or changed: {line}' for line in broken(lines, now)] if lines else ['there are none'])
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
