# SPDX-License-Identifier: Apache-2.0
"""The execution provider inside ONNX Runtime, held against ONNX Runtime's own kernels and against ONNX's node tests.

Every session is asked which nodes really ran where. Stacks of nodes are in test_onnxruntime_stacks.py.
"""
import concurrent.futures
import ctypes
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import time
import warnings

import numpy as np
import pytest

# Skips without onnxruntime.
from onnxruntime_case import CLOSE, INFO, LIBRARY, load_module, lw, onnx, ort, ours, quiet, theirs

from onnx import TensorProto, helper, numpy_helper
from onnx_recipes import GATES, Recipe


def compare(recipe, shapes=((1, 1), (7, 3), (12, 1), (3, 9), (1, 4)), **arguments):
    model = recipe.model()
    mine, other = ours(model, **arguments), theirs(model)
    names = [output.name for output in mine.get_outputs()]
    for number, (steps, batch) in enumerate(shapes):
        feed = recipe.feed(steps, batch, seed=number)
        for name, got, want in zip(names, mine.run(None, feed), other.run(None, feed)):
            assert got.shape == want.shape, (name, steps, batch)
            np.testing.assert_allclose(got, want, **CLOSE, err_msg=f'{name}, {steps} steps of {batch}')


VARIANTS = [
    ('LSTM', {}),
    ('LSTM', {'bias': False}),
    ('LSTM', {'peepholes': True}),
    ('LSTM', {'peepholes': True, 'bias': False, 'clip': 0.3}),
    ('LSTM', {'clip': 0.4, 'opset': 7}),
    ('LSTM', {'input_forget': 1}),
    ('LSTM', {'input_forget': 1, 'peepholes': True, 'clip': 0.5, 'opset': 22}),
    ('LSTM', {'hidden': 33, 'width': 17, 'function': ('sigmoid', 'TANH', 'tanh')}),
    ('GRU', {}),
    ('GRU', {'linear_before_reset': 1}),
    ('GRU', {'bias': False, 'linear_before_reset': 1, 'opset': 22}),
    ('GRU', {'bias': False, 'opset': 7}),
    ('GRU', {'clip': 0.3}),
    ('GRU', {'clip': 0.3, 'linear_before_reset': 1, 'hidden': 19}),
    ('RNN', {}),
    ('RNN', {'bias': False, 'opset': 7}),
    ('RNN', {'clip': 0.3, 'opset': 22}),
    ('RNN', {'function': 'Relu', 'clip': 2.0}),
    ('RNN', {'function': 'Relu', 'hidden': 18}),
]


def make(op, options, direction='forward', **more):
    options = {**options, **more}
    function = options.pop('function', None)
    if function:
        names = [function] if isinstance(function, str) else list(function)
        options['activations'] = names * (2 if direction == 'bidirectional' else 1)
    return Recipe(op, direction, **options)


def name_of(value):
    return value if isinstance(value, str) else '-'.join(f'{k}={v}' for k, v in value.items()) or 'plain'


@pytest.mark.parametrize('direction', ['forward', 'reverse', 'bidirectional'])
@pytest.mark.parametrize('op, options', VARIANTS, ids=name_of)
def test_results(op, options, direction):
    for lengths, initial in itertools.product((False, True), repeat=2):
        compare(make(op, options, direction, lengths=lengths, initial=initial))


def test_activation_that_is_not_used():
    """ONNX's default for an RNN are two, whatever its direction; of one direction the second means nothing."""
    compare(Recipe('RNN', activations=['Relu', 'Affine']))


@pytest.mark.parametrize('direction', ['forward', 'reverse', 'bidirectional'])
@pytest.mark.parametrize('op', GATES)
def test_batch_first(op, direction):
    """ONNX Runtime refuses layout 1: the reference is the same node with layout 0 on turned tensors."""
    for lengths, initial in itertools.product((False, True), repeat=2):
        first = Recipe(op, direction, lengths=lengths, initial=initial, layout=1, bare=True)
        other = Recipe(op, direction, lengths=lengths, initial=initial, bare=True)
        mine, reference = ours(first.model()), theirs(other.model())
        for steps, batch in ((1, 1), (5, 3), (4, 1), (1, 6)):
            feed = first.feed(steps, batch)
            turned = {name: value if name == 'lengths' else np.ascontiguousarray(value.swapaxes(0, 1))
                      for name, value in feed.items()}
            y, *vectors = reference.run(None, turned)
            wanted = [y.transpose(2, 0, 1, 3)] + [vector.swapaxes(0, 1) for vector in vectors]
            for got, want in zip(mine.run(None, feed), wanted):
                assert got.shape == want.shape
                np.testing.assert_allclose(got, want, **CLOSE)


@pytest.mark.parametrize('outputs', [('Y',), ('', 'Y_h'), ('', '', 'Y_c'), ('Y', '', 'Y_c'), ('', 'Y_h', 'Y_c')])
@pytest.mark.parametrize('layout', [0, 1])
def test_outputs_left_out(outputs, layout):
    full = Recipe('LSTM', 'bidirectional', bare=True, initial=True, lengths=True, layout=layout)
    some = Recipe('LSTM', 'bidirectional', bare=True, initial=True, lengths=True, layout=layout, outputs=outputs)
    feed = full.feed(5, 3)
    everything = dict(zip(('Y', 'Y_h', 'Y_c'), ours(full.model()).run(None, feed)))
    for name, got in zip([name for name in outputs if name], ours(some.model()).run(None, feed)):
        np.testing.assert_array_equal(got, everything[name])


def test_constant_states_and_lengths():
    recipe = Recipe('LSTM', 'bidirectional', lengths=True, initial=True)
    feed = recipe.feed(6, 3, lengths=[6, 0, 2])
    recipe.constants = {name: feed[name] for name in ('lengths', 'h0', 'c0')}
    compare(recipe, shapes=((6, 3),))
    recipe = Recipe('LSTM', initial=True, bare=True)
    recipe.constants = {'X': recipe.feed(6, 3)['X']}
    compare(recipe, shapes=((6, 3),))


def test_one_value_for_both_states():
    recipe = Recipe('LSTM', initial=True, bare=True)
    recipe.inputs = ['X', 'W', 'R', 'B', '', 'h0', 'h0']
    feed = {name: value for name, value in recipe.feed(4, 2).items() if name != 'c0'}
    for got, want in zip(ours(recipe.model()).run(None, feed), theirs(recipe.model()).run(None, feed)):
        np.testing.assert_allclose(got, want, **CLOSE)


def test_hidden_size_left_out():
    """ONNX makes it optional; ONNX Runtime's kernels want it."""
    recipe, without = Recipe('GRU', bare=True), Recipe('GRU', bare=True, hidden_size=None)
    feed = recipe.feed(4, 2)
    np.testing.assert_array_equal(ours(without.model()).run(None, feed)[0], ours(recipe.model()).run(None, feed)[0])


def test_old_ir_where_weights_are_inputs():
    compare(Recipe('GRU', ir=3, opset=7), shapes=((4, 2),))


def test_no_optimisation():
    options = quiet()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    compare(Recipe('LSTM', 'bidirectional'), shapes=((4, 2),), options=options)


def test_external_data(tmp_path):
    recipe = Recipe('LSTM', hidden=40)
    path = str(tmp_path / 'model.onnx')
    onnx.save_model(recipe.model(), path, save_as_external_data=True, location='weights.bin', size_threshold=64)
    feed = recipe.feed(5, 2)
    other = ort.InferenceSession(path, providers=['CPUExecutionProvider'])
    np.testing.assert_allclose(ours(path).run(None, feed)[0], other.run(None, feed)[0], **CLOSE)


def test_inside_a_branch():
    """The node stands in the branch of an If, its weights and input outside of it."""
    recipe = Recipe('GRU', bare=True)
    output = helper.make_tensor_value_info('Y', TensorProto.FLOAT, None)
    cell = helper.make_node('GRU', ['X', 'W', 'R', 'B'], ['Y'], hidden_size=6)
    branches = [helper.make_graph([cell], 'then', [], [output]),
                helper.make_graph([helper.make_node('Unsqueeze', ['X', 'axis'], ['Y'])], 'else', [], [output])]
    weights = {**recipe.weights, 'axis': np.array([1], np.int64)}
    graph = helper.make_graph(
        [helper.make_node('If', ['flag'], ['Z'], then_branch=branches[0], else_branch=branches[1])], 'graph',
        [helper.make_tensor_value_info('flag', TensorProto.BOOL, []),
         helper.make_tensor_value_info('X', TensorProto.FLOAT, [None, None, 5])],
        [helper.make_tensor_value_info('Z', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid('', 14)])
    mine, other = ours(model), theirs(model)
    for flag in (True, False):
        feed = {**recipe.feed(4, 2), 'flag': np.array(flag)}
        np.testing.assert_allclose(mine.run(None, feed)[0], other.run(None, feed)[0], **CLOSE)


@pytest.mark.parametrize('op', GATES)
@pytest.mark.parametrize('direction', ['forward', 'bidirectional'])
def test_nothing_to_walk_over(op, direction):
    recipe = Recipe(op, direction, bare=True, lengths=True, initial=True)
    mine, other = ours(recipe.model()), theirs(recipe.model())
    cases = [recipe.feed(4, 3, lengths=lengths) for lengths in ([4, 0, 2], [0, 0, 0])] + [recipe.feed(0, 3)]
    for feed in cases:
        for got, want in zip(mine.run(None, feed), other.run(None, feed)):
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, **CLOSE)
    # ONNX Runtime's kernels end the process at a batch of 0.
    d, h = recipe.directions, recipe.hidden
    shapes = [result.shape for result in mine.run(None, recipe.feed(4, 0))]
    assert shapes == [(4, d, 0, h), (d, 0, h), (d, 0, h)][:len(shapes)]


def test_a_nan_stays_in_its_row():
    recipe = Recipe('LSTM', bare=True)
    session, feed = ours(recipe.model()), recipe.feed(6, 3)
    clean = session.run(None, feed)[0]
    feed['X'][2, 1, 0] = np.nan
    dirty = session.run(None, feed)[0]
    assert np.isnan(dirty[2:, :, 1]).all()
    for part in ((slice(0, 2), slice(None)), (slice(None), slice(None), [0, 2])):
        np.testing.assert_array_equal(dirty[part], clean[part])


# ---- refusals -------------------------------------------------------------------------------------------------------

REFUSED = [
    ({'activations': ['HardSigmoid', 'Tanh', 'Tanh']}, 'activation 0 is HardSigmoid, expected Sigmoid', True),
    ({'op': 'RNN', 'activations': ['Sigmoid']}, 'activation 0 is Sigmoid, expected Tanh or Relu', True),
    ({'op': 'RNN', 'direction': 'bidirectional', 'activations': ['Tanh', 'Relu']},
     'activation 1 is Relu, expected Tanh', True),
    ({'op': 'GRU', 'activations': ['Sigmoid', 'Affine'], 'activation_alpha': [0.5], 'activation_beta': [0.1]},
     'activation 1 is Affine, expected Tanh', True),
    ({'activations': ['Sigmoid', 'Tanh']}, 'it has 2 activations, expected 3', False),
    ({'op': 'RNN', 'activations': ['Tanh'] * 3}, 'it has 3 activations, expected 1', False),
    ({'activations': ['x' * 300, 'Tanh', 'Tanh']}, 'its attribute activations is 311 bytes long', False),
    ({'clip': 0.0}, 'its clip is 0, expected a positive number', False),
    ({'clip': float('nan')}, 'its clip is nan, expected a positive number', False),
    ({'direction': 'sideways'}, 'its direction is "sideways", expected forward, reverse or bidirectional', False),
    ({'layout': 2}, 'its layout is 2, expected 0 or 1', False),
    ({'hidden_size': 7}, 'its hidden_size is 7, but R has 6', True),
    ({'hidden_size': -1}, 'its hidden_size is -1, but R has 6', False),
    ({'free': {'W'}}, 'W is not a constant initialiser', True),
    ({'free': {'R'}}, 'R is not a constant initialiser', True),
    ({'free': {'B'}}, 'B is not a constant initialiser', True),
    ({'peepholes': True, 'free': {'P'}}, 'P is not a constant initialiser', True),
    ({'replace': {'W': (1, 23, 5)}}, r'W is \(1, 23, 5\), expected \(1, 24, 5\)', True),
    ({'replace': {'R': (1, 24, 7)}}, r'R is \(1, 24, 7\), expected \(1, 28, 7\)', True),
    ({'replace': {'R': (2, 24, 6)}}, r'R is \(2, 24, 6\), expected \(1, 24, 6\)', True),
    ({'replace': {'B': (1, 24)}}, r'B is \(1, 24\), expected \(1, 48\)', True),
    ({'peepholes': True, 'replace': {'P': (1, 24)}}, r'P is \(1, 24\), expected \(1, 18\)', True),
]


@pytest.mark.parametrize('options, reason, loads', REFUSED, ids=[case[1][:40] for case in REFUSED])
def test_refused_nodes(options, reason, loads, capfd):
    """They stay with ONNX Runtime, which runs them or has its own complaint; the log has our reason."""
    options = dict(options)
    free, replace = options.pop('free', set()), options.pop('replace', {})
    recipe = Recipe(**{'bare': True, **options})
    recipe.free = free
    recipe.weights.update({name: recipe.normal(*shape) for name, shape in replace.items()})
    model = recipe.model()
    if loads:
        session = ours(model, claimed=0, options=quiet(INFO))
        if not replace and 'hidden_size' not in options:
            feed = recipe.feed(4, 2)
            np.testing.assert_array_equal(session.run(None, feed)[0], theirs(model).run(None, feed)[0])
    else:
        with pytest.raises(Exception):
            ours(model, claimed=0, options=quiet(INFO))
    log = capfd.readouterr().err
    assert re.search(rf'{recipe.op} node "cell" is left to ONNX Runtime: {reason}', log), log[-3000:]


def test_other_types_are_refused(capfd):
    recipe = Recipe('LSTM', bare=True)
    model = recipe.model()
    for value in list(model.graph.input) + list(model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    ours(model, claimed=0, options=quiet(INFO))
    assert 'X is not of type float' in capfd.readouterr().err


def test_a_node_of_another_domain_is_not_looked_at():
    with pytest.raises(Exception, match='not a registered'):
        ours(Recipe('LSTM', bare=True).model(domain='somebody.else'), claimed=0, options=quiet())


def test_claims_are_in_the_log(capfd):
    ours(Recipe('GRU').model(), options=quiet(INFO))
    assert re.search(r'GRU node "cell": 4 in, 6 units, \d+ bytes of weights for \w+', capfd.readouterr().err)


# ---- bad input at run time ------------------------------------------------------------------------------------------

BAD = [
    ('lengths', lambda v: np.array([1, -1, 1], np.int32), r'sequence_lens\[1\] is -1, expected 0 to 4'),
    ('lengths', lambda v: np.array([1, 1, 5], np.int32), r'sequence_lens\[2\] is 5, expected 0 to 4'),
    ('lengths', lambda v: np.array([1, 1], np.int32), r'sequence_lens is \(2\), expected \(3\)'),
    ('X', lambda v: v[:, :, :4], r'X is \(4, 3, 4\), expected \(steps, batch, 5\)'),
    ('X', lambda v: v[:, :2], r'sequence_lens is \(3\), expected \(2\)'),
    ('h0', lambda v: v[:, :2], r'initial_h is \(2, 2, 6\), expected \(2, 3, 6\)'),
    ('h0', lambda v: v[:1], r'initial_h is \(1, 3, 6\), expected \(2, 3, 6\)'),
    ('c0', lambda v: v[:, :, :5], r'initial_c is \(2, 3, 5\), expected \(2, 3, 6\)'),
]


@pytest.mark.parametrize('name, change, sentence', BAD, ids=[case[2][:30] for case in BAD])
def test_bad_input(name, change, sentence):
    recipe = Recipe('LSTM', 'bidirectional', lengths=True, initial=True, bare=True)
    session, feed = ours(recipe.model(), options=quiet()), recipe.feed(4, 3)
    before = session.run(None, feed)
    with pytest.raises(Exception, match=f'LSTM node "cell": {sentence}'):
        session.run(None, {**feed, name: change(feed[name])})
    for got, want in zip(session.run(None, feed), before):
        np.testing.assert_array_equal(got, want)


def test_options():
    model = Recipe('LSTM').model()
    for options, sentence in (({'threads': 5000}, 'threads is "5000", expected 0'),
                              ({'isa': 'sse'}, 'no instruction set "sse"')):
        with pytest.raises(Exception, match=sentence):
            ours(model, options=quiet(), **options)
    with pytest.raises(ValueError, match='threads is -1'):
        ours(model, threads=-1)
    bad = {'threads': ('', '-1', '+1', ' 1', '1x', '99999999999999999999'), 'stacks': ('', '2', 'no')}
    for name, values in bad.items():
        for value in values:
            options = quiet()
            options.add_session_config_entry(f'ep.{lw.PROVIDER.lower()}.{name}', value)
            with pytest.raises(Exception, match=f'{name} is'):
                ort_session(model, options)
    options = quiet()
    options.add_session_config_entry(f'ep.{lw.PROVIDER.lower()}.treads', '1')
    with pytest.raises(Exception, match='there is no option "treads", expected threads, isa or stacks'):
        ours(model, options=options)
    with pytest.raises(ValueError, match='did not record'):
        lw.claimed(theirs(model))


def test_a_copy_of_the_module_finds_the_provider_registered():
    copy = load_module()
    assert copy is not lw
    copy.register(LIBRARY)
    session = copy.session(Recipe('LSTM').model().SerializeToString(), quiet())
    assert len(copy.claimed(session)) == 1


def ort_session(model, options):
    devices = [device for device in ort.get_ep_devices() if device.ep_name == lw.PROVIDER]
    options.add_provider_for_devices(devices, {})
    return ort.InferenceSession(model.SerializeToString(), options, enable_fallback=0)


def test_instruction_sets_and_threads_give_the_same_bits():
    recipe = Recipe('LSTM', hidden=70, width=33)
    feed = recipe.feed(9, 5)
    results = [ours(recipe.model(), isa=isa, threads=threads).run(None, feed)[1]
               for isa in ('scalar', 'best') for threads in (1, 2, 3)]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# ---- processes ------------------------------------------------------------------------------------------------------

def resident():
    pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
    return pages * os.sysconf('SC_PAGE_SIZE')


def test_sessions_share_weights(capfd):
    recipe = Recipe('LSTM', hidden=1024, width=1024)
    data = recipe.model().SerializeToString()
    first = lw.session(data, quiet(INFO))
    assert 'packed' in capfd.readouterr().err
    feed = recipe.feed(2, 1)
    want = first.run(None, feed)
    before = resident()
    others = [lw.session(data, quiet(INFO)) for _ in range(4)]
    assert capfd.readouterr().err.count('shared with another node') == 4
    for session in others:
        np.testing.assert_array_equal(session.run(None, feed)[0], want[0])
    size = 4 * 1024 * 2048 * 4
    assert resident() - before < 4 * (size + len(data)) - 3 * size
    # Weights that differ in one number, or in one attribute, are not shared.
    recipe.weights['R'][0, 5, 7] += 1
    lw.session(recipe.model().SerializeToString(), quiet(INFO))
    recipe.attributes['clip'] = 3.0
    lw.session(recipe.model().SerializeToString(), quiet(INFO))
    assert 'shared' not in capfd.readouterr().err
    # The last session takes the model with it.
    del first, others, session
    lw.session(data, quiet(INFO))
    assert 'packed' in capfd.readouterr().err


def test_many_threads_on_one_session():
    recipe = Recipe('GRU', 'bidirectional', lengths=True, initial=True, hidden=32)
    session = ours(recipe.model(), threads=2)
    feeds = [recipe.feed(1 + number % 13, 1 + number % 5, seed=number) for number in range(48)]
    want = [session.run(None, feed) for feed in feeds]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        for _ in range(5):
            for results, expected in zip(pool.map(lambda feed: session.run(None, feed), feeds), want):
                for got, one in zip(results, expected):
                    np.testing.assert_array_equal(got, one)


def test_fork():
    """A child of a process whose threads have worked runs on, with the same bits."""
    recipe = Recipe('LSTM', hidden=256, width=64)
    session = ours(recipe.model(), options=quiet(threads=1), threads=2)
    feed = recipe.feed(30, 16)
    want = session.run(None, feed)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            same = all(np.array_equal(a, b) for a, b in zip(session.run(None, feed), want))
            os._exit(0 if same else 3)
        assert os.waitstatus_to_exitcode(wait_for(child)) == 0
    np.testing.assert_array_equal(session.run(None, feed)[0], want[0])


def wait_for(child, seconds=60):
    for _ in range(seconds * 20):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail('the child hangs')


def test_only_the_two_functions_are_exported():
    nm = shutil.which('nm')
    if not nm:
        pytest.skip('nm is not installed')
    text = subprocess.run([nm, '-D', '--defined-only', str(LIBRARY)], capture_output=True, text=True, check=True).stdout
    assert {line.split()[2] for line in text.splitlines() if line.split()[1] in 'TDBRVW'} == {
        'CreateEpFactories', 'ReleaseEpFactory'}


def test_an_old_onnx_runtime_is_told():
    """An ONNX Runtime that does not know the API asked for gets a sentence, not a crash."""
    said = []
    status_maker = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)(
        lambda code, text: said.append((code, text.decode())) or 1)
    first_api = (ctypes.c_void_p * 1)(ctypes.cast(status_maker, ctypes.c_void_p))
    get_api = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(
        lambda version: ctypes.addressof(first_api) if version == 1 else None)
    version_text = ctypes.create_string_buffer(b'1.20.1')
    get_version = ctypes.CFUNCTYPE(ctypes.c_void_p)(lambda: ctypes.addressof(version_text))
    base = (ctypes.c_void_p * 2)(ctypes.cast(get_api, ctypes.c_void_p), ctypes.cast(get_version, ctypes.c_void_p))
    factories, count = (ctypes.c_void_p * 4)(), ctypes.c_size_t(9)
    create = ctypes.CDLL(str(LIBRARY)).CreateEpFactories
    create.restype = ctypes.c_void_p
    assert create(b'latchwork', base, None, factories, ctypes.c_size_t(4), ctypes.byref(count)) == 1
    assert count.value == 0
    assert said == [(9, 'LatchworkExecutionProvider: this ONNX Runtime is of version 1.20.1, expected 1.23 or newer')]


# ---- ONNX's own tests -----------------------------------------------------------------------------------------------

def official_cases():
    from onnx.backend.test.case.node import collect_testcases
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # cases of other operators overflow on purpose
        cases = collect_testcases('')  # asked for one operator, it forgets the others for the rest of the process
    return [case for case in cases if [node.op_type for node in case.model.graph.node][-1] in GATES]


def with_constant_weights(case):
    """The official models have their weights as inputs: they become initialisers, as models in use have them."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    model.ir_version = min(model.ir_version, 10)
    node, = model.graph.node
    (inputs, outputs), = case.data_sets
    values = {value.name: array for value, array in zip(model.graph.input, inputs)}
    moving = {name for place, name in enumerate(node.input) if place in (0, 4, 5, 6) and name}
    kept = [value for value in model.graph.input if value.name in moving]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name)
                                   for name, array in values.items() if name not in moving)
    return model, {name: array for name, array in values.items() if name in moving}, outputs


OFFICIAL = official_cases()


@pytest.mark.parametrize('case', OFFICIAL, ids=[case.name for case in OFFICIAL])
def test_official(case):
    model, feed, outputs = with_constant_weights(case)
    for got, want in zip(ours(model, options=quiet()).run(None, feed), outputs, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)


def test_official_cases_are_there():
    """Versions of onnx differ in how many they have, but not below these."""
    names = {case.name for case in OFFICIAL}
    assert len(names) >= 12 and {f'test_{op.lower()}_batchwise' for op in ('gru', 'lstm')} <= names, names
