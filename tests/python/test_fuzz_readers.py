# SPDX-License-Identifier: Apache-2.0
"""The fuzz targets of tests/fuzz/python without their engine: seeds, what fuzzing has found, mutations of a fixed seed.

What the engine would do for hours, `make fuzz` does for minutes; here each target takes a second or two.
"""
import json
import os
import pathlib
import random
import resource
import sys
import time

import pytest

FUZZ = pathlib.Path(__file__).resolve().parents[1] / 'fuzz'
sys.path.insert(0, str(FUZZ / 'python'))
pytest.importorskip('latchwork', reason='the package is not installed: pip install .')
import changes  # noqa: E402
import seeds  # noqa: E402
import targets  # noqa: E402

MUTATIONS = 600
LONGEST = 10 * int(os.environ.get('PATIENCE', '1'))  # seconds of one input
MOST_KIB = 1 << 20  # that a target may add to the process


@pytest.fixture(scope='module', params=targets.TARGETS)
def target(request):
    """A target that can run here, with its name, its seeds and how it changes them."""
    lacking = targets.missing(request.param)
    if lacking:
        pytest.skip(f'needs {", ".join(lacking)}')
    run, change, _ = targets.TARGETS[request.param]
    return request.param, run, change, list(seeds.SEEDS[request.param]())


@pytest.fixture
def outcomes(monkeypatch):
    """How each call of a reader ended."""
    ends, real = [], targets.refused

    def refused(call, *arguments, **options):
        result = real(lambda *given: (call(*given), True), *arguments, **options)
        ends.append('refused' if result is None else 'done')
        return result and result[0]

    monkeypatch.setattr(targets, 'refused', refused)
    return ends


def timed(run, data):
    before = time.monotonic()
    run(data)
    assert time.monotonic() - before < LONGEST, f'an input of {len(data)} bytes took {time.monotonic() - before:.0f} s'


def test_most_seeds_are_models(target, outcomes):
    _, run, _, inputs = target
    for data in inputs:
        timed(run, data)
    assert len(inputs) > 2 and outcomes.count('done') > 2 / 3 * len(outcomes), outcomes


def test_what_fuzzing_has_found(target):
    name, run, _, _ = target
    for path in sorted((FUZZ / 'found' / name).glob('*')):
        timed(run, path.read_bytes())


def test_mutations_of_the_seeds(target, outcomes):
    name, run, change, inputs = target
    rng, before = random.Random(name), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(MUTATIONS):
        data = rng.choice(inputs)
        for _ in range(rng.choice([1, 1, 2, 4])):
            data = change(data, rng, lambda part: changes.blind(part, rng))
        timed(run, data)
    # Some still load, some are refused: the changes neither leave everything whole nor break all of it.
    assert min(outcomes.count('done'), outcomes.count('refused')) > MUTATIONS / 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KIB


def test_a_foreign_exception_is_a_finding(monkeypatch):
    """The targets tell a refusal from what the interpreter, or a library, raised on its own."""
    data = (seeds.GOLDEN / 'nam_lstm.nam').read_bytes()
    targets.nam(data)
    targets.nam(json.dumps({**json.loads(data), 'architecture': 'WaveNet'}).encode())
    monkeypatch.setattr('latchwork.convert.nam.numbers', lambda *given: int('no number'))
    with pytest.raises(targets.Finding, match='ValueError by another: invalid literal'):
        targets.nam(data)
    monkeypatch.setattr('latchwork.convert.nam.numbers', lambda *given: [][1])
    with pytest.raises(IndexError):
        targets.nam(data)
