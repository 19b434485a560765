#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`latchwork train` on real data, as docs/learning.md tells of it.

Usage: bench/real_data.py [--command build/latchwork] text|sunspots|digits [options]

  text      next character of a text beside torch.nn.LSTM: the same first values, batches and number of updates. The
            text is the King James Bible of Debian's packages bible-kjv and bible-kjv-text (fetched with apt-get, not
            installed), or --text FILE. Exit code 1 where the bits a character differ by over 1 %.
  sunspots  a year's sunspots (statsmodels) against persistence and a linear autoregression
  digits    scikit-learn's 8 x 8 digits, pixel by pixel

What it needs from PyPI is in bench/requirements-data.txt.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLIP, BATCH, STEPS = 1.0, 32, 64


def latchwork(options, *line):
    """The summary of `latchwork train`."""
    words = [options.command, 'train', *map(str, line), '--json']
    if options.threads:
        words += ['--threads', str(options.threads)]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)


# ---- text -------------------------------------------------------------------------------------------------------------

def fetch_bible(folder):
    """The verses, one a line, from Debian's packages: their program reads their compressed file."""
    subprocess.run(['apt-get', '-qq', 'download', 'bible-kjv', 'bible-kjv-text'], cwd=folder, check=True,
                   stderr=subprocess.DEVNULL)
    for package in folder.glob('*.deb'):
        subprocess.run(['dpkg', '-x', package, folder], check=True)
    printed = subprocess.run([folder / 'usr/bin/bible', '-p', folder / 'usr/lib', '-f', 'gen1:1-rev22:21'], check=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout.decode('ascii')
    verses = [re.fullmatch(r'\w+ ?\d+:\d+ (.*\S)\s*', line) for line in printed.splitlines()]
    if len(verses) != 31102 or not all(verses):
        sys.exit(f'expected the 31,102 verses of the King James Bible, got {len(verses)} lines')
    path = folder / 'bible.txt'
    path.write_text('\n'.join(verse[1] for verse in verses) + '\n')
    return path


def pieces(letters, torch):
    """What docs/learning.md says of `text`: as many streams as rows, STEPS characters of each at a time. Yields input
    and target, (T, B)."""
    length = len(letters) // BATCH
    streams = torch.from_numpy(letters[:length * BATCH].reshape(BATCH, length).T.copy())
    for first in range(0, length - 1, STEPS):
        yield streams[first:min(first + STEPS, length - 1)], streams[first + 1:first + STEPS + 1]


class Peer:
    """torch.nn.LSTM and a linear layer with the parameters of a model file."""

    def __init__(self, path, torch):
        from safetensors.torch import load_file
        tensors = load_file(path)
        self.torch, self.alphabet = torch, load_alphabet(path)
        width = len(self.alphabet)
        self.lstm = torch.nn.LSTM(width, tensors['lstm.weight_hh_l0'].shape[1])
        self.head = torch.nn.Linear(self.lstm.hidden_size, width)
        for name, module in (('lstm.', self.lstm), ('head.', self.head)):
            module.load_state_dict({key[len(name):]: value for key, value in tensors.items() if key.startswith(name)})

    def loss(self, x, y, state, reduction):
        one_hot = self.torch.nn.functional.one_hot(x.long(), len(self.alphabet)).float()
        output, state = self.lstm(one_hot, state)
        logits = self.head(output).flatten(0, 1)
        loss = self.torch.nn.functional.cross_entropy(logits, y.long().flatten(), reduction=reduction)
        return loss, tuple(part.detach() for part in state)

    def train(self, letters, updates, rate):
        parameters = [*self.lstm.parameters(), *self.head.parameters()]
        optimiser = self.torch.optim.Adam(parameters, lr=rate)
        done = 0
        while done < updates:
            state = None
            for x, y in pieces(letters, self.torch):
                if done == updates or len(x) < STEPS:  # the streams' rest is left out
                    break
                optimiser.zero_grad()
                loss, state = self.loss(x, y, state, 'mean')
                loss.backward()
                self.torch.nn.utils.clip_grad_norm_(parameters, CLIP)
                optimiser.step()
                done += 1

    def measure(self, letters):
        total, count, state = 0.0, 0, None
        with self.torch.no_grad():
            for x, y in pieces(letters, self.torch):
                loss, state = self.loss(x, y, state, 'sum')
                total, count = total + loss.item(), count + y.numel()
        return total / count / np.log(2)


def load_alphabet(path):
    from safetensors.numpy import load_file
    return load_file(path)['text.alphabet']


def text(options, folder):
    import torch
    if options.threads:
        torch.set_num_threads(options.threads)
    path = options.text or fetch_bible(folder)
    code_points = np.frombuffer(Path(path).read_text(encoding='utf-8').encode('utf-32-le'), dtype=np.uint32)
    start, end = folder / 'start.safetensors', folder / 'end.safetensors'
    line = ('text', '--data', path, '--hidden', options.hidden, '--length', STEPS, '--batch', BATCH, '--clip', CLIP,
            '--seed', options.seed)
    # A step of 1e-12 leaves the first values as they are. One validation, so that the last model is the one kept.
    latchwork(options, *line, '--updates', 1, '--rate', 1e-12, '--out', start)
    ours = latchwork(options, *line, '--updates', options.updates, '--every', options.updates, '--patience', 0,
                     '--rate', options.rate, '--out', end)
    peer = Peer(start, torch)
    letters = np.searchsorted(peer.alphabet, code_points).astype(np.int32)
    train = len(letters) - len(letters) // 10
    before = peer.measure(letters[train:])
    began = time.perf_counter()
    peer.train(letters[:train], options.updates, options.rate)
    seconds = time.perf_counter() - began
    theirs, taken = peer.measure(letters[train:]), Peer(end, torch).measure(letters[train:])
    difference = abs(ours['bits_per_character'] / theirs - 1)
    print(f'{len(letters)} characters, {len(peer.alphabet)} of them different; LSTM of {options.hidden} units, seed '
          f'{options.seed}, {options.updates} updates; {before:.4f} bits a character before training\n'
          f'latchwork     {ours["bits_per_character"]:.4f} bits a character   {ours["seconds"]:.1f} s with validation '
          f'(its model in PyTorch: {taken:.4f})\n'
          f'PyTorch {torch.__version__:<5} {theirs:.4f} bits a character   {seconds:.1f} s without\n'
          f'difference    {100 * difference:.2f} %')
    return int(difference > 0.01)


# ---- a series and sequences ---------------------------------------------------------------------------------------------

def sunspots(options, folder):
    from statsmodels.datasets import sunspots as data
    np.savetxt(folder / 'sunspots.csv', data.load_pandas().data['SUNACTIVITY'], fmt='%g')
    for seed in range(1, 6):
        summary = latchwork(options, 'series', '--data', folder / 'sunspots.csv', '--window', 24, '--seed', seed)
        print(f'seed {seed}: error {summary["loss"]:.3f}; persistence {summary["persistence_loss"]:.3f}, '
              f'linear autoregression {summary["autoregression_loss"]:.3f}', flush=True)
    return 0


def digits(options, folder):
    from sklearn.datasets import load_digits
    data = load_digits()
    np.save(folder / 'x.npy', (data.images.reshape(-1, 64, 1) / 16).astype(np.float32))
    np.save(folder / 'y.npy', data.target.astype(np.int64))
    for seed in range(1, 4):
        summary = latchwork(options, 'classify', '--data', folder / 'x.npy', '--labels', folder / 'y.npy', '--rate',
                            0.005, '--updates', 4000, '--patience', 20, '--seed', seed)
        print(f'seed {seed}: {100 * summary["accuracy"]:.1f} % right after {summary["updates"]} updates in '
              f'{summary["seconds"]:.0f} s', flush=True)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('data', choices=['text', 'sunspots', 'digits'])
    parser.add_argument('--command', default='build/latchwork', help='(build/latchwork)')
    parser.add_argument('--threads', type=int, help='of both sides (all)')
    parser.add_argument('--text', metavar='FILE', help='a text in UTF-8 instead of the Bible')
    parser.add_argument('--hidden', type=int, default=128, help='text: units (128)')
    parser.add_argument('--updates', type=int, default=1000, help='text: updates (1000)')
    parser.add_argument('--rate', type=float, default=0.003, help='text: learning rate (0.003)')
    parser.add_argument('--seed', type=int, default=1, help='text: of the first values (1)')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return {'text': text, 'sunspots': sunspots, 'digits': digits}[options.data](options, Path(folder))


if __name__ == '__main__':
    sys.exit(main())
