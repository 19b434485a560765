# SPDX-License-Identifier: Apache-2.0
"""Latchwork beside PyTorch in one process: whichever comes first, there is one OpenMP runtime, both work, and PyTorch's
flushing of denormals changes results in PyTorch's way alone: the same on any number of threads."""
import importlib.util
import subprocess
import sys

import pytest
from package_case import lw  # noqa: F401  the package must be installed

BOTH = '''
import re, sys
import numpy as np
for name in sys.argv[1:]:
    __import__(name)
import latchwork as lw, torch

model = lw.Model([lw.LSTM(60, 200)], threads=2)
model.initialise(1)
x = np.random.default_rng(1).standard_normal((6, 40, 60)).astype(np.float32)
alone = lw.Model([lw.LSTM(60, 200)], threads=1)
alone.initialise(1)

def both():
    a = torch.randn(300, 300)
    assert torch.isfinite(a @ a).all()
    return model(x), alone(x)

torch.set_num_threads(2)
shared, serial = both()
assert (shared == serial).all()
if torch.set_flush_denormal(True):
    tiny = x * np.float32(1e-41)
    for net in (model, alone):
        net(tiny)
    assert (model(tiny) == alone(tiny)).all(), 'threads differ in how they treat denormals'
    assert torch.set_flush_denormal(False)
again, _ = both()
assert (again == shared).all(), 'the mode of before was not restored'
runtimes = set(re.findall(r'/\\S*lib(?:gomp|omp|iomp5)\\b\\S*', open('/proc/self/maps').read()))
print(len(runtimes), *sorted(runtimes))
'''


@pytest.mark.skipif(sys.platform != 'linux', reason='reads the list of mapped files')
@pytest.mark.skipif(importlib.util.find_spec('torch') is None, reason='PyTorch is not installed')
@pytest.mark.parametrize('order', [('latchwork', 'torch'), ('torch', 'latchwork')])
def test_one_openmp_runtime_whoever_comes_first(order):
    done = subprocess.run([sys.executable, '-c', BOTH, *order], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[0] == '1', f'OpenMP runtimes in one process: {done.stdout}'
