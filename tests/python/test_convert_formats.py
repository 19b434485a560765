# SPDX-License-Identifier: Apache-2.0
"""latchwork.convert: golden files of other tools, and ways there and back without a lost bit.

A golden vector comes from the tool itself (tests/golden/convert/make_convert_golden.py says which), so an exchanged
gate, a transposed matrix or a forgotten bias shows. What needs h5py, onnx, onnxruntime or torch is skipped without it.
"""
import dataclasses
import json

import numpy as np
import pytest
from convert_case import CLOSE, GOLDEN, golden, make, noise, run, same_models

import latchwork as lw
from latchwork import convert

KERAS = sorted(path.name for path in GOLDEN.glob('keras_*') if path.suffix in ('.keras', '.h5'))
ONNX = sorted(path.name for path in GOLDEN.glob('torch_*.onnx'))
RTNEURAL = sorted(path.name for path in GOLDEN.glob('rtneural_*.json'))

# ---- golden files ---------------------------------------------------------------------------------------------------

def test_there_are_golden_files():
    assert len(KERAS) == 14 and len(ONNX) == 3 and len(RTNEURAL) == 2


@pytest.mark.parametrize('name', KERAS)
def test_keras(name):
    pytest.importorskip('h5py')
    path, x, y = golden(name)
    converted = convert.load(path)
    assert converted.last == (y.ndim == 2)
    np.testing.assert_allclose(run(converted, x), y, **CLOSE)


def of_keras_2(source, path):
    """The same model as Keras 2 wrote it: bytes, ":0" behind the names, bare names of layers in a functional graph."""
    import h5py
    with h5py.File(source) as old, h5py.File(path, 'w') as new:
        config = json.loads(old.attrs['model_config'])
        for layer in config['config']['layers']:
            layer['config'].pop('dtype', None)
            layer['inbound_nodes'] = [[[node['args'][0]['config']['keras_history'][0], 0, 0, {}]]
                                      for node in layer.get('inbound_nodes', [])]
        new.attrs['model_config'] = np.bytes_(json.dumps(config).encode())
        for name, group in old['model_weights'].items():
            made = new.create_group(f'model_weights/{name}')
            names = [f'{each.split("/", 1)[1]}:0' for each in group.attrs['weight_names']]
            made.attrs['weight_names'] = np.array([each.encode() for each in names], 'S')
            for each, full in zip(names, group.attrs['weight_names']):
                made[each] = group[full][()]


@pytest.mark.parametrize('name', ['keras_lstm.h5', 'keras_bidirectional.h5', 'keras_gru_before.h5'])
def test_the_older_keras(name, tmp_path):
    pytest.importorskip('h5py')
    path, x, y = golden(name)
    of_keras_2(path, tmp_path / 'model.h5')
    np.testing.assert_allclose(run(convert.load(tmp_path / 'model.h5'), x), y, **CLOSE)


@pytest.mark.parametrize('name', ONNX)
def test_onnx_of_pytorch(name):
    pytest.importorskip('onnx')
    path, x, y = golden(name)
    converted = convert.load(path)
    assert converted.last == (y.ndim == 2)
    np.testing.assert_allclose(run(converted, x), y, **CLOSE)


@pytest.mark.parametrize('name', ONNX)
def test_the_onnx_backend_runs_them_too(name):
    onnx = pytest.importorskip('latchwork.onnx')
    path, x, y = golden(name)
    np.testing.assert_allclose(onnx.load(path).run([x])[0], y, **CLOSE)


@pytest.mark.parametrize('name', RTNEURAL)
def test_rtneural(name):
    path, x, y = golden(name)
    np.testing.assert_allclose(run(convert.load(path), x), y, **CLOSE)


def test_neural_amp_modeler_with_its_initial_state():
    path, x, y = golden('nam_lstm.nam')
    converted = convert.load(path)
    model = converted.model()
    state = convert.start_state(converted, model)
    np.testing.assert_allclose(model(x[:, None, None], state).ravel(), y, **CLOSE)
    assert np.abs(model(x[:, None, None]).ravel() - y).max() > 1e-2  # the state matters
    stream = model.stream(state=convert.start_state(converted, model))
    np.testing.assert_allclose([stream.step(value[None])[0] for value in x], y, **CLOSE)


def test_the_initial_state_lies_in_the_native_file(tmp_path):
    path, x, y = golden('nam_lstm.nam')
    native = tmp_path / 'amplifier.safetensors'
    convert.save(convert.load(path), native)
    model = lw.load(native)
    rows = np.repeat(x[:, None, None], 3, 1)
    answer = model(rows, convert.initial_state(native, model, batch=3))
    for row in range(3):
        np.testing.assert_allclose(answer[:, row, 0], y, **CLOSE)
    again = convert.load(native)
    assert sorted(again.initial) == ['lstm.cell_l0', 'lstm.cell_l1', 'lstm.hidden_l0', 'lstm.hidden_l1']
    with pytest.raises(ValueError, match='fits no layer'):
        convert.initial_state(native, make([lw.GRU(1, 5)]))


# ---- there and back -------------------------------------------------------------------------------------------------

EVERYTHING = [
    [lw.LSTM(3, 4, layers=2), lw.Dense(4, 2, 'tanh')],
    [lw.LSTM(3, 4, direction='bidirectional', layers=2, bias=False), lw.Activation('relu')],
    [lw.LSTM(3, 4, direction='reverse', peepholes=True)],
    [lw.LSTM(3, 4, peepholes=True, coupled=True, gate_clip=0.75)],
    [lw.LSTM(3, 4, coupled=True, direction='bidirectional')],
    [lw.GRU(3, 4, layers=3), lw.Dense(4, 2, bias=False), lw.Activation('sigmoid')],
    [lw.GRU(3, 4, reset='before', direction='bidirectional', gate_clip=0.5), lw.Dense(8, 1, 'relu')],
    [lw.RNN(3, 4, function='relu', layers=2, direction='bidirectional')],
    [lw.Dense(3, 5, 'sigmoid'), lw.RNN(5, 4, direction='reverse'), lw.GRU(4, 4), lw.LSTM(4, 2)],
    [lw.Dense(3, 5), lw.Activation('tanh')],
]


@pytest.mark.parametrize('bricks', EVERYTHING)
@pytest.mark.parametrize('last', [False, True])
def test_onnx_there_and_back(bricks, last, tmp_path):
    pytest.importorskip('onnx')
    model, path = make(bricks), tmp_path / 'model.onnx'
    if last and len(model.layers) == 2 and model.layers[0].kind == 'dense':
        with pytest.raises(ValueError, match='no recurrent layer'):
            convert.save(model, path, last=True)
        return
    convert.save(model, path, last=last)
    back = convert.load(path)
    assert back.last == last
    x, again = noise(6, 2, 3), back.model()
    np.testing.assert_array_equal(again(x, last=last), model(x, last=last))
    kinds = [brick.kind for brick in model.bricks]
    if not ('dense' in kinds and 'activation' in kinds):  # these two become one
        assert [brick.kind for brick in again.bricks] == kinds
        assert [layer.parameters for layer in again.layers] == [layer.parameters for layer in model.layers]


@pytest.mark.parametrize('bricks', EVERYTHING)
@pytest.mark.parametrize('last', [False, True])
def test_onnxruntime_runs_what_was_exported(bricks, last, tmp_path):
    pytest.importorskip('onnx')
    ort = pytest.importorskip('onnxruntime')
    model, path, x = make(bricks), tmp_path / 'model.onnx', noise(6, 2, 3)
    last = last and model.layers[0].signals != ()
    convert.save(model, path, last=last)
    session = ort.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    np.testing.assert_allclose(session.run(None, {'x': x})[0], model(x, last=last), rtol=1e-4, atol=1e-5)


def test_onnx_with_an_initial_state(tmp_path):
    pytest.importorskip('onnx')
    ort = pytest.importorskip('onnxruntime')
    source, x, y = golden('nam_lstm.nam')
    path = tmp_path / 'amplifier.onnx'
    convert.save(convert.load(source), path)
    session = ort.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    rows = np.repeat(x[:, None, None], 2, 1)
    np.testing.assert_allclose(session.run(None, {'x': rows})[0][:, 1, 0], y, **CLOSE)


def test_onnx_inputs_for_states_and_lengths_become_notes(tmp_path):
    onnx = pytest.importorskip('onnx')
    from onnx_recipes import Recipe
    recipe = Recipe('LSTM', bare=True, lengths=True, initial=True, outputs=('Y',))
    message = recipe.model()
    message.graph.node.append(onnx.helper.make_node('Squeeze', ['Y', 'axis'], ['flat']))
    message.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), 'axis'))
    del message.graph.output[:]
    message.graph.output.append(onnx.helper.make_tensor_value_info('flat', onnx.TensorProto.FLOAT, None))
    path = tmp_path / 'model.onnx'
    path.write_bytes(message.SerializeToString())
    notes = ' '.join(convert.load(path).notes)
    assert "'lengths' is lengths=" in notes
    assert "'h0' is the hidden state" in notes and "'c0' is the cell state" in notes


TORCH = [
    [lw.LSTM(3, 4, layers=2, direction='bidirectional', bias=False), lw.Dense(8, 2, 'tanh')],
    [lw.LSTM(3, 4, projection=2)],
    [lw.GRU(3, 4, layers=2), lw.Activation('relu')],
    [lw.RNN(3, 4, function='relu')],
]


@pytest.mark.parametrize('bricks', TORCH)
def test_state_dicts_have_pytorchs_names_and_values(bricks, tmp_path):
    safetensors = pytest.importorskip('safetensors.numpy')
    model, path = make(bricks), tmp_path / 'state.safetensors'
    notes = convert.save(model, path, to='torch')
    found = safetensors.load_file(path)
    for name, values in model.parameters().items():
        np.testing.assert_array_equal(found.pop(name), values)
    assert not found and any('torch.nn.' in note for note in notes)


@pytest.mark.parametrize('bricks', TORCH)
def test_pytorch_agrees(bricks, tmp_path):
    pytest.importorskip('torch')
    pytest.importorskip('safetensors.torch')
    from latchwork.convert.verify import verify_target
    model, path = make(bricks), tmp_path / 'state.safetensors'
    convert.save(model, path, to='torch')
    converted = convert.Converted(list(model.bricks), model.parameters())
    difference = verify_target(converted, path, 'torch', False)
    assert difference.worst < 1e-5 and difference.values > 0


def test_a_state_dict_of_one_module_loads_again(tmp_path):
    model, path = make([lw.LSTM(3, 4, layers=2, name='encoder')]), tmp_path / 'state.safetensors'
    convert.save(model, path, to='torch')
    x = noise(5, 2, 3)
    np.testing.assert_array_equal(lw.load(path)(x), model(x))


@pytest.mark.parametrize('bricks', [
    [lw.LSTM(1, 6, layers=2), lw.Dense(6, 1)],
    [lw.Dense(2, 5, 'tanh'), lw.GRU(5, 4, bias=False), lw.Activation('sigmoid'), lw.Dense(4, 3, 'relu', bias=False)],
])
def test_rtneural_there_and_back(bricks, tmp_path):
    model, path = make(bricks), tmp_path / 'model.json'
    convert.save(model, path)
    value = json.loads(path.read_text())
    assert value['in_shape'] == [None, None, bricks[0].input]
    assert value['layers'][-1]['shape'][-1] == model.output_size
    x = noise(9, 2, bricks[0].input)
    # One bias of an LSTM: the sum of two, rounded once more.
    np.testing.assert_allclose(convert.load(path).model()(x), model(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('name', [*KERAS, *RTNEURAL, *ONNX])
def test_every_format_survives_the_native_file(name, tmp_path):
    pytest.importorskip('onnx' if name in ONNX else 'h5py' if name in KERAS else 'json')
    first, path = convert.load(GOLDEN / name), tmp_path / 'model.safetensors'
    convert.save(first, path)
    same_models(first.model(), lw.load(path))
    same_models(first.model(), convert.load(path).model())


# ---- what a format cannot hold --------------------------------------------------------------------------------------

@pytest.mark.parametrize(('bricks', 'to', 'words'), [
    ([lw.LSTM(3, 4, projection=2)], 'onnx', 'no projection'),
    ([lw.LSTM(3, 4, cell_clip=1)], 'onnx', 'no clipping of the cell'),
    ([lw.LSTM(3, 4, direction='reverse')], 'torch', 'backwards'),
    ([lw.LSTM(3, 4, peepholes=True)], 'torch', 'peepholes'),
    ([lw.LSTM(3, 4, coupled=True)], 'torch', 'coupled'),
    ([lw.GRU(3, 4, reset='before')], 'torch', 'reset gate'),
    ([lw.GRU(3, 4, gate_clip=1)], 'torch', 'clipping'),
    ([lw.RNN(3, 4)], 'rtneural', 'plain recurrent'),
    ([lw.LSTM(3, 4, direction='bidirectional')], 'rtneural', 'bidirectional'),
    ([lw.GRU(3, 4, reset='before')], 'rtneural', 'reset gate'),
    ([lw.GRU(3, 4, gate_clip=1)], 'rtneural', 'clipping'),
    ([lw.LSTM(3, 4, projection=2)], 'rtneural', 'projections'),
])
def test_what_cannot_be_exported(bricks, to, words, tmp_path):
    if to == 'onnx':
        pytest.importorskip('onnx')
    path = tmp_path / 'out'
    with pytest.raises(NotImplementedError, match=words) as caught:
        convert.save(make([dataclasses.replace(bricks[0], name='mine')]), path, to=to)
    assert "'mine'" in str(caught.value) and not path.exists() and not list(tmp_path.iterdir())


def test_names_that_say_no_format(tmp_path):
    model = make([lw.GRU(1, 1)])
    for call in (lambda: convert.load(tmp_path / 'model.bin'), lambda: convert.save(model, tmp_path / 'x.bin'),
                 lambda: convert.save(model, tmp_path / 'x.onnx', to='tflite')):
        with pytest.raises(ValueError, match='expected one of'):
            call()
