# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Python package share: models, noise, comparing bits, and a framework that speaks DLPack."""
import pathlib

import numpy as np
import pytest

lw = pytest.importorskip('latchwork', reason='the package is not installed: pip install .')
PACKAGE = pathlib.Path(lw.__file__).parent

STACKS = {
    'lstm': [lw.LSTM(3, 7)],
    'lstm-layers': [lw.LSTM(3, 7, layers=3)],
    'lstm-both-ways': [lw.LSTM(3, 7, layers=2, direction='bidirectional')],
    'lstm-reverse': [lw.LSTM(3, 7, direction='reverse')],
    'lstm-projection': [lw.LSTM(3, 9, layers=2, projection=4)],
    'lstm-peepholes': [lw.LSTM(3, 7, peepholes=True)],
    'lstm-coupled': [lw.LSTM(3, 7, coupled=True)],
    'lstm-clips': [lw.LSTM(3, 7, cell_clip=0.2, gate_clip=0.3)],
    'lstm-no-bias': [lw.LSTM(3, 7, bias=False)],
    'gru': [lw.GRU(3, 8)],
    'gru-before': [lw.GRU(3, 8, reset='before')],
    'gru-both-ways': [lw.GRU(3, 8, layers=2, direction='bidirectional', bias=False)],
    'rnn': [lw.RNN(3, 5)],
    'rnn-relu': [lw.RNN(3, 5, layers=2, function='relu', gate_clip=1.0)],
    'dense': [lw.Dense(3, 4, 'sigmoid')],
    'stack': [lw.LSTM(3, 20), lw.Dense(0, 6, 'relu'), lw.GRU(0, 5), lw.Activation('tanh'), lw.Dense(0, 2, bias=False)],
}
STREAMING = [name for name in STACKS if 'reverse' not in name and 'both' not in name]


def make(bricks=None, seed=1, **options):
    """A model with lively parameters: initialise alone keeps the gates near their middle."""
    model = lw.Model(bricks or [lw.LSTM(3, 7), lw.Dense(7, 2)], **options)
    rng = np.random.default_rng(seed)
    for name, values in model.parameters().items():
        model.set_parameter(name, rng.normal(0, 0.6, values.shape).astype(np.float32))
    return model


def noise(*shape, seed=2):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype == np.float32 and a.shape == b.shape, (a.dtype, b.dtype, a.shape, b.shape)
    assert a.tobytes() == b.tobytes()
