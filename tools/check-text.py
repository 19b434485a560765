#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looks at the text of every file of the project: its licence line, its length, and words that do not belong there.

Usage: tools/check-text.py    (TAP on standard output; exit status 1 when a case fails)
"""
import re
import sys

import sources

CODE = {'.c', '.h', '.cc', '.cpp', '.py', '.sh', '.build', '.options', '.ini', '.toml', '.yml', '.yaml'}
CODE_NAMES = {'Makefile', 'setup', 'run', 'run-tests', '.clang-format', '.editorconfig', '.gitignore'}
LONGEST = 600
MANUAL = 'include/latchwork.h'  # the one public header is read from top to end, however long
WIDEST = 120

# Each rule: what is said, the pattern. The patterns are written so that this file does not match them itself.
WORDS = [
    ('no notes of unfinished work', re.compile(r'\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b')),
    ('no paths of one machine', re.compile(r'(?<![\w.])/(?:work|root|home|Users|tmp/lw|opt/pypi)(?:/[\w.]|\b(?=/))|\bpy[e]nv\b')),
    ('no host names of package registries',
     re.compile(r'\b(?:deb|archive|security|files|registry|index|ports)\.[a-z0-9-]+\.(?:org|com|net|io)\b|'
                r'\bpy[p]i[.]org\b|\bartifact[-]?registry\b')),
    ('no numbers of issues', re.compile(r'\b[Ii]ssue #?\d+\b')),
]


def is_code(path):
    return path.suffix in CODE or path.name in CODE_NAMES


def is_text(data):
    return b'\0' not in data[:4096]


def main():
    tap = sources.Tap()
    texts = {}
    for path in sources.files():
        data = (sources.ROOT / path).read_bytes()
        if len(data) < 4_000_000 and is_text(data):
            texts[path] = data.decode('utf-8', errors='replace')
    code = {path: text for path, text in texts.items() if is_code(path)}

    tap.case(f'every source says its licence in the first lines ({len(code)} files)',
             [str(path) for path, text in code.items()
              if 'SPDX-License-Identifier: Apache-2.0' not in '\n'.join(text.split('\n')[:2])])
    tap.case(f'no source is longer than {LONGEST} lines',
             [f'{path}: {text.count(chr(10))} lines' for path, text in code.items()
              if text.count('\n') > LONGEST and str(path) != MANUAL])
    tap.case(f'no line of C is wider than {WIDEST} columns',
             [f'{path}:{number}: {len(line)} columns' for path, text in code.items() if path.suffix in ('.c', '.h', '.cc')
              for number, line in enumerate(text.split('\n'), 1) if len(line) > WIDEST])
    tap.case('no tabs outside the Makefile, no spaces at the ends of lines, a newline at the end',
             [f'{path}:{number}' for path, text in code.items()
              for number, line in enumerate(text.split('\n'), 1)
              if line != line.rstrip() or ('\t' in line and path.name != 'Makefile')] +
             [f'{path}: no newline at the end' for path, text in code.items() if text and not text.endswith('\n')])
    for name, pattern in WORDS:
        tap.case(name, [f'{path}:{number}: {line.strip()[:90]}' for path, text in texts.items()
                        if path.name != 'LICENSE'
                        for number, line in enumerate(text.split('\n'), 1) if pattern.search(line)])
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
