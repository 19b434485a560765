# SPDX-License-Identifier: Apache-2.0
"""`latchwork bench gate`, `compare` and `history`: verdicts on engines whose speed is known, refusals, outputs. The engines
speak the driver protocol and tell times that they make up, so that the verdicts do not depend on the machine."""
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import pytest

ENGINE = '''
import json, random, sys
speed, noise = float(sys.argv[1]), float(sys.argv[2])
draw = random.Random()
for line in sys.stdin:
    command = json.loads(line)
    if command['cmd'] == 'run' and 'crash' in sys.argv:
        sys.exit(3)
    answer = {'unsupported': 'too new'} if command['cmd'] == 'prepare' and 'old' in sys.argv else {'ok': True}
    if command['cmd'] == 'run':
        answer = {'times_us': [1e4 * speed * draw.lognormvariate(0, noise) for _ in range(command['repeat'])]}
    print(json.dumps(answer), flush=True)
'''
SHAPE = ('--shape', 'lstm T8 I16 H16')


@pytest.fixture(scope='module')
def engine(tmp_path_factory):
    path = tmp_path_factory.mktemp('gate') / 'engine.py'
    path.write_text(ENGINE)
    return lambda speed, noise=0.01, *more: [sys.executable, '-S', path, speed, noise, *more]


@pytest.fixture(scope='module')
def results(latchwork, tmp_path_factory):
    path = tmp_path_factory.mktemp('results') / 'results.json'
    latchwork.good('bench', *SHAPE, '--seconds', '0.3', '--threads', '1', '--json', path)
    return path


def changed(path, to, change):
    document = json.loads(path.read_text())
    change(document)
    to.write_text(json.dumps(document))
    return to


def test_slower_fails(latchwork, engine, tmp_path):
    made = latchwork('bench', 'gate', *SHAPE, '--json', tmp_path / 'g.json', '--junit', tmp_path / 'g.xml', '--markdown',
                     tmp_path / 'g.md', '--', *engine(1), '--vs', *engine(1.1))
    assert made.code == 3, made.err
    row = json.loads((tmp_path / 'g.json').read_text())['workloads'][0]
    assert row['verdict'] == 'slower' and 1.08 < row['effect']['ratio'] < 1.12 and row['again']['pairs'] >= 10
    suite = xml.etree.ElementTree.parse(tmp_path / 'g.xml').getroot()
    assert suite.get('failures') == '1' and 'is slower than' in suite.find('testcase/failure').get('message')
    assert '| lstm T8 B1 I16 H16 | slower |' in (tmp_path / 'g.md').read_text()


def test_the_same_and_faster_pass(latchwork, engine, tmp_path):
    line = ('bench', 'gate', *SHAPE, '--junit', tmp_path / 'g.xml', '--', *engine(1), '--vs', *engine(1))
    assert ' same ' in latchwork.good(*line).text
    assert 'is as fast as' in (tmp_path / 'g.xml').read_text()
    assert ' faster ' in latchwork.good('bench', 'gate', *SHAPE, '--', *engine(1), '--vs', *engine(0.8)).text


def test_noise_is_named(latchwork, engine):
    line = ('bench', 'gate', *SHAPE, '--pairs', '10', '--strict', '--github', '--', *engine(1, 2), '--vs', *engine(1, 2))
    # Ten pairs of pure noise come out clear now and then.
    made = [latchwork(*line) for _ in range(3)]
    assert any(run.code == 4 and '::warning title=Too noisy::' in run.text for run in made), [run.text for run in made]


def test_a_crash_is_named(latchwork, engine):
    line = ('bench', 'gate', *SHAPE, '--', *engine(1), '--vs', *engine(1, 0.01, 'crash'))
    made = latchwork(*line)
    assert made.code == 1 and 'crashed' in made.text and 'status 3' in made.text
    made = latchwork(*line[:2], '--markdown', '-', *line[2:])
    assert made.code == 1 and '### Performance: something could not be measured' in made.text


def test_what_the_base_does_not_know_is_left_out(latchwork, engine):
    old = engine(1, 0.01, 'old')
    made = latchwork.good('bench', 'gate', *SHAPE, '--markdown', '-', '--', *old, '--vs', *engine(1))
    assert 'the base does not know it: lstm T8 B1 I16 H16 (too new)' in made.text and 'nothing could be compared' in made.text
    made = latchwork('bench', 'gate', *SHAPE, '--', *engine(1), '--vs', *old)
    assert made.code == 1 and 'unsupported: too new' in made.text


@pytest.mark.skipif(not (shutil.which('git') and shutil.which('meson')), reason='git or meson is not there')
def test_a_base_that_cannot_be_built(latchwork, tmp_path):
    def git(*words):
        return subprocess.run(['git', '-c', 'user.name=a', '-c', 'user.email=a@b', *words], cwd=tmp_path, check=True,
                              capture_output=True, text=True).stdout
    (tmp_path / 'meson.build').write_text("project('old'\n")
    git('init', '--quiet')
    git('add', 'meson.build')
    git('commit', '--quiet', '--no-gpg-sign', '-m', 'old')
    made = latchwork('bench', 'gate', '--base', 'HEAD', cwd=tmp_path)
    assert made.code == 5 and 'meson.build:' in made.err and 'ERROR' in made.err, made.err
    assert made.err.endswith('latchwork: HEAD cannot be built\n')
    assert git('worktree', 'list').count('\n') == 1


def test_recorded(latchwork, results, tmp_path):
    slow = changed(results, tmp_path / 'slow.json', lambda d: [
        b.update(samples_us=[1.5 * t for t in b['samples_us']]) for b in d['benchmarks']])
    assert latchwork('bench', 'compare', results, results).code == 0
    assert latchwork('bench', 'compare', results, slow).code == 3
    few = changed(slow, tmp_path / 'few.json', lambda d: [b.update(samples_us=b['samples_us'][:9]) for b in d['benchmarks']])
    made = latchwork('bench', 'compare', results, few, '--strict')
    assert made.code == 4 and ' too noisy ' in made.text
    other = changed(results, tmp_path / 'other.json', lambda d: d['context']['latchwork'].update(cpu='Z80'))
    assert 'Z80' in latchwork.bad(1, 'bench', 'compare', other, results)
    assert latchwork('bench', 'compare', other, results, '--force').code == 0


def test_refusals(latchwork, results, engine, tmp_path):
    cut = tmp_path / 'cut.json'
    cut.write_bytes(results.read_bytes()[:300])
    assert 'truncated' in latchwork.bad(1, 'bench', 'compare', cut, results)
    newer = changed(results, tmp_path / 'newer.json', lambda d: d['context']['latchwork'].update(schema=99))
    assert 'schema is 99' in latchwork.bad(1, 'bench', 'compare', newer, results)
    assert '--threshold' in latchwork.bad(2, 'bench', 'gate', '--base', results, '--threshold', 'much')
    assert '--pairs has no meaning' in latchwork.bad(2, 'bench', 'compare', results, results, '--pairs', '20')
    assert '--shape has no meaning' in latchwork.bad(2, 'bench', 'gate', '--base', results, *SHAPE)
    assert '--vs' in latchwork.bad(2, 'bench', 'gate', '--', *engine(1))
    assert 'no commit' in latchwork.bad(1, 'bench', 'gate', '--base', 'no-such-thing', cwd=tmp_path)


def test_history(latchwork, results, tmp_path):
    file, page = tmp_path / 'history.jsonl', tmp_path / 'trend.html'
    for i in range(20):
        step = 1.1 if i >= 12 else 1.0
        run = changed(results, tmp_path / 'run.json', lambda d: [
            b.update(p50_us=100 * step + i % 3) for b in d['benchmarks']])
        made = latchwork.good('bench', 'history', '--file', file, '--add', run, '--commit', f'c{i}', '--html', page)
    assert 'c12' in made.text and '+9' in made.text
    assert page.read_text().count('<circle') == 20
    file.write_text(file.read_text()[:-5])
    left = file.read_text()
    assert 'truncated' in latchwork.bad(1, 'bench', 'history', '--file', file)
    assert 'truncated' in latchwork.bad(1, 'bench', 'history', '--file', file, '--add', results)
    assert file.read_text() == left
