#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the layers of the design: who may include whom, who may allocate, who may start threads.

Usage: tools/check-layers.py    (TAP on standard output; exit status 1 when a case fails)

A folder includes its own headers and what ALLOWED names; the rest of the rules are cases of their own below.
"""
import os.path
import re
import sys
from pathlib import Path, PurePosixPath

import sources

PUBLIC = 'include/latchwork.h'
KERNELS = 'simd/kernels.h'
PROTOCOL = 'bench/peers/protocol.h'
# The command's own arithmetic, which its tests take without the command.
STATISTICS = {'cli/bench/changes.h', 'cli/bench/judge.h', 'cli/bench/statistics.h'}
ALLOWED = {
    'include': set(),
    'simd': set(),
    'src': {PUBLIC, KERNELS},
    'backends': {PUBLIC},
    'cli': {PUBLIC, PROTOCOL},
    'examples': {PUBLIC},
    'python': {PUBLIC},
    'bench': {PUBLIC, KERNELS},
    'tests': {PUBLIC, KERNELS} | STATISTICS,
}
SIMD_SYSTEM = {'float.h', 'limits.h', 'math.h', 'stdbool.h', 'stddef.h', 'stdint.h', 'string.h', 'immintrin.h', 'arm_neon.h'}
PUBLIC_SYSTEM = {'stddef.h', 'stdint.h'}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
# Freeing is not listed: what a library hands over (a JSON text, a resolved path) is freed where it came from.
ALLOCATES = re.compile(r'\b(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|memalign|valloc|'
                       r'strdup|strndup|asprintf|vasprintf|getline|getdelim|open_memstream|alloca|mmap)\b\s*\(')
OPENMP = re.compile(r'#\s*pragma\s+omp\b|_Pragma\s*\(\s*"omp\b|\bomp_\w+\s*\(|\bomp\.h\b')
THREADS = re.compile(r'\b(pthread_create|thrd_create|clone|fork)\s*\(')
LOOP_WORDS = re.compile(r'\blw_kernels\b|\bkernels\s*->|\blw_cell_(?:lstm|gru|rnn|dense)\b|\bLW_(?:LSTM|GRU|RNN|DENSE)\b')


class Tree:
    """The C files, and for each what it includes as (line, file of the project or None, name as written)."""

    def __init__(self):
        self.paths = {path.as_posix() for path in sources.c_files()}
        self.text = {path: sources.read(Path(path)) for path in sorted(self.paths)}
        self.includes = {path: list(self.find_includes(path)) for path in self.text}

    def find_includes(self, path):
        code = sources.strip_c(self.text[path], strings=False)
        for match in INCLUDE.finditer(code):
            line = code.count('\n', 0, match.start(2)) + 1
            yield line, self.resolve(path, match.group(2)), match.group(2)

    def resolve(self, path, name):
        beside = os.path.normpath(PurePosixPath(path).parent / name)
        top = PurePosixPath(path).parts[0]
        for candidate in (beside, f'include/{name}', f'simd/{name}', f'{top}/{name}', f'src/{name}', name):
            if candidate in self.paths:
                return candidate
        return None

    def inside(self, *folders):
        return [path for path in self.text if path.split('/')[0] in folders]


def folder_problems(tree, folder):
    for path in tree.inside(folder):
        for line, target, name in tree.includes[path]:
            if target and target.split('/')[0] != folder and target not in ALLOWED[folder] and not (
                    path.startswith('tests/fuzz/') and target.startswith('cli/')):  # readers that have no other door
                yield f'{path}:{line}: includes {target}'
            elif not target and ('/' in name and name.startswith('.')):
                yield f'{path}:{line}: includes {name}, which is not in the tree'


def system_problems(tree, paths, allowed):
    for path in paths:
        for line, target, name in tree.includes[path]:
            if not target and name not in allowed:
                yield f'{path}:{line}: includes <{name}>'


def word_problems(tree, paths, pattern, strings):
    for path in paths:
        code = sources.strip_c(tree.text[path], strings=strings)
        for match in pattern.finditer(code):
            yield f'{path}:{code.count(chr(10), 0, match.start()) + 1}: {match.group(0).strip()}'


def cell_problems(tree):
    for path in tree.inside('src'):
        name = PurePosixPath(path).stem
        if not name.startswith('cell_'):
            continue
        for line, target, _ in tree.includes[path]:
            other = PurePosixPath(target or '').stem
            if other.startswith('cell_') and other != name:
                yield f'{path}:{line}: includes {target}'


def loop_problems(tree):
    """They may hold a step that a cell fills (cell.h declares it), but never look at a kernel or a kind of cell."""
    loops = [path for path in ('src/forward.c', 'src/walk.c', 'src/backward.c') if path in tree.text]
    if not loops:
        yield 'src/forward.c is not there'
    for path in loops:
        for line, target, _ in tree.includes[path]:
            if target == KERNELS or PurePosixPath(target or '').name.startswith('cell_'):
                yield f'{path}:{line}: includes {target}'
    yield from word_problems(tree, loops, LOOP_WORDS, True)


def text_problems(tree):
    """Kernel texts and the vector vocabulary are compiled through kernels.c alone."""
    for path in tree.text:
        for line, target, _ in tree.includes[path]:
            if target and target.startswith('simd/') and target != KERNELS and not path.startswith('simd/'):
                yield f'{path}:{line}: includes {target}'


def private_problems(tree):
    for path in tree.text:
        for line, target, _ in tree.includes[path]:
            name = PurePosixPath(target or '').name
            if name.endswith('.c'):
                yield f'{path}:{line}: includes the source {target}'
            if name.startswith('api') and not PurePosixPath(path).name.startswith('api'):
                yield f'{path}:{line}: includes {target}'


def global_problems(tree, paths):
    """Objects at file scope or static inside a function that are not const."""
    pattern = re.compile(r'^(?:[ \t]*static|(?:extern|_Thread_local|int|float|double|size_t|char|unsigned|struct \w+)\b)'
                         r'(?![^\n;={]*\bconst\b)[^\n;(){}]*(?:;|=[^\n]*)$', re.MULTILINE)
    for path in paths:
        code = sources.strip_c(tree.text[path])
        for match in pattern.finditer(code):
            yield f'{path}:{code.count(chr(10), 0, match.start()) + 1}: {match.group(0).strip()[:80]}'


def main():
    tap = sources.Tap()
    tree = Tree()
    for folder in ALLOWED:
        others = ' and '.join(sorted(ALLOWED[folder])) or 'nothing else'
        if tree.inside(folder):
            tap.case(f'{folder}/ includes its own headers and {others}', list(folder_problems(tree, folder)))
    library = tree.inside('simd', 'src')
    simd = tree.inside('simd')
    tap.case('simd/ includes of the system only numbers and intrinsics', list(system_problems(tree, simd, SIMD_SYSTEM)))
    tap.case('simd/ has no variables', list(global_problems(tree, simd)))
    tap.case('latchwork.h needs only sizes and integers', list(system_problems(tree, [PUBLIC], PUBLIC_SYSTEM)))
    tap.case('kernel texts and vectors stay inside simd/', list(text_problems(tree)))
    tap.case('a cell never includes another cell', list(cell_problems(tree)))
    tap.case('forward.c, walk.c and backward.c name neither kernels nor cells', list(loop_problems(tree)))
    tap.case("nobody includes the API's inside or a .c file", list(private_problems(tree)))
    tap.case('OpenMP only in src/parallel.c',
             list(word_problems(tree, [p for p in library if p != 'src/parallel.c'], OPENMP, False)))
    tap.case('threads and processes start only in src/parallel.c',
             list(word_problems(tree, [p for p in library if p != 'src/parallel.c'], THREADS, True)))
    tap.case('memory only in src/arena.c',
             list(word_problems(tree, [p for p in library if p != 'src/arena.c'], ALLOCATES, True)))
    return tap.end()


if __name__ == '__main__':
    sys.exit(main())
