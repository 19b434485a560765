#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the checks share: the list of the project's files, C text without comments, and TAP lines.

Used by the check-*.py and check-*.sh beside it (`sources.py c` prints the C files, one a line, and `sources.py all` every file). The list comes
from git, with files not yet added but without ignored ones; a tree without git is walked.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = re.compile(r'^(\.git|\.venv|dist|build(-[^/]*)?|.*__pycache__|subprojects/[^/]+/)(/|$)')


def files():
    """The project's files as sorted paths relative to ROOT."""
    git = subprocess.run(['git', '-c', f'safe.directory={ROOT}', '-C', str(ROOT), 'ls-files', '-z', '--cached',
                          '--others', '--exclude-standard'], capture_output=True, check=False)
    if git.returncode == 0 and git.stdout:
        names = set(git.stdout.decode().split('\0'))
    else:
        names = set()
        for folder, folders, entries in os.walk(ROOT):
            here = Path(folder).relative_to(ROOT)
            folders[:] = [name for name in folders if not SKIPPED.match((here / name).as_posix())]
            names.update((here / name).as_posix() for name in entries)
    return [Path(name) for name in sorted(names) if name and not SKIPPED.match(name) and (ROOT / name).is_file()]


def c_files():
    return [path for path in files() if path.suffix in ('.c', '.h', '.cc', '.cpp', '.hpp')]


def read(path):
    return (ROOT / path).read_text(encoding='utf-8', errors='replace')


_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def strip_c(text, strings=True):
    """C text whose comments (and, if asked, strings) are blank, every line still at its place."""
    def blank(match):
        token = match.group(0)
        if token.startswith('/'):
            return ' ' + '\n' * token.count('\n')
        return '""' if strings and token.startswith('"') else token
    return _TOKEN.sub(blank, text)


class Tap:
    """Prints a line for each case and remembers whether one has failed."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def case(self, name, problems):
        """One case: passed when `problems` is empty; else each is printed below the line."""
        self.count += 1
        self.failed += bool(problems)
        print(f'{"not ok" if problems else "ok"} {self.count} - {name}')
        for problem in problems[:40]:
            print(f'#   {problem}')
        if len(problems) > 40:
            print(f'#   and {len(problems) - 40} more')

    def skip(self, name, reason):
        self.count += 1
        print(f'ok {self.count} - {name} # SKIP {reason}')

    def end(self):
        """Closes the plan; the exit status."""
        print(f'1..{self.count}')
        return 1 if self.failed or not self.count else 0


if __name__ == '__main__':
    if sys.argv[1:] not in (['c'], ['all']):
        sys.exit('usage: sources.py c|all')
    for source in c_files() if sys.argv[1] == 'c' else files():
        print(source)
