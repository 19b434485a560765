#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one of the fuzz targets in Python under atheris, libFuzzer's door to Python.

Usage: tests/fuzz/python/fuzz.py TARGET [OPTION OF LIBFUZZER ...] [FOLDER ...]
       tests/fuzz/python/fuzz.py --check     names the targets that can run, one a line
Called by tools/fuzz. The package must be installed for this interpreter; its Python code is instrumented, and with it
the module of ZIP archives, which the reader of Keras' files leans on.
"""
import random
import sys
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit('atheris is missing; tools/requirements-fuzz.txt says which (it has wheels for some versions of Python)')

sys.path.insert(0, str(Path(__file__).resolve().parent))
# Before the target itself is imported: what is imported first stays without instrumentation.
with atheris.instrument_imports(include=['latchwork', 'zipfile']):
    try:
        import latchwork.convert.keras
        import latchwork.convert.nam
        import latchwork.convert.rtneural
    except ImportError as error:
        sys.exit(f'the package is not installed for this interpreter (make package): {error}')
    try:
        import latchwork.convert.onnx_import
        import latchwork.onnx  # noqa: F401
    except ImportError:
        pass  # the targets of ONNX say so
from targets import TARGETS, missing  # noqa: E402


def main():
    if sys.argv[1:] == ['--check']:
        print('\n'.join(name for name in TARGETS if not missing(name)))
        return
    name = sys.argv[1] if len(sys.argv) > 1 else ''
    if name not in TARGETS:
        sys.exit(f'fuzz.py: there is no target {name!r}; there are {", ".join(TARGETS)}')
    if missing(name):
        sys.exit(f'fuzz.py: the target {name} needs {", ".join(missing(name))}')
    latchwork.set_threads(1)
    run, change, _ = TARGETS[name]

    def mutate(data, most, seed):
        changed = change(data, random.Random(seed), lambda part: atheris.Mutate(part, max(len(part) + 16, 64)))
        return changed if len(changed) <= most else atheris.Mutate(data, most)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
