# SPDX-License-Identifier: Apache-2.0
"""The command `latchwork`: its command line, what it tells about machines and models, damaged models, long runs."""
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from conftest import BOTH, digest, make_weights, normal, save, save_model

COMMANDS = ('info', 'inspect', 'run', 'gates', 'explain', 'train', 'completion')


# ---- the command line -----------------------------------------------------------------------------------------------

def test_version_and_help(latchwork):
    version = latchwork.good('--version').text
    assert re.fullmatch(r'latchwork \d+\.\d+\.\d+\n', version)
    overview = latchwork.good('--help').text
    assert overview == latchwork.good('help').text == latchwork.good('-h').text
    for command in COMMANDS:
        assert f'  {command} ' in overview
        text = latchwork.good(command, '--help').text
        assert text.startswith(f'Usage: latchwork {command}')
        assert text == latchwork.good('help', command).text == latchwork.good(command, '-h').text
    for option in ('--input', '--output', '--isa', '--threads', '--chunk', '--lengths', '--state-in', '--state-out',
                   '--last', '--batch-first', '--json'):
        assert option in latchwork.good('run', '--help').text
    for option in ('--layer', '--reverse', '--units', '--batch-row'):
        assert option in latchwork.good('gates', '--help').text


RUN = ('run', 'm.safetensors', '--input', 'x.npy', '--output', 'y.npy')

USAGE = [
    ((), 'a command is missing'),
    (('rnu',), "there is no command 'rnu'; did you mean 'run'?"),
    (('inpsect', 'm'), "did you mean 'inspect'?"),
    (('frobnicate',), 'expected info, inspect, run, gates, explain, train, bench or completion'),
    (('help', 'gatse'), "did you mean 'gates'?"),
    (('--verison',), "there is no option '--verison'; did you mean '--version'?"),
    (('info', 'x'), "info takes no argument, got 'x'"),
    (('info', '--jsno'), "info has no option '--jsno'; did you mean '--json'?"),
    (('inspect',), 'inspect: MODEL is missing'),
    (('inspect', 'a', 'b'), "inspect takes one MODEL, got 'a' and 'b'"),
    (('run',), 'run: MODEL is missing'),
    (('run', 'm'), 'run: --input FILE is missing'),
    (('run', 'm', '--input', 'x.npy'), 'run: --output FILE is missing'),
    (('run', 'm', '--input'), 'run --input: a value is missing'),
    (('run', 'm', '--input='), '--input: expected FILE, got nothing'),
    (RUN + ('--input', 'z.npy'), '--input is given twice'),
    (RUN + ('--outptu', 'z'), "did you mean '--output'?"),
    (RUN + ('--isa', 'avx22'), "--isa: there is no instruction set 'avx22'; did you mean 'avx2'?"),
    (RUN + ('--isa=mmx',), 'expected scalar, neon, avx2 or avx512'),
    (RUN + ('--threads', '0'), "--threads: expected a whole number from 1 to 256, got '0'"),
    (RUN + ('--threads', '257'), 'from 1 to 256'),
    (RUN + ('--threads=-1',), "got '-1'"),
    (RUN + ('--threads', '2x'), "got '2x'"),
    (RUN + ('--threads', '99999999999999999999999'), 'from 1 to 256'),
    (RUN + ('--chunk', '0'), "--chunk: expected a whole number from 1 up, got '0'"),
    (RUN + ('--chunk', '1.5'), "got '1.5'"),
    (RUN + ('--shape', '3'), "--shape: expected T,I or T,B,I (whole numbers), got '3'"),
    (RUN + ('--shape', '1,2,3,4'), '--shape: expected'),
    (RUN + ('--shape', '1,,2'), '--shape: expected'),
    (RUN + ('--state-out', 'y.npy'), '--output and --state-out name the same file'),
    (('run', 'm', '--input', 'x.npy', '--output', '-', '--json'), 'both want standard output'),
    (('gates', 'm', '--input', 'x.npy', '--output', 'g.png'), 'ends in .svg, .html or .csv'),
    (('gates', 'm', '--input', 'x.npy', '--output', 'g.svg', '--layer', '-1'), '--layer: expected a whole number'),
    (('completion',), 'completion: bash|zsh|fish is missing'),
    (('completion', 'bahs'), "did you mean 'bash'?"),
    (('completion', 'tcsh-with-a-long-name'), 'expected bash, zsh or fish'),
]


@pytest.mark.parametrize('args, words', USAGE, ids=lambda value: ' '.join(value)[:60] if value else 'nothing')
def test_usage(latchwork, args, words):
    assert words in latchwork.bad(2, *args)


def test_dashes_and_equals(latchwork, lstm, tmp_path):
    save(tmp_path / 'x.npy', normal(4, 3))
    shutil.copy(lstm[0], tmp_path / '--json')
    latchwork.good('run', '--input=x.npy', '--output=y.npy', '--threads=1', '--', '--json', cwd=tmp_path)
    latchwork.good('run', '-i', 'x.npy', '-o', 'z.npy', '-t', '1', lstm[0], cwd=tmp_path)
    assert digest(tmp_path / 'y.npy') == digest(tmp_path / 'z.npy')


def test_control_characters_do_not_reach_the_terminal(latchwork):
    error = latchwork('inspect', 'a\x1b[2Jb\nc').err
    assert '\x1b' not in error and error.count('\n') == 1
    assert '\x1b' not in latchwork('\x1b[2J').err


def test_a_full_standard_output_is_an_error(latchwork):
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([latchwork.path, 'info'], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b'standard output cannot be written' in done.stderr


# ---- info and inspect -----------------------------------------------------------------------------------------------

def test_info(latchwork, isas):
    info = latchwork.good('info', '--json').json()
    assert info['isa'] in isas and info['threads'] >= 1 and info['lanes'] >= 1
    assert set(info['cache_bytes']) == {'l1', 'l2', 'l3'}
    sets = {entry['name']: entry for entry in info['instruction_sets']}
    assert set(sets) == {'scalar', 'neon', 'avx2', 'avx512'}
    assert [name for name, entry in sets.items() if entry['chosen']] == [info['isa']]
    assert all(entry['built'] for entry in sets.values() if entry['supported'])
    text = latchwork.good('info').text
    assert f'latchwork         {info["version"]}' in text and info['cpu'] in text and 'chosen' in text
    capped = latchwork.good('info', '--json', env={'LW_ISA': 'scalar'}).json()
    assert capped['isa'] == 'scalar' and capped['lanes'] == 1
    peak = latchwork.good('info', '--json', '--peak').json()['peak_flops']
    assert peak['one_thread'] > 1e8 and peak['all_threads'] > 1e8


def test_inspect_state_dict(latchwork, lstm):
    path, weights = lstm
    found = latchwork.good('inspect', path, '--json').json()
    total = sum(value.size for value in weights.values())
    assert (found['input'], found['output'], found['parameters'], found['bytes']) == (3, 5, total, 4 * total)
    assert found['other_tensors'] == [] and found['packed_bytes'] >= found['bytes']
    assert [(layer['kind'], layer['direction'], layer['input'], layer['hidden'], layer['output'])
            for layer in found['layers']] == [('lstm', 'forward', 3, 5, 5), ('lstm', 'forward', 5, 5, 5)]
    assert sum(layer['parameters'] for layer in found['layers']) == total
    assert sum(layer['flops_per_step'] for layer in found['layers']) == found['flops_per_step']
    assert found['layers'][0]['flops_per_step'] >= 2 * 20 * (3 + 5)
    text = latchwork.good('inspect', path).text
    assert str(total) in text and 'Other tensors' not in text


def test_inspect_native(latchwork, native):
    found = latchwork.good('inspect', native[0], '--json').json()
    assert [layer['kind'] for layer in found['layers']] == ['gru', 'dense']
    assert found['layers'][1]['options'] == 'sigmoid' and 'hidden' not in found['layers'][1]
    assert found['other_tensors'] == [{'name': 'window', 'type': 'F32', 'shape': [4, 2], 'bytes': 32}]
    assert re.search(r'window +F32 +\(4, 2\) +32 bytes', latchwork.good('inspect', native[0]).text)


def test_inspect_a_cell_and_a_prefix(latchwork, tmp_path):
    weights = make_weights('gru', 3, 4)
    cell = save_model(tmp_path / 'cell.safetensors', {name.replace('_l0', ''): v for name, v in weights.items()})
    prefixed = save_model(tmp_path / 'prefix.safetensors', {f'net.rnn.{name}': v for name, v in weights.items()})
    for path in (cell, prefixed):
        found = latchwork.good('inspect', path, '--json').json()
        assert found['other_tensors'] == [] and found['layers'][0]['kind'] == 'gru'


# ---- damaged models -------------------------------------------------------------------------------------------------

def test_damaged_models_are_refused(latchwork, tmp_path):
    model = save_model(tmp_path / 'm.safetensors', make_weights('gru', 1, 2))
    whole = model.read_bytes()
    broken = tmp_path / 'broken.safetensors'
    for size in range(len(whole)):
        broken.write_bytes(whole[:size])
        latchwork.bad(1, 'inspect', broken)
    rng = np.random.default_rng(4)
    x = save(tmp_path / 'x.npy', normal(3, 1))
    for _ in range(400):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[place] ^= 1 << rng.integers(0, 8)
        broken.write_bytes(damaged)
        result = latchwork('run', broken, '--input', x, '--output', tmp_path / 'y.npy')
        assert result.code in (0, 1), (bytes(damaged), result.code, result.err)
        assert result.code == 0 or result.err.startswith('latchwork: ')


@pytest.mark.parametrize('data', [b'', b'{}', b'\0' * 8, b'\xff' * 8, b'\xff' * 7 + b'\x7f', b'version https://git-lfs'],
                         ids=['empty', 'braces', 'zero', 'most', 'half', 'pointer'])
def test_files_that_are_no_model(latchwork, tmp_path, data):
    path = tmp_path / 'm.safetensors'
    path.write_bytes(data)
    for arguments in (('inspect', path), ('run', path, '--input', 'x.npy', '--output', tmp_path / 'y.npy'),
                      ('gates', path, '--input', 'x.npy', '--output', tmp_path / 'g.svg')):
        assert 'm.safetensors' in latchwork.bad(1, *arguments)
    assert os.listdir(tmp_path) == ['m.safetensors']


def test_a_folder_and_a_missing_model(latchwork, tmp_path):
    assert str(tmp_path) in latchwork.bad(1, 'inspect', tmp_path)
    assert 'none.safetensors' in latchwork.bad(1, 'inspect', tmp_path / 'none.safetensors')


# ---- long runs ------------------------------------------------------------------------------------------------------

@pytest.fixture
def long_job(tmp_path):
    """Some ten seconds of scalar work, whatever its directions: (arguments, folder)."""
    def make(directions):
        model = save_model(tmp_path / 'long.safetensors', make_weights('lstm', 64, 256, directions=directions))
        save(tmp_path / 'x.npy', np.zeros((20000, 64), np.float32))
        return ['run', str(model), '--input', str(tmp_path / 'x.npy'), '--output', str(tmp_path / 'y.npy'), '--isa',
                'scalar', '--threads', '1', '--state-out', str(tmp_path / 's')]
    return make


@pytest.mark.parametrize('directions', [('',), BOTH])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly(latchwork, long_job, tmp_path, directions, number):
    arguments = long_job(directions)
    before = sorted(os.listdir(tmp_path))
    process = subprocess.Popen([latchwork.path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number and out == b'' and b'stopped by a signal; nothing was written' in err
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize('directions, words', [(('',), rb'run \[[#.]{30}\] +\d+ %, .* left'), (BOTH, rb'run: \d+ s so far')])
def test_progress_on_a_terminal_only(latchwork, long_job, directions, words):
    try:
        master, slave = pty.openpty()
    except OSError as error:
        pytest.skip(f'no terminal can be opened here: {error}')
    process = subprocess.Popen([latchwork.path, *long_job(directions)], stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    seen, begin, first = b'', time.monotonic(), None
    while time.monotonic() - begin < 20 and not re.search(words, seen):
        if select.select([master], [], [], 0.1)[0]:
            seen += os.read(master, 4096)
            first = first or time.monotonic() - begin
    process.kill()
    process.communicate()
    os.close(master)
    assert re.search(words, seen), seen
    assert first > 0.9


# ---- completion -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_completion_scripts(latchwork, tmp_path, shell):
    script = latchwork.good('completion', shell).out
    for word in COMMANDS + ('state-out', 'batch-row', 'avx512'):
        assert word.encode() in script
    if not shutil.which(shell):
        assert shell != 'bash'
        pytest.skip(f'{shell} is not installed')
    (tmp_path / 'script').write_bytes(script)
    done = subprocess.run([shell, '-n', tmp_path / 'script'], capture_output=True)
    assert done.returncode == 0 and done.stderr == b'', done.stderr


@pytest.mark.parametrize('words, expected', [
    (['latchwork', 'ins'], ['inspect']),
    (['latchwork', 'run', '--state'], ['--state-in', '--state-out']),
    (['latchwork', 'run', '--isa', 'avx'], ['avx2', 'avx512']),
    (['latchwork', 'completion', 'z'], ['zsh']),
    (['latchwork', 'inspect', 'mod'], ['model one.safetensors']),
])
def test_bash_completes(latchwork, tmp_path, words, expected):
    (tmp_path / 'model one.safetensors').write_bytes(b'')
    (tmp_path / 'script').write_bytes(latchwork.good('completion', 'bash').out)
    line = ' '.join(f"'{word}'" for word in words)
    code = f'source ./script; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _latchwork; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(['bash', '-c', code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines() == expected, done.stderr


def test_convert_without_the_package_says_where_it_is(latchwork):
    assert 'convert' in latchwork.good('--help').text
    assert 'Python package' in latchwork.bad(2, 'convert', 'a.onnx', 'b.safetensors')
