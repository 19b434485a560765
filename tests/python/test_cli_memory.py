# SPDX-License-Identifier: Apache-2.0
"""`latchwork bench memory`: it tells of the same runs as `train`, in each form, and keeps what it has when stopped."""
import json
import signal
import subprocess
import time

import pytest

MEMORY = ('bench', 'memory', '--threads', 1)


def lines(result):
    return [json.loads(line) for line in result.text.splitlines()]


def test_quick_trains_every_cell_on_both_tasks(latchwork):
    runs = lines(latchwork.good(*MEMORY, '--quick', '--json'))
    assert [(r['task'], r['length'], r['cell']) for r in runs] == [
        (task, length, cell) for task in ('latch', 'adding') for length in (20, 50) for cell in ('lstm', 'gru', 'rnn')]
    for r in runs:
        assert r['seconds'] > 0 and r['updates'] == 150 or r['solved'] and r['updates'] < 150, r
        assert 0 < r['arrives_before'] < 1 and r['arrives_after'] > 0, r
    gated = [r['arrives_before'] for r in runs if r['cell'] != 'rnn']
    plain = [r['arrives_before'] for r in runs if r['cell'] == 'rnn']
    assert max(plain) < min(gated) / 100
    assert all(r['solved'] for r in runs if r['task'] == 'latch' and r['cell'] != 'rnn')


@pytest.mark.parametrize('task, cell', [('latch', 'lstm'), ('adding', 'gru'), ('latch', 'rnn')])
def test_a_run_is_that_of_train(latchwork, task, cell):
    options = ('--hidden', 12, '--updates', 30)
    bench = lines(latchwork.good(*MEMORY, '--tasks', task, '--cells', cell, '--lengths', '25', '--seeds', 2,
                                 '--first-seed', 4, *options, '--json'))
    assert [r['seed'] for r in bench] == [4, 5]
    for r in bench:
        train = json.loads(latchwork.good('train', task, '--cell', cell, '--length', 25, '--seed', r['seed'], *options,
                                          '--json').text)
        assert r['loss'] == pytest.approx(train['loss'], rel=1e-5)
        assert (r['updates'], r['solved']) == (train['updates'], train['solved'])


def test_the_gradient_is_unchanged_by_an_update_of_nothing(latchwork):
    """Before and after are measured over the same sequences, and the rate is that of the command line."""
    line = ('--tasks', 'latch', '--lengths', '40', '--updates', 1, '--rate', 1e-12, '--json', '--seeds', 1)
    for r in lines(latchwork.good(*MEMORY, *line)):
        assert r['rate'] == 1e-12
        assert r['arrives_after'] == pytest.approx(r['arrives_before'], rel=1e-4)


def test_tables(latchwork):
    line = ('--tasks', 'latch', '--cells', 'gru,rnn', '--lengths', '20,30', '--seeds', 2, '--updates', 30)
    text = latchwork.good(*MEMORY, *line).text.splitlines()
    assert text[0].split()[:6] == ['task', 'cell', 'T', 'rate', 'solved', 'updates']
    rows = [row.split() for row in text[1:5]]
    assert [row[:4] for row in rows] == [['latch', cell, steps, rate] for steps in ('20', '30')
                                         for cell, rate in (('gru', '0.02'), ('rnn', '0.001'))]
    assert rows[0][4:7] == ['2', 'of', '2'] and '(30),' in rows[3]
    markdown = latchwork.good(*MEMORY, *line, '--markdown').text.splitlines()
    assert markdown[0].startswith('| task | cell | T |') and sum(row.startswith('| latch |') for row in markdown) == 4


def test_refusals(latchwork):
    for words, sentence in ((('--lengths', '20,x'), "--lengths: expected up to 16 whole numbers from 2 to"),
                            (('--lengths', '1'), "got '1'"),
                            (('--cells', 'lst'), "--cells: there is no 'lst'; did you mean 'lstm'?"),
                            (('--tasks', 'copy'), "--tasks: there is no 'copy'"),
                            (('--tasks', 'latch,'), "--tasks: there is no ''"),
                            (('--rate', 'x'), '--rate: expected a number'),
                            (('--json', '--markdown'), '--json and --markdown exclude each other')):
        assert sentence in latchwork.bad(2, *MEMORY, *words)


def test_a_signal_keeps_what_was_measured(latchwork):
    """The second length cannot end within the test's time. Lines come at once, a table only at the end: how long the
    first length takes is known from the lines then."""
    line = ('--tasks', 'latch', '--cells', 'gru', '--lengths', '20,4000', '--seeds', 1, '--updates', 100000)
    began, taken = time.monotonic(), 0
    for form in ('--json', '--markdown'):
        with subprocess.Popen([latchwork.path, *map(str, (*MEMORY, *line, form))], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            first = process.stdout.readline() if form == '--json' else ''
            taken = taken or time.monotonic() - began
            time.sleep(0 if first else 1 + 3 * taken)
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGINT, error
        assert 'stopped by a signal after 1 of 2 runs' in error
        assert (first + out).count('latch') == 1
