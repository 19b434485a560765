#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whose voice is it? Resemblyzer's speaker encoder (an LSTM of three layers, 40 -> 256) before and after
latchwork.torch.accelerate: the same embedding, and what became of the time.

Usage: examples/python/speaker.py [RECORDING.wav [ROUNDS]]     16 kHz; default: the recording beside the examples, 15
Needs PyTorch and `pip install --no-deps resemblyzer`, whose package holds the trained model. With librosa and webrtcvad
the recording is prepared by Resemblyzer itself, without them by the lines below, which give the same spectrogram.
"""
import pathlib
import statistics
import sys
import time
import types
import wave

import numpy as np

RECORDING = pathlib.Path(__file__).parents[1] / 'data/sense_and_sensibility.wav'
RATE, WINDOW, HOP, BANDS = 16000, 400, 160, 40


def mel_bands():
    """Triangles over the Fourier bins, on Slaney's scale: linear up to 1 kHz, logarithmic above."""
    def to_hertz(mel):
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    top = 15 + np.log(RATE / 2 / 1000) * 27 / np.log(6.4)
    edges = to_hertz(np.linspace(0, top, BANDS + 2))
    bins = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def spectrogram(wav):
    padded = np.pad(wav, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    return (power @ mel_bands().T).astype(np.float32)


def load_encoder():
    """Resemblyzer's VoiceEncoder, as it is in its package."""
    try:
        import librosa  # noqa: F401
        import webrtcvad  # noqa: F401
    except ImportError:
        audio = types.ModuleType('resemblyzer.audio')
        audio.wav_to_mel_spectrogram = spectrogram
        audio.preprocess_wav = audio.trim_long_silences = audio.normalize_volume = None
        sys.modules['resemblyzer.audio'] = audio
    import resemblyzer
    return resemblyzer.VoiceEncoder('cpu', verbose=False).eval()


def read(path):
    with wave.open(str(path)) as file:
        if file.getframerate() != RATE or file.getsampwidth() != 2 or file.getnchannels() != 1:
            raise SystemExit(f'{path}: expected one channel of 16 bits at {RATE} Hz')
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768


def medians(calls, rounds):
    """Seconds of each call, measured in turn."""
    times = [[] for _ in calls]
    for _ in range(rounds):
        for call, mine in zip(calls, times):
            start = time.perf_counter()
            call()
            mine.append(time.perf_counter() - start)
    return [statistics.median(mine) for mine in times]


def main():
    import torch

    import latchwork.torch
    wav = read(sys.argv[1] if len(sys.argv) > 1 else RECORDING)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    before, after = load_encoder(), load_encoder()
    print(latchwork.torch.accelerate(after))
    a, b = before.embed_utterance(wav), after.embed_utterance(wav)
    print(f'{len(wav) / RATE:.1f} s of speech; the embeddings differ by at most {np.abs(a - b).max():.1e}')
    slices = before.compute_partial_slices(len(wav), 1.3, 0.75)[1]
    batch = torch.from_numpy(np.stack([np.resize(spectrogram(wav)[part], (160, BANDS)) for part in slices]))
    mels = batch[:1]
    print(f'{"":34}{"torch.nn":>12}{"latchwork":>12}{"times":>8}')
    with torch.no_grad():
        for name, calls in (
            ('recording to embedding', [lambda m=m: m.embed_utterance(wav) for m in (before, after)]),
            (f'the model, {len(batch)} windows', [lambda m=m: m(batch) for m in (before, after)]),
            (f'its LSTM, {len(batch)} windows', [lambda m=m: m.lstm(batch) for m in (before, after)]),
            ('its LSTM, one window', [lambda m=m: m.lstm(mels) for m in (before, after)]),
        ):
            theirs, ours = medians(calls, rounds)
            print(f'{name:34}{theirs * 1e3:9.2f} ms{ours * 1e3:9.2f} ms{theirs / ours:8.2f}')


if __name__ == '__main__':
    main()
