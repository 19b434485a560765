# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command share: where it is, how it is run, and models to run.

LW_BUILD names the build folder (default: build, beside the tests' own tree).
"""
import hashlib
import json
import os
import pathlib
import signal
import subprocess

import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
GATES = {'lstm': 4, 'gru': 3, 'rnn': 1}
BOTH = ('', '_reverse')

# Whoever runs the tests in the background ignores the signal, every child would inherit that, and the command keeps it.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Result:
    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr.decode(errors='replace')
        self.text = self.out.decode(errors='replace')

    def json(self):
        return json.loads(self.out)


class Command:
    def __init__(self, path):
        self.path = path

    def __call__(self, *args, stdin=b'', env=None, cwd=None):
        """Runs the command whatever comes of it; a signal shows as a negative code."""
        done = subprocess.run([self.path, *map(str, args)], input=stdin, capture_output=True, timeout=120, cwd=cwd,
                              env={**os.environ, **(env or {})})
        return Result(done)

    def good(self, *args, **options):
        result = self(*args, **options)
        assert result.code == 0, (args, result.code, result.err)
        assert result.err == '', result.err
        return result

    def bad(self, code, *args, **options):
        """A refusal: that exit code, one sentence on stderr, nothing on stdout."""
        result = self(*args, **options)
        assert result.code == code, (args, result.code, result.err, result.text)
        assert result.err.startswith('latchwork: ') and result.err.count('\n') == 1, result.err
        assert result.out == b''
        return result.err


@pytest.fixture(scope='session')
def latchwork():
    path = pathlib.Path(os.environ.get('LW_BUILD', ROOT / 'build')).resolve() / 'latchwork'
    if not path.exists():
        pytest.fail(f'there is no command at {path}; build it or set LW_BUILD')
    return Command(str(path))


@pytest.fixture(scope='session')
def isas(latchwork):
    found = [entry['name'] for entry in latchwork.good('info', '--json').json()['instruction_sets'] if entry['supported']]
    assert 'scalar' in found
    return found


def make_weights(kind, inputs, hidden, layers=1, directions=('',), projection=0, seed=0, prefix='', scale=0.5):
    """A PyTorch state_dict of that module, as numpy arrays."""
    rng = np.random.default_rng(seed)
    rows, back = GATES[kind] * hidden, projection or hidden
    weights = {}
    for layer in range(layers):
        width = inputs if layer == 0 else back * len(directions)
        for suffix in directions:
            shapes = {'weight_ih': (rows, width), 'weight_hh': (rows, back), 'bias_ih': (rows,), 'bias_hh': (rows,)}
            if projection:
                shapes['weight_hr'] = (projection, hidden)
            for name, shape in shapes.items():
                values = rng.normal(0, scale, shape).astype(np.float32)
                weights[f'{prefix}{name}_l{layer}{suffix}'] = values
    return weights


def save_model(path, weights, bricks=None):
    """With `bricks`, in the native form; without, as a plain state_dict."""
    metadata = None
    if bricks:
        metadata = {'format': 'latchwork', 'latchwork': json.dumps({'version': 1, 'bricks': bricks})}
    save_file(weights, str(path), metadata=metadata)
    return path


def normal(*shape, seed=1):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def save(path, array):
    np.save(path, array)
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def lstm(tmp_path):
    """Two layers, 3 in, 5 out, as a state_dict: (path, weights)."""
    weights = make_weights('lstm', 3, 5, layers=2)
    return save_model(tmp_path / 'lstm.safetensors', weights), weights


@pytest.fixture
def bidirectional(tmp_path):
    weights = make_weights('lstm', 3, 5, directions=BOTH)
    return save_model(tmp_path / 'both.safetensors', weights), weights


@pytest.fixture
def native(tmp_path):
    """GRU 2 -> 6, dense 6 -> 3 with a sigmoid, and a tensor of the application's own."""
    weights = make_weights('gru', 2, 6, prefix='gru.')
    weights |= {'head.weight': normal(3, 6, seed=7), 'head.bias': normal(3, seed=8), 'window': normal(4, 2, seed=9)}
    bricks = [{'kind': 'gru', 'name': 'gru', 'input': 2, 'hidden': 6, 'layers': 1},
              {'kind': 'dense', 'name': 'head', 'input': 6, 'output': 3, 'function': 'sigmoid'}]
    return save_model(tmp_path / 'native.safetensors', weights, bricks), weights
