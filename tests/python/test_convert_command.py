# SPDX-License-Identifier: Apache-2.0
"""`latchwork convert` and `python -m latchwork.convert`: what they print, how they end, and --verify."""
import subprocess
import sys

import numpy as np
import pytest
from convert_case import GOLDEN, make, noise

import latchwork as lw
from latchwork import convert
from latchwork.convert import verify
from latchwork.convert.command import main


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


SCRIPT = 'import latchwork_command; latchwork_command.main()'


@pytest.mark.parametrize('how', [['-m', 'latchwork.convert'], ['-c', SCRIPT, 'convert']])
def test_both_ways_to_call_it(how, tmp_path):
    target = tmp_path / 'amplifier.safetensors'
    command = [sys.executable, *how]
    done = subprocess.run([*command, str(GOLDEN / 'nam_lstm.nam'), str(target)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
    assert 'lstm 1->5 x2, dense 5->1' in done.stdout and '48000 samples' in done.stdout
    assert lw.load(target).input_size == 1
    done = subprocess.run([*command, str(target)], capture_output=True, text=True)
    assert done.returncode == 2 and 'usage: latchwork convert' in done.stderr


def test_refusals_are_one_sentence(capsys, tmp_path):
    bad = tmp_path / 'bad.nam'
    bad.write_text('{"architecture":\n"WaveNet"}')
    model = tmp_path / 'model.safetensors'
    make([lw.RNN(1, 2)]).save(model)
    for arguments, words in [((bad, tmp_path / 'x.safetensors'), "'WaveNet'"),
                             ((tmp_path / 'nothing.nam', tmp_path / 'x.safetensors'), 'nothing.nam'),
                             ((model, tmp_path / 'x.json'), 'plain recurrent'),
                             ((model, tmp_path / 'x.bin'), "ends with '.bin'"),
                             ((model, model), 'the same file'),
                             ((model, tmp_path / 'no/x.json', '--to', 'torch'), 'No such file')]:
        code, out, err = run(capsys, *arguments)
        assert code == 1 and out == '' and err.startswith('latchwork convert: '), err
        assert err.count('\n') == 1 and words in err, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bad.nam', 'model.safetensors']


def test_verify_with_onnxruntime(capsys, tmp_path):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    for name in ('torch_lstm_bi', 'torch_gru_last', 'torch_rnn'):
        code, out, err = run(capsys, GOLDEN / f'{name}.onnx', tmp_path / 'model.safetensors', '--verify')
        assert (code, err) == (0, '') and 'onnxruntime agrees: worst difference' in out, (out, err)
    code, out, err = run(capsys, GOLDEN / 'torch_gru_last.onnx', tmp_path / 'again.onnx', '--verify')
    assert code == 0 and out.count('onnxruntime agrees') == 2
    make([lw.GRU(3, 4), lw.Dense(4, 2)]).save(tmp_path / 'model.safetensors')
    target = tmp_path / 'last.onnx'
    code, out, err = run(capsys, tmp_path / 'model.safetensors', target, '--last', '--verify', '--quiet')
    assert (code, out, err) == (0, '', '')
    assert convert.load(target).last


def test_verify_sees_a_difference(capsys, tmp_path):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    path = tmp_path / 'model.onnx'
    model = make([lw.LSTM(3, 4)])
    convert.save(model, path)
    converted = convert.load(path)
    assert verify.verify_source(converted, path).good
    weight = converted.parameters['lstm.weight_hh_l0']
    exchanged = np.concatenate([weight[4:8], weight[:4], weight[8:]])  # i and f
    converted.parameters['lstm.weight_hh_l0'] = exchanged
    difference = verify.verify_source(converted, path)
    assert not difference.good and difference.worst > 1e-2
    converted.parameters['lstm.weight_hh_l0'] = np.full_like(weight, np.nan)
    assert verify.verify_source(converted, path).worst == float('inf')


def test_verify_never_takes_silence_for_agreement(capsys, tmp_path):
    code, out, err = run(capsys, GOLDEN / 'nam_lstm.nam', tmp_path / 'model.safetensors', '--verify')
    assert code == 3 and 'not verified' in err and 'Neural Amp Modeler' in err
    code, out, err = run(capsys, tmp_path / 'model.safetensors', tmp_path / 'copy.safetensors', '--verify')
    assert code == 3 and "both files are Latchwork's own" in err
    x = noise(4, 2, 1)
    np.testing.assert_array_equal(lw.load(tmp_path / 'copy.safetensors')(x), lw.load(tmp_path / 'model.safetensors')(x))


def test_verify_with_keras(capsys, tmp_path):
    pytest.importorskip('h5py')
    pytest.importorskip('keras')
    for name in ('keras_bidirectional.keras', 'keras_gru_before.h5', 'keras_last.keras'):
        code, out, err = run(capsys, GOLDEN / name, tmp_path / 'model.safetensors', '--verify')
        assert code == 0 and 'keras agrees' in out, (out, err)
