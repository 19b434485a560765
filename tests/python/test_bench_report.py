# SPDX-License-Identifier: Apache-2.0
"""The page of `latchwork bench report --html`: well-formed, alone in the world, with everything in it, whatever the file."""
import html
import json
import re
import xml.etree.ElementTree

import pytest

HOSTILE = '</title><script>alert("1")</script>&amp;\'\x1b[31m'


def engine(name, us, **more):
    return {'engine': name, 'status': 'ok', 'threads': 2, 'p50_us': us, **more}


def row(name, suite='stream', **more):
    return {'name': name, 'suite': suite, 'threads': 1, 'p5_us': 1.9, 'p50_us': 2.0, 'p95_us': 2.2, 'per_step_us': 2.0,
            'samples_us': [1.9, 2.0, 2.2], 'flops': 1e5, 'bytes': 2e5, 'flops_per_second': 5e10, 'bytes_per_second': 1e11,
            'share_of_limit': 0.5, 'limit': 'L2', 'peak_memory': 5e6,
            'scaling': [{'threads': 1, 'median_us': 2.0}, {'threads': 2, 'median_us': 1.25}], 'peers': [], **more}


def results():
    limits = {'flops_per_second': 1e11, 'l1': 2e11, 'l2': 1e11, 'l3': 5e10, 'dram': 0, 'l1_bytes': 32768, 'l2_bytes': 524288}
    latency = {'count': 1008, 'p50_us': 2.0, 'p90_us': 2.1, 'p99_us': 9.0, 'max_us': 70.5,
               'histogram': [[2.1, 1000], [2.3, 0], [9.5, 7], [80.0, 1]]}
    return {'context': {'date': '2026-01-02T03:04:05+0000', 'host_name': 'host', 'load_avg': [0.1], 'latchwork': {
                'schema': 1, 'version': '9.8.7', 'isa': 'avx2', 'cpu': 'A CPU', 'cores': 2, 'frequency_policy': 'performance',
                'command': 'latchwork bench', 'limits': [{'threads': n, **limits} for n in (1, 2)],
                'engines': [{'name': 'Latchwork', 'version': '9.8.7'}, {'name': 'Quick', 'version': '1'},
                            {'name': 'Gone', 'missing': 'is not installed'}]}},
            'benchmarks': [row('lstm step B1 I8 H8', step_latency=latency),
                           row('gru T5 B2 I8 H8', 'batched', threads=2, ratio=0.5, best_peer='Quick',
                               peers=[engine('Quick', 1.0), engine('Slow', 8.0), {'engine': 'Gone', 'status': 'missing'}]),
                           {'name': 'rnn T3 B1 I4 H4', 'suite': 'shape', 'error_occurred': True, 'error_message': 'it broke'}]}


@pytest.fixture
def page(latchwork, tmp_path):
    def make(found, *options):
        file, target = tmp_path / 'results.json', tmp_path / 'page.html'
        file.write_text(json.dumps(found))
        latchwork.good('bench', 'report', file, '--html', target, *options)
        text = target.read_text()
        return text, xml.etree.ElementTree.fromstring(text.split('\n', 1)[1])
    return make


def texts(tree):
    return ' '.join(''.join(tree.itertext()).split())


def test_whole(page):
    text, tree = page(results())
    shown = texts(tree)
    for word in ('lstm step B1 I8 H8', 'gru T5 B2 I8 H8', 'rnn T3 B1 I4 H4', 'it broke', 'A CPU', '9.8.7', 'avx2', 'host',
                 '2026-01-02', 'L1 200 GB/s', 'FMA peak 100 GFLOP/s', '50 % of L2', 'p99 9.00 us', 'the longest 70.5 us',
                 '1.60×', 'is not installed', '2 workloads were measured, 1 could not be', 'faster than the best other engine in 0 of 1'):
        assert word in shown, word
    assert 'not quiet' not in shown and 'p99.9 ' not in shown.split('All figures')[0] and 'DRAM 0' not in shown
    assert 'href' not in text and 'src=' not in text and '@import' not in text and 'url(' not in text
    assert not re.search(r'https?://', text)
    pictures = tree.findall('.//svg')
    assert len(pictures) == 5 and all(picture.find('title') is not None for picture in pictures)
    assert 'prefers-color-scheme:dark' in text and '@media print' in text


def test_places(page):
    """What is faster stands on the other side of the line, and as far as its ratio says: from 1/4 to 4 here."""
    _, tree = page(results())
    bars = {bar.get('class'): bar.get('style') for bar in tree.findall(".//ul[@class='bars peers']//i")}
    assert bars == {'faster': 'left:25.0%;width:25.0%', 'slower': 'left:50.0%;width:50.0%'}
    dots = tree.findall('.//circle')
    assert len(dots) == 2 and len({(dot.get('cx'), dot.get('cy')) for dot in dots}) == 1
    numbers = [mark.text for mark in tree.findall(".//svg/text[@class='mark']")]
    assert numbers.count('1') == 2 and numbers.count('2') == 2


def test_troubles_are_told(page):
    found = results()
    found['context']['load_avg'] = [7.0, 1, 1]
    found['benchmarks'][0]['peers'] = [{'engine': 'Gone', 'status': 'unsupported', 'text': 'no steps'}]
    found['benchmarks'][0]['p95_us'] = 30.0
    _, tree = page(found)
    shown = texts(tree)
    assert len(tree.findall(".//div[@class='keep']")) == 1 and 'Gone not offered: no steps' in shown
    assert 'not quiet: the load average was 7.0 on 2 CPUs, and in 1 of 2 workloads' in shown


def test_hostile_texts(page):
    found = results()
    own = found['context']['latchwork']
    found['context']['host_name'] = own['cpu'] = own['command'] = own['version'] = HOSTILE
    own['engines'][1]['name'] = own['engines'][2]['missing'] = found['benchmarks'][2]['error_message'] = HOSTILE
    for benchmark in found['benchmarks']:
        benchmark['name'] = benchmark['suite'] = benchmark['limit'] = benchmark['best_peer'] = HOSTILE
        for peer in benchmark.get('peers', []):
            peer['engine'] = HOSTILE
    text, tree = page(found)
    assert '<script' not in text and '\x1b' not in text and not tree.findall('.//script')
    assert texts(tree).count(' '.join(HOSTILE.replace('\x1b', '?').split())) > 10
    assert html.escape('"1"') not in text and '&#34;1&#34;' in text


@pytest.mark.parametrize('change', [{}, {'histogram': [[0, 5], [None, 'x'], 7]}, {'scaling': [{}, {'threads': -1, 'median_us': 0}]},
                                    {'flops': 0, 'bytes': 0, 'flops_per_second': 0}, {'flops_per_second': 1e300, 'bytes': 1e-300},
                                    {'share_of_limit': 99.0}, {'peers': [3, {'engine': 4}]}, {'suite': None}])
def test_rubbish_in_fields(page, change):
    found = results()
    found['benchmarks'][0].update(change)
    found['benchmarks'][0]['step_latency'].update(change)
    text, tree = page(found)
    assert 'lstm step B1 I8 H8' in texts(tree)
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', text.split('</style>')[1])


def test_history(latchwork, page, tmp_path):
    found, file = results(), tmp_path / 'history.jsonl'
    machine = 'A CPU, 2 CPUs, avx2, performance'
    lines = [{'schema': 1, 'date': f'2026-01-{n + 1:02}', 'commit': f'c{n}', 'machine': machine if n else 'another',
              'p50_us': {'lstm step B1 I8 H8': 2.0 + n / 100, 'other': 1.0}} for n in range(5)]
    file.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    _, tree = page(found, '--history', file)
    trends = tree.findall(".//figure[@class='trend']")
    assert [trend.find('figcaption').text for trend in trends] == ['lstm step B1 I8 H8']
    assert len(trends[0].findall('.//circle')) == 4 and 'c3' in texts(trends[0]) and 'c0' not in texts(trends[0])
    source = tmp_path / 'results.json'
    assert '--html' in latchwork.bad(2, 'bench', 'report', source, '--history', file)
    file.write_text('{"schema": 1')
    assert 'truncated' in latchwork.bad(1, 'bench', 'report', source, '--history', file, '--html', tmp_path / 'new.html')
    assert not (tmp_path / 'new.html').exists()
