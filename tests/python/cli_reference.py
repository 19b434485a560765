# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU and RNN in double precision, written from the equations; shares nothing with the library."""
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def one_direction(kind, weights, suffix, x, lengths, reverse, state=None):
    """x (T, B, I) to (T, B, R), the final (h, c), and the signals of each step, (T, B, H) by name."""
    w = {name: weights[name + suffix].astype(np.float64)
         for name in ('weight_ih', 'weight_hh', 'weight_hr', 'bias_ih', 'bias_hh') if name + suffix in weights}
    steps, batch, _ = x.shape
    width, hidden = w['weight_hh'].shape[1], w['weight_hh'].shape[0] // {'lstm': 4, 'gru': 3, 'rnn': 1}[kind]
    h, c = state or (np.zeros((batch, width)), np.zeros((batch, hidden)))
    y, signals = np.zeros((steps, batch, width)), {}
    for t in reversed(range(steps)) if reverse else range(steps):
        a = x[t] @ w['weight_ih'].T + w['bias_ih']
        b = h @ w['weight_hh'].T + w['bias_hh']
        new_c = c
        if kind == 'lstm':
            i, f, g, o = np.split(a + b, 4, axis=1)
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            new_c = f * c + i * g
            full = o * np.tanh(new_c)
            new_h = full @ w['weight_hr'].T if 'weight_hr' in w else full
            now = {'input': i, 'forget': f, 'output': o, 'candidate': g, 'cell': new_c, 'hidden': full}
        elif kind == 'gru':
            (ar, az, an), (br, bz, bn) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
            r, z = sigmoid(ar + br), sigmoid(az + bz)
            n = np.tanh(an + r * bn)
            new_h = (1 - z) * n + z * h
            now = {'reset': r, 'update': z, 'candidate': n, 'hidden': new_h}
        else:
            new_h = np.tanh(a + b)
            now = {'hidden': new_h}
        live = (t < lengths)[:, None]
        h, c = np.where(live, new_h, h), np.where(live, new_c, c)
        y[t] = np.where(live, new_h, 0)
        for name, value in now.items():
            signals.setdefault(name, np.zeros((steps, batch, hidden)))[t] = np.where(live, value, 0)
    return y, (h, c), signals


def run(kind, weights, x, lengths=None, prefix=''):
    """x (T, B, I) to the outputs (T, B, D*R), the last layer's final h (B, D*R), and signals by (layer, suffix)."""
    weights = {name[len(prefix):]: value for name, value in weights.items() if name.startswith(prefix)}
    lengths = np.full(x.shape[1], x.shape[0]) if lengths is None else np.asarray(lengths)
    x, signals, layer = x.astype(np.float64), {}, 0
    while f'weight_ih_l{layer}' in weights or f'weight_ih_l{layer}_reverse' in weights:
        outputs, finals = [], []
        for suffix in (f'_l{layer}', f'_l{layer}_reverse'):
            if f'weight_ih{suffix}' not in weights:
                continue
            reverse = suffix.endswith('_reverse')
            y, (h, _), signals[layer, reverse] = one_direction(kind, weights, suffix, x, lengths, reverse)
            outputs.append(y)
            finals.append(h)
        x, last = np.concatenate(outputs, axis=2), np.concatenate(finals, axis=1)
        layer += 1
    return x, last, signals
