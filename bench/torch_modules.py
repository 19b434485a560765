#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch.nn's recurrent modules and latchwork.torch's, side by side: medians of alternating rounds, at each side's
better number of threads. Prints a table.

Usage: bench/torch_modules.py [--seconds N] [WORD ...]      only the rows whose name holds one of the words
"""
import argparse

import torch
from in_turn import medians
from torch import nn

import latchwork.torch

# name, class, (T, B, I, H, layers), what is done
ROWS = [
    ('T1 B1 I1 H16', 'LSTM', (1, 1, 1, 16, 1), 'run'),
    ('T1 B1 I128 H128', 'LSTM', (1, 1, 128, 128, 1), 'run'),
    ('T1 B1 I128 H128 GRU', 'GRU', (1, 1, 128, 128, 1), 'run'),
    ('B1 I128 H128 cell', 'LSTMCell', (1, 1, 128, 128, 1), 'run'),
    ('T160 B1 I40 H256 L3', 'LSTM', (160, 1, 40, 256, 3), 'run'),
    ('T25 B64 I512 H512', 'LSTM', (25, 64, 512, 512, 1), 'run'),
    ('T25 B64 I512 H512 training', 'LSTM', (25, 64, 512, 512, 1), 'train'),
    ('T100 B32 I64 H256 packed', 'LSTM', (100, 32, 64, 256, 1), 'packed'),
]


def make(kind, sizes, what):
    """Two calls without arguments: torch.nn's and ours, of equal weights on equal input."""
    steps, rows, inputs, hidden, layers = sizes
    cell = kind.endswith('Cell')
    args = (inputs, hidden) if cell else (inputs, hidden, layers)
    theirs, ours = getattr(nn, kind)(*args), getattr(latchwork.torch, kind)(*args)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(rows, inputs) if cell else torch.randn(steps, rows, inputs)
    if what == 'packed':
        lengths = torch.randint(1, steps + 1, (rows,))
        lengths[0] = steps
        x = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)

    def call(module):
        if what != 'train':
            return lambda: module(x)
        optimiser = torch.optim.SGD(module.parameters(), lr=1e-4)

        def step():
            optimiser.zero_grad()
            module(x)[0].square().mean().backward()
            optimiser.step()

        return step

    return call(theirs), call(ours)


def measure(kind, sizes, what, budget):
    """{threads: (seconds of torch.nn, seconds of ours)}, medians."""
    results = {}
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        calls = make(kind, sizes, what)
        with torch.set_grad_enabled(what == 'train'):
            results[threads] = medians(calls, budget)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seconds', type=float, default=2.0, help='for each row and number of threads (2)')
    parser.add_argument('words', nargs='*', metavar='WORD')
    options = parser.parse_args()
    torch.manual_seed(0)
    most = torch.get_num_threads()
    print(f'PyTorch {torch.__version__}, up to {most} threads\n')
    print(f'{"":28}{"torch.nn":>12}{"latchwork":>12}{"times":>8}   threads')
    for name, kind, sizes, what in ROWS:
        if options.words and not any(word in name for word in options.words):
            continue
        torch.set_num_threads(most)
        results = measure(kind, sizes, what, options.seconds)
        theirs, ours = (min((times[side], threads) for threads, times in results.items()) for side in (0, 1))
        print(f'{name:28}{theirs[0] * 1e6:9.1f} us{ours[0] * 1e6:9.1f} us{theirs[0] / ours[0]:8.2f}   '
              f'{theirs[1]}, {ours[1]}', flush=True)


if __name__ == '__main__':
    main()
