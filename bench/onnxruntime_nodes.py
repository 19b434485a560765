#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's own LSTM, GRU and RNN nodes and the same nodes on Latchwork's execution provider, side by side.

Usage: bench/onnxruntime_nodes.py [--seconds N] [WORD ...]      only the rows whose name holds one of the words

Medians of alternating rounds, at each side's better number of threads, outputs bound beforehand so that none is
allocated. "floor" is what a call of ONNX Runtime takes whose graph only copies its input: both sides pay it, and the
ratio of the nodes leaves it away. Prints a table. The provider is that of the installed package, or the library that
LATCHWORK_ONNXRUNTIME_LIBRARY names.
"""
import argparse
import os

import numpy as np
import onnxruntime as ort
from in_turn import medians
from onnx import TensorProto, helper, numpy_helper

import latchwork.onnxruntime as provider

PAUSE = 0.06  # until the threads of the side before have stopped to spin: ONNX Runtime's do for some 40 ms
GATES = {'LSTM': 4, 'GRU': 3, 'RNN': 1}
# name, operator, (T, B, I, H, layers), direction
ROWS = [
    ('T1 B1 I1 H16', 'LSTM', (1, 1, 1, 16, 1), 'forward'),
    ('T1 B1 I128 H128', 'LSTM', (1, 1, 128, 128, 1), 'forward'),
    ('T1 B1 I256 H256 GRU', 'GRU', (1, 1, 256, 256, 1), 'forward'),
    ('T1 B1 I40 H256 L3', 'LSTM', (1, 1, 40, 256, 3), 'forward'),
    ('T160 B1 I40 H256', 'LSTM', (160, 1, 40, 256, 1), 'forward'),
    ('T160 B1 I40 H256 L3', 'LSTM', (160, 1, 40, 256, 3), 'forward'),
    ('T100 B8 I64 H128 L2 both ways', 'LSTM', (100, 8, 64, 128, 2), 'bidirectional'),
    ('T100 B16 I256 H256 RNN', 'RNN', (100, 16, 256, 256, 1), 'forward'),
    ('T25 B64 I512 H512', 'LSTM', (25, 64, 512, 512, 1), 'forward'),
    ('T25 B64 I1024 H1024', 'LSTM', (25, 64, 1024, 1024, 1), 'forward'),
]


def build(op, sizes, direction):
    """Layers as exporters write them: Transpose and Reshape behind each. The operator "Identity" makes the floor."""
    steps, rows, width, hidden, layers = sizes
    rng, both = np.random.default_rng(0), 2 if direction == 'bidirectional' else 1
    nodes, weights, value = [], {'shape': np.array([0, 0, -1])}, 'x0'
    if op == 'Identity':
        nodes, layers = [helper.make_node('Identity', ['x0'], ['x1'])], 1
    for layer in range(layers if op in GATES else 0):
        wide, bound = width if layer == 0 else both * hidden, hidden ** -0.5
        shapes = {'W': (wide,), 'R': (hidden,), 'B': (2,)}
        for name, (inner,) in shapes.items():
            shape = (both, GATES[op] * hidden * (inner if name == 'B' else 1)) + ((inner,) if name != 'B' else ())
            weights[f'{name}{layer}'] = rng.uniform(-bound, bound, shape).astype(np.float32)
        nodes += [helper.make_node(op, [value] + [f'{name}{layer}' for name in shapes], [f'y{layer}'],
                                   direction=direction, hidden_size=hidden),
                  helper.make_node('Transpose', [f'y{layer}'], [f'z{layer}'], perm=[0, 2, 1, 3]),
                  helper.make_node('Reshape', [f'z{layer}', 'shape'], [f'x{layer + 1}'])]
        value = f'x{layer + 1}'
    if op in GATES:  # nothing behind the last node: its own output is the result
        del nodes[-2:]
        value = f'y{layers - 1}'
    graph = helper.make_graph(
        nodes, 'bench', [helper.make_tensor_value_info('x0', TensorProto.FLOAT, ['T', 'B', width])],
        [helper.make_tensor_value_info(value if op in GATES else 'x1', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items() if op in GATES])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid('', 14)])
    x = rng.standard_normal((steps, rows, width), dtype=np.float32)
    shape = (steps, both, rows, hidden) if op in GATES else x.shape
    return model.SerializeToString(), x, np.zeros(shape, np.float32)


def make_call(model, x, output, threads, latchwork):
    """A call without arguments, and the output that it writes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if latchwork:
        session = provider.session(model, options)
        assert provider.claimed(session), 'no node runs on Latchwork'
    else:
        session = ort.InferenceSession(model, options, providers=['CPUExecutionProvider'])
    binding, result = session.io_binding(), ort.OrtValue.ortvalue_from_numpy(output)
    binding.bind_cpu_input('x0', x)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, result)
    return (lambda: session.run_with_iobinding(binding)), result


def measure(op, sizes, direction, budget, most):
    """(seconds, threads) of ONNX Runtime's node and of Latchwork's, and the seconds of the floor."""
    model, x, output = build(op, sizes, direction)
    found = []
    for threads in sorted({1, most}):
        theirs, ours = (make_call(model, x, output, threads, latchwork) for latchwork in (False, True))
        floor = make_call(*build('Identity', (*sizes[:2], 1, 1, 1), 'forward'), 1, False)
        found.append((threads, medians([theirs[0], ours[0], floor[0]], budget, PAUSE)))
        assert np.allclose(theirs[1].numpy(), ours[1].numpy(), rtol=1e-3, atol=1e-5), 'the results differ'
    best = [min((times[side], threads) for threads, times in found) for side in (0, 1)]
    return best, min(times[2] for _, times in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seconds', type=float, default=2.0, help='for each row and number of threads (2)')
    parser.add_argument('--threads', type=int, default=len(os.sched_getaffinity(0)), help='at most (all)')
    parser.add_argument('words', nargs='*', metavar='WORD')
    options = parser.parse_args()
    print(f'ONNX Runtime {ort.__version__}, up to {options.threads} threads\n')
    print(f'{"":30}{"ONNX Runtime":>14}{"latchwork":>14}{"floor":>10}{"call":>9}{"node":>9}   threads')
    for name, op, sizes, direction in ROWS:
        if options.words and not any(word in name for word in options.words):
            continue
        (theirs, ours), floor = measure(op, sizes, direction, options.seconds, options.threads)
        # A node that costs next to nothing beside the floor has no ratio worth telling.
        node = f'{(theirs[0] - floor) / (ours[0] - floor):.2f}' if ours[0] > 1.2 * floor else '-'
        print(f'{name:30}{theirs[0] * 1e6:11.1f} us{ours[0] * 1e6:11.1f} us{floor * 1e6:7.1f} us'
              f'{theirs[0] / ours[0]:9.2f}{node:>9}   {theirs[1]}, {ours[1]}', flush=True)


if __name__ == '__main__':
    main()
