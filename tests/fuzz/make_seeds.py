#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the seed corpus and the dictionary of every fuzz target.

Usage: tests/fuzz/make_seeds.py FOLDER [COMMAND]    writes FOLDER/TARGET/* and FOLDER/TARGET.dict
COMMAND is the command `latchwork`, of which the checkpoints come; without it that target has one poor seed.
Called by the build of the tests and by tools/fuzz; prints how many seeds each target has. Needs nothing beyond Python. The same bytes each time, but for the
seconds in a checkpoint. Inputs that once found something lie in tests/fuzz/found/TARGET and are seeds too.
"""
import io
import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent / 'corpus'
LARGE = 4096  # bytes of a seed at most: small inputs are tried more often

# Those of fuzz_checkpoint.c.
CHECKPOINT = ['train', 'latch', '--cell', 'gru', '--hidden', '3', '--length', '4', '--batch', '2', '--every', '1',
              '--seed', '5', '--initial', 'xavier', '--threads', '1']

JSON_WORDS = ['{', '}', '[', ']', ':', ',', '"', '\\u0000', '\\ud800', '\\', 'true', 'false', 'null', '0', '-1', '1e9',
              '1.5', '18446744073709551616', '9223372036854775807']
KEYS = ['version', 'bricks', 'kind', 'name', 'input', 'hidden', 'output', 'layers', 'direction', 'bias', 'function',
        'reset', 'peepholes', 'coupled', 'projection', 'cell_clip', 'gate_clip', 'forget_bias', 'lstm', 'gru', 'rnn',
        'dense', 'activation', 'forward', 'reverse', 'bidirectional', 'tanh', 'relu', 'sigmoid', 'linear', 'after', 'before']
SETTINGS = ['task', 'data', 'labels', 'cell', 'optimiser', 'schedule', 'initial', 'rate', 'clip', 'out', 'log',
            'checkpoint', 'report', 'classes', 'window', 'horizon', 'hidden', 'layers', 'length', 'batch', 'updates',
            'warm-up', 'chrono', 'every', 'patience', 'seed', 'threads', 'sample', 'resume', 'json', 'config', 'lstm',
            'adam', 'adamw', 'sgd', 'rmsprop', 'cosine', 'step', 'constant', 'xavier', 'orthogonal', 'uniform', 'latch']
TENSORS = ['__metadata__', 'dtype', 'shape', 'data_offsets', 'F64', 'F32', 'F16', 'BF16', 'I64', 'U8', 'F8_E4M3',
           'F8_E5M2', 'BOOL', 'format', 'latchwork', 'weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0',
           'weight_hr_l0', '_reverse', 'weight_ih', 'weight_hh']

DICTIONARIES = {
    'tensors': JSON_WORDS + TENSORS + KEYS,
    'architecture': JSON_WORDS + KEYS,
    'state_dict': [],
    'npy': ['\x93NUMPY', '\x93NUMPY\x01\0', '\x93NUMPY\x02\0', '\x93NUMPY\x03\0', "'descr'", "'fortran_order'", "'shape'",
            "'<f4'", "'<f8'", "'<f2'", "'<i4'", "'<i8'", "'>f4'", "'|u1'", 'True', 'False', '()', '(3,)', '(3, 2)',
            '18446744073709551615', '4294967296'],
    'csv': [',', '\n', '\r\n', '\xef\xbb\xbf', 'nan', 'inf', '-inf', '1e39', '1e-46', '0x1p-3', '-0', '1,2\n', '.5', '+1'],
    'sound': ['RIFF', 'WAVE', 'fmt ', 'data', 'fact', 'LIST', 'RF64', 'ds64', 'fLaC', 'OggS', 'FORM', 'AIFF', 'COMM',
              'SSND', '.snd', '\x01\0', '\x03\0', '\xfe\xff', '\xff\xff\xff\xff', '\0\0\0\x80'],
    'config': JSON_WORDS + SETTINGS,
    'checkpoint': JSON_WORDS + TENSORS + SETTINGS + ['latchwork-checkpoint', 'settings', 'progress', 'updates',
                                                     'best_update', 'stale', 'ending', 'best_loss', 'history.updates',
                                                     'history.validations', 'optimiser', 'state', 'parameter.', 'best.'],
    'shapes': [],
    'training': [],
}


def npy(descr, shape, data, order=False, version=1):
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    length = struct.pack('<H' if version == 1 else '<I', len(text) + 1)
    return b'\x93NUMPY' + bytes([version, 0]) + length + text + b'\n' + data


def npy_seeds():
    floats = struct.pack('<6f', 0, 1, -2.5, 1e-40, float('inf'), float('nan'))
    yield npy('<f4', '(3, 2)', floats)
    yield npy('<f4', '(3, 2)', floats, True)
    yield npy('<f4', '(6,)', floats, False, 2)
    yield npy('<f4', '()', floats[:4], False, 3)
    yield npy('<f8', '(2, 1, 1)', struct.pack('<2d', 1e300, -0.0))
    yield npy('<f2', '(2, 2)', bytes(range(8)), True)
    yield npy('<i8', '(2,)', struct.pack('<2q', 3, -1))
    yield npy('<i4', '(2,)', struct.pack('<2i', 3, 1 << 30))
    yield npy('<f4', '(0, 18446744073709551615)', b'')


def csv_seeds():
    yield b'1,2,3\n4,5,6\n'
    yield b'\xef\xbb\xbf 0.5 ,\t-1e3\r\n nan, inf\r\n\r\n'
    yield b'3\n1\n'
    yield b'1,2'
    yield b'0x1p-3,1e-46,1e39\n'


def sound_seeds():
    for channels in (1, 2):
        for width in (1, 2, 3, 4):
            file = io.BytesIO()
            with wave.open(file, 'wb') as sound:
                sound.setnchannels(channels)
                sound.setsampwidth(width)
                sound.setframerate(8000)
                sound.writeframes(bytes(7 * i % 256 for i in range(8 * channels * width)))
            yield file.getvalue()
    samples = struct.pack('<8f', *(i / 8 for i in range(8)))
    body = b'WAVEfmt ' + struct.pack('<IHHIIHH', 16, 3, 1, 8000, 32000, 4, 32) + b'data' + struct.pack('<I', 32) + samples
    yield b'RIFF' + struct.pack('<I', len(body)) + body
    yield b'.snd' + struct.pack('>IIIII', 24, 16, 3, 8000, 1) + bytes(range(16))
    common = b'COMM' + struct.pack('>IhIh', 18, 1, 8, 16) + bytes.fromhex('400bfa00000000000000')
    body = b'AIFF' + common + b'SSND' + struct.pack('>III', 24, 0, 0) + bytes(range(16))
    yield b'FORM' + struct.pack('>I', len(body)) + body


def architecture_seeds():
    a = {'kind': 'lstm', 'name': 'a', 'input': 2, 'hidden': 3, 'layers': 2}
    b = {'kind': 'gru', 'name': 'b', 'hidden': 2, 'direction': 'bidirectional', 'reset': 'before', 'input': 3}
    c = {'kind': 'rnn', 'name': 'c', 'input': 2, 'hidden': 3, 'function': 'relu', 'gate_clip': 3}
    d = {'kind': 'dense', 'name': 'd', 'output': 1, 'function': 'sigmoid', 'bias': True}
    e = {'kind': 'lstm', 'name': 'e', 'input': 2, 'hidden': 3, 'direction': 'bidirectional', 'peepholes': True,
         'coupled': True, 'bias': False, 'cell_clip': 0.5, 'forget_bias': 1.5}
    f = {'kind': 'lstm', 'name': 'f', 'input': 2, 'hidden': 3, 'projection': 2}
    squash = {'kind': 'activation', 'name': 's', 'function': 'tanh'}
    for bricks in ([a, d], [a, b], [c, squash, d], [e], [f], [a, squash, b]):
        yield json.dumps({'version': 1, 'bricks': bricks}).encode()


def config_seeds():
    yield b'\0' + json.dumps({'hidden': 8, 'rate': 0.01, 'cell': 'gru', 'length': 30, 'seed': 3, 'updates': 10,
                              'chrono': 20, 'patience': 3, 'every': 5, 'batch': 4, 'threads': 1}).encode()
    yield b'\1' + json.dumps({'task': 'adding', 'optimiser': 'adamw', 'schedule': 'cosine', 'warm-up': 3}).encode()
    yield b'\2' + json.dumps({'initial': 'orthogonal', 'clip': '1.5', 'layers': 2, 'json': True}).encode()
    yield b'\3' + json.dumps({'data': 'x.csv', 'window': 24, 'horizon': 3, 'out': '/tmp/none'}).encode()
    yield b'\4' + json.dumps({'data': 'x.npy', 'labels': 'y.npy', 'classes': 10}).encode()
    yield b'\5' + json.dumps({'data': 'x.txt', 'length': 9, 'sample': 100}).encode()


def checkpoint_seeds(command):
    if command:
        with tempfile.TemporaryDirectory() as folder:
            for updates in (0, 1, 3):
                path = Path(folder) / 'checkpoint'
                path.unlink(missing_ok=True)
                subprocess.run([command, *CHECKPOINT, '--updates', str(max(updates, 1)), '--checkpoint', str(path)],
                               check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                yield path.read_bytes()
    yield b'\2\0\0\0\0\0\0\0{}'


def programs(name, count, size):
    """Random bytes: every input is a program."""
    numbers = random.Random(name)
    for _ in range(count):
        yield bytes(numbers.randrange(256) for _ in range(numbers.randrange(8, size)))


def model_seeds():
    for path in sorted(CORPUS.glob('*.safetensors')):
        if path.stat().st_size <= LARGE:
            yield path.read_bytes()


def escape(word):
    text = ''.join(c if ' ' <= c < '\x7f' and c not in '"\\' else f'\\x{ord(c):02x}' for c in word)
    return f'"{text}"\n'


def write_target(folder, name, inputs, words):
    """A target's seeds and dictionary, in an empty folder of its own."""
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for i, data in enumerate(inputs):
        (place / f'seed-{i:03}').write_bytes(data)
    for found in sorted((HERE / 'found' / name).glob('*')):
        shutil.copy(found, place / found.name)
    print(name, len(list(place.iterdir())))
    (folder / f'{name}.dict').write_text(''.join(map(escape, words)) or '"\\x00\\x00"\n')


def main():
    folder = Path(sys.argv[1])
    command = sys.argv[2] if len(sys.argv) > 2 else None
    seeds = {
        'tensors': model_seeds(),
        'architecture': architecture_seeds(),
        'state_dict': programs('state_dict', 40, 160),
        'npy': npy_seeds(),
        'csv': csv_seeds(),
        'sound': sound_seeds(),
        'config': config_seeds(),
        'checkpoint': checkpoint_seeds(command),
        'shapes': programs('shapes', 60, 200),
        'training': programs('training', 40, 120),
    }
    assert seeds.keys() == DICTIONARIES.keys() == {path.stem[5:] for path in HERE.glob('fuzz_*.c')}
    for name, inputs in seeds.items():
        write_target(folder, name, inputs, DICTIONARIES[name])


if __name__ == '__main__':
    main()
