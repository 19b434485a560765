#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How is it pronounced? g2p_en's trained network (a GRU that reads letters, a GRU that speaks phonemes), its weights taken
from its npz file into native models: the same phonemes as its own NumPy code, and how much sooner.

Usage: examples/python/phonemes.py [WORD ...]
Needs `pip install --no-deps g2p_en`, whose package holds the weights. Its dictionary, tagger and number speller (nltk,
inflect) are not needed: they stand before the network.
"""
import importlib.util
import pathlib
import statistics
import sys
import time
import types

import numpy as np

import latchwork

WORDS = ['benchmark', 'throughput', 'vectorize', 'latchwork', 'recurrent', 'sigmoid', 'backpropagation']
PADDING, UNKNOWN, END = 0, 1, 2  # of the letters; the phonemes have <s> at 2 and </s> at 3 as well


def weights_path():
    spec = importlib.util.find_spec('g2p_en')
    if spec is None:
        raise ImportError('g2p_en is not installed: pip install --no-deps g2p_en')
    return pathlib.Path(spec.submodule_search_locations[0]) / 'checkpoint20.npz'


def load_theirs():
    """g2p_en's own G2p without what stands before its network."""
    nltk = types.ModuleType('nltk')
    nltk.pos_tag, nltk.data = None, types.SimpleNamespace(find=lambda path: path)
    corpus, tokenize = types.ModuleType('nltk.corpus'), types.ModuleType('nltk.tokenize')
    corpus.cmudict = types.SimpleNamespace(dict=dict)
    tokenize.TweetTokenizer = lambda: types.SimpleNamespace(tokenize=str.split)
    inflect = types.ModuleType('inflect')
    inflect.engine = lambda: None
    standing_in = {'nltk': nltk, 'nltk.corpus': corpus, 'nltk.tokenize': tokenize, 'inflect': inflect}
    before = {name: sys.modules.get(name) for name in standing_in}
    sys.modules.update(standing_in)
    try:
        from g2p_en.g2p import G2p
        return G2p()
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Phonemes:
    """The same network on Latchwork: PyTorch's gate order, so the arrays go in as they are."""

    def __init__(self, path):
        file = np.load(path)
        self.letters, self.spoken = file['enc_emb'].astype(np.float32), file['dec_emb'].astype(np.float32)
        (_, width), hidden = self.letters.shape, file['enc_w_hh'].shape[1]
        self.reader = latchwork.Model([latchwork.GRU(width, hidden, name='gru')], threads=1)
        self.speaker = latchwork.Model([latchwork.GRU(width, hidden, name='gru'),
                                        latchwork.Dense(hidden, len(self.spoken), name='head')], threads=1)
        for model, part in ((self.reader, 'enc'), (self.speaker, 'dec')):
            for kind in ('w_ih', 'w_hh', 'b_ih', 'b_hh'):
                name = f'gru.{kind.replace("w_", "weight_").replace("b_", "bias_")}_l0'
                model.set_parameter(name, file[f'{part}_{kind}'].astype(np.float32))
        self.speaker.set_parameter('head.weight', file['fc_w'].astype(np.float32))
        self.speaker.set_parameter('head.bias', file['fc_b'].astype(np.float32))
        self.state, self.stream = self.reader.state(), self.speaker.stream()

    def numbers(self, word):
        """The numbers of the phonemes of a word in lower case."""
        letters = [ord(c) - ord('a') + 3 if 'a' <= c <= 'z' else UNKNOWN for c in word] + [END]
        self.state.reset()
        self.reader(self.letters[letters], self.state)
        self.stream.state.set(self.state.get())
        spoken, last = [], 2
        while len(spoken) < 20:
            last = int(self.stream.step(self.spoken[last]).argmax())
            if last == 3:
                break
            spoken.append(last)
        return spoken


def medians(calls, rounds=15):
    """Seconds of each call, measured in turn."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for call, mine in zip(calls, times):
            start = time.perf_counter()
            call()
            mine.append(time.perf_counter() - start)
    return [statistics.median(mine) for mine in times]


def main():
    words = [word.lower() for word in sys.argv[1:]] or WORDS
    theirs, ours = load_theirs(), Phonemes(weights_path())
    for word in words:
        expected, got = theirs.predict(word), [theirs.idx2p[n] for n in ours.numbers(word)]
        print(f'{word:16} {" ".join(got)}' + ('' if got == expected else f'   but g2p_en: {" ".join(expected)}'))
    a, b = medians([lambda: [theirs.predict(word) for word in words], lambda: [ours.numbers(word) for word in words]])
    print(f'a word: NumPy {a / len(words) * 1e6:.0f} us, Latchwork {b / len(words) * 1e6:.0f} us, {a / b:.1f} times')


if __name__ == '__main__':
    main()
