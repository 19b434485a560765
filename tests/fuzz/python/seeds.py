# SPDX-License-Identifier: Apache-2.0
"""The seeds and the dictionaries of the fuzz targets in Python.

Usage: tests/fuzz/python/seeds.py FOLDER    writes FOLDER/TARGET/* and FOLDER/TARGET.dict for each target that can run
Called by tools/fuzz, and by tests/python/test_fuzz_readers.py for `seeds` alone. They come of the files in tests/golden
that other tools have written, and of the recipes of the ONNX tests; inputs that once found something lie in
tests/fuzz/found/TARGET and are seeds too.
"""
import json
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent.parent
GOLDEN = TESTS / 'golden/convert'
sys.path[:0] = [str(HERE), str(HERE.parent), str(TESTS / 'python')]

from make_seeds import JSON_WORDS, write_target  # noqa: E402

import changes  # noqa: E402
from targets import TARGETS, missing  # noqa: E402

LAYERS = ['lstm', 'gru', 'dense', 'time-distributed-dense', 'activation', 'tanh', 'relu', 'sigmoid', 'linear',
          'softmax']
GRAPH = ['ai.onnx', 'axis', 'axes', 'perm', 'direction', 'reverse', 'bidirectional', 'hidden_size', 'layout', 'clip',
         'activations', 'input_forget', 'linear_before_reset', 'allowzero', 'LSTM', 'GRU', 'RNN', 'Squeeze', 'Reshape',
         'Gather', 'Slice', 'Split', 'Expand', 'ConstantOfShape', 'MatMul', 'Gemm', 'Transpose', 'location', 'offset',
         'length', '../', '\xff' * 9 + '\x01']
DICTIONARIES = {
    'keras': JSON_WORDS + LAYERS + ['PK\x03\x04', 'PK\x01\x02', 'PK\x05\x06', 'class_name', 'config', 'layers',
                                    'groups', 'arrays', 'offset', 'shape', 'model_config', 'weight_names', 'vars', 'Functional',
                                    'Sequential', 'Bidirectional', 'TimeDistributed', 'inbound_nodes', 'keras_history',
                                    'merge_mode', 'backward_layer', 'go_backwards', 'return_sequences', 'SimpleRNN'],
    'nam': JSON_WORDS + ['architecture', 'config', 'weights', 'hidden_size', 'input_size', 'num_layers', 'sample_rate',
                         'in_channels', 'out_channels', 'LSTM'],
    'onnx': GRAPH,
    'onnx_backend': GRAPH,
    'rtneural': JSON_WORDS + LAYERS + ['in_shape', 'layers', 'type', 'activation', 'shape', 'weights'],
}


def nam_seeds():
    yield (GOLDEN / 'nam_lstm.nam').read_bytes()
    for inputs, hidden, layers in ((1, 1, 1), (2, 2, 2)):
        count = sum(4 * hidden * ((hidden if layer else inputs) + hidden + 1) + 2 * hidden for layer in range(layers))
        config = {'input_size': inputs, 'hidden_size': hidden, 'num_layers': layers}
        yield json.dumps({'version': '0.5.4', 'architecture': 'LSTM', 'config': config, 'sample_rate': 48000,
                          'weights': [0.25] * (count + hidden + 1)}).encode()


def rtneural_seeds():
    for path in sorted(GOLDEN.glob('rtneural_*.json')):
        yield path.read_bytes()
    dense = {'type': 'dense', 'activation': 'relu', 'shape': [None, 2], 'weights': [[[1.0, 2.0]], [0.0, 0.5]]}
    squash = {'type': 'activation', 'activation': 'tanh', 'shape': [None, 2], 'weights': []}
    yield json.dumps({'in_shape': [None, 1], 'layers': [dense, squash]}).encode()


def keras_seeds():
    """Small files, with the HDF5 library's answer where it would read."""
    from latchwork.convert.hdf5_dump import Dump

    def answer(data):
        return b''.join(Dump(data).answer())

    for path in sorted(GOLDEN.glob('keras_*.h5')):
        yield answer(path.read_bytes())
    for path in sorted(GOLDEN.glob('keras_*.keras')):
        with zipfile.ZipFile(path) as archive:
            yield changes.zip_archive({'config.json': archive.read('config.json'),
                                       'model.weights.h5': answer(archive.read('model.weights.h5'))})


def onnx_seeds():
    from onnx_recipes import Recipe
    for path in sorted(GOLDEN.glob('*.onnx')):
        yield path.read_bytes()
    small = {'hidden': 2, 'features': 3, 'width': 2}
    for options in ({'op': 'RNN', 'bare': True}, {'op': 'GRU', 'linear_before_reset': 1}, {'op': 'GRU', 'clip': 1.0},
                    {'direction': 'bidirectional', 'peepholes': True, 'lengths': True, 'initial': True},
                    {'bare': True, 'layout': 1, 'initial': True}, {'input_forget': 1, 'direction': 'reverse'},
                    {'ir': 3, 'opset': 7}, {'outputs': ('', 'Y_h')}):
        yield Recipe(**{**small, **options}).model().SerializeToString()
    outside = Recipe(op='RNN', bare=True, **small).model()  # the data lie in the one file of the folder: this one
    tensor = next(tensor for tensor in outside.graph.initializer if tensor.name == 'W')
    tensor.data_location = tensor.EXTERNAL
    tensor.ClearField('raw_data')
    for key, value in {'location': 'model.onnx', 'offset': '0', 'length': '24'}.items():
        tensor.external_data.add(key=key, value=value)
    yield outside.SerializeToString()


SEEDS = {'keras': keras_seeds, 'nam': nam_seeds, 'onnx': onnx_seeds, 'onnx_backend': onnx_seeds,
         'rtneural': rtneural_seeds}
assert SEEDS.keys() == DICTIONARIES.keys() == TARGETS.keys()


def main():
    for name in TARGETS:
        if not missing(name):
            write_target(Path(sys.argv[1]), name, SEEDS[name](), DICTIONARIES[name])


if __name__ == '__main__':
    main()
