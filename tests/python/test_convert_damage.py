# SPDX-License-Identifier: Apache-2.0
"""latchwork.convert on files that are damaged, hostile, or hold what bricks cannot: one exception with a sentence."""
import copy
import json
import os
import random
import zipfile

import numpy as np
import pytest
from convert_case import GOLDEN

import latchwork as lw
from latchwork import FormatError, convert

REFUSALS = (ValueError, NotImplementedError, TypeError)


def refused(path, kind, *words):
    with pytest.raises(kind) as caught:
        convert.load(path).model()
    for word in words:
        assert word in str(caught.value), str(caught.value)


def changed(name, folder, *steps, value):
    """A golden JSON file with one member set; the last step names it, the others lead there."""
    data = json.loads((GOLDEN / name).read_text())
    here = data
    for step in steps[:-1]:
        here = here[step]
    if value is None:
        del here[steps[-1]]
    else:
        here[steps[-1]] = value
    path = folder / name
    path.write_text(json.dumps(data))
    return path


# ---- JSON -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(('text', 'words'), [
    (b'', 'not JSON'), (b'{', 'not JSON'), (b'\xff\xfe', 'not JSON'), (b'[]', 'no object'), (b'7', 'no object'),
    (b'{"a": 1, "a": 2}', "key 'a' is there twice"), (b'{"weights": NaN}', 'no number'),
    (b'{"x": 1' + b'0' * 9999 + b'}', ''),
    (b'[' * 100_000, 'nested more than 64'), (b'{"a":' * 100_000, 'nested more than 64'),
    (b'["' + b']' * 99 + b'",' + b'[' * 70, 'nested more than 64'), (b'["\\"' + b'[' * 70 + b'"]', 'no object'),
    (b'"' + b'\\"' * 100_000, 'not JSON'),
    (b'version https://git-lfs.github.com/spec/v1\n', 'not JSON'),
])
@pytest.mark.parametrize('suffix', ['.json', '.nam'])
def test_json_that_is_none(text, words, suffix, tmp_path):
    path = tmp_path / ('model' + suffix)
    path.write_bytes(text)
    refused(path, FormatError, words, path.name)


@pytest.mark.parametrize('suffix', ['.json', '.nam', '.keras', '.h5', '.safetensors', '.onnx'])
def test_places_that_are_no_files(suffix, tmp_path):
    if suffix == '.onnx':
        pytest.importorskip('onnx')
    refused(tmp_path / ('nothing' + suffix), FileNotFoundError)
    folder = tmp_path / ('folder' + suffix)
    folder.mkdir()
    refused(folder, OSError)
    if suffix != '.safetensors':
        fifo = tmp_path / ('fifo' + suffix)
        os.mkfifo(fifo)
        refused(fifo, FormatError, 'not a regular file')


@pytest.mark.parametrize(('steps', 'value', 'kind', 'words'), [
    (['architecture'], 'WaveNet', NotImplementedError, ["'WaveNet', only 'LSTM'"]),
    (['architecture'], None, FormatError, ["no 'architecture'"]),
    (['config'], [], FormatError, ["'config' is [], expected an object"]),
    (['config', 'hidden_size'], 0, FormatError, ['expected 1 to']),
    (['config', 'hidden_size'], True, FormatError, ['expected a whole number']),
    (['config', 'hidden_size'], 6, FormatError, ['a list of 386, expected a list of 535']),
    (['config', 'hidden_size'], 1 << 24, FormatError, ['expected a list of']),
    (['config', 'num_layers'], 1 << 20, FormatError, ['at most 1024']),
    (['config', 'out_channels'], 2, NotImplementedError, ['out_channels is 2']),
    (['weights'], {}, FormatError, ["'weights' is {}, expected a list"]),
    (['weights', 3], '1', FormatError, ['no number']),
    (['weights', 3], [1], FormatError, ['no number']),
    (['weights', 3], True, FormatError, ['no number']),
    (['weights', 3], 1e39, FormatError, ['beyond what float32 holds']),
    (['weights', 3], 10 ** 300, FormatError, ['no number that float32 holds']),
])
def test_neural_amp_modeler(steps, value, kind, words, tmp_path):
    refused(changed('nam_lstm.nam', tmp_path, *steps, value=value), kind, *words)


@pytest.mark.parametrize(('steps', 'value', 'kind', 'words'), [
    (['in_shape'], [], FormatError, ["'in_shape' must end with a size"]),
    (['in_shape'], [None, None, 3], FormatError, ['layer 0 (lstm): its kernel', 'a list of 2, expected a list of 3']),
    (['layers'], [], FormatError, ['no layers']),
    (['layers', 0, 'type'], 'conv1d', NotImplementedError, ['conv1d', 'not supported']),
    (['layers', 0, 'activation'], 'relu', NotImplementedError, ['only tanh']),
    (['layers', 0, 'shape'], [None, None, 0], FormatError, ['size of 1 to']),
    (['layers', 0, 'shape'], [None, None, 4], FormatError, ['expected a list of 16']),
    (['layers', 0, 'weights'], [], FormatError, ['0 weights, expected 3']),
    (['layers', 0, 'weights', 2], [[0.0] * 20] * 2, FormatError, ['its bias']),
    (['layers', 1, 'activation'], 'softmax', NotImplementedError, ["'softmax'"]),
    (['layers', 1, 'weights', 0], [[1.0]] * 4, FormatError, ['layer 1 (dense): its matrix']),
    (['layers', 1, 'weights', 0, 2], 5, FormatError, ['no list']),
])
def test_rtneural(steps, value, kind, words, tmp_path):
    refused(changed('rtneural_lstm.json', tmp_path, *steps, value=value), kind, *words)


@pytest.mark.parametrize('name', ['nam_lstm.nam', 'rtneural_gru.json'])
def test_damaged_bytes_in_json(name, tmp_path):
    whole, rng, path, ends = (GOLDEN / name).read_bytes(), random.Random(3), tmp_path / name, set()
    for _ in range(600):
        data = bytearray(whole)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)):]
        for _ in range(rng.choice([1, 1, 4])):
            if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            convert.load(path).model()
            ends.add('loaded')
        except REFUSALS as refusal:
            assert str(refusal)
            ends.add('refused')
    assert ends == {'loaded', 'refused'}


# ---- Keras ----------------------------------------------------------------------------------------------------------

def rewritten(name, folder, change):
    """A .keras archive whose description was changed."""
    with zipfile.ZipFile(GOLDEN / name) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    config = json.loads(members['config.json'])
    members['config.json'] = json.dumps(change(config) or config).encode()
    path = folder / name
    with zipfile.ZipFile(path, 'w') as archive:
        for key, data in members.items():
            archive.writestr(key, data)
    return path


def layer(config, index):
    return config['config']['layers'][index]


@pytest.mark.parametrize(('index', 'key', 'value', 'kind', 'words'), [
    (1, 'units', 5, FormatError, ['its kernel has the shape (3, 16), expected (any, 20)']),
    (1, 'units', 0, FormatError, ['expected 1 to']),
    (1, 'units', 'many', FormatError, ['expected a whole number']),
    (1, 'activation', 'elu', NotImplementedError, ["its activation is 'elu', only tanh"]),
    (1, 'activation', {'class_name': 'function', 'config': 'mine'}, NotImplementedError, ["'mine'"]),
    (1, 'recurrent_activation', 'hard_sigmoid', NotImplementedError, ['hard_sigmoid']),
    (1, 'return_sequences', False, NotImplementedError, ['gives its last step alone']),
    (1, 'go_backwards', True, NotImplementedError, ['backwards']),
    (1, 'return_state', True, NotImplementedError, ['return_state']),
    (1, 'use_bias', 'yes', FormatError, ['neither true nor false']),
    (1, 'name', 'lost', FormatError, ['no weights for it']),
    (3, 'activation', 'softmax', NotImplementedError, ["'softmax'"]),
    (3, 'units', 3, FormatError, ['its kernel has the shape (4, 2), expected (4, 3)']),
])
def test_layers_of_keras(index, key, value, kind, words, tmp_path):
    pytest.importorskip('h5py')

    def change(config):
        layer(config, index)['config'][key] = value
        if key == 'name':  # else the group is found by its class
            layer(config, index)['class_name'] = 'GRU'

    refused(rewritten('keras_lstm.keras', tmp_path, change), kind, *words)


def test_models_of_keras_that_are_no_chain(tmp_path):
    pytest.importorskip('h5py')

    def other_source(config):
        source = layer(config, 2)['inbound_nodes'][0]['args'][0]['config']['keras_history']
        source[0] = config['config']['layers'][0]['name']

    refused(rewritten('keras_bidirectional.keras', tmp_path, other_source), NotImplementedError, 'expected a chain')

    def two_sources(config):
        arguments = layer(config, 2)['inbound_nodes'][0]['args']
        arguments.append(copy.deepcopy(arguments[0]))

    refused(rewritten('keras_bidirectional.keras', tmp_path, two_sources), NotImplementedError, 'expected a chain')
    refused(rewritten('keras_bidirectional.keras', tmp_path, lambda c: layer(c, 1)['config'].update(merge_mode='sum')),
            NotImplementedError, "merge_mode is 'sum'")
    refused(rewritten('keras_lstm.keras', tmp_path, lambda c: c.update(class_name='Mine')), NotImplementedError,
            'a Mine')
    refused(rewritten('keras_lstm.keras', tmp_path, lambda c: layer(c, 1).update(class_name='Conv1D')),
            NotImplementedError, 'Conv1D', 'not supported')
    refused(rewritten('keras_lstm.keras', tmp_path, lambda c: {'config': 3}), FormatError, "no 'class_name'")
    refused(rewritten('keras_lstm.keras', tmp_path, lambda c: c['config'].update(layers=[3])), FormatError, 'no object')


def test_archives_that_are_none(tmp_path):
    path = tmp_path / 'model.keras'
    whole = (GOLDEN / 'keras_lstm.keras').read_bytes()
    path.write_bytes(whole[:-30])
    refused(path, FormatError, 'damaged')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('config.json', '{}')
    refused(path, FormatError, 'model.weights.h5')
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('config.json', b' ' * 10_000_000)
        archive.writestr('model.weights.h5', b'')
    refused(path, FormatError, 'config.json has 10000000 bytes')


def test_hdf5_that_is_none(tmp_path):
    h5py = pytest.importorskip('h5py')
    path = tmp_path / 'model.h5'
    whole = (GOLDEN / 'keras_gru_after.h5').read_bytes()
    for data in (b'', b'hello', whole[:3000], whole[:100] + b'\xff' * 400 + whole[500:]):
        path.write_bytes(data)
        refused(path, FormatError, 'model.h5')
    outside = tmp_path / 'outside.h5'
    outside.write_bytes(whole)

    def edited(change):
        path.write_bytes(whole)
        with h5py.File(path, 'a') as file:
            change(file)
        return path

    def remove(file):
        del file.attrs['model_config']

    with h5py.File(outside) as file:
        place = [name for name in file['model_weights/gru'].attrs['weight_names'] if name.endswith('/kernel')][0]

    def link(made):
        def change(file):
            group = file['model_weights/gru']
            del group[place]
            group[place] = made
        return change

    def large(file):
        group = file['model_weights/gru']
        del group[place]
        group.create_dataset(place, (3, 1 << 28), np.float32, chunks=True)

    def whole_numbers(file):
        group = file['model_weights/gru']
        del group[place]
        group[place] = np.zeros((3, 12), np.int32)

    def not_text(file):
        file.attrs['model_config'] = np.bytes_(b'{"class_name": "\xff"}')

    refused(edited(remove), FormatError, 'holds weights alone')
    refused(edited(not_text), FormatError, 'model.h5')
    refused(edited(link(h5py.ExternalLink(str(outside), '/' + place))), FormatError, 'is a link')
    refused(edited(link(h5py.SoftLink('/elsewhere'))), FormatError, 'is a link')
    refused(edited(large), FormatError, 'more than its whole file')
    refused(edited(whole_numbers), FormatError, 'kernel is missing, or is no array of floating point')


def test_a_crash_or_a_loop_in_the_hdf5_library_is_an_exception(monkeypatch, tmp_path):
    pytest.importorskip('h5py')
    from latchwork.convert import hdf5
    data = (GOLDEN / 'keras_gru_after.h5').read_bytes()
    with pytest.raises(FormatError, match='did not finish within 0 seconds'):
        hdf5.read_hdf5(data, 'model.h5', seconds=0.01)
    killer = tmp_path / 'hdf5_dump.py'
    killer.write_text('import os, signal, sys\nsys.stdin.buffer.read()\nos.kill(os.getpid(), signal.SIGSEGV)\n')
    monkeypatch.setattr(hdf5, '__file__', str(tmp_path / 'hdf5.py'))
    with pytest.raises(FormatError, match='ended with status -11'):
        hdf5.read_hdf5(data, 'model.h5')


# ---- ONNX -----------------------------------------------------------------------------------------------------------

def onnx_file(folder, nodes, constants=(), sizes=('t', 'b', 3), outputs=('y',)):
    onnx = pytest.importorskip('onnx')
    info = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, inputs, made, **attributes) for op, inputs, made, attributes in nodes], 'g',
        [info('x', kind, sizes)], [info(name, kind, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(values), name) for name, values in dict(constants).items()])
    message = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 14)], ir_version=8)
    path = folder / 'model.onnx'
    path.write_bytes(message.SerializeToString())
    return path


F32 = np.float32
RNN = ('RNN', ['x', 'W', 'R'], ['Y', 'H'], {'hidden_size': 2})
WEIGHTS = {'W': np.ones((1, 2, 3), F32), 'R': np.ones((1, 2, 2), F32), 'one': np.array([1]), 'zero': np.array([0])}
FLAT = ('Squeeze', ['Y', 'one'], ['f'], {})


@pytest.mark.parametrize(('nodes', 'constants', 'words'), [
    ([RNN, ('Identity', ['Y'], ['y'], {})], {}, None),  # one direction apart: nothing is lost
    ([RNN, FLAT, ('Add', ['f', 'f'], ['y'], {})], {}, 'joins 2 sequences'),
    ([RNN, FLAT, ('Mul', ['f', 'c'], ['y'], {})], {'c': np.ones(2, F32)}, 'a model of bricks has nothing like it'),
    ([RNN, FLAT, ('Add', ['f', 'c'], ['y'], {})], {'c': np.ones(2, F32)}, 'something else than a matrix product'),
    ([RNN, ('Squeeze', ['Y', 'zero'], ['y'], {})], {}, 'takes away another axis'),
    ([RNN, FLAT, ('Gather', ['f', 'c'], ['y'], {})], {'c': np.array(0)}, 'something else than the last step'),
    ([RNN, FLAT, ('Gather', ['f', 'c'], ['y'], {'axis': 2})], {'c': np.array(-1)}, 'something else than the last step'),
    ([RNN, FLAT, ('Gather', ['f', 'c'], ['y'], {'axis': 3})], {'c': np.array(-1)}, 'axis 3 is outside -3 to 2'),
    ([RNN, ('Squeeze', ['Y', 'c'], ['y'], {})], {'c': np.array([5])}, 'axis 5 is outside'),
    ([('Shape', ['x'], ['n'], {}), ('Cast', ['n'], ['s'], {'to': 1}), ('Relu', ['s'], ['y'], {})], {}, 'from a brick'),
    ([RNN, FLAT, ('MatMul', ['f', 'c'], ['y'], {})], {'c': np.ones((5, 2), F32)}, 'is 2 wide, its weights expect 5'),
    ([RNN, FLAT, ('MatMul', ['c', 'f'], ['y'], {})], {'c': np.ones((2, 2), F32)}, 'second input is no constant'),
    ([RNN, FLAT, ('Transpose', ['f'], ['s'], {'perm': [2, 0, 1]}), ('MatMul', ['s', 'c'], ['y'], {})],
     {'c': np.ones((2, 2), F32)}, 'expected features last'),
    ([RNN, ('RNN', ['H', 'W2', 'R'], ['', 'y'], {'hidden_size': 2})], {'W2': np.ones((1, 2, 2), F32)}, 'axes'),
    ([RNN, FLAT, ('Transpose', ['f'], ['s'], {'perm': [1, 0, 2]}),
      ('RNN', ['s', 'W2', 'R'], ['y'], {'hidden_size': 2})],
     {'W2': np.ones((1, 2, 2), F32)}, 'its X has the axes BTF, expected TBF'),
    ([('RNN', ['x', 'W', 'R', '', 'n'], ['y'], {'hidden_size': 2})], {'n': np.array([1], np.int32)},
     'sequence_lens is a constant'),
    ([('RNN', ['x', 'W', 'R', '', '', 'h'], ['y'], {'hidden_size': 2})], {'h': np.eye(2, dtype=F32)[None]},
     'differs from row to row'),
    ([('RNN', ['x', 'W3', 'R'], ['y'], {'hidden_size': 2})], {'W3': np.ones((1, 2, 7), F32)}, 'its input is 3 wide'),
    ([('Identity', ['x'], ['y'], {})], {}, 'does not come from a brick'),
    ([('Relu', ['x'], ['s'], {}), ('Exp', ['s'], ['y'], {})], {}, 'nothing like it'),
])
def test_graphs_that_are_no_bricks(nodes, constants, words, tmp_path):
    path = onnx_file(tmp_path, nodes, {**WEIGHTS, **constants})
    if words is None:
        assert convert.load(path).model().output_size == 2
        return
    refused(path, REFUSALS, words)


# ---- Latchwork's own ------------------------------------------------------------------------------------------------

def test_a_native_file_whose_extra_tensors_are_wrong(tmp_path):
    safetensors = pytest.importorskip('safetensors.numpy')
    model, path = lw.Model([lw.GRU(1, 2, name='gru')]), tmp_path / 'model.safetensors'
    model.save(path)
    length = int.from_bytes(path.read_bytes()[:8], 'little')
    metadata = json.loads(path.read_bytes()[8:8 + length])['__metadata__']
    for name, values, words in [('initial.gru.hidden_l0', np.zeros((2, 2), F32), 'expected a list of float32'),
                                ('initial.gru.hidden_l0', np.zeros(2, np.int64), 'expected a list of float32')]:
        safetensors.save_file({**model.parameters(), name: values}, path, metadata)
        refused(path, FormatError, words)
    for name in ('initial.gru.hidden_l7', 'initial.other.hidden_l0', 'initial.gru.mood_l0', 'initial.gru.cell_l0',
                 'initial.x'):
        safetensors.save_file({**model.parameters(), name: np.zeros(2, F32)}, path, metadata)
        converted = convert.load(path)
        with pytest.raises((ValueError, LookupError)):
            convert.start_state(converted, converted.model())


def test_a_failed_save_leaves_the_old_file(monkeypatch, tmp_path):
    path = tmp_path / 'model.json'
    path.write_text('old')
    monkeypatch.setattr(os, 'fsync', lambda descriptor: (_ for _ in ()).throw(OSError(28, 'No space left on device')))
    with pytest.raises(OSError, match='No space'):
        convert.save(lw.Model([lw.GRU(1, 2)]), path)
    assert path.read_text() == 'old' and os.listdir(tmp_path) == ['model.json']
