# SPDX-License-Identifier: Apache-2.0
"""What the tests of the execution provider share: the provider itself, and sessions with it and without.

LW_BUILD names the build folder (default: build, beside the tests' own tree); without the provider's library in it, or
without onnx and onnxruntime, the tests that import this are skipped.
"""
import importlib.util
import os
import pathlib

import pytest

onnx = pytest.importorskip('onnx')
ort = pytest.importorskip('onnxruntime')

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = pathlib.Path(os.environ.get('LW_BUILD', ROOT / 'build')) / 'backends/onnxruntime/liblatchwork_onnxruntime.so'
if not LIBRARY.exists():
    pytest.skip(f'there is no {LIBRARY}: built without the headers of ONNX Runtime', allow_module_level=True)

CLOSE = {'rtol': 1e-4, 'atol': 1e-5}
INFO = 1


def load_module():
    """The module of this tree, whether or not the package around it is built."""
    spec = importlib.util.spec_from_file_location('latchwork_onnxruntime', ROOT / 'python/latchwork/onnxruntime.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lw = load_module()
lw.register(LIBRARY)


def ours(model, claimed=1, options=None, **arguments):
    session = lw.session(model if isinstance(model, str) else model.SerializeToString(), options, **arguments)
    assert len(lw.claimed(session)) == claimed, lw.claimed(session)
    return session


def theirs(model):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])


def quiet(level=4, threads=0):
    options = ort.SessionOptions()
    options.log_severity_level = level
    options.intra_op_num_threads = threads
    return options
