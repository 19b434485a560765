# SPDX-License-Identifier: Apache-2.0
"""`latchwork train`: each task learns, the same seed gives the same bits, a run can be taken up anywhere, bad data."""
import json
import os
import random
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from conftest import digest, save

TEXT = 'the quick brown fox jumps over the lazy dog; Grüße, naïve café.\n' * 40


def write_series(path, lines=300):
    t = np.arange(lines)
    rows = np.stack([np.sin(0.2 * t), np.cos(0.13 * t)], axis=1)
    path.write_text('\n'.join(','.join(f'{value:.6f}' for value in row) for row in rows) + '\n')
    return path


def write_classes(folder, count=120, steps=12):
    """Sequences whose mean is above or below 0: learnt in a few updates."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, count)
    x = rng.normal(0, 1, (count, steps, 2)) + (2.0 * labels - 1.0)[:, None, None]
    return save(folder / 'x.npy', x.astype(np.float32)), save(folder / 'y.npy', labels.astype(np.int64))


@pytest.fixture
def tasks(tmp_path):
    """Small command lines, one a task."""
    series = write_series(tmp_path / 'series.csv')
    sequences, labels = write_classes(tmp_path)
    text = tmp_path / 'text.txt'
    text.write_text(TEXT, encoding='utf-8')
    return {
        'series': ('train', 'series', '--data', series, '--window', 12, '--horizon', 2, '--hidden', 8),
        'classify': ('train', 'classify', '--data', sequences, '--labels', labels, '--hidden', 8),
        'text': ('train', 'text', '--data', text, '--hidden', 16, '--length', 10, '--batch', 8, '--layers', 2),
        'latch': ('train', 'latch', '--length', 20, '--hidden', 8, '--batch', 9),
        'adding': ('train', 'adding', '--length', 20, '--hidden', 8, '--cell', 'gru'),
        'copy': ('train', 'copy', '--length', 15, '--hidden', 8, '--cell', 'rnn'),
    }


TASKS = ('series', 'classify', 'text', 'latch', 'adding', 'copy')
SHORT = ('--updates', 14, '--every', 5, '--json')


def last_line(result):
    return json.loads(result.text.splitlines()[-1])


# ---- what is learnt and said ----------------------------------------------------------------------------------------

@pytest.mark.parametrize('task', TASKS)
def test_every_task_tells_its_summary_in_one_line(latchwork, tasks, tmp_path, task):
    result = latchwork.good(*tasks[task], *SHORT, '--out', tmp_path / 'm.safetensors')
    assert result.text.count('\n') == 1
    summary = last_line(result)
    assert summary['task'] == task and summary['updates'] == 14 and summary['seconds'] > 0
    assert summary['ended_by'] == 'updates' and summary['solved'] is False
    assert np.isfinite(summary['loss']) and summary['flops_per_second'] > 0
    assert (summary['accuracy'] is None) == (task == 'series')
    described = latchwork.good('inspect', tmp_path / 'm.safetensors', '--json').json()
    assert described['parameters'] == summary['parameters']
    assert re.match(rf'{task}: all updates made, loss ', latchwork.good(*tasks[task], *SHORT[:-1]).text)


def test_latch_over_50_steps_is_solved(latchwork):
    for cell in ('lstm', 'gru'):
        summary = last_line(latchwork.good('train', 'latch', '--length', 50, '--cell', cell, '--seed', 1, '--json'))
        assert summary['solved'] is True and summary['ended_by'] == 'solved', summary
        assert summary['accuracy'] >= 0.99 and summary['loss'] <= 0.1 and summary['updates'] < 1000


def test_a_plain_rnn_does_not_reach_300_steps(latchwork):
    line = ('train', 'latch', '--length', 300, '--seed', 1, '--updates', 200, '--json')
    assert last_line(latchwork.good(*line, '--cell', 'rnn'))['accuracy'] < 0.6


def test_adding_is_learnt(latchwork):
    summary = last_line(latchwork.good('train', 'adding', '--length', 30, '--seed', 1, '--json'))
    assert summary['solved'] is True and summary['loss'] <= 0.01


def test_a_series_is_forecast_better_than_by_persistence(latchwork, tasks):
    summary = last_line(latchwork.good(*tasks['series'], '--updates', 400, '--json'))
    assert summary['loss'] < 0.3 * summary['persistence_loss']


def test_persistence_is_that_of_the_normalised_validation_part(latchwork, tasks):
    summary = last_line(latchwork.good(*tasks['series'], *SHORT))
    x = np.loadtxt(tasks['series'][3], delimiter=',')
    train = len(x) - len(x) // 5
    z = (x - x[:train].mean(0)) / x[:train].std(0)
    errors = [(z[t:t + 2] - z[t - 1]) ** 2 for t in range(train, len(x) - 1)]
    assert summary['persistence_loss'] == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_autoregression_is_that_of_least_squares(latchwork, tmp_path):
    rng = np.random.default_rng(2)
    x = np.cumsum(rng.normal(0, 1, (200, 2)), axis=0) % 5
    np.savetxt(tmp_path / 's.csv', x, fmt='%.6f', delimiter=',')
    x = np.loadtxt(tmp_path / 's.csv', delimiter=',')
    line = ('train', 'series', '--data', tmp_path / 's.csv', '--window', 4, '--horizon', 3, '--hidden', 4, *SHORT)
    z = (x - x[:160].mean(0)) / x[:160].std(0)
    inputs = np.stack([np.append(z[t - 4:t].ravel(), 1) for t in range(4, 198)])
    outputs = np.stack([z[t:t + 3].ravel() for t in range(4, 198)])
    train = 160 - 3 - 4 + 1
    weights = np.linalg.lstsq(inputs[:train], outputs[:train], rcond=None)[0]
    want = np.mean((inputs[156:] @ weights - outputs[156:]) ** 2)
    assert last_line(latchwork.good(*line))['autoregression_loss'] == pytest.approx(want, rel=1e-3)


@pytest.mark.parametrize('options', [(), ('--dropout', 0.2, '--zoneout', 0.2)], ids=('plain', 'regularised'))
def test_the_model_forecasts_what_the_validation_measured(latchwork, tasks, tmp_path, options):
    """The saved model and its normalisation give the summary's loss through `latchwork run`."""
    out = tmp_path / 'm.safetensors'
    summary = last_line(latchwork.good(*tasks['series'], '--updates', 60, '--json', '--out', out))
    extra, x = load_file(out), np.loadtxt(tasks['series'][3], delimiter=',', dtype=np.float32)
    z = (x - extra['series.mean']) / extra['series.deviation']
    starts = range(len(x) - len(x) // 5, len(x) - 1)
    save(tmp_path / 'in.npy', np.stack([z[t - 12:t] for t in starts], axis=1).astype(np.float32))
    latchwork.good('run', out, '-i', tmp_path / 'in.npy', '-o', tmp_path / 'y.npy', '--last')
    want = np.stack([z[t:t + 2].ravel() for t in starts])
    assert np.mean((np.load(tmp_path / 'y.npy') - want) ** 2) == pytest.approx(summary['loss'], rel=1e-4)


def test_classes_are_learnt_and_a_good_end_stops_early(latchwork, tasks):
    summary = last_line(latchwork.good(*tasks['classify'], '--patience', 3, '--every', 20, '--updates', 4000,
                                       '--rate', 0.02, '--json'))
    assert summary['ended_by'] == 'patience' and summary['accuracy'] > 0.9
    assert summary['updates'] == summary['best_update'] + 60


def test_text_is_learnt_and_sampled(latchwork, tasks):
    line = (*tasks['text'], '--updates', 300, '--rate', 0.02, '--sample', 50, '--json')
    summary = last_line(latchwork.good(*line))
    assert summary['bits_per_character'] == pytest.approx(summary['loss'] / np.log(2), rel=1e-6)
    assert summary['bits_per_character'] < 1.5
    assert len(summary['sample']) == 50 and set(summary['sample']) <= set(TEXT)
    assert summary['sample'] == last_line(latchwork.good(*line))['sample']
    plain = latchwork.good(*line[:-1]).text
    assert plain.startswith('text: ') and plain.split('\n', 1)[1] == summary['sample'] + '\n'


# ---- the same bits --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('task', TASKS)
def test_the_same_bits_for_any_number_of_threads_and_after_a_rest(latchwork, tasks, tmp_path, task):
    line, a, b, c = tasks[task], *(tmp_path / f'{name}.safetensors' for name in 'abc')
    latchwork.good(*line, *SHORT, '--threads', 1, '--out', a)
    latchwork.good(*line, *SHORT, '--threads', 2, '--out', b)
    assert digest(a) == digest(b)
    latchwork.good(*line, *SHORT, '--seed', 1, '--out', b)
    assert digest(a) != digest(b)
    rest = ('--every', 5, '--json', '--checkpoint', tmp_path / 'rest', '--resume', '--out', c)
    for updates in (3, 8, 14):
        assert last_line(latchwork.good(*line, '--updates', updates, *rest))['updates'] == updates
    assert digest(a) == digest(c)


REGULARISED = [('--dropout', 0.3, '--input-dropout', 0.1), ('--dropout', 0.2, '--variational'),
               ('--recurrent-dropout', 0.25), ('--zoneout', 0.1), ('--zoneout-cell', 0.5)]


@pytest.mark.parametrize('options', REGULARISED, ids=lambda options: options[0] + str(len(options)))
@pytest.mark.parametrize('task', ('text', 'latch'))
def test_masks_depend_on_the_update_alone(latchwork, tasks, tmp_path, task, options):
    line, a, b = (*tasks[task], *options), *(tmp_path / f'{name}.safetensors' for name in 'ab')
    latchwork.good(*line, *SHORT, '--threads', 1, '--out', a)
    rest = ('--every', 5, '--json', '--checkpoint', tmp_path / 'rest', '--resume', '--out', b)
    for updates in (3, 8, 14):
        latchwork.good(*line, '--updates', updates, '--threads', 2, *rest)
    assert digest(a) == digest(b)
    tensors = load_file(a)
    latchwork.good(*tasks[task], *SHORT, '--out', b)
    assert any(not np.array_equal(value, tensors[name]) for name, value in load_file(b).items())
    message = latchwork.bad(1, *tasks[task], '--updates', 20, '--every', 5, *rest[3:6])
    assert f"whose '{options[0][2:]}' was {options[1]}; this one's is 0" in message


def test_rates_of_zero_are_none(latchwork, tasks, tmp_path):
    a, b = tmp_path / 'a.safetensors', tmp_path / 'b.safetensors'
    rates = ('dropout', 'input-dropout', 'recurrent-dropout', 'zoneout', 'zoneout-cell')
    latchwork.good(*tasks['text'], *SHORT, '--out', a)
    latchwork.good(*tasks['text'], *SHORT, *(word for name in rates for word in (f'--{name}', 0)), '--out', b)
    assert digest(a) == digest(b)


def rows(log):
    """Updates that the log tells of."""
    return [int(row.split(',')[0]) for row in log.read_text().splitlines()[1:] if row.split(',')[1]]


def signal_after(latchwork, line, log, updates, number):
    """Runs until the log tells of that update, sends the signal, and returns the exit code and stderr."""
    with subprocess.Popen([latchwork.path, *map(str, line)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while process.poll() is None and (not log.exists() or log.read_text().count('\n') <= updates):
            time.sleep(0.002)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    return process.returncode, error.decode()


@pytest.mark.parametrize('task', TASKS)
def test_the_same_bits_for_every_instruction_set(latchwork, tasks, tmp_path, isas, task):
    models = set()
    for isa in isas:
        latchwork.good(*tasks[task], *SHORT, '--out', tmp_path / 'm.safetensors', env={'LW_ISA': isa})
        models.add(digest(tmp_path / 'm.safetensors'))
    assert len(models) == 1


@pytest.mark.parametrize('options', [('--optimiser', 'sgd', '--schedule', 'cosine', '--warm-up', 3),
                                     ('--optimiser', 'rmsprop', '--schedule', 'step', '--initial', 'orthogonal'),
                                     ('--optimiser', 'adamw', '--clip', 0, '--initial', 'xavier', '--chrono', 0)],
                         ids=lambda options: options[1])
def test_a_signal_saves_and_the_rest_has_the_same_bits(latchwork, tmp_path, options):
    line = ('train', 'latch', '--length', 200, '--hidden', 24, '--updates', 500, '--every', 1000, '--json', *options)
    a, b, rest, log = (tmp_path / name for name in ('a.safetensors', 'b.safetensors', 'rest', 'log.csv'))
    latchwork.good(*line, '--out', a)
    line = (*line, '--checkpoint', rest, '--resume', '--out', b, '--log', log)
    for number, updates in ((signal.SIGINT, 20), (signal.SIGTERM, 70)):
        code, error = signal_after(latchwork, line, log, updates, number)
        assert code == 128 + number and f'stopped by a signal after {rows(log)[-1]} updates' in error, error
        assert not b.exists()
    summary = last_line(latchwork.good(*line))
    assert summary['updates'] == 500 and digest(a) == digest(b)


def test_killed_at_random_moments_the_rest_has_the_same_bits(latchwork, tasks, tmp_path):
    """A text's state goes on from batch to batch, so that everything a checkpoint can hold counts here."""
    wider = tuple(48 if part == 16 else part for part in tasks['text'])
    line = (*wider, '--updates', 600, '--every', 7, '--patience', 0, '--json')
    a, b, rest, log = (tmp_path / name for name in ('a.safetensors', 'b.safetensors', 'rest', 'log.csv'))
    latchwork.good(*line, '--out', a)
    line = (*line, '--checkpoint', rest, '--resume', '--out', b, '--log', log)
    dice, updates = random.Random(5), 0
    for _ in range(20):
        updates += dice.randrange(5, 40)
        log.unlink(missing_ok=True)
        code, _ = signal_after(latchwork, line, log, updates, signal.SIGKILL)
        assert code == -signal.SIGKILL
        updates = rows(log)[-1]
    assert updates < 600 and not list(tmp_path.glob('b*'))
    latchwork.good(*line)
    assert digest(a) == digest(b) and rows(log) == list(range(1, 601))


def test_a_second_resumption_of_a_finished_run_changes_nothing(latchwork, tmp_path):
    line = ('train', 'latch', '--length', 20, '--hidden', 16, '--checkpoint', tmp_path / 'rest', '--json', '--out')
    first = last_line(latchwork.good(*line, tmp_path / 'a.safetensors'))
    assert first['ended_by'] == 'solved'
    again = last_line(latchwork.good(*line, tmp_path / 'b.safetensors', '--resume', '--updates', 5000))
    assert again['updates'] == first['updates']
    assert digest(tmp_path / 'a.safetensors') == digest(tmp_path / 'b.safetensors')


def test_a_checkpoint_of_something_else_is_refused(latchwork, tasks, tmp_path):
    rest = ('--checkpoint', tmp_path / 'rest')
    latchwork.good(*tasks['latch'], '--updates', 3, *rest)
    before = digest(tmp_path / 'rest')
    again = ('--updates', 6, *rest, '--resume')
    assert "whose 'seed' was 0; this one's is 4" in latchwork.bad(1, *tasks['latch'], *again, '--seed', 4)
    assert "whose 'task' was" in latchwork.bad(1, *tasks['adding'], *again)
    assert "whose 'rate' was 0.02" in latchwork.bad(1, *tasks['latch'], *again, '--rate', 0.01)
    assert digest(tmp_path / 'rest') == before
    latchwork.good(*tasks['series'], '--updates', 3, '--checkpoint', tmp_path / 'other')
    write_series(tmp_path / 'series.csv', 290)
    line = (*tasks['series'], '--updates', 6, '--checkpoint', tmp_path / 'other', '--resume')
    assert 'is of a run over other data' in latchwork.bad(1, *line)
    for content in (b'', b'nonsense', (tmp_path / 'rest').read_bytes()[:-9]):
        (tmp_path / 'bad').write_bytes(content)
        latchwork.bad(1, *tasks['latch'], '--updates', 6, '--checkpoint', tmp_path / 'bad', '--resume')


# ---- files ----------------------------------------------------------------------------------------------------------

def test_config_is_the_command_line_in_a_file(latchwork, tmp_path):
    config = tmp_path / 'c.json'
    config.write_text('{"task": "latch", "length": 20, "hidden": 6, "updates": 7, "rate": 0.01, "cell": "gru", '
                      '"json": true}')
    a, b = tmp_path / 'a.safetensors', tmp_path / 'b.safetensors'
    summary = last_line(latchwork.good('train', 'latch', '--config', config, '--hidden', 5, '--out', a))
    assert (summary['cell'], summary['hidden'], summary['length'], summary['updates']) == ('gru', 5, 20, 7)
    latchwork.good('train', 'latch', '--cell', 'gru', '--length', 20, '--hidden', 5, '--updates', 7, '--rate', 0.01,
                   '--out', b)
    assert digest(a) == digest(b)


@pytest.mark.parametrize('content, words', [
    ('{"hiden": 3}', "there is no setting 'hiden'; did you mean 'hidden'?"),
    ('{"hidden": "3"}', "'hidden': expected a whole number"),
    ('{"hidden": 0}', "'hidden': expected a whole number"),
    ('{"json": 1}', "'json': expected true or false"),
    ('{"cell": true}', "'cell': expected a text or a number"),
    ('{"task": "copy"}', "is for the task 'copy'"),
    ('{"config": "x"}', "there is no setting 'config'"),
    ('[1]', 'expected a JSON object'),
    ('{"hidden": 3,\n}', 'line 2, column'),
    ('', 'line 1, column'),
], ids=range(10))
def test_bad_config(latchwork, tmp_path, content, words):
    (tmp_path / 'c.json').write_text(content)
    assert words in latchwork.bad(1, 'train', 'latch', '--config', tmp_path / 'c.json')


def test_logs(latchwork, tasks, tmp_path):
    latchwork.good(*tasks['latch'], *SHORT, '--log', tmp_path / 'l.csv')
    rows = [row.split(',') for row in (tmp_path / 'l.csv').read_text().splitlines()]
    assert rows[0] == 'update,loss,norm,rate,seconds,validation_loss,validation_accuracy'.split(',')
    assert [row[0] for row in rows[1:] if row[1]] == [str(n) for n in range(1, 15)]
    assert [row[0] for row in rows[1:] if row[5]] == ['5', '10'] and all(len(row) == 7 for row in rows)
    latchwork.good(*tasks['latch'], *SHORT, '--log', tmp_path / 'l.jsonl')
    lines = [json.loads(line) for line in (tmp_path / 'l.jsonl').read_text().splitlines()]
    losses = [float(row[1]) for row in rows[1:] if row[1]]
    assert [line['loss'] for line in lines if 'loss' in line] == pytest.approx(losses, rel=1e-6)
    assert [line['update'] for line in lines if 'validation_loss' in line] == [5, 10]


@pytest.mark.parametrize('task', TASKS)
def test_report(latchwork, tasks, tmp_path, task):
    plain, told = tmp_path / 'a.safetensors', tmp_path / 'b.safetensors'
    latchwork.good(*tasks[task], *SHORT, '--out', plain)
    latchwork.good(*tasks[task], *SHORT, '--report', tmp_path / 'r.html', '--out', told)
    assert digest(plain) == digest(told)
    page = (tmp_path / 'r.html').read_text()
    assert page.startswith('<!DOCTYPE html>') and page.endswith('</html>\n')
    assert 'http' not in page.replace('http://www.w3.org/', '') and not re.search(r'\b(nan|inf)\b', page)
    memory = task in ('latch', 'adding', 'copy')
    assert page.count('<svg') == page.count('</svg>') == 2 + (task != 'series') + memory
    assert ('The gradient on its way back' in page) == memory


# ---- refusals -------------------------------------------------------------------------------------------------------

USAGE = [
    (('train',), 'train: TASK is missing'),
    (('train', 'latsch'), "there is no task 'latsch'; did you mean 'latch'?"),
    (('train', 'series'), 'train series: --data FILE is missing'),
    (('train', 'latch', '--data', 'x'), '--data: the task latch does not know it'),
    (('train', 'text', '--data', 'x', '--horizon', 2), '--horizon: the task text does not know it'),
    (('train', 'latch', '--cell', 'lstn'), "--cell: there is no 'lstn'; did you mean 'lstm'?"),
    (('train', 'latch', '--optimiser', 'lion'), 'expected sgd, rmsprop, adam or adamw'),
    (('train', 'latch', '--rate', 'fast'), "--rate: expected a number from 1e-12 to 1000, got 'fast'"),
    (('train', 'latch', '--rate', 'nan'), "got 'nan'"),
    (('train', 'latch', '--clip', '-1'), "--clip: expected a number from 0"),
    (('train', 'latch', '--dropout', 1), "--dropout: expected a rate of at least 0 and less than 1, got '1'"),
    (('train', 'latch', '--input-dropout', '-0.1'), "--input-dropout: expected a rate"),
    (('train', 'latch', '--zoneout', 'nan'), "less than 1, got 'nan'"),
    (('train', 'latch', '--recurrent-dropout', 'half'), "less than 1, got 'half'"),
    (('train', 'latch', '--cell', 'gru', '--zoneout-cell', 0.1), 'only an LSTM has a cell beside h, a gru has none'),
    (('train', 'latch', '--variational'), 'but neither is above 0'),
    (('train', 'latch', '--lengths', 'x'), '--lengths: the task latch does not know it'),
    (('train', 'latch', '--length', 1), '--length: latch needs at least 2 steps, got 1'),
    (('train', 'copy', '--length', 2), '--length: copy needs at least 3 steps'),
    (('train', 'latch', '--resume'), '--resume: --checkpoint FILE is missing'),
    (('train', 'latch', '--out', 'x', '--log', 'x'), "--out and --log name the same file 'x'"),
    (('train', 'latch', '--out', '-'), "--out: expected the name of a file, got '-'"),
]


@pytest.mark.parametrize('line, words', USAGE, ids=lambda value: ' '.join(map(str, value))[:50])
def test_usage(latchwork, line, words, tmp_path):
    assert words in latchwork.bad(2, *line, cwd=tmp_path)


@pytest.mark.parametrize('content, words', [
    ('', 'is empty'),
    ('\n\n', 'is empty'),
    ('1,2\n3\n4,5\n', 'line 2 has 1 numbers; expected 2'),
    ('1\n2\nnan\n', 'line 3, column 1: expected a finite number, got nan'),
    ('1,2\n3,inf\n', 'line 2, column 2: expected a finite number, got inf'),
    ('1,2\n3,x\n', "line 2, column 2: expected a number, got 'x'"),
    ('date,value\n1,2\n', "line 1, column 1: expected a number, got 'date'"),
    ('1\n' * 20, 'has 20 lines; a window of 48 and a horizon of 1 need 49'),
], ids=range(8))
def test_bad_series(latchwork, tmp_path, content, words):
    (tmp_path / 's.csv').write_text(content)
    assert words in latchwork.bad(1, 'train', 'series', '--data', tmp_path / 's.csv')


@pytest.mark.parametrize('option', ['--out', '--log', '--checkpoint', '--report'])
def test_a_training_spares_its_data(latchwork, tmp_path, option):
    data = tmp_path / 's.csv'
    data.write_text('1\n2\n' * 60)
    line = ('train', 'series', '--data', data, option, data)
    assert f"{option}: '{data}' would take the place of" in latchwork.bad(2, *line)
    assert data.read_text() == '1\n2\n' * 60


@pytest.mark.parametrize('content, words', [
    (b'', 'is empty'),
    (b'abc\nab\xffc\n', 'line 2, column 3: the byte 0xff begins no character'),
    ('naïve\x00'.encode(), 'line 1, column 6: the control character 0x00'),
    (b'ab\xc3', 'line 1, column 3: the byte 0xc3 begins no character'),
    (b'\xed\xa0\x80', 'line 1, column 1: the byte 0xed'),
    (b'\xc0\xaf', 'line 1, column 1: the byte 0xc0'),
    (b'short', 'has 5 characters; 32 rows of --batch and 64 steps of --length need at least'),
], ids=range(7))
def test_bad_text(latchwork, tmp_path, content, words):
    (tmp_path / 't.txt').write_bytes(content)
    assert words in latchwork.bad(1, 'train', 'text', '--data', tmp_path / 't.txt')


@pytest.mark.parametrize('change, words', [
    (lambda x, y: (x[0], y), 'expected sequences, (N, T, I)'),
    (lambda x, y: (x, y[:-1]), 'has 119 labels; expected 120'),
    (lambda x, y: (x, np.where(np.arange(120) == 7, -1, y)), 'sequence 7 has the unknown label -1'),
    (lambda x, y: (x, np.where(np.arange(120) == 7, 9, y)), 'the largest label is 9, but 2 never occurs'),
    (lambda x, y: (x, y.astype(np.float32)), "expected '<i8' or '<i4'"),
    (lambda x, y: (np.where(np.arange(120)[:, None, None] == 4, np.float32('nan'), x), y),
     'sequence 4, step 0, channel 0: expected a finite number'),
    (lambda x, y: (x, y * 0), '120 sequences of 1 classes; expected at least 5 of 2'),
    (lambda x, y: (x[:, :0], y), 'none of them 0'),
], ids=range(8))
def test_bad_classes(latchwork, tmp_path, change, words):
    x, y = (np.load(path) for path in write_classes(tmp_path))
    x, y = change(x, y)
    line = ('train', 'classify', '--data', save(tmp_path / 'x.npy', x), '--labels', save(tmp_path / 'y.npy', y))
    assert words in latchwork.bad(1, *line)


def test_what_lies_behind_a_sequence_is_not_looked_at(latchwork, tmp_path):
    x, y = (np.load(path) for path in write_classes(tmp_path))
    n = np.random.default_rng(8).integers(1, x.shape[1] + 1, len(x))
    behind, models = np.arange(x.shape[1]) >= n[:, None], []
    for padding in (np.nan, 0, 1e9):
        x[behind] = padding
        line = ('train', 'classify', '--data', save(tmp_path / 'x.npy', x), '--labels', save(tmp_path / 'y.npy', y),
                '--lengths', save(tmp_path / 'n.npy', n), '--hidden', 8, '--rate', 0.02, '--updates', 200, '--json')
        summary = last_line(latchwork.good(*line, '--out', tmp_path / 'm.safetensors'))
        models.append(digest(tmp_path / 'm.safetensors'))
    assert summary['accuracy'] > 0.8 and len(set(models)) == 1
    (tmp_path / 'n.csv').write_text('\n'.join(map(str, n)))
    latchwork.good(*line[:7], tmp_path / 'n.csv', *line[8:], '--out', tmp_path / 'm.safetensors',
                   '--report', tmp_path / 'r.html')
    assert digest(tmp_path / 'm.safetensors') == models[0]
    x[behind] = 0
    save(tmp_path / 'x.npy', x)
    latchwork.good(*line[:6], *line[8:], '--out', tmp_path / 'm.safetensors')
    assert digest(tmp_path / 'm.safetensors') != models[0]
    save(tmp_path / 'n.npy', np.full(len(x), x.shape[1]))
    latchwork.good(*line[:6], *line[8:], '--out', tmp_path / 'a.safetensors')
    latchwork.good(*line, '--out', tmp_path / 'b.safetensors')
    assert digest(tmp_path / 'a.safetensors') == digest(tmp_path / 'b.safetensors')


@pytest.mark.parametrize('lengths, words', [
    (lambda n: n[:-1], 'expected 120 lengths, one for each batch row, got 119'),
    (lambda n: np.where(np.arange(120) == 3, 0, n), 'sequence 3 has no steps; expected lengths of 1 to 12'),
    (lambda n: np.where(np.arange(120) == 3, 13, n), 'the length of row 3 is 13; expected 0 to 12'),
    (lambda n: np.where(np.arange(120) == 3, -1, n), 'the length of row 3 is -1'),
    (lambda n: n.astype(np.float32), "expected '<i8' or '<i4'"),
], ids=range(5))
def test_bad_lengths(latchwork, tasks, tmp_path, lengths, words):
    path = save(tmp_path / 'n.npy', lengths(np.full(120, 12)))
    assert words in latchwork.bad(1, *tasks['classify'], '--lengths', path)


@pytest.mark.parametrize('content, words', [
    ('0\n1\nx\n', "line 3, column 1: expected one label, a whole number, got 'x'"),
    ('0\n1.5\n', "line 2, column 1"),
    ('0,1\n', "line 1, column 1"),
], ids=range(3))
def test_bad_labels(latchwork, tmp_path, content, words):
    sequences, _ = write_classes(tmp_path)
    (tmp_path / 'y.csv').write_text(content)
    assert words in latchwork.bad(1, 'train', 'classify', '--data', sequences, '--labels', tmp_path / 'y.csv')


def test_an_unknown_label_for_a_given_number_of_classes(latchwork, tasks):
    latchwork.good(*tasks['classify'], '--classes', 4, *SHORT)
    labels = tasks['classify'][5]
    np.save(labels, np.where(np.arange(120) == 3, 4, np.load(labels)))
    assert 'sequence 3 has the unknown label 4; expected 0 to 3' in latchwork.bad(1, *tasks['classify'], '--classes', 4)


def test_a_rate_that_is_too_large_is_said(latchwork, tasks):
    error = latchwork.bad(1, *tasks['series'], '--optimiser', 'sgd', '--rate', 1000, '--clip', 0)
    assert 'is no finite number any more; try a smaller --rate or --clip' in error


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists('/proc'), reason='needs a folder that cannot be written')
def test_outputs_are_checked_before_the_work(latchwork):
    for option in ('--out', '--log', '--checkpoint', '--report'):
        assert 'cannot be created in the folder' in latchwork.bad(1, 'train', 'latch', option, '/proc/nowhere/x')
