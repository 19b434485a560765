# SPDX-License-Identifier: Apache-2.0
"""What the tests of latchwork.convert share: the golden files and models of every kind of brick."""
import pathlib

import numpy as np

import latchwork as lw

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / 'golden/convert'
CLOSE = {'rtol': 1e-5, 'atol': 1e-5}


def noise(*shape, seed=1, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def make(bricks, scale=0.5):
    """A model of these bricks, no two of whose numbers are alike."""
    model = lw.Model(bricks)
    for index, (name, values) in enumerate(model.parameters().items()):
        model.set_parameter(name, noise(*values.shape, seed=300 + index, scale=scale))
    return model


def golden(name):
    """The path of a golden file, and x and y of its tool."""
    path = GOLDEN / name
    values = np.load(path.with_suffix('.npz'))
    return path, values['x'], values['y']


def run(converted, x):
    """What a converted model answers, batch first."""
    return converted.model()(x, batch_first=True, last=converted.last)


def same_models(first, second):
    ours, theirs = first.parameters(), second.parameters()
    assert list(ours) == list(theirs)
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)
