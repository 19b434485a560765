# SPDX-License-Identifier: Apache-2.0
"""Models in use, unchanged, through the execution provider: every ONNX file of the voice activity detector silero-vad.

They come from the installed package, or from what LW_SILERO_VAD names (its wheel or its folder); without it these tests
are skipped. The recording and its probabilities, made by the package's network, are those of examples/data.
"""
import importlib.util
import os
import pathlib
import sys
import types

import numpy as np
import pytest

from onnxruntime_case import ROOT, lw  # skips without onnxruntime

RECORDING = ROOT / 'examples/data/sense_and_sensibility.wav'


def find_package():
    named = os.environ.get('LW_SILERO_VAD')
    spec = importlib.util.find_spec('silero_vad')  # not imported: that needs PyTorch
    if not named and not spec:
        pytest.skip('the package silero-vad is not installed', allow_module_level=True)
    return pathlib.Path(named or spec.submodule_search_locations[0])


def load_example():
    """The example of this tree, with the provider of this tree in the package's place."""
    package, saved = types.ModuleType('latchwork'), {name: sys.modules.get(name) for name in (
        'latchwork', 'latchwork.onnxruntime')}
    package.onnxruntime = lw
    sys.modules.update({'latchwork': package, 'latchwork.onnxruntime': lw})
    try:
        spec = importlib.util.spec_from_file_location('vad_onnxruntime', ROOT / 'examples/vad_onnxruntime.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for name, value in saved.items():
            sys.modules.pop(name)
            if value:
                sys.modules[name] = value
    return module


PACKAGE = find_package()
vad = load_example()

# name, recurrent nodes that Latchwork runs, whether it is the network that made the reference
NETWORKS = [
    ('silero_vad.onnx', 4, True),  # inside the branches of an If, for two rates
    ('silero_vad_16k_op15.onnx', 2, True),
    ('silero_vad_half.onnx', 2, False),  # another training, with float16 weights; the LSTM computes in float32
    ('silero_vad_16k_sequence.onnx', 1, True),  # all chunks in one call
    ('silero_vad_op18_ifless.onnx', 0, True),  # its LSTM is written out as products
]


@pytest.mark.parametrize('name, nodes, reference', NETWORKS, ids=[case[0] for case in NETWORKS])
def test_voice_activity(name, nodes, reference):
    network, chunks = vad.read_network(PACKAGE, name), vad.read_chunks(RECORDING)
    session = vad.make_session(network, True, 1)
    assert [op for op, _ in lw.claimed(session)] == ['LSTM'] * nodes
    speech, _ = vad.run(session, chunks)
    plain, _ = vad.run(vad.make_session(network, False, 1), chunks)
    assert len(speech) == 481 and (speech >= 0.5).mean() > 0.8
    np.testing.assert_allclose(speech, plain, rtol=0, atol=vad.CLOSE)
    if reference:
        wanted = np.loadtxt(RECORDING.with_suffix('.probabilities.csv'), delimiter=',', skiprows=1)[:, 1]
        np.testing.assert_allclose(speech, wanted, rtol=0, atol=2 * vad.CLOSE)


def test_the_example(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['vad_onnxruntime.py', str(PACKAGE), str(RECORDING), '--rounds', '1'])
    vad.main()
    said = capsys.readouterr().out
    assert 'silero_vad.onnx: 481 chunks' in said and said.count(' times') == 2
    with pytest.raises(SystemExit, match='nothing.onnx'):
        monkeypatch.setattr(sys, 'argv', [*sys.argv, '--network', 'nothing.onnx'])
        vad.main()
