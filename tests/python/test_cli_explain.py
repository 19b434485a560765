# SPDX-License-Identifier: Apache-2.0
"""`latchwork explain`: that it tells what a run would do, in text and in JSON, and that its figures fit each other."""
import pytest

from conftest import make_weights, save_model

NAMES = {'one thread', 'rows', 'units', 'wavefront'}


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp('explain')
    made = {}
    for name, (kind, inputs, hidden, layers) in {'small': ('lstm', 1, 16, 1), 'deep': ('lstm', 40, 256, 3),
                                                 'gru': ('gru', 64, 96, 1)}.items():
        made[name] = folder / f'{name}.safetensors'
        save_model(made[name], make_weights(kind, inputs, hidden, layers))
    return made


def explain(latchwork, model, *args):
    return latchwork.good('explain', model, '--quick', '--json', *args).json()


def test_text(latchwork, models):
    text = latchwork.good('explain', models['deep'], '--steps', '160', '--quick').text
    for word in ('run ', 'kernels', 'schedule', 'walk', 'work', 'memory', 'predicted', *NAMES):
        assert word in text


def test_figures(latchwork, models):
    told = explain(latchwork, models['gru'], '--steps', '10', '--batch', '4')
    assert told['flops'] == 10 * 4 * 2 * 3 * 96 * (64 + 96)
    assert told['weight_bytes'] >= 4 * 3 * 96 * (64 + 96 + 2)
    assert told['state_bytes'] == 4 * 96 * 4
    assert told['threads'] == told['teams'] * told['members'] * told['stages']
    assert {choice['name'] for choice in told['choices']} == NAMES
    assert told['predicted_seconds'] == told['choices'][0]['seconds'] > 0
    assert 0 < told['bound_share'] <= 1
    for choice in told['choices']:
        assert choice['reason']
        assert (choice['threads'] == 0) == (choice['seconds'] == 0)


def test_small_work_stays_on_one_thread(latchwork, models):
    told = explain(latchwork, models['small'], '--threads', '2')
    assert told['choices'][0]['name'] == 'one thread' and told['threads'] == 1
    assert told['bound'] == 'overhead'


def test_large_work_is_shared(latchwork, models):
    assert explain(latchwork, models['deep'], '--steps', '160', '--threads', '2')['threads'] == 2
    assert explain(latchwork, models['deep'], '--steps', '160', '--threads', '1')['threads'] == 1
    rows = explain(latchwork, models['deep'], '--steps', '50', '--batch', '64', '--threads', '2')
    assert rows['choices'][0]['name'] in ('rows', 'units')


def test_each_instruction_set(latchwork, models, isas):
    for isa in isas:
        assert explain(latchwork, models['small'], '--isa', isa)['isa'] == isa


def test_measured_limits(latchwork, models):
    told = latchwork.good('explain', models['small'], '--json', '--threads', '1').json()
    assert told['limits']['threads'] == 1
    assert told['limits']['flops'] > 1e8 and told['limits']['dram'] > 1e8


@pytest.mark.parametrize('args, sentence', [
    (('--steps', '0'), '--steps: expected'),
    (('--batch', 'x'), '--batch: expected'),
    (('--isa', 'mmx'), 'expected scalar, neon, avx2 or avx512'),
])
def test_refusals(latchwork, models, args, sentence):
    assert sentence in latchwork.bad(2, 'explain', models['small'], *args)
