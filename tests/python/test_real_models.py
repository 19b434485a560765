# SPDX-License-Identifier: Apache-2.0
"""Trained models of other projects, unchanged: the answers on Latchwork are their own (examples/python)."""
import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('latchwork', reason='the package is not installed: pip install .')
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / 'examples/python'


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f'{name} is not installed: pip install --no-deps {name}')


def test_phonemes_are_those_of_g2p_ens_own_code():
    needs('g2p_en')
    phonemes = example('phonemes')
    theirs, ours = phonemes.load_theirs(), phonemes.Phonemes(phonemes.weights_path())
    known = {'benchmark': 'B EH1 N CH M AA2 R K', 'throughput': 'TH R UW1 P AH2 T', 'vectorize': 'V EH1 K T ER0 AY2 Z'}
    for word, expected in known.items():
        assert ' '.join(theirs.idx2p[n] for n in ours.numbers(word)) == expected
    rng = np.random.default_rng(1)
    words = phonemes.WORDS + ["it's", 'x', ''] + [''.join(rng.choice(list('abcdefghijklmnopqrstuvwxyz'), rng.integers(2, 12)))
                                                  for _ in range(60)]
    for word in words:
        assert [theirs.idx2p[n] for n in ours.numbers(word)] == theirs.predict(word), word


@pytest.mark.filterwarnings('ignore')
def test_the_embedding_is_that_of_resemblyzer():
    needs('resemblyzer')
    torch = pytest.importorskip('torch')
    import latchwork.torch
    speaker = example('speaker')
    before, after = speaker.load_encoder(), speaker.load_encoder()
    assert latchwork.torch.accelerate(after).replaced == ['lstm']
    wav = speaker.read(speaker.RECORDING)[:4 * speaker.RATE]
    a, b = before.embed_utterance(wav), after.embed_utterance(wav)
    assert a.shape == (256,) and np.linalg.norm(a) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        mels = torch.rand(3, 50, 40)
        torch.testing.assert_close(after(mels), before(mels), rtol=1e-4, atol=1e-6)
    assert latchwork.torch.restore(after) == ['lstm'] and type(after.lstm) is torch.nn.LSTM
    # a word of silence is far from a word of speech
    assert float(a @ before.embed_utterance(wav[:speaker.RATE])) > float(a @ before.embed_utterance(wav * 0 + 1e-4))


def test_the_mel_spectrogram_is_librosas():
    librosa = pytest.importorskip('librosa')
    speaker = example('speaker')
    wav = speaker.read(speaker.RECORDING)[:speaker.RATE]
    theirs = librosa.feature.melspectrogram(y=wav, sr=16000, n_fft=400, hop_length=160, n_mels=40).T
    np.testing.assert_allclose(speaker.spectrogram(wav), theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('name, words', [('phonemes', ['latchwork']),
                                          ('speaker', [str(EXAMPLES.parent / 'data/sense_and_sensibility.wav'), '1'])])
def test_the_examples_run(name, words):
    needs({'phonemes': 'g2p_en', 'speaker': 'resemblyzer'}[name])
    if name == 'speaker':
        pytest.importorskip('torch')
    done = subprocess.run([sys.executable, '-W', 'ignore', EXAMPLES / f'{name}.py', *words], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0 and 'times' in done.stdout and 'but g2p_en' not in done.stdout, done.stderr
