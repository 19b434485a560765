# SPDX-License-Identifier: Apache-2.0
"""latchwork.onnx: ONNX's own node tests, ONNX Runtime's answers, and every kind of damage a model can have.

Skipped without the package onnx; what is held against ONNX Runtime needs onnxruntime too.
"""
import itertools
import os
import random
import subprocess
import sys

import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
lw = pytest.importorskip('latchwork.onnx')
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from onnx_recipes import GATES, Recipe  # noqa: E402

from latchwork import FormatError  # noqa: E402

CLOSE = {'rtol': 1e-4, 'atol': 1e-5}
REFUSALS = (ValueError, NotImplementedError, TypeError)
FLOAT = TensorProto.FLOAT

# ---- ONNX's own tests -----------------------------------------------------------------------------------------------

# In a process of its own: the collection draws the random numbers of all its cases from one shared source.
OFFICIAL = '''
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import onnx.backend.test.case.node as cases
from onnx import TensorProto, numpy_helper
import latchwork.onnx as lw

def array(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)

for case in cases.collect_testcases(sys.argv[1] or None):
    ops = {node.op_type for node in case.model.graph.node} if case.model else {"none"}
    if not ops <= set(sys.argv[2].split(",")):
        continue
    try:
        for inputs, outputs in case.data_sets:
            got = lw.run_model(case.model, [array(value) for value in inputs])
            assert len(got) == len(outputs)
            for mine, other in zip(got, map(array, outputs)):
                assert mine.dtype == other.dtype and mine.shape == other.shape, (mine.dtype, mine.shape)
                np.testing.assert_allclose(mine, other, rtol=case.rtol, atol=case.atol)
        print("passed", case.name)
    except NotImplementedError as refusal:
        print("refused", case.name, refusal)
    except Exception as error:
        print("failed", case.name, type(error).__name__, " ".join(str(error).split())[:300])
'''


def official(op, ops):
    command = [sys.executable, '-c', OFFICIAL, op, ','.join(ops)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split(' ', 2) for line in done.stdout.splitlines()]
    assert all(line[0] != 'failed' for line in lines), done.stdout
    return {kind: [line[1:] for line in lines if line[0] == kind] for kind in ('passed', 'refused')}


@pytest.mark.parametrize('op', GATES)
def test_every_official_test_of_the_recurrent_operators(op):
    results = official(op, [op])
    assert not results['refused'], results
    names = [name for name, *_ in results['passed']]
    assert len(names) >= 4 and any('batchwise' in name for name in names), names


def test_the_official_tests_of_the_operators_around_them():
    from latchwork.onnx.operators import FUNCTIONS
    results = official('', FUNCTIONS)
    assert len(results['passed']) >= 120, len(results['passed'])
    for name, reason in results['refused']:  # never for anything but what is documented
        assert any(word in reason for word in ('type is', 'cast to', 'no tensor', 'training')), (name, reason)


# ---- against ONNX Runtime -------------------------------------------------------------------------------------------

def feeds(recipe, steps=7, batch=3, seed=1):
    rng = np.random.default_rng(seed)
    shape = (batch, steps, recipe.features) if recipe.batch_first else (steps, batch, recipe.features)
    given = {'X': rng.normal(0, 1, shape).astype(np.float32)}
    if recipe.lengths:
        given['lengths'] = np.array([steps, 0, 3][:batch], np.int32)
    if recipe.initial:
        shape = (batch, recipe.directions, recipe.hidden) if recipe.batch_first else (
            recipe.directions, batch, recipe.hidden)
        for name in ('h0', 'c0') if recipe.op == 'LSTM' else ('h0',):
            given[name] = rng.normal(0, 1, shape).astype(np.float32)
    return given


def same_as_onnxruntime(model, given):
    ort = pytest.importorskip('onnxruntime')
    options = ort.SessionOptions()
    options.log_severity_level = 4
    theirs = ort.InferenceSession(model.SerializeToString(), options, providers=['CPUExecutionProvider'])
    session = lw.prepare(model)
    for mine, other in zip(session.run(given), theirs.run(session.output_names, given)):
        np.testing.assert_allclose(mine, other, **CLOSE)


VARIANTS = [
    {}, {'bias': False}, {'lengths': True}, {'initial': True}, {'clip': 0.5}, {'bare': True, 'outputs': ('Y_h', 'Y_c')},
    {'lengths': True, 'initial': True, 'opset': 7}, {'opset': 22, 'ir': 10},
]


@pytest.mark.parametrize(('op', 'direction'), [*itertools.product(GATES, ['forward', 'reverse', 'bidirectional'])])
def test_recurrent_nodes_agree_with_onnxruntime(op, direction):
    extra = {'LSTM': [{'peepholes': True}, {'input_forget': 1}], 'GRU': [{'linear_before_reset': 1}],
             'RNN': [{'activations': ['Relu'] * (2 if direction == 'bidirectional' else 1)}]}[op]
    for variant in [*VARIANTS, *extra]:
        if op == 'RNN' and 'clip' in variant:
            continue  # ONNX Runtime's RNN does not clip
        recipe = Recipe(op, direction, **variant)
        same_as_onnxruntime(recipe.model(), feeds(recipe))


@pytest.mark.parametrize(('op', 'direction'), [*itertools.product(GATES, ['forward', 'bidirectional'])])
def test_batch_first_is_time_first_with_its_axes_swapped(op, direction):
    arguments = {'lengths': True, 'initial': True, 'bare': True, 'outputs': ('Y', 'Y_h', 'Y_c')}
    first, other = Recipe(op, direction, layout=1, **arguments), Recipe(op, direction, **arguments)
    given = feeds(first)
    swapped = {name: value if name == 'lengths' else value.swapaxes(0, 1) for name, value in given.items()}
    y, *states = lw.run_model(first.model(), given)
    y_other, *others = lw.run_model(other.model(), swapped)
    np.testing.assert_array_equal(y, y_other.transpose(2, 0, 1, 3))
    for mine, that in zip(states, others):
        np.testing.assert_array_equal(mine, that.swapaxes(0, 1))


def test_weights_may_be_inputs_defaults_and_float16():
    recipe = Recipe('LSTM', bare=True)
    recipe.free = {'W', 'R'}
    model, given = recipe.model(), feeds(recipe)
    default = lw.run_model(model, given)
    doubled = lw.run_model(model, {**given, 'W': recipe.weights['W'] * 2})
    assert not np.allclose(default[0], doubled[0])
    node = helper.make_node('GRU', ['X', 'W', 'R'], ['Y'], hidden_size=3)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(0, 0.5, shape).astype(np.float32) for shape in [(4, 2, 5), (1, 9, 5), (1, 9, 3)]]
    half = [array.astype(np.float16) for array in arrays]
    y, = lw.run_node(node, half)
    wide, = lw.run_node(node, [array.astype(np.float32) for array in half])
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, wide.astype(np.float16))
    with pytest.raises(NotImplementedError, match='float64, Latchwork computes in float32'):
        lw.run_node(node, [array.astype(np.float64) for array in arrays])


def test_the_hidden_size_may_be_left_out():
    told, silent = Recipe('GRU'), Recipe('GRU', hidden_size=None)
    for mine, other in zip(lw.run_model(silent.model(), feeds(silent)), lw.run_model(told.model(), feeds(told))):
        np.testing.assert_array_equal(mine, other)


def test_empty_sequences_and_batches():
    recipe = Recipe('LSTM', 'bidirectional', bare=True, initial=True)
    session = lw.prepare(recipe.model())
    given = feeds(recipe, steps=0)
    y, h, c = session.run(given)
    assert y.shape == (0, 2, 3, 6)
    assert h.shape == c.shape == (2, 3, 6) and not h.any() and not c.any()  # as in ONNX Runtime
    y, h, c = session.run(feeds(recipe, batch=0))
    assert y.shape == (7, 2, 0, 6) and h.shape == c.shape == (2, 0, 6)


def test_the_interface():
    from onnx.backend.base import Backend, BackendRep
    recipe = Recipe('GRU')
    model, given = recipe.model(), feeds(recipe)
    assert issubclass(lw.Backend, Backend)
    assert lw.supports_device('CPU') and lw.supports_device('CPU:0') and not lw.supports_device('CUDA')
    assert lw.is_compatible(model) and not lw.is_compatible(graph([helper.make_node('Erf', ['x'], ['y'])]))
    session = lw.prepare(model, device='CPU')
    assert isinstance(session, BackendRep)
    result = session.run([given['X']])
    np.testing.assert_array_equal(result['Y'] if 'Y' in session.output_names else result[0], session.run(given)[0])
    np.testing.assert_array_equal(session.run(given['X'])[0], result[0])
    with pytest.raises(ValueError, match="only 'CPU'"):
        lw.prepare(model, device='CUDA')
    with pytest.raises(ValueError, match='2 inputs, the model has 1'):
        session.run([given['X'], given['X']])
    with pytest.raises(ValueError, match="'X' is missing"):
        session.run({})
    with pytest.raises(ValueError, match="no input 'Z'"):
        session.run({**given, 'Z': given['X']})
    with pytest.raises(TypeError, match='float64, expected float32'):
        session.run({'X': given['X'].astype(np.float64)})
    with pytest.raises(ValueError, match='expected 3 dimensions|shape'):
        session.run({'X': given['X'][0]})


# ---- damage ---------------------------------------------------------------------------------------------------------

def tensor(values, name):
    return numpy_helper.from_array(np.asarray(values), name)


def graph(nodes, constants=(), inputs=(('x', [2, 3]),), outputs=('y',), opset=14, **settings):
    shaped = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs]
    made = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    made = helper.make_graph(list(nodes), 'g', shaped, made, list(constants))
    return helper.make_model(made, opset_imports=[helper.make_opsetid('', opset)], ir_version=8, **settings)


def refused(model, kind, *words, given=None):
    with pytest.raises(kind) as caught:
        session = lw.prepare(model)
        session.run(given if given is not None else [np.zeros((2, 3), np.float32)])
    for word in words:
        assert word in str(caught.value), str(caught.value)


def relu(source='x', target='y', **names):
    return helper.make_node('Relu', [source], [target], **names)


def test_graphs_that_are_none():
    refused(graph([relu('loop', 'y'), relu('y', 'loop')]), FormatError, "'loop' is made later", 'cycle')
    refused(graph([relu('nowhere')]), FormatError, "'nowhere' is made by nothing")
    refused(graph([relu('x', 'z')]), FormatError, "output 'y' is made by nothing")
    refused(graph([relu(), relu()]), FormatError, "'y' is already made")
    refused(graph([relu('x', 'x')]), FormatError, "'x' is already made")
    refused(graph([relu()], inputs=[('x', [2, 3]), ('x', [2, 3])]), FormatError, 'two inputs')
    refused(graph([relu()], outputs=()), FormatError, 'no outputs')
    refused(graph([relu()], [tensor(np.zeros(2, np.float32), 'w')] * 2), FormatError, 'two of that name')
    refused(graph([relu()], opset=6), NotImplementedError, 'version 6', 'expected 7 to')
    refused(graph([relu()], opset=500), NotImplementedError, 'version 500')
    model = graph([relu()])
    model.opset_import.append(model.opset_import[0])
    refused(model, FormatError, '2 versions')
    del model.opset_import[:]
    refused(model, FormatError, '0 versions')


def test_nodes_that_are_none():
    refused(graph([helper.make_node('Erf', ['x'], ['y'], name='curve')]), NotImplementedError, "Erf node 'curve'",
            'supported')
    refused(graph([relu(domain='com.example')]), NotImplementedError, 'com.example')
    refused(graph([helper.make_node('Nonsense', ['x'], ['y'])]), FormatError, 'no such operator')
    refused(graph([relu(alpha=1.0)]), FormatError, 'attribute alpha is unknown')
    refused(graph([helper.make_node('Relu', ['x', 'x'], ['y'])]), FormatError, '2 inputs, expected 1 to 1')
    refused(graph([helper.make_node('Relu', [''], ['y'])]), FormatError, 'input 0 is left out')
    refused(graph([helper.make_node('Transpose', ['x'], ['y'], perm=1)]), FormatError, 'is of type INT, expected INTS')
    refused(graph([helper.make_node('Concat', ['x'], ['y'])]), FormatError, 'lacks the attribute axis')
    refused(graph([helper.make_node('Transpose', ['x'], ['y'], perm=[0, 0])]), ValueError, 'perm')
    refused(graph([helper.make_node('Squeeze', ['x', 'axes'], ['y'])], [tensor([0], 'axes')]), ValueError, 'is not 1')
    refused(graph([helper.make_node('Gather', ['x', 'i'], ['y'])], [tensor([9], 'i')]), ValueError, 'outside axis')
    refused(graph([helper.make_node('Reshape', ['x', 's'], ['y'])], [tensor([-5, 1], 's')]), ValueError, 'negative')
    refused(graph([helper.make_node('Reshape', ['x', 's'], ['y'])], [tensor([7], 's')]), ValueError, 'reshape')
    body = helper.make_graph([], 'body', [], [])
    refused(graph([helper.make_node('If', ['x'], ['y'], then_branch=body, else_branch=body)]), NotImplementedError,
            'graphs inside of nodes')


def bare(op='LSTM', **changes):
    recipe = Recipe(op, bare=True, **changes)
    return recipe, feeds(recipe)


@pytest.mark.parametrize(('changes', 'kind', 'words'), [
    ({'direction': 'sideways'}, FormatError, ["direction is 'sideways'"]),
    ({'activations': ['Sigmoid', 'Tanh']}, FormatError, ['names 2 activations, expected 3']),
    ({'activations': ['Sigmoid', 'Tanh', 'Tanh'] * 2}, FormatError, ['names 6 activations']),
    ({'activations': ['Sigmoid', 'Tanh', 'Softsign']}, NotImplementedError, ['activation 2 is Softsign', 'only Tanh']),
    ({'hidden_size': 5}, ValueError, ['hidden_size is 5, but R has 6']),
    ({'hidden_size': -1}, FormatError, ['hidden_size is -1']),
    ({'clip': -1.0}, FormatError, ['clip is -1']),
    ({'clip': float('nan')}, FormatError, ['clip is nan']),
    ({'layout': 2}, FormatError, ['layout is 2']),
    ({'input_forget': 3}, FormatError, ['input_forget is 3']),
    ({'linear_before_reset': 1}, FormatError, ['linear_before_reset is unknown']),
])
def test_attributes_of_recurrent_nodes(changes, kind, words):
    recipe, given = bare(**changes)
    refused(recipe.model(), kind, "LSTM node 'cell'", *words, given=given)


@pytest.mark.parametrize(('name', 'shape', 'words'), [
    ('W', (1, 23, 5), ['W has the shape (1, 23, 5), expected (1, 24, 5)']),
    ('W', (24, 5), ['W and R have 2 and 3 dimensions']),
    ('R', (1, 23, 6), ['R has the shape (1, 23, 6)']),
    ('R', (1, 0, 0), ['every size must be 1 or more']),
    ('R', (2, 24, 6), ['R has the shape (2, 24, 6)']),
    ('B', (1, 47), ['B has the shape (1, 47), expected (1, 48)']),
    ('P', (1, 17), ['P has the shape (1, 17), expected (1, 18)']),
])
def test_weights_of_the_wrong_shape(name, shape, words):
    recipe, given = bare(peepholes=True)
    recipe.weights[name] = np.zeros(shape, np.float32)
    refused(recipe.model(), ValueError, *words, given=given)


def test_inputs_of_the_wrong_shape():
    node = helper.make_node('LSTM', ['X', 'W', 'R', '', 'lengths', 'h0'], ['Y'], hidden_size=2, name='cell')
    w, r = np.zeros((1, 8, 3), np.float32), np.zeros((1, 8, 2), np.float32)
    x, lengths, h0 = np.zeros((4, 2, 3), np.float32), np.array([4, 1], np.int32), np.zeros((1, 2, 2), np.float32)
    lw.run_node(node, [x, w, r, lengths, h0])
    for values, words in [((x[0], w, r, lengths, h0), 'X has the shape (2, 3)'),
                          ((x[:, :, :2], w, r, lengths, h0), 'X has the shape (4, 2, 2), expected (4, 2, 3)'),
                          ((x, w, r, np.array([5, 1], np.int32), h0), 'row 0 is 5, expected 0 to 4'),
                          ((x, w, r, np.array([-1, 1], np.int32), h0), 'row 0 is -1'),
                          ((x, w, r, np.array([1], np.int32), h0), 'sequence_lens'),
                          ((x, w, r, np.array([1.0, 1.0]), h0), 'sequence_lens'),
                          ((x, w, r, lengths, h0[:, :1]), 'initial_h has the shape (1, 1, 2)')]:
        with pytest.raises(ValueError) as caught:
            lw.run_node(node, values)
        assert words in str(caught.value) and "LSTM node 'cell'" in str(caught.value)


@pytest.mark.parametrize(('op', 'count', 'given', 'words'), [
    ('Concat', 3, 'x-x', 'input 1 is left out'), ('Relu', 1, '-', 'input 0 is left out'), ('Reshape', 2, 'x-', 'no shape'),
    ('Slice', 3, 'x--', 'no starts'), ('LSTM', 3, 'x--', 'W or R is left out'), ('LSTM', 3, '-xx', 'X has the shape None'),
])
def test_inputs_that_are_left_out(op, count, given, words):
    attributes = {'Concat': {'axis': 0}, 'LSTM': {'hidden_size': 1}}.get(op, {})
    node = helper.make_node(op, ['a', 'b', 'c'][:count], ['y'], **attributes)
    array = np.ones((1, 4, 1), np.float32)
    with pytest.raises(ValueError, match=words):
        lw.run_node(node, [array if letter == 'x' else None for letter in given])
    if op == 'Concat':
        model = graph([helper.make_node('Concat', ['x', '', 'x'], ['y'], axis=0)])
        refused(model, FormatError, 'its input 1 is left out')


def with_tensor(change):
    made = tensor(np.zeros((2, 3), np.float32), 'w')
    change(made)
    return graph([helper.make_node('Add', ['x', 'w'], ['y'])], [made])


def test_tensors_whose_data_is_unlike_their_shape():
    def typed(t):
        t.ClearField('raw_data')
        t.float_data.extend([1.0] * 5)

    def halves(t):
        t.ClearField('raw_data')
        t.data_type = TensorProto.FLOAT16
        t.int32_data.extend([1 << 20] * 6)

    refused(with_tensor(lambda t: t.dims.__setitem__(0, 3)), FormatError, "initializer 'w'", '24 bytes', 'need 36')
    refused(with_tensor(lambda t: t.dims.__setitem__(0, -2)), FormatError, 'negative size')
    refused(with_tensor(lambda t: t.dims.__setitem__(0, 1 << 62)), FormatError, 'more than a file can hold')
    refused(with_tensor(lambda t: t.dims.extend([1] * 99)), FormatError, '101 dimensions')
    refused(with_tensor(typed), FormatError, '5 numbers', 'needs 6')
    refused(with_tensor(halves), FormatError, 'more than 16 bits')
    refused(with_tensor(lambda t: t.ClearField('data_type')), NotImplementedError, 'type is undefined')
    refused(with_tensor(lambda t: setattr(t, 'data_type', 99)), NotImplementedError, 'number 99')
    refused(with_tensor(lambda t: t.float_data.append(1)), FormatError, 'float_data and raw_data')
    refused(with_tensor(lambda t: t.ClearField('raw_data')), FormatError, '0 numbers')


def test_results_that_would_be_too_large(monkeypatch):
    monkeypatch.setattr('latchwork.onnx.limits.MOST_RESULT_BYTES', 1 << 24)
    nodes, name = [], 'x'
    for index in range(40):
        nodes.append(helper.make_node('Concat', [name, name], [f'c{index}'], axis=0))
        name = f'c{index}'
    refused(graph([*nodes, relu(name)]), ValueError, 'would take more than')
    huge = [tensor(np.array([1 << 40, 1 << 40]), 's')]
    refused(graph([helper.make_node('ConstantOfShape', ['s'], ['y'])], huge), ValueError, 'would take more than')
    wide = [tensor(np.array([1 << 40, 2, 3]), 's')]
    refused(graph([helper.make_node('Expand', ['x', 's'], ['y'])], wide), ValueError, 'would take more than')
    wide = [tensor(np.zeros((1 << 12, 1), np.float32), 'a'), tensor(np.zeros((1, 1 << 12), np.float32), 'b')]
    for op in ('MatMul', 'Gemm', 'Add'):
        refused(graph([helper.make_node(op, ['a', 'b'], ['y'])], wide), ValueError, 'would take more than')


# ---- files ----------------------------------------------------------------------------------------------------------

def external(location, folder, length=None, offset=None, count=6):
    made = TensorProto(name='w', data_type=FLOAT, dims=[2, count // 2], data_location=TensorProto.EXTERNAL)
    for key, value in (('location', location), ('offset', offset), ('length', length)):
        if value is not None:
            made.external_data.add(key=key, value=str(value))
    path = folder / 'model.onnx'
    path.write_bytes(graph([helper.make_node('Add', ['x', 'w'], ['y'])], [made]).SerializeToString())
    return path


def test_external_data(tmp_path):
    folder = tmp_path / 'model'
    (folder / 'inner').mkdir(parents=True)
    data = np.arange(8, dtype=np.float32)
    for place in (folder / 'w.bin', folder / 'inner/w.bin', tmp_path / 'outside.bin'):
        place.write_bytes(data.tobytes())
    zeros = np.zeros((2, 3), np.float32)
    path = external('w.bin', folder, length=24, offset=8)
    with pytest.raises(FormatError, match='only when external data is allowed'):
        lw.load(path)
    y, = lw.load(path, external_data=True).run([zeros])
    np.testing.assert_array_equal(y, data[2:].reshape(2, 3))
    y, = lw.load(external('inner/w.bin', folder), external_data=str(folder)).run([zeros])
    np.testing.assert_array_equal(y, data[:6].reshape(2, 3))
    (folder / 'link.bin').symlink_to(tmp_path / 'outside.bin')
    (folder / 'linked').symlink_to(tmp_path)
    os.link(tmp_path / 'outside.bin', folder / 'hard.bin')
    os.mkfifo(folder / 'fifo')
    for location in ('../outside.bin', str(tmp_path / 'outside.bin'), 'inner/../../outside.bin', 'link.bin',
                     'linked/outside.bin', 'hard.bin', 'fifo', 'inner', 'nothing.bin', '', '.', './w.bin',
                     'inner//w.bin', '..\\outside.bin', 'w.bin\0'):
        with pytest.raises(FormatError, match='external data'):
            lw.load(external(location, folder), external_data=True)
    for settings, words in [({'offset': 12}, 'ends at byte 36, but the file has 32'), ({'length': 20}, 'length is 20'),
                            ({'offset': '-1'}, 'expected a number'), ({'offset': 1 << 62}, 'ends at byte'),
                            ({'offset': '9' * 30}, 'expected a number'), ({'count': 1 << 40}, 'ends at byte')]:
        with pytest.raises(FormatError, match=words):
            lw.load(external('w.bin', folder, **settings), external_data=True)


def test_files_that_are_no_models(tmp_path):
    path = tmp_path / 'model.onnx'
    for data in (b'', b'hello', b'\xff' * 100, b'\x3a' + b'\xff' * 12 + b'\x01', b'\x0a\x7f',
                 b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'):
        path.write_bytes(data)
        with pytest.raises(FormatError, match='not an ONNX file'):
            lw.load(path)
    with pytest.raises(FileNotFoundError):
        lw.load(tmp_path / 'nothing.onnx')
    with pytest.raises(IsADirectoryError):
        lw.load(tmp_path)
    os.mkfifo(tmp_path / 'fifo')
    with pytest.raises(FormatError, match='regular file'):
        lw.load(tmp_path / 'fifo')


def test_messages_nested_deep():
    inner = b''
    for _ in range(5000):  # graph.node.attribute.g.node.attribute.g ...
        for field in (0x0A, 0x2A, 0x32):
            length, size = len(inner), b''
            while length > 127:
                size, length = size + bytes([length & 127 | 128]), length >> 7
            inner = bytes([field]) + size + bytes([length]) + inner
    with pytest.raises(FormatError, match='not an ONNX file'):
        lw.graph.read_model(b'\x3a' + inner)


def test_every_damaged_byte_is_refused_or_harmless(tmp_path):
    recipe = Recipe('LSTM', lengths=True)
    whole, rng = recipe.model().SerializeToString(), random.Random(7)
    path, ends = tmp_path / 'model.onnx', set()
    given = feeds(recipe)
    for _ in range(800):
        data = bytearray(whole)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)):]
        for _ in range(rng.choice([1, 1, 3])):
            if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            lw.load(path).run(given)
            ends.add('ran')
        except REFUSALS as refusal:
            assert str(refusal)
            ends.add(type(refusal))
    assert 'ran' in ends and FormatError in ends
