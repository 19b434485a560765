# SPDX-License-Identifier: Apache-2.0
"""Recurrent nodes that feed each other: the execution provider runs them as one model where it may, and only there.

Every stack is run three times: as one, node by node (the option stacks), and by ONNX Runtime's own kernels. The first
two must agree bit by bit, whatever was joined.
"""
import itertools
import os
import warnings

import numpy as np
import pytest

from onnxruntime_case import CLOSE, INFO, lw, quiet, theirs  # skips without onnxruntime

from onnx import TensorProto, helper, numpy_helper
from onnx_recipes import GATES

FEATURES = 5
KINDS = {'lengths': TensorProto.INT32, 'lengths2': TensorProto.INT32}


class Stack:
    """Layers, each with what stands behind it; tests change nodes, constants, inputs and results as they like."""

    def __init__(self, layers=('LSTM', 'LSTM', 'LSTM'), direction='forward', form='squeeze', opset=14, layout=0,
                 lengths=False, initial=False, vectors=True, hidden=6, sizes=(None, None)):
        self.rng = np.random.default_rng(3)
        self.opset, self.layout, self.directions = opset, layout, 2 if direction == 'bidirectional' else 1
        self.initial, self.lengths, self.hidden, self.layers = initial, lengths, hidden, len(layers)
        self.first_sizes = sizes
        self.nodes, self.constants, self.results, self.inputs = [], {}, [], {'x0': None}
        if lengths:
            self.inputs['lengths'] = None
        width = FEATURES
        for index, op in enumerate(layers):
            self.add_layer(index, op, direction, width, vectors)
            width = self.directions * hidden
            self.add_between(index, form, width)
        self.results.append(f'x{len(layers)}')

    def add_layer(self, index, op, direction, width, vectors):
        rows, d, h = GATES[op] * self.hidden, self.directions, self.hidden
        self.constants[f'W{index}'] = self.normal(d, rows, width)
        self.constants[f'R{index}'] = self.normal(d, rows, h)
        self.constants[f'B{index}'] = self.normal(d, 2 * rows)
        names = [f'x{index}', f'W{index}', f'R{index}', f'B{index}', 'lengths' if self.lengths else '']
        states = [f'h{index}', f'c{index}'][:2 if op == 'LSTM' else 1]
        if self.initial:
            names += states
            self.inputs.update(dict.fromkeys(states))
        ends = [f'end_{name}' for name in states] if vectors else []
        self.results += ends
        more = {'layout': 1} if self.layout else {}
        self.nodes.append(helper.make_node(op, names, [f'y{index}', *ends], name=f'cell{index}', direction=direction,
                                           hidden_size=h, **more))

    def add_between(self, index, form, width):
        here, behind = f'y{index}', f'x{index + 1}'
        if form == 'squeeze':
            axis = 2 if self.layout else 1
            if self.opset < 13:
                self.nodes.append(helper.make_node('Squeeze', [here], [behind], axes=[axis]))
            else:
                self.constants['axis'] = np.array([axis - (4 if index else 0)])
                self.nodes.append(helper.make_node('Squeeze', [here, 'axis'], [behind]))
            return
        if not self.layout:
            self.nodes.append(helper.make_node('Transpose', [here], [f'turned{index}'], perm=[0, 2, 1, 3]))
            here = f'turned{index}'
        steps, batch = self.first_sizes
        shape = {'copy': [0, 0, -1], 'width': [0, 0, width], 'known': [steps, batch, width],
                 'rest': [steps, -1, width]}[form]
        self.constants[f'shape{index}'] = np.array(shape)
        self.nodes.append(helper.make_node('Reshape', [here, f'shape{index}'], [behind]))

    def normal(self, *shape):
        return self.rng.normal(0, 0.4, shape).astype(np.float32)

    def node(self, name):
        return next(node for node in self.nodes if node.name == name or name in node.output)

    def model(self):
        free = [name for name in self.inputs if name not in self.constants]
        sizes = {'x0': [*self.first_sizes, FEATURES]}
        inputs = [helper.make_tensor_value_info(
            name, KINDS.get(name, TensorProto.FLOAT),
            sizes.get(name, [None] if name in KINDS else [None] * 3)) for name in free]
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.results]
        graph = helper.make_graph(self.nodes, 'stack', inputs, outputs,
                                  [numpy_helper.from_array(value, name) for name, value in self.constants.items()])
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid('', self.opset)])

    def feed(self, steps=7, batch=3, lengths=None):
        rng = np.random.default_rng(steps * 31 + batch)
        order = (lambda a, b: (b, a)) if self.layout else (lambda a, b: (a, b))
        given = {'x0': rng.normal(0, 1, (*order(steps, batch), FEATURES)).astype(np.float32)}
        for name in self.inputs:
            if name in KINDS:
                given[name] = np.array(lengths or rng.integers(0, steps + 1, batch), np.int32)
            elif name != 'x0':
                shape = (*order(self.directions, batch), self.hidden)
                given[name] = rng.normal(0, 1, shape).astype(np.float32)
        return {name: value for name, value in given.items() if name not in self.constants}


def parts(session):
    """How many of the recurrent nodes run together, part by part."""
    found = [[node.op_type for node in part.get_nodes()] for part in session.get_provider_graph_assignment_info()
             if part.ep_name == lw.PROVIDER]
    return sorted(sum(op in GATES for op in part) for part in found)


def check(stack, together, shapes=((7, 3), (1, 1), (12, 1), (4, 9)), reference=True, lengths=None):
    data = stack.model().SerializeToString()
    joined, single = lw.session(data, quiet()), lw.session(data, quiet(), stacks=False)
    assert parts(joined) == sorted(together), lw.claimed(joined)
    assert parts(single) == [1] * sum(together)
    other = theirs(stack.model()) if reference else None
    for steps, batch in shapes:
        feed = stack.feed(steps, batch, lengths)
        results = joined.run(None, feed)
        for name, got, want in zip(stack.results, results, single.run(None, feed), strict=True):
            assert got.shape == want.shape and got.tobytes() == want.tobytes(), (name, steps, batch)
        for name, got, want in zip(stack.results, results, other.run(None, feed) if other else ()):
            np.testing.assert_allclose(got, want, **CLOSE, err_msg=f'{name}, {steps} steps of {batch}')


# ---- what is joined -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('direction', ['forward', 'reverse', 'bidirectional'])
@pytest.mark.parametrize('layers', [('LSTM',) * 3, ('GRU',) * 2, ('RNN',) * 4, ('LSTM', 'GRU', 'RNN')], ids='-'.join)
def test_layers_run_as_one(layers, direction):
    for lengths, initial in itertools.product((False, True), repeat=2):
        for form in ('copy',) if direction == 'bidirectional' else ('copy', 'squeeze'):
            check(Stack(layers, direction, form, lengths=lengths, initial=initial), [len(layers)])


@pytest.mark.parametrize('form', ['copy', 'width', 'squeeze'])
@pytest.mark.parametrize('direction', ['forward', 'bidirectional'])
def test_the_batch_may_be_first(direction, form):
    if form == 'squeeze' and direction == 'bidirectional':
        pytest.skip('two directions cannot be squeezed')
    stack = Stack(('LSTM', 'GRU'), direction, form, layout=1, lengths=True, initial=True)
    check(stack, [2], reference=False)  # ONNX Runtime refuses layout 1


@pytest.mark.parametrize('form', ['known', 'rest'])
def test_sizes_may_be_known_beforehand(form):
    check(Stack(direction='bidirectional', form=form, sizes=(7, 3)), [3], shapes=((7, 3),))


def test_before_opset_13_the_axes_are_an_attribute():
    check(Stack(opset=11), [3])


def test_only_the_sequence_or_only_the_vectors():
    check(Stack(vectors=False), [3])
    stack = Stack()
    stack.results.remove('x3')
    stack.nodes.pop()  # nobody reads the last sequence
    check(stack, [3])


def test_lengths_and_states_may_be_constants():
    stack = Stack(lengths=True, initial=True)
    feed = stack.feed(6, 3, [6, 0, 2])
    stack.constants.update({name: value for name, value in feed.items() if name not in ('x0', 'h1')})
    check(stack, [3], shapes=((6, 3),))


def test_all_states_from_one_input():
    """As PyTorch's exporter cuts h0 and c0 of all layers out of one tensor, and joins the final ones."""
    stack = Stack(initial=True)
    stack.inputs = {'x0': None, 'h': None, 'c': None}
    for name in 'hc':
        for index in range(3):
            stack.constants.update({f'at{index}': np.array([index]), f'at{index + 1}': np.array([index + 1]),
                                    'on0': np.array([0])})
            cut = helper.make_node('Slice', [name, f'at{index}', f'at{index + 1}', 'on0'], [f'{name}{index}'])
            stack.nodes.insert(0, cut)
        ends = [f'end_{name}{index}' for index in range(3)]
        stack.nodes.append(helper.make_node('Concat', ends, [f'{name}n'], axis=0))
    stack.results = ['x3', 'hn', 'cn']
    data = stack.model().SerializeToString()
    joined, other = lw.session(data, quiet()), theirs(stack.model())
    assert parts(joined) == [3]
    rng = np.random.default_rng(1)
    feed = {**stack.feed(5, 2), **{name: rng.normal(0, 1, (3, 2, 6)).astype(np.float32) for name in 'hc'}}
    for got, want in zip(joined.run(None, feed), other.run(None, feed)):
        np.testing.assert_allclose(got, want, **CLOSE)


def test_more_layers_than_one_stack_holds():
    check(Stack(('RNN',) * 19, vectors=False), [8, 8, 3], shapes=((3, 2),))


def test_two_stacks_in_one_graph():
    """A split in the middle: what is behind it goes two ways, of two layers each."""
    stack = Stack(('GRU',) * 4)
    stack.nodes += [helper.make_node('GRU', ['x2', 'W1', 'R1'], ['z0'], hidden_size=6),
                    helper.make_node('Squeeze', ['z0', 'axis'], ['z1']),
                    helper.make_node('GRU', ['z1', 'W1', 'R1'], ['z2'], hidden_size=6)]
    stack.results.append('z2')
    check(stack, [2, 2, 2])


def test_nothing_to_walk_over():
    check(Stack(lengths=True, initial=True), [3], shapes=((4, 3),), lengths=[4, 0, 2])
    check(Stack(lengths=True, initial=True), [3], shapes=((4, 3),), lengths=[0, 0, 0])
    stack = Stack(initial=True)
    session = lw.session(stack.model().SerializeToString(), quiet())
    for steps, batch in ((0, 3), (4, 0)):
        results = dict(zip(stack.results, session.run(None, stack.feed(steps, batch))))
        assert results['x3'].shape == (steps, batch, 6)
        assert all(not value.any() and value.shape == (1, batch, 6) for name, value in results.items() if name != 'x3')


def test_threads_give_the_same_bits():
    """Enough steps and units that the layers go side by side, where there are several processors."""
    stack = Stack(hidden=96)
    data, feed = stack.model().SerializeToString(), stack.feed(64, 1)
    results = [lw.session(data, quiet(), threads=threads).run(None, feed) for threads in (1, 2, 3)]
    for other in results[1:]:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(results[0], other))


def test_equal_stacks_share_their_weights(capfd):
    stack = Stack(hidden=40)
    first = lw.session(stack.model().SerializeToString(), quiet(INFO))
    assert 'LSTM node "cell0" and the 2 behind it: 5 in, 40 units' in capfd.readouterr().err
    second = lw.session(stack.model().SerializeToString(), quiet(INFO))
    assert capfd.readouterr().err.count('shared with another node') == 1
    stack.constants['R2'][0, 3, 4] += 1  # in the last layer alone
    third = lw.session(stack.model().SerializeToString(), quiet(INFO))
    shorter = lw.session(Stack(('LSTM', 'LSTM'), hidden=40).model().SerializeToString(), quiet(INFO))
    assert 'shared' not in capfd.readouterr().err
    del first, second, third, shorter


def test_inside_a_branch():
    """The whole stack stands in the branch of an If, its weights outside of it."""
    stack = Stack(('GRU', 'GRU'), vectors=False)
    value = helper.make_tensor_value_info('x2', TensorProto.FLOAT, None)
    nothing = helper.make_graph([helper.make_node('Identity', ['x0'], ['x2'])], 'else', [], [value])
    choice = helper.make_node('If', ['flag'], ['z'], else_branch=nothing,
                              then_branch=helper.make_graph(stack.nodes, 'then', [], [value]))
    graph = helper.make_graph(
        [choice], 'graph', [helper.make_tensor_value_info('flag', TensorProto.BOOL, []),
                            helper.make_tensor_value_info('x0', TensorProto.FLOAT, [None, None, FEATURES])],
        [helper.make_tensor_value_info('z', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in stack.constants.items()])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid('', 14)])
    session, other = lw.session(model.SerializeToString(), quiet()), theirs(model)
    assert parts(session) == [2]
    for flag in (True, False):
        feed = {**stack.feed(), 'flag': np.array(flag)}
        np.testing.assert_allclose(session.run(None, feed)[0], other.run(None, feed)[0], **CLOSE)


# ---- what is not ----------------------------------------------------------------------------------------------------

def show_a_sequence(stack):
    stack.results.append('y1')


def show_a_squeezed_sequence(stack):
    stack.results.append('x2')


def read_a_sequence_twice(stack):
    stack.nodes.append(helper.make_node('Relu', ['y1'], ['read']))
    stack.results.append('read')


def a_choice(test, read, made):
    """An If whose branches read a value that is none of its inputs."""
    out = helper.make_tensor_value_info(made, TensorProto.FLOAT, None)
    branches = [helper.make_graph([helper.make_node(op, [read], [made])], op, [], [out]) for op in ('Relu', 'Neg')]
    return [helper.make_node('ReduceMax', [test], ['one'], keepdims=0),
            helper.make_node('Cast', ['one'], ['choice'], to=TensorProto.BOOL),
            helper.make_node('If', ['choice'], [made], then_branch=branches[0], else_branch=branches[1])]


def read_a_sequence_in_a_branch(stack):
    stack.nodes += a_choice('h0', 'x2', 'read')
    stack.results.append('read')


def put_a_relu_between(stack):
    node = stack.node('cell2')
    stack.nodes.insert(stack.nodes.index(node), helper.make_node('Relu', ['x2'], ['positive']))
    node.input[0] = 'positive'


def start_from_the_layer_before(stack):
    stack.node('cell2').input[5] = 'end_h1'


def start_from_what_follows_from_the_layer_before(stack):
    node, at = stack.node('cell2'), stack.nodes.index(stack.node('cell2'))
    stack.nodes[at:at] = [helper.make_node('Neg', ['end_c0'], ['less']),
                          helper.make_node('Tanh', ['less'], ['start'])]
    node.input[6] = 'start'


def start_from_a_branch(stack):
    node, at = stack.node('cell2'), stack.nodes.index(stack.node('cell2'))
    stack.nodes[at:at] = a_choice('h0', 'end_h0', 'start')
    node.input[5] = 'start'


def take_other_lengths(stack):
    stack.inputs['lengths2'] = None
    stack.node('cell2').input[4] = 'lengths2'


def take_no_lengths(stack):
    stack.node('cell2').input[4] = ''


def change_the_function(stack):
    stack.node('cell1').attribute.append(helper.make_attribute('activations', ['HardSigmoid', 'Tanh', 'Tanh']))


UNLIKE = [
    (show_a_sequence, [2, 1], None),
    (show_a_squeezed_sequence, [2, 1], None),
    (read_a_sequence_twice, [2, 1], None),
    (read_a_sequence_in_a_branch, [2, 1], None),
    (put_a_relu_between, [2, 1], None),
    (start_from_the_layer_before, [2, 1], 'its initial state may follow'),
    (start_from_what_follows_from_the_layer_before, [2, 1], 'its initial state may follow'),
    (start_from_a_branch, [2, 1], 'its initial state may follow'),
    (take_other_lengths, [2, 1], 'its sequence_lens are not the same value'),
    (take_no_lengths, [2, 1], 'its sequence_lens are not the same value'),
    (change_the_function, [1, 1], 'activation 0 is HardSigmoid'),
]


@pytest.mark.parametrize('change, together, reason', UNLIKE, ids=[case[0].__name__ for case in UNLIKE])
def test_layers_that_cannot_be_one(change, together, reason, capfd):
    stack = Stack(initial=True, lengths=True)
    change(stack)
    check(stack, together, lengths=[3, 1, 2], shapes=((3, 3),))
    lw.session(stack.model().SerializeToString(), quiet(INFO))
    assert reason is None or reason in capfd.readouterr().err


def change_attribute(node, name, value):
    node.attribute.remove(next(a for a in node.attribute if a.name == name))
    node.attribute.append(helper.make_attribute(name, value))


# All of them give what [0, 0, -1] gives on three steps of three rows; only the first two do so on other sizes.
@pytest.mark.parametrize('shape, together', [([-1, 0, 6], [2]), ([0, -1, 6], [2]), ([3, 3, 6], [1, 1]),
                                             ([0, 3, -1], [1, 1]), ([3, -1, 6], [1, 1])], ids=str)
def test_shapes_whose_sizes_are_not_known_beforehand(shape, together):
    stack = Stack(('GRU', 'GRU'), form='copy')
    stack.constants['shape0'] = np.array(shape)
    check(stack, together, shapes=((3, 3), (5, 2)) if together == [2] else ((3, 3),))


def test_a_reshape_that_allows_zeros():
    stack = Stack(('GRU', 'GRU'), form='known', sizes=(7, 3))
    stack.node('x1').attribute.append(helper.make_attribute('allowzero', 1))
    check(stack, [1, 1], shapes=((7, 3),))


def test_another_transpose():
    stack = Stack(('GRU', 'GRU'), 'bidirectional', form='copy', hidden=FEATURES)
    change_attribute(stack.node('turned0'), 'perm', [2, 0, 1, 3])  # the batch becomes the steps
    check(stack, [1, 1])


def test_a_layer_of_another_layout():
    """Steps and rows change places from one layer to the next."""
    stack = Stack(('GRU', 'GRU'), form='squeeze')
    stack.node('cell1').attribute.append(helper.make_attribute('layout', 1))
    stack.nodes.pop()
    stack.results[-1] = 'y1'
    check(stack, [1, 1], reference=False)


def test_a_bad_state_names_its_layer():
    stack = Stack(initial=True)
    session, feed = lw.session(stack.model().SerializeToString(), quiet()), stack.feed(4, 3)
    before = session.run(None, feed)
    with pytest.raises(Exception, match=r'LSTM node "cell1": initial_c is \(1, 2, 6\), expected \(1, 3, 6\)'):
        session.run(None, {**feed, 'c1': feed['c1'][:, :2]})
    for got, want in zip(session.run(None, feed), before):
        np.testing.assert_array_equal(got, want)


# ---- PyTorch's exporter ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize('kind, options', [('LSTM', {}), ('LSTM', {'bidirectional': True}),
                                           ('GRU', {'batch_first': True})], ids=str)
def test_what_pytorch_exports(kind, options, tmp_path):
    torch = pytest.importorskip('torch')
    module = getattr(torch.nn, kind)(FEATURES, 6, 3, **options).eval()
    path = os.fspath(tmp_path / 'module.onnx')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the exporter that writes what most models in use were written with is old
        torch.onnx.export(module, (torch.zeros(4, 2, FEATURES),), path, dynamo=False, input_names=['x'],
                          dynamic_axes={'x': {0: 'first', 1: 'second'}})
    session = lw.session(path, quiet())
    assert parts(session) == [3]
    x = np.random.default_rng(0).normal(0, 1, (9, 3, FEATURES)).astype(np.float32)
    with torch.no_grad():
        y, states = module(torch.from_numpy(x))
    wanted = [y, *(states if isinstance(states, tuple) else (states,))]
    for got, want in zip(session.run(None, {'x': x}), wanted):
        np.testing.assert_allclose(got, want.numpy(), **CLOSE)
