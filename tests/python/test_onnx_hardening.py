# SPDX-License-Identifier: Apache-2.0
"""What others fell over in ONNX files, one test each, through latchwork.onnx and through the execution provider.

Every file is read by a process of its own, so that a crash is seen as one: the process must end well and have said, for
each file, that it ran or why it did not. Without onnxruntime, or the provider's library, its half is skipped.
"""
import json
import os
import subprocess
import sys

import numpy as np
import pytest

onnx = pytest.importorskip('onnx')
pytest.importorskip('latchwork.onnx')
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from onnx_recipes import Recipe  # noqa: E402

FLOAT = TensorProto.FLOAT

READER = '''
import json, resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
feed = {"X": np.ones((4, 2, 5), np.float32)}
if sys.argv[2] == "backend":
    import latchwork.onnx
    run = lambda path: latchwork.onnx.load(path).run(feed)
else:
    from onnxruntime_case import lw, quiet
    run = lambda path: lw.session(path, quiet()).run(None, feed)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answers = {}
for path in sys.argv[3:]:
    try:
        run(path)
        answers[path] = "ran"
    except Exception as refusal:
        assert str(refusal)
        answers[path] = f"refused: {type(refusal).__name__}: {refusal}"[:600]
print(json.dumps([answers, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)]))
'''


@pytest.fixture(params=['backend', 'provider'])
def reader(request, tmp_path):
    """Reads files by name; returns what was said of each, and the memory that it took."""
    if request.param == 'provider':
        import onnxruntime_case  # noqa: F401: skips the test where it cannot be

    def read(files, refused=True):
        paths = {}
        for name, data in files.items():
            paths[name] = tmp_path / f'{name.replace("/", "_")}.onnx'
            paths[name].write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
        done = subprocess.run([sys.executable, '-c', READER, os.path.dirname(__file__), request.param,
                               *map(str, paths.values())], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (done.returncode, done.stderr[-3000:])
        answers, grown = json.loads(done.stdout.splitlines()[-1])
        said = {name: answers[str(path)] for name, path in paths.items()}
        ran = [name for name, answer in said.items() if not answer.startswith('refused: ')]
        assert not refused or not ran, ran
        return said, grown

    read.side, read.folder = request.param, tmp_path
    return read


def model(**options):
    return Recipe('LSTM', bare=True, **options).model()


def changed(change, **options):
    made = model(**options)
    change(made.graph)
    return made


def weight(graph, name='W'):
    return next(tensor for tensor in graph.initializer if tensor.name == name)


def test_the_whole_model_runs(reader):
    said, _ = reader({'whole': model()}, refused=False)
    assert said == {'whole': 'ran'}


# ---- B17 ------------------------------------------------------------------------------------------------------------

def moved_out(location):
    def change(graph):
        tensor = weight(graph)
        length = len(tensor.raw_data)
        tensor.ClearField('raw_data')
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (('location', location), ('offset', 0), ('length', length)):
            tensor.external_data.add(key=key, value=str(value))
    return changed(change)


def test_b17_external_data_that_leaves_the_folder(reader, tmp_path_factory):
    outside = tmp_path_factory.mktemp('outside') / 'weights.bin'
    outside.write_bytes(bytes(1 << 16))
    (reader.folder / 'link.bin').symlink_to(outside)
    files = {'above': moved_out(f'../{outside.parent.name}/weights.bin'), 'absolute': moved_out(str(outside)),
             'roundabout': moved_out(f'./../{outside.parent.name}/weights.bin'), 'link': moved_out('link.bin')}
    said, _ = reader(files)
    assert reader.side != 'backend' or all('only when external data is allowed' in why for why in said.values()), said


def test_b17_external_data_is_refused_unless_allowed():
    import latchwork.onnx
    with pytest.raises(ValueError, match='only when external data is allowed'):
        latchwork.onnx.prepare(moved_out('weights.bin'))


# ---- B18, B19, B20: the bytes ---------------------------------------------------------------------------------------

def field(number, content):
    """A field of bytes, as Protocol Buffers write it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def nested(depth):
    inner = b''
    for _ in range(depth):  # graph.node.attribute.g.node.attribute.g ...
        inner = field(1, field(5, field(6, inner)))
    return field(7, inner)


def test_b18_nesting(reader):
    reader({f'depth {depth}': nested(depth) for depth in (23, 40, 100, 5000)})


def test_b19_memory_beyond_twice_the_file(reader):
    """Empty nodes take two bytes in a file, and hundreds in memory; a size may claim what the file does not have."""
    if reader.side == 'provider':
        pytest.skip("ONNX Runtime reads the file by itself, before any provider sees it")
    empty = model().SerializeToString() + field(7, field(1, b'') * (1 << 25))
    _, grown = reader({'nodes': empty})
    assert grown < 2 * len(empty) + (64 << 20), (grown, len(empty))
    _, grown = reader({'claimed': changed(lambda graph: weight(graph).dims.__setitem__(0, 1 << 40))})
    assert grown < 64 << 20, grown


def test_b20_bytes_that_are_no_messages(reader):
    whole = model().SerializeToString()
    files = {
        'varint of 11 bytes': whole + b'\x08' + b'\x80' * 10 + b'\x01',
        'length past the end': whole + b'\x3a\xff\xff\x03',
        'length of 2^63': whole + b'\x3a' + b'\xff' * 8 + b'\x7f',
        'end of no group': whole + b'\x0c',
        'wire type 7': whole + b'\x0f',
        'graph as a number': b'\x38\x01',
        'half': whole[:len(whole) // 2],
        'empty': b'',
        'a pointer': b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n',
    }
    reader(files)


def test_b20_types_that_are_missing_and_data_unlike_dims(reader):
    def short(graph):
        weight(graph).raw_data = weight(graph).raw_data[:-4]

    def typed(graph):
        weight(graph).ClearField('raw_data')
        weight(graph).float_data.extend([0.5] * 7)

    reader({
        'no type': changed(lambda graph: weight(graph).ClearField('data_type')),
        'type 99': changed(lambda graph: setattr(weight(graph), 'data_type', 99)),
        'too little data': changed(short),
        'too few numbers': changed(typed),
        'no data': changed(lambda graph: weight(graph).ClearField('raw_data')),
        'a negative size': changed(lambda graph: weight(graph).dims.__setitem__(1, -24)),
    })


# ---- B21: the graph -------------------------------------------------------------------------------------------------

def test_b21_cycles_and_dangling_inputs(reader):
    def cycle(graph):
        graph.node.insert(0, helper.make_node('Squeeze', ['Y', 'one'], ['loop']))
        graph.node[1].input[0] = 'loop'
        graph.initializer.append(numpy_helper.from_array(np.array([1]), 'one'))

    reader({
        'cycle': changed(cycle),
        'its own input': changed(lambda graph: graph.node[0].input.__setitem__(0, 'Y')),
        'dangling': changed(lambda graph: graph.node[0].input.__setitem__(0, 'nowhere')),
        'dangling weight': changed(lambda graph: graph.node[0].input.__setitem__(2, 'nowhere')),
        'output of nothing': changed(lambda graph: setattr(graph.output[0], 'name', 'nothing')),
    })


def test_b21_attributes(reader):
    reader({
        'direction': model(direction='sideways'),
        'two activations': model(activations=['Sigmoid', 'Tanh']),
        'six activations': model(activations=['Sigmoid', 'Tanh', 'Tanh'] * 2),
        'no such activation': model(activations=['Sigmoid', 'Tanh', 'Nonsense']),
        'hidden_size': model(hidden_size=7),
        'negative hidden_size': model(hidden_size=-6),
        'huge hidden_size': model(hidden_size=1 << 62),
        'clip': model(clip=-1.0),
        'layout': model(layout=2),
        'type': changed(lambda graph: graph.node[0].attribute.append(helper.make_attribute('clip', 'much'))),
    })


def test_b21_weights_unlike_each_other(reader):
    def reshaped(name, *shape):
        return changed(lambda graph: weight(graph, name).CopyFrom(
            numpy_helper.from_array(np.zeros(shape, np.float32), name)))

    reader({'rows of W': reshaped('W', 1, 23, 5), 'rank of W': reshaped('W', 24, 5),
            'rows of R': reshaped('R', 1, 20, 6), 'directions': reshaped('R', 2, 24, 6),
            'nothing in R': reshaped('R', 1, 0, 0), 'one of R': reshaped('R', 1, 24, 1), 'B': reshaped('B', 1, 47)})


# ---- B22 ------------------------------------------------------------------------------------------------------------

def test_b22_sizes_whose_product_overflows(reader):
    def sized(*dims):
        def change(graph):
            del weight(graph).dims[:]
            weight(graph).dims.extend(dims)
        return changed(change)

    reader({
        '2^62': sized(1, 1 << 62, 5),
        'wraps to the size': sized(1 << 32, 1 << 32, 5),
        'wraps to nothing': sized(1 << 32, 1 << 31, 2),
        'wraps to 480 bytes': sized(1, 24, 5 + (1 << 59)),
    })


def test_every_damaged_byte(reader):
    """Prefixes and flipped bits: each file runs or is refused."""
    whole = model(hidden=2).SerializeToString()
    rng, files = np.random.default_rng(5), {}
    for number in range(150):
        data = bytearray(whole[:rng.integers(len(whole))] if number % 5 == 0 else whole)
        if data:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        files[f'damage {number}'] = bytes(data)
    said, _ = reader(files, refused=False)
    assert 'ran' in said.values() and len(set(said.values())) > 5
