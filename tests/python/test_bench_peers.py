# SPDX-License-Identifier: Apache-2.0
"""`latchwork bench` beside other engines: an honest one written from PROTOCOL.md alone agrees on workloads of every kind, and
engines that crash, hang, lie or babble are named as what they are while the honest one is measured to the end."""
import json
import os
import pathlib
import shlex
import sys

import pytest

from conftest import ROOT

FAKE = pathlib.Path(__file__).with_name('fake_driver.py')
SHAPES = ['lstm T7 B3 I5 H11', 'gru T7 B3 I5 H11 L2', 'rnn T7 B3 I5 H19 seed9223372036854775807',
          'lstm T7 B3 I5 H11 L2 bidirectional dense3', 'gru T7 B6 I5 H11 bidirectional ragged7', 'lstm step T7 I5 H11 dense2',
          'gru step T7 B3 I5 H11 L2', 'lstm streams T7 B9 I5 H11', 'lstm streams singly T7 B4 I5 H11',
          'lstm T3 B2 I2 H3 train', 'gru T3 B3 I2 H3 L2 dense2 ragged train', 'rnn T3 B2 I2 H3 bidirectional train',
          'lstm T3 B2 I2 H3 train update']
# What is asked for, the kind of trouble, and a word of its sentence.
DISHONEST = [('wrong', 'differs', 'outputs differ'), ('refusing', 'unsupported', 'anything at all'),
             ('failing', 'error', 'some reason'), ('missing', 'missing', 'no such library'),
             ('crashing', 'crashed', 'signal 6'), ('leaving', 'crashed', 'giving up'), ('hanging', 'timeout', 'within 2 s'),
             ('babble', 'rubbish', 'no JSON'), ('list', 'rubbish', 'no JSON object'),
             ('negative', 'rubbish', 'list of 1 times'), ('few', 'rubbish', 'list of 1 times'),
             ('words', 'rubbish', 'list of 1 times'), ('nan', 'rubbish', 'no JSON'), ('absent', 'missing', 'cannot be started')]


@pytest.fixture(autouse=True)
def protocol(monkeypatch):
    """The drivers in Python find protocol.py, and do not start threads for products of this size."""
    monkeypatch.setenv('PYTHONPATH', str(ROOT / 'bench' / 'peers'))
    monkeypatch.setenv('OPENBLAS_NUM_THREADS', '1')


def driver(kind):
    command = '/no/such/driver' if kind == 'absent' else shlex.join([sys.executable, str(FAKE), kind])
    return f'--driver={kind}={command}'


def bench(latchwork, shapes, kinds, *args):
    result = latchwork('bench', *(f'--shape={shape}' for shape in shapes), *map(driver, kinds), '--threads', '1',
                       '--seconds', '0.02', '--json', '-', *args)
    assert result.code == 0, result.err
    return result.json()


def test_answers_agree(latchwork):
    found = bench(latchwork, SHAPES, ['honest'])
    assert [row['name'] for row in found['benchmarks']][0] == 'lstm T7 B3 I5 H11'
    assert len(found['benchmarks']) == len(SHAPES)
    for row in found['benchmarks']:
        peer = row['peers'][0]
        assert peer['status'] == 'ok', (row['name'], peer)
        assert len(peer['samples_us']) >= 3 and row['ratio'] > 0 and row['best_peer'] == 'honest'


def test_dishonest(latchwork):
    kinds = [kind for kind, _, _ in DISHONEST] + ['honest']
    row = bench(latchwork, ['lstm T3 B3 I5 H11'], kinds, '--timeout', '2')['benchmarks'][0]
    peers = {peer['engine']: peer for peer in row['peers']}
    for kind, trouble, word in DISHONEST:
        assert peers[kind]['status'] == trouble and word in peers[kind]['text'], peers[kind]
        assert 'p50_us' not in peers[kind]
    assert peers['honest']['status'] == 'ok' and len(peers['honest']['samples_us']) >= 3
    assert row['best_peer'] == 'honest'


def test_update_is_checked(latchwork):
    row = bench(latchwork, ['lstm T3 B2 I2 H3 train update'], ['lazy'])['benchmarks'][0]
    assert row['peers'][0]['status'] == 'differs' and 'parameters' in row['peers'][0]['text']


def test_tables_name_it_all(latchwork, tmp_path):
    file = tmp_path / 'workloads.json'
    file.write_text(json.dumps({'defaults': {'batch': 2}, 'workloads': [
        {'name': 'first', 'regime': 'small', 'workload': {'input': 3, 'hidden': 5}, 'ratio': 1e9,
         'own': [{'name': 'padded', 'change': {'steps': 32}, 'ratio': 0.001, 'other_answer': True}]}]}))
    text = latchwork.good('bench', '--workloads', file, driver('crashing'), driver('honest'), '--threads', '1', '--seconds',
                          '0.02', '--markdown', '-', '--timeout', '20').text
    for word in ('| first ', 'crashed', '(honest) **short**', '≥ 1e+09', 'padded: ', '✓'):
        assert word in text, (word, text)


@pytest.mark.parametrize('command, word', [
    ({'cmd': 'dance'}, 'the command must be'), ({}, 'cmd'), ({'cmd': 'prepare'}, 'mode'),
    ({'cmd': 'prepare', 'workload': {'hidden': 0}}, 'hidden'), ({'cmd': 'prepare', 'workload': {'cell': 'perceptron'}}, 'cell'),
    ({'cmd': 'prepare', 'workload': {'hidden': 2**24, 'input': 2**24}}, 'numbers'),
    ({'cmd': 'prepare', 'workload': {'train': 'maybe'}}, 'train'),
    ({'cmd': 'prepare', 'workload': {'train': True, 'mode': 'step'}}, 'training'),
    ({'cmd': 'run', 'repeat': 1, 'inner': 1, 'warmup': 0}, 'prepared'), ({'cmd': 'output', 'file': '/no/file'}, 'prepared')])
def test_serve_answers_bad_commands(latchwork, command, word):
    """With a sentence, and goes on."""
    base = {'mode': 'sequence', 'cell': 'lstm', 'direction': 'forward', 'layers': 1, 'steps': 2, 'batch': 1, 'input': 2,
            'hidden': 2, 'dense': 0, 'lengths': None, 'together': True, 'train': False, 'seed': 42, 'threads': 1}
    if 'workload' in command:
        command = {**command, 'workload': {**base, **command['workload']}}
    good = [{'cmd': 'prepare', 'workload': base}, {'cmd': 'run', 'repeat': 2, 'inner': 1, 'warmup': 0}]
    lines = '\n'.join(map(json.dumps, [command, *good])) + '\nno JSON\n'
    answers = [json.loads(line) for line in latchwork.good('bench', 'serve', stdin=lines.encode()).text.splitlines()]
    assert word in answers[0]['error'] and answers[1] == {'ok': True} and len(answers[2]['times_us']) == 2
    assert 'error' in answers[3]


def test_refused(latchwork):
    assert "did you mean 'torch'" in latchwork.bad(2, 'bench', 'tiny', '--peers', 'torhc')
    assert 'NAME=COMMAND' in latchwork.bad(2, 'bench', 'tiny', '--driver', 'lonely')
    assert "did you mean 'onednn'" in latchwork.bad(2, 'bench', 'tiny', '--peer-python', 'onedn=python3')


def test_missing_peer(latchwork, tmp_path):
    env = {'LATCHWORK_PEERS': str(ROOT / 'bench' / 'peers')}
    result = latchwork('bench', '--shape', 'lstm T2 H3', '--peers', 'torch', '--peer-python', tmp_path / 'nothing',
                       '--threads', '1', '--seconds', '0.02', '--json', '-', env={**os.environ, **env})
    engines = result.json()['context']['latchwork']['engines']
    assert engines[1]['name'] == 'PyTorch' and 'cannot be started' in engines[1]['missing']
