#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the files of this folder: small models of other tools with what the tool itself answers to a sequence.

    pip install keras==3.15.1 jax h5py torch==2.13.0 onnx==1.23.2 numpy
    tests/golden/convert/make_convert_golden.py [keras] [rtneural] [nam] [torch]

keras_*.keras and keras_*.h5 are saved by Keras, which computes the answers. rtneural_*.json holds `get_weights()` of
Keras layers, which is how RTNeural's own exporter fills its files; Keras computes the answers. nam_*.nam follows the
layout of Neural Amp Modeler's LSTM; its answers come from the equations below in double precision, because that tool is
no light package. torch_*.onnx is written by PyTorch's exporter, and PyTorch computes the answers.
<name>.npz holds x and y as the tool takes and gives them: batch first for Keras, RTNeural and PyTorch, one sequence for
Neural Amp Modeler.
"""
import json
import os
import pathlib
import sys

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parent
STEPS, BATCH = 7, 2


def noise(*shape, seed=5, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def fill(model):
    """Every weight differs from every other, biases too, so that no exchange of gates goes unseen."""
    for index, weights in enumerate(model.weights):
        weights.assign(noise(*weights.shape, seed=100 + index, scale=0.5))


def make_keras():
    os.environ.setdefault('KERAS_BACKEND', 'jax')
    import keras
    layer = keras.layers
    stacks = {
        'lstm': [layer.LSTM(4, return_sequences=True), layer.LSTM(4, return_sequences=True), layer.Dense(2)],
        'gru_after': [layer.GRU(4, return_sequences=True), layer.Dense(3, activation='tanh', use_bias=False)],
        'gru_before': [layer.GRU(4, return_sequences=True, reset_after=False), layer.Dropout(0.3),
                       layer.Activation('relu')],
        'rnn': [layer.SimpleRNN(4, return_sequences=True, use_bias=False),
                layer.SimpleRNN(3, return_sequences=True, activation='relu')],
        'bidirectional': [layer.Bidirectional(layer.LSTM(4, return_sequences=True), name='both'),
                          layer.Bidirectional(layer.GRU(3, return_sequences=True)),
                          layer.TimeDistributed(layer.Dense(2))],
        'last': [layer.LSTM(3, return_sequences=True), layer.Bidirectional(layer.SimpleRNN(4)),
                 layer.Dense(2, activation='sigmoid')],
        'backwards': [layer.GRU(4, go_backwards=True), layer.ReLU()],
    }
    x = noise(BATCH, STEPS, 3)
    for name, layers in stacks.items():
        if name == 'bidirectional':
            value = start = keras.Input((None, 3))
            for each in layers:
                value = each(value)
            model = keras.Model(start, value)
        else:
            model = keras.Sequential([keras.Input((None, 3)), *layers])
        fill(model)
        np.savez(FOLDER / f'keras_{name}.npz', x=x, y=np.asarray(model(x)))
        for suffix in ('keras', 'h5'):
            model.save(FOLDER / f'keras_{name}.{suffix}')


def make_rtneural():
    os.environ.setdefault('KERAS_BACKEND', 'jax')
    import keras
    layer = keras.layers
    stacks = {
        'lstm': [('lstm', layer.LSTM(5, return_sequences=True)), ('dense', layer.Dense(1))],
        'gru': [('dense', layer.Dense(4, activation='tanh')), ('gru', layer.GRU(5, return_sequences=True)),
                ('time-distributed-dense', layer.Dense(3, activation='relu')),
                ('activation', layer.Activation('sigmoid'))],
    }
    x = noise(BATCH, STEPS, 2)
    for name, parts in stacks.items():
        model = keras.Sequential([keras.Input((None, 2)), *(each for _, each in parts)])
        fill(model)
        np.savez(FOLDER / f'rtneural_{name}.npz', x=x, y=np.asarray(model(x)))
        described = [{
            'type': kind,
            'activation': '' if each.activation.__name__ == 'linear' else each.activation.__name__,
            'shape': [None, None, each.output.shape[-1]],
            'weights': [values.tolist() for values in each.get_weights()],
        } for kind, each in parts]
        text = json.dumps({'in_shape': [None, None, 2], 'layers': described})
        (FOLDER / f'rtneural_{name}.json').write_text(text)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make_nam():
    """Rows i, f, g, o over (x, h), one bias, the first h and c, layer by layer; then the head."""
    hidden, layers = 5, 2
    x = noise(STEPS * 4, seed=7)
    flat, states, cells = [], [], []
    for index in range(layers):
        width = 1 if index == 0 else hidden
        cell = [noise(4 * hidden, width + hidden, seed=40 + index, scale=0.5), noise(4 * hidden, seed=50 + index)]
        state = [noise(hidden, seed=60 + index), noise(hidden, seed=70 + index)]
        flat += [*cell, *state]
        cells.append([part.astype(np.float64) for part in cell])
        states.append([part.astype(np.float64) for part in state])
    head = [noise(hidden, seed=80), noise(1, seed=81)]
    flat += head
    y = []
    for value in x.astype(np.float64):
        value = np.array([value])
        for (matrix, bias), state in zip(cells, states):
            i, f, g, o = np.split(matrix @ np.concatenate([value, state[0]]) + bias, 4)
            state[1] = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
            state[0] = value = sigmoid(o) * np.tanh(state[1])
        y.append(head[0].astype(np.float64) @ value + head[1][0])
    np.savez(FOLDER / 'nam_lstm.npz', x=x, y=np.array(y))
    weights = [float(number) for part in flat for number in part.ravel()]
    config = {'input_size': 1, 'hidden_size': hidden, 'num_layers': layers}
    text = json.dumps({'version': '0.5.4', 'architecture': 'LSTM', 'config': config, 'weights': weights,
                       'sample_rate': 48000})
    (FOLDER / 'nam_lstm.nam').write_text(text)


def make_torch():
    import torch

    class Stack(torch.nn.Module):
        def __init__(self, recurrent, head, last=False):
            super().__init__()
            self.recurrent, self.head, self.last = recurrent, head, last

        def forward(self, x):
            y = self.recurrent(x)[0]
            return self.head(y[:, -1] if self.last else y)

    nn = torch.nn
    stacks = {
        'lstm_bi': Stack(nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True),
                         nn.Sequential(nn.Linear(8, 2), nn.Tanh())),
        'gru_last': Stack(nn.GRU(3, 4, 2, batch_first=True), nn.Linear(4, 2), last=True),
        'rnn': Stack(nn.RNN(3, 4, batch_first=True, nonlinearity='relu'), nn.Sequential(nn.Linear(4, 2), nn.Sigmoid())),
    }
    x = noise(BATCH, STEPS, 3)
    for name, model in stacks.items():
        torch.manual_seed(3)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
        model.eval()
        with torch.no_grad():
            y = model(torch.from_numpy(x)).numpy()
        np.savez(FOLDER / f'torch_{name}.npz', x=x, y=y)
        torch.onnx.export(model, (torch.from_numpy(x),), FOLDER / f'torch_{name}.onnx', input_names=['x'],
                          output_names=['y'], dynamic_axes={'x': {0: 'batch', 1: 'time'}}, dynamo=False)


MAKERS = {'keras': make_keras, 'rtneural': make_rtneural, 'nam': make_nam, 'torch': make_torch}

if __name__ == '__main__':
    for wanted in sys.argv[1:] or MAKERS:
        MAKERS[wanted]()
