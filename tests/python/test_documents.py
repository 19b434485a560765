# SPDX-License-Identifier: Apache-2.0
"""The Python lines of the README and of docs/python.md, run as they stand."""
import pathlib
import re

import numpy as np
import pytest
from package_case import lw, noise
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]


def blocks(path):
    found = re.findall(r'^```python\n(.*?)^```', (ROOT / path).read_text(), re.M | re.S)
    assert found
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = lw.Model([lw.LSTM(3, 5, name='lstm')])
    model.initialise(1)
    model.save('voice.safetensors')
    save_file({name.split('.')[1]: value for name, value in model.parameters().items()}, 'lstm.safetensors')
    return tmp_path


def run(text, **names):
    names['print'] = lambda *_: None
    exec(compile(text, 'document', 'exec'), names)
    return names


SAVING, README = blocks('README.md')  # another block needs a test of its own here
PARTS = {part.split()[1]: part for part in re.split(r'\n\n(?=import )', README)}


def test_the_readme(folder):
    assert list(PARTS) == ['latchwork', 'latchwork.onnxruntime', 'latchwork.torch']
    names = run(PARTS['latchwork'], x=noise(7, 3))
    assert names['y'].shape == (7, 5) and names['y0'].shape == (5,)


def test_the_readmes_state_dict(folder):
    torch = pytest.importorskip('torch')
    import safetensors.torch
    lstm, x = torch.nn.LSTM(3, 5), noise(7, 3)
    run(SAVING, safetensors=safetensors, lstm=lstm)
    y = run(PARTS['latchwork'], x=x)['y']
    np.testing.assert_allclose(y, lstm(torch.from_numpy(x))[0].detach().numpy(), rtol=1.3e-6, atol=1e-5)


def test_the_readmes_onnx_runtime(folder):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    import latchwork.convert
    import latchwork.onnxruntime
    try:
        latchwork.onnxruntime.library()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    latchwork.convert.save(lw.load('voice.safetensors'), 'model.onnx')
    session = run(PARTS['latchwork.onnxruntime'])['session']
    assert session.run(None, {session.get_inputs()[0].name: noise(4, 1, 3)})


def test_the_readmes_pytorch():
    torch = pytest.importorskip('torch')
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.GRU(3, 5))
    run(PARTS['latchwork.torch'], network=network)
    assert type(network[1]).__module__ == 'latchwork.torch.modules' and network(torch.randn(4, 3))


def test_the_guide(folder):
    names = {'recording': noise(9, 3), 'y_of_mine': np.empty((100, 8, 5), np.float32), 'module': None}

    class Module:
        def state_dict(self):
            return {}

    names['module'] = Module()
    losses = []
    for text in blocks('docs/python.md'):
        if 'squared_error' in text:
            x = noise(12, 6, 1)
            names |= {'x': x, 'target': np.tanh(np.cumsum(x, axis=0))}
            text = text.replace('500', '40').replace('score.gradient)', 'score.gradient); losses.append(score.loss)')
            names['losses'] = losses
        names = run(text, **names)
    assert len(losses) == 40 and losses[-1] < losses[0] / 2
