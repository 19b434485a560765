#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Voice activity detection in ONNX Runtime, with Latchwork's execution provider and without, the model unchanged.

    pip download --no-deps silero-vad==6.2.3
    examples/vad_onnxruntime.py silero_vad-6.2.3-py3-none-any.whl examples/data/sense_and_sensibility.wav

The package's silero_vad.onnx takes one chunk of the recording at a time; silero_vad_16k_sequence.onnx (--network) takes
them all at once. Both sessions see the same chunks in turn; the probabilities are held against each other, and the
median times are printed: of a call, and of its recurrent node as ONNX Runtime's own profile tells it (in whole
microseconds). tests/python/test_onnxruntime_models.py runs it.
"""
import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time
import wave
import zipfile

import numpy as np
import onnxruntime

import latchwork.onnxruntime as provider

RATE, CHUNK, CONTEXT = 16000, 512, 64
CLOSE = 1e-5  # of two probabilities


def read_network(path, name):
    """The ONNX file `name` of a wheel or of an unpacked package, or the file itself."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(f'silero_vad/data/{name}')
    if path.is_dir():
        path = next((found for found in sorted(path.rglob(name))), path / name)
    return path.read_bytes()


def read_chunks(path):
    """Every 512 samples of a recording, with the 64 before them; the last are filled up with zeros."""
    with wave.open(str(path), 'rb') as recording:
        found = (recording.getframerate(), recording.getnchannels(), recording.getsampwidth())
        if found != (RATE, 1, 2):
            raise SystemExit(f'{path}: expected 16000 Hz, 1 channel, 2 bytes a sample; found {found}')
        samples = np.frombuffer(recording.readframes(recording.getnframes()), '<i2') / np.float32(32768)
    count = -(-len(samples) // CHUNK)
    padded = np.pad(samples.astype(np.float32), (CONTEXT, count * CHUNK - len(samples)))
    return np.stack([padded[start:start + CONTEXT + CHUNK] for start in range(0, count * CHUNK, CHUNK)])


def make_session(network, latchwork, threads, profile=None):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    if latchwork:
        return provider.session(network, options)
    return onnxruntime.InferenceSession(network, options, providers=['CPUExecutionProvider'])


def run(session, chunks):
    """The probability of speech in each chunk, and the seconds of each call."""
    names = {value.name for value in session.get_inputs()}
    if 'h' in names:  # all chunks at once
        zeros = np.zeros((1, 1, 128), np.float32)
        start = time.perf_counter()
        result = session.run(None, {'input': chunks, 'h': zeros, 'c': zeros})[0]
        return result.ravel(), [time.perf_counter() - start]
    state, found, seconds = np.zeros((2, 1, 128), np.float32), [], []
    more = {'sr': np.array(RATE)} if 'sr' in names else {}
    for chunk in chunks:
        start = time.perf_counter()
        output, state = session.run(['output', 'stateN'], {'input': chunk[None], 'state': state, **more})
        seconds.append(time.perf_counter() - start)
        found.append(output[0, 0])
    return np.array(found), seconds


def recurrent_time(network, latchwork, threads, chunks, rounds):
    """Microseconds (median) that a recurrent node takes, by ONNX Runtime's profile; None without such nodes."""
    with tempfile.TemporaryDirectory() as folder:
        session = make_session(network, latchwork, threads, f'{folder}/profile')
        for _ in range(rounds):
            run(session, chunks)
        events = json.loads(pathlib.Path(session.end_profiling()).read_text(encoding='utf-8'))
    times = [event['dur'] for event in events if event.get('cat') == 'Node' and event['name'].endswith('_kernel_time')
             and (event['args']['op_name'] in ('LSTM', 'GRU', 'RNN')
                  or event['args'].get('provider') == provider.PROVIDER)]
    return statistics.median(times) if times else None


def compare(network, chunks, threads, rounds):
    """Probabilities with Latchwork, the worst difference, and {side: median seconds of a call}."""
    sessions = {side: make_session(network, side == 'latchwork', threads) for side in ('onnxruntime', 'latchwork')}
    times, found = {side: [] for side in sessions}, {}
    for _ in range(rounds):
        for side, session in sessions.items():
            found[side], seconds = run(session, chunks)
            times[side] += seconds
    worst = float(np.abs(found['onnxruntime'] - found['latchwork']).max())
    return found['latchwork'], worst, {side: statistics.median(values) for side, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('package', type=pathlib.Path, help='the wheel of silero-vad, its folder, or an ONNX file')
    parser.add_argument('recording', type=pathlib.Path, help='16-bit PCM WAV, 16 kHz, one channel')
    parser.add_argument('--network', default='silero_vad.onnx', help='which file of the package (silero_vad.onnx)')
    parser.add_argument('--threads', type=int, default=1, help='of both sides (1)')
    parser.add_argument('--rounds', type=int, default=20, help='times through the recording, in turn (20)')
    arguments = parser.parse_args()
    try:
        network, chunks = read_network(arguments.package, arguments.network), read_chunks(arguments.recording)
    except (OSError, KeyError, EOFError, wave.Error, zipfile.BadZipFile) as error:
        raise SystemExit(f'{arguments.package}, {arguments.recording}: {error}') from None
    speech, worst, times = compare(network, chunks, arguments.threads, max(1, arguments.rounds))
    few = max(1, arguments.rounds // 4)
    parts = {side: recurrent_time(network, side == 'latchwork', arguments.threads, chunks, few) for side in times}
    print(f'{arguments.network}: {len(chunks)} chunks, {np.mean(speech >= 0.5):.0%} of them speech; '
          f'probabilities at most {worst:.1e} apart')
    for name, values in (('a call', {side: 1e6 * seconds for side, seconds in times.items()}),
                         ('its recurrent node', parts)):
        if None not in values.values():
            theirs, ours = values['onnxruntime'], values['latchwork']
            print(f'{name:20} ONNX Runtime {theirs:9.1f} us, with Latchwork {ours:9.1f} us: {theirs / ours:.2f} times')
    if not worst <= CLOSE:
        raise SystemExit(f'the probabilities are {worst:.1e} apart, expected at most {CLOSE:.0e}')


if __name__ == '__main__':
    sys.exit(main())
