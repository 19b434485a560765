# SPDX-License-Identifier: Apache-2.0
"""ONNX models with one recurrent node, for the tests of the execution provider; needs onnx."""
import numpy as np
from onnx import TensorProto, helper, numpy_helper

GATES = {'LSTM': 4, 'GRU': 3, 'RNN': 1}


class Recipe:
    """One recurrent node and what stands around it: MatMul and Add before; Transpose, Reshape and MatMul behind."""

    def __init__(self, op='LSTM', direction='forward', hidden=6, features=5, width=4, opset=14, bias=True,
                 peepholes=False, lengths=False, initial=False, outputs=('Y', 'Y_h', 'Y_c'), bare=False, ir=8, seed=0,
                 **attributes):
        self.op, self.hidden, self.features, self.width = op, hidden, features, width
        self.directions = 2 if direction == 'bidirectional' else 1
        self.opset, self.bias, self.peepholes, self.lengths, self.initial = opset, bias, peepholes, lengths, initial
        self.outputs, self.bare, self.ir = [name for name in outputs if op == 'LSTM' or name != 'Y_c'], bare, ir
        self.attributes = {'direction': direction, 'hidden_size': hidden, **attributes}
        self.constants, self.inputs, self.free = {}, None, set()
        self.rng = np.random.default_rng(seed)
        self.weights = self.make_weights()

    def normal(self, *shape):
        return self.rng.normal(0, 0.6, shape).astype(np.float32)

    def make_weights(self):
        rows, d, h = GATES[self.op] * self.hidden, self.directions, self.hidden
        width = self.features if self.bare else self.width
        weights = {'W': self.normal(d, rows, width), 'R': self.normal(d, rows, h) * np.float32(min(1, 1.5 / h ** 0.5))}
        if self.bias:
            weights['B'] = self.normal(d, 2 * rows)
        if self.peepholes:
            weights['P'] = self.normal(d, 3 * h)
        return weights

    @property
    def batch_first(self):
        return self.attributes.get('layout', 0) == 1

    def node_inputs(self):
        names = ['X' if self.bare else 'mapped', 'W', 'R', 'B' if self.bias else '', 'lengths' if self.lengths else '',
                 'h0' if self.initial else '']
        if self.op == 'LSTM':
            names += ['c0' if self.initial else '', 'P' if self.peepholes else '']
        while names[-1] == '':
            names.pop()
        return names

    def model(self, domain=''):
        """The model; names in `constants` become initialisers, weights in `free` become inputs with a default."""
        self.rng = np.random.default_rng(99)  # the same model at every call
        attributes = {k: v for k, v in self.attributes.items() if v is not None}
        node = helper.make_node(self.op, self.inputs or self.node_inputs(), self.outputs, name='cell', domain=domain,
                                **attributes)
        nodes, weights = [node], {**self.weights, **self.constants}
        if not self.bare:
            weights['map'], weights['shift'] = self.normal(self.features, self.width), self.normal(self.width)
            nodes = [helper.make_node('MatMul', ['X', 'map'], ['product']),
                     helper.make_node('Add', ['product', 'shift'], ['mapped']), node]
        results = [name for name in self.outputs if name]
        if not self.bare and 'Y' in results and not self.batch_first:
            weights['flat'] = np.array([0, 0, self.directions * self.hidden], np.int64)
            weights['head'] = self.normal(self.directions * self.hidden, 3)
            nodes += [helper.make_node('Transpose', ['Y'], ['rows'], perm=[0, 2, 1, 3]),
                      helper.make_node('Reshape', ['rows', 'flat'], ['joined']),
                      helper.make_node('MatMul', ['joined', 'head'], ['scores'])]
            results.append('scores')
        kinds = {'X': (TensorProto.FLOAT, 3), 'lengths': (TensorProto.INT32, 1), 'h0': (TensorProto.FLOAT, 3),
                 'c0': (TensorProto.FLOAT, 3)}
        used = {name for item in nodes for name in item.input}
        inputs = [helper.make_tensor_value_info(name, kind, [f'{name}{i}' for i in range(rank)])
                  for name, (kind, rank) in kinds.items() if name in used and name not in weights]
        inputs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, weights[name].shape)
                   for name in weights if name in self.free or self.ir < 4 and weights[name].dtype == np.float32]
        inputs += [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(weights[name].dtype),
                                                 weights[name].shape)
                   for name in weights if self.ir < 4 and weights[name].dtype != np.float32]
        graph = helper.make_graph(nodes, 'graph', inputs,
                                  [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results],
                                  [numpy_helper.from_array(value, name) for name, value in weights.items()])
        return helper.make_model(graph, ir_version=self.ir, opset_imports=[
            helper.make_opsetid('', self.opset)] + ([helper.make_opsetid(domain, 1)] if domain else []))

    def feed(self, steps, batch, seed=1, lengths=None):
        rng = np.random.default_rng(seed)
        order = (lambda a, b: (b, a)) if self.batch_first else (lambda a, b: (a, b))
        feed = {'X': rng.normal(0, 1, (*order(steps, batch), self.features)).astype(np.float32)}
        if self.lengths:
            feed['lengths'] = np.array(lengths if lengths is not None else rng.integers(0, steps + 1, batch), np.int32)
        if self.initial:
            for name in ('h0', 'c0') if self.op == 'LSTM' else ('h0',):
                feed[name] = rng.normal(0, 1, (*order(self.directions, batch), self.hidden)).astype(np.float32)
        return {name: value for name, value in feed.items() if name not in self.constants}
