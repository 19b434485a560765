# SPDX-License-Identifier: Apache-2.0
"""The fuzz targets of the readers in Python: each takes bytes as a file, and is content with a model or a refusal.

Called by fuzz.py (under atheris) and by tests/python/test_fuzz_readers.py. A refusal is an exception that
docs/converting.md names, with a sentence that latchwork itself wrote: one that a library or the interpreter raised on
its own means that a check is missing, and is a finding like a crash.
"""
import atexit
import importlib.util
import linecache
import math
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import changes
import numpy as np

import latchwork
from latchwork import convert

PACKAGE = str(Path(latchwork.__file__).parent)
REFUSALS = (ValueError, NotImplementedError)
# Where the package's own Python calls its core, whose sentences are as good.
CORE = ('Model(', '.set_parameter(', '.state(', '.set(', 'model(x')
MOST_INPUT = 1 << 14  # numbers in an input of a run
MOST_RESULT = 1 << 20  # bytes, instead of the package's 4 GiB: every honest result of a small file is below
FOLDER = tempfile.mkdtemp(prefix='latchwork-fuzz-')
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


class Finding(Exception):
    """An ending that the documents do not know."""


def is_own_sentence(error):
    """Whether the package raised the exception itself."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    name = trace.tb_frame.f_code.co_filename
    line = linecache.getline(name, trace.tb_lineno).strip()
    return name.startswith(PACKAGE) and (line.startswith('raise ') or any(call in line for call in CORE))


def refused(call, *arguments, kinds=REFUSALS):
    """Runs a reader: its result, or None where it refused as it should."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)  # numbers that overflow
            return call(*arguments)
    except kinds as error:
        if not str(error).strip():
            raise Finding(f'{type(error).__name__} without a sentence') from error
        if not is_own_sentence(error):
            raise Finding(f'{type(error).__name__} by another: {error}') from error
        return None


def write(data, suffix):
    path = Path(FOLDER, 'model' + suffix)
    path.write_bytes(data)
    return path


def load(path):
    """Everything that a conversion does with a source: the model, where it starts from, and one run."""
    converted = convert.load(path, external_data=True)
    model = converted.model()
    state = convert.start_state(converted, model)
    if model.input_size <= MOST_INPUT:
        model(np.ones((2, 1, model.input_size), np.float32), state)


def nam(data):
    refused(load, write(data, '.nam'))


def rtneural(data):
    refused(load, write(data, '.json'))


def keras(data):
    """What is ours of the reader: the HDF5 library runs in a process of its own, whose answer is the input here."""
    def answer(command, input, **options):
        return subprocess.CompletedProcess(command, 0, bytes(input), b'')

    from latchwork.convert import hdf5
    with mock.patch.object(hdf5.subprocess, 'run', answer):
        refused(load, write(data, '.keras'))


def onnx(data):
    from latchwork.onnx import limits
    with mock.patch.object(limits, 'MOST_RESULT_BYTES', MOST_RESULT):
        refused(load, write(data, '.onnx'))


def feed(values):
    """Arrays that fit what a graph declares of its inputs, unless they were large."""
    rng, named, arrays = np.random.default_rng(0), {}, {}
    for value in values:
        sizes = ['steps', 'batch', 'features'] if value.sizes is None else value.sizes[:9]
        # Those that the seeds would take.
        shape = [size if isinstance(size, int) else named.setdefault(size, 2 if arrays or axis < 2 else 3)
                 for axis, size in enumerate(sizes)]
        if math.prod(shape) > MOST_INPUT:
            shape = [min(size, 2) for size in shape]
        arrays[value.name] = rng.normal(0, 2, shape).astype(value.kind)
    return arrays


def onnx_backend(data):
    """The message as somebody else has parsed it, and one run."""
    import onnx as onnx_package
    from google.protobuf.message import DecodeError

    from latchwork.onnx import Backend, limits
    message = onnx_package.ModelProto()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return
    with mock.patch.object(limits, 'MOST_RESULT_BYTES', MOST_RESULT):
        session = refused(Backend.prepare, message)
        if session:
            refused(session.run, feed(session.program.graph.inputs), kinds=(*REFUSALS, TypeError))


# Of each target what it runs, how its inputs are changed, and the packages that it needs.
TARGETS = {
    'keras': (keras, changes.keras, ['h5py']),  # only looked for
    'nam': (nam, changes.json_text, []),
    'onnx': (onnx, changes.onnx_model, ['onnx']),
    'onnx_backend': (onnx_backend, changes.onnx_model, ['onnx']),
    'rtneural': (rtneural, changes.json_text, []),
}


def missing(name):
    """The packages without which a target cannot run."""
    return [package for package in TARGETS[name][2] if importlib.util.find_spec(package) is None]
