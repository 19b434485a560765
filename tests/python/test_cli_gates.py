# SPDX-License-Identifier: Apache-2.0
"""`latchwork gates`: tables and pictures of what the gates let through."""
import base64
import html.parser
import itertools
import json
import os
import re
import xml.etree.ElementTree as xml

import numpy as np
import pytest

import cli_reference as reference
from conftest import BOTH, make_weights, normal, save, save_model

# ---- gates ----------------------------------------------------------------------------------------------------------

def read_table(path):
    rows = path.read_text().splitlines()
    assert rows[0] == 't,row,signal,unit,value'
    table = {}
    for row in rows[1:]:
        t, b, name, unit, value = row.split(',')
        table[int(t), int(b), name, int(unit)] = float(value)
    assert len(table) == len(rows) - 1
    return table


@pytest.mark.parametrize('kind', ['lstm', 'gru', 'rnn'])
@pytest.mark.parametrize('directions', [('',), BOTH])
def test_gates_table(latchwork, tmp_path, kind, directions):
    weights = make_weights(kind, 3, 5, 2, directions)
    model = save_model(tmp_path / 'm.safetensors', weights)
    x = normal(7, 2, 3)
    save(tmp_path / 'x.npy', x)
    _, _, signals = reference.run(kind, weights, x)
    for layer, reverse in signals:
        latchwork.good('gates', model, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'g.csv', '--layer', layer,
                       '--batch-row', 1, '--units', '4,0-2', *(['--reverse'] if reverse else []))
        table = read_table(tmp_path / 'g.csv')
        want = signals[layer, reverse]
        assert set(table) == set(itertools.product(range(7), [1], want, [4, 0, 1, 2]))
        for (t, b, name, unit), value in table.items():
            assert value == pytest.approx(want[name][t, b, unit], rel=2e-6, abs=3e-6)


def test_gates_of_a_projection_and_of_all_units(latchwork, tmp_path):
    weights = make_weights('lstm', 3, 6, projection=2)
    model = save_model(tmp_path / 'm.safetensors', weights)
    x = normal(3000, 3)
    save(tmp_path / 'x.npy', x)
    latchwork.good('gates', model, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'g.csv')
    want = reference.run('lstm', weights, x[:, None])[2][0, False]
    table = read_table(tmp_path / 'g.csv')
    assert len(table) == 3000 * 6 * 6
    assert table[2999, 0, 'hidden', 5] == pytest.approx(want['hidden'][2999, 0, 5], rel=2e-6, abs=3e-6)


class Page(html.parser.HTMLParser):
    VOID = {'meta', 'br', 'link', 'img'}

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.outside = [], [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.outside += [value for name, value in attributes
                         if name in ('href', 'src') and not value.startswith('data:')]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag


@pytest.mark.parametrize('steps', [1, 20, 1000, 2500])
def test_gates_pictures(latchwork, lstm, tmp_path, steps):
    path, weights = lstm
    x = normal(steps, 3)
    save(tmp_path / 'x.npy', x)
    latchwork.good('gates', path, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'g.svg', '--layer', 1)
    svg = xml.parse(tmp_path / 'g.svg').getroot()
    name = '{http://www.w3.org/2000/svg}'
    images = svg.findall(f'.//{name}image')
    assert svg.tag == name + 'svg' and len(images) == 6
    columns = min(steps, 1000)
    for image in images:
        data = base64.b64decode(image.get('href').removeprefix('data:image/png;base64,'), validate=True)
        assert data[:8] == b'\x89PNG\r\n\x1a\n'
        width, height = int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')
        assert width % columns == 0 and width >= 1800 and height % 5 == 0
    text = ' '.join(svg.itertext())
    assert 'forget gate' in text and 'lstm.safetensors' in text and f'{steps} steps' in text
    assert ('the mean of 2 or 3 steps' in text) == (steps == 2500)
    latchwork.good('gates', path, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'g.html', '--layer', 1)
    source = (tmp_path / 'g.html').read_text()
    page = Page()
    page.feed(source)
    page.close()
    assert page.open == [] and page.outside == [] and page.seen.count('image') == 6
    assert set(re.findall(r'https?://[^"\' ]+', source)) == {'http://www.w3.org/2000/svg'}
    data = json.loads(re.search(r'const gates = (.*);', source).group(1))
    assert (data['steps'], data['columns'], data['units']) == (steps, columns, [0, 1, 2, 3, 4])
    values = np.frombuffer(base64.b64decode(re.search(r"gates\.values = '(.*)';", source).group(1)), '<f4')
    values = values.reshape(6, 5, columns)
    want = reference.run('lstm', weights, x[:, None])[2][1, False]
    column = np.arange(steps) * columns // steps
    for s, signal_name in enumerate(data['signals']):
        for unit in range(5):
            mean = np.bincount(column, want[signal_name][:, 0, unit]) / np.bincount(column)
            np.testing.assert_allclose(values[s, unit], mean, rtol=1e-5, atol=1e-5)


def test_gates_pictures_of_odd_values_and_names(latchwork, tmp_path):
    weights = make_weights('rnn', 1, 100)
    model = save_model(tmp_path / 'a<b>&"c\'\x01.safetensors', weights)
    x = np.ones((30, 1), np.float32)
    x[20] = np.nan
    save(tmp_path / 'x.npy', x)
    latchwork.good('gates', model, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'g.svg')
    text = ' '.join(xml.parse(tmp_path / 'g.svg').getroot().itertext())
    assert 'a<b>&"c\'?.safetensors' in text and 'not a finite number' in text and '100 units, 64 shown' in text
    latchwork.good('gates', model, '--input', tmp_path / 'x.npy', '--output', tmp_path / 'g.svg', '--units', '0-99')
    xml.parse(tmp_path / 'g.svg')


def test_bad_arguments_of_gates(latchwork, lstm, native, tmp_path):
    x3, x2 = save(tmp_path / 'x3.npy', normal(4, 2, 3)), save(tmp_path / 'x2.npy', normal(4, 2))
    none = save(tmp_path / 'none.npy', normal(0, 3))
    before = sorted(os.listdir(tmp_path))

    def refused(*options, model=lstm[0], source=x3, code=1):
        return latchwork.bad(code, 'gates', model, '--input', source, '--output', tmp_path / 'g.svg', *options)

    assert '--layer 2: the model has 2 layers; those with gates are 0 (lstm), 1 (lstm)' in refused('--layer', 2)
    assert '--layer 1: a dense layer has no gates; those with gates are 0 (gru)' in refused('--layer', 1, model=native[0],
                                                                                         source=x2)
    assert '--reverse: layer 0 runs forward only' in refused('--reverse')
    assert '--batch-row 2: the input has 2 rows, 0 to 1' in refused('--batch-row', 2)
    assert 'there is no unit 5; layer 0 has the units 0 to 4' in refused('--units', '0-5')
    assert 'has no steps' in refused(source=none)
    for text in ('x', '1,', '3-1', '1--2', '-1', '0x1', '1;2'):
        assert '--units: expected numbers and ranges' in refused('--units', text, code=2)
    assert 'too many for a picture' in refused('--units', ','.join(['0-4'] * 103))
    dense = save_model(tmp_path / 'dense.safetensors', {'d.weight': normal(2, 3), 'd.bias': normal(2)},
                       [{'kind': 'dense', 'name': 'd', 'input': 3, 'output': 2}])
    assert 'has no recurrent layer' in refused(model=dense)
    os.remove(dense)
    assert sorted(os.listdir(tmp_path)) == before
