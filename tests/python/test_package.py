# SPDX-License-Identifier: Apache-2.0
"""The Python package: results against double precision, states, streams, the layouts of arrays, and models."""
import copy
import gc
import pickle
import subprocess
import sys

import numpy as np
import package_reference as reference
import pytest
from package_case import STACKS, STREAMING, lw, make, noise, same_bits
from safetensors.numpy import save_file

# ---- results --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', STACKS)
def test_results_are_those_of_double_precision(name):
    model = make(STACKS[name])
    x, lengths = noise(9, 4, 3), [9, 1, 0, 6]
    state = model.state(4)
    y = model(x, state, lengths)
    assert y.shape == (9, 4, model.output_size)
    for row, length in enumerate(lengths):
        expected, layers = reference.run(model, x[:length, row])
        np.testing.assert_allclose(y[:length, row], expected, rtol=1e-5, atol=1e-5)
        assert not y[length:, row].any()
        for (layer, suffix), (_, h, c) in layers.items():
            got = state.get(layer, reverse=suffix != '')[row]
            np.testing.assert_allclose(got, h, rtol=1e-5, atol=1e-5)
            if model.layers[layer].kind == 'lstm':
                np.testing.assert_allclose(state.get(layer, 'cell', suffix != '')[row], c, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', STACKS)
def test_gates_are_those_of_double_precision_and_change_nothing(name):
    model = make(STACKS[name])
    x, lengths = noise(6, 2, 3), [6, 3]
    before = model(x, lengths=lengths)
    recurrent = 0
    for index, layer in enumerate(model.layers):
        for reverse in (False, True):
            if not layer.signals or layer.direction not in ('bidirectional', 'reverse' if reverse else 'forward'):
                with pytest.raises(LookupError):
                    model.gates(x, index, reverse)
                continue
            recurrent += 1
            gates = model.gates(x, index, reverse, lengths=lengths)
            assert tuple(gates) == layer.signals
            for row, length in enumerate(lengths):
                signals = reference.run(model, x[:length, row])[1][index, '_reverse' if reverse else ''][0]
                for signal, values in gates.items():
                    assert values.shape == (6, 2, layer.hidden) and not values[length:, row].any()
                    expected = [step[signal] for step in signals]
                    np.testing.assert_allclose(values[:length, row], expected, rtol=1e-5, atol=1e-5)
    assert recurrent or name == 'dense'
    same_bits(model(x, lengths=lengths), before)


def test_gates_of_chosen_units_and_of_every_layout():
    model, x = make(), noise(5, 2, 3)
    every = model.gates(x)
    some = model.gates(x, units=[6, 0])
    first = model.gates(np.ascontiguousarray(x.swapaxes(0, 1)), batch_first=True)
    alone = model.gates(x[:, 1])
    for name, values in every.items():
        same_bits(some[name], values[:, :, [6, 0]])
        same_bits(first[name].swapaxes(0, 1), values)
        same_bits(alone[name], values[:, 1])
    assert model.gates(x, units=[])['cell'].shape == (5, 2, 0)


@pytest.mark.parametrize('name', STREAMING)
def test_steps_and_chunks_have_the_bits_of_the_whole(name):
    model, x = make(STACKS[name]), noise(11, 3, 3)
    whole = model(x)
    stream, state = model.stream(3), model.state(3)
    same_bits(np.stack([stream.step(step) for step in x]), whole)
    same_bits(np.concatenate([model(part, state) for part in (x[:4], x[4:4], x[4:5], x[5:])]), whole)
    assert stream.state.to_bytes() == state.to_bytes()
    for row in range(3):
        single = model.stream()
        same_bits(np.stack([single.step(step) for step in x[:, row]]), whole[:, row])


def test_last_step_and_batch_first():
    model, x, lengths = make(), noise(6, 3, 3), [6, 2, 4]
    whole = model(x, lengths=lengths)
    rows = np.ascontiguousarray(x.swapaxes(0, 1))
    same_bits(model(rows, lengths=lengths, batch_first=True).swapaxes(0, 1), whole)
    expected = np.stack([whole[length - 1, row] for row, length in enumerate(lengths)])
    same_bits(model(x, lengths=lengths, last=True), expected)
    same_bits(model(rows, lengths=lengths, last=True, batch_first=True), expected)
    same_bits(model(x[:, 0], last=True), whole[5, 0])
    assert model(noise(0, 3, 3)).shape == (0, 3, 2) and model(noise(4, 0, 3)).shape == (4, 0, 2)


@pytest.mark.parametrize('isa', lw.isas())
def test_every_instruction_set_and_number_of_threads_gives_the_same_bits(isa):
    bricks, x = [lw.LSTM(3, 33, layers=2), lw.GRU(0, 20), lw.Dense(0, 3)], noise(13, 5, 3)
    expected = make(bricks, isa='scalar', threads=1)(x)
    for threads in (1, 2, 3):
        model = make(bricks, isa=isa, threads=threads)
        assert model.isa == isa
        same_bits(model(x), expected)


# ---- states ---------------------------------------------------------------------------------------------------------

def test_states_are_copied_saved_restored_and_set():
    model, x = make(), noise(8, 2, 3)
    state = model.state(2)
    model(x[:5], state)
    twins = [state.copy(), copy.copy(state), copy.deepcopy(state), model.state(2), model.state(2)]
    twins[3].from_bytes(state.to_bytes())
    for memory in ('hidden', 'cell'):
        twins[4].set(state.get(0, memory), 0, memory)
    rest = model(x[5:], state)
    for twin in twins:
        same_bits(model(x[5:], twin), rest)
    state.reset()
    assert state.to_bytes() == model.state(2).to_bytes() and state.batch == 2
    assert model.state(0).get().shape == (0, 7)
    strided = noise(7, 2).T
    state.set(strided, memory='cell')
    same_bits(state.get(memory='cell'), np.ascontiguousarray(strided))


def test_a_stream_shares_its_state():
    model, x = make(), noise(4, 3)
    stream = model.stream()
    stream.step(x[0])
    other = model.stream(state=stream.state)
    same_bits(other.step(x[1]), model(x[:2])[1])
    assert other.state is stream.state and stream.batch == 1
    stream.reset()
    same_bits(stream.step(x[0]), model(x)[0])
    state = stream.state
    del model, stream, other
    gc.collect()
    assert state.get().shape == (1, 7)  # a state outlives its model and stream


# ---- arrays ---------------------------------------------------------------------------------------------------------

def layouts(x):
    """The same numbers as x (T, B, I) in every layout that NumPy has."""
    big = np.zeros((2 * x.shape[0], x.shape[1] + 3, x.shape[2] + 2), np.float32)
    yield np.asfortranarray(x)
    yield np.ascontiguousarray(x[::-1])[::-1]
    yield np.ascontiguousarray(x[:, :, ::-1])[:, :, ::-1]
    yield np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
    big[::2, 1:-2, 1:-1] = x
    yield big[::2, 1:-2, 1:-1]
    raw = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
    raw[:] = x
    assert not raw.flags.aligned
    yield raw
    x = x.copy()
    x.flags.writeable = False
    yield x


def test_every_layout_of_the_input_gives_the_same_bits():
    model, x = make(), noise(6, 4, 3)
    whole, one = model(x), model.stream(4).step(x[0])
    for view in layouts(x):
        same_bits(model(view), whole)
        same_bits(model(view.swapaxes(0, 1), batch_first=True), whole.swapaxes(0, 1))
        same_bits(model.stream(4).step(view[0]), one)
    same = np.broadcast_to(x[:, :1], x.shape)
    same_bits(model(same), np.repeat(whole[:, :1], 4, axis=1))


def test_results_go_where_the_caller_wants_them():
    model, x = make(), noise(6, 4, 3)
    whole = model(x)
    for view in layouts(np.full((6, 4, 2), 9, np.float32)):
        if not view.flags.writeable:
            with pytest.raises(ValueError, match='out is read-only'):
                model(x, out=view)
        elif view.flags.aligned and view.strides[2] == 4 and view.strides[0] > 0:
            assert model(x, out=view) is view
            same_bits(np.array(view), whole)
        else:
            with pytest.raises(ValueError, match='out cannot be written in place'):
                model(x, out=view)
    out = np.empty(2, np.float32)
    stream = model.stream()
    assert stream.step(x[0, 0], out) is out and stream.step(x[1, 0], out=out) is out
    same_bits(out, whole[1, 0])
    assert stream.step(x[2:3, 0]).shape == (1, 2)
    last = np.empty((4, 2), np.float32)
    assert model(x, last=True, out=last) is last
    same_bits(last, whole[5])


MEMORY_LIMIT = '''
import resource
import sys
import numpy as np
import latchwork as lw
model = lw.Model([lw.LSTM(8, 4)], threads=1)
state = model.state(64)
x = np.zeros((64, 1 << 18, 8), np.float32)  # 512 MB of pages that nobody touches, batch first
lengths = [0] * 64
model(x[:, :1], state, lengths, last=True, batch_first=True)
size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (128 << 20), resource.RLIM_INFINITY))
view = eval(sys.argv[1])
model(view, state, lengths, last=True, batch_first=True)
'''


@pytest.mark.skipif(sys.platform != 'linux', reason='needs the memory limit of Linux')
@pytest.mark.parametrize('view, copied', [('x', False), ('x[:, 1:]', False), ('x.reshape(64, 1 << 18, 8)[::1, ::2]', False),
                                          ('x[:, :, ::-1]', True), ('x[:, ::-1]', True)])
def test_an_input_is_copied_only_where_it_must_be(view, copied):
    done = subprocess.run([sys.executable, '-c', MEMORY_LIMIT, view], capture_output=True, text=True, timeout=120)
    assert ('MemoryError' in done.stderr) == copied, done.stderr
    assert (done.returncode != 0) == copied


class Tensor:
    """An array of a framework that speaks DLPack and nothing else."""

    def __init__(self, array, device=None):
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        if self.device:
            raise BufferError(self.device)
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __array_namespace__(self):
        return Tensor

    @staticmethod
    def from_dlpack(other):
        return Tensor(np.from_dlpack(other))


def test_tensors_of_other_frameworks_come_back_as_such():
    model, x = make(), noise(6, 2, 3)
    whole, tensor = model(x), Tensor(x)
    for view in (x, np.asfortranarray(x), x[::-1][::-1]):
        result = model(Tensor(view))
        assert type(result) is Tensor
        same_bits(result.array, whole)
    stepped = model.stream(2).step(Tensor(x[0]))
    assert type(stepped) is Tensor
    same_bits(stepped.array, whole[0])
    gates = model.gates(tensor)
    assert {type(values) for values in gates.values()} == {Tensor}
    same_bits(np.ascontiguousarray(gates['cell'].array), np.ascontiguousarray(model.gates(x)['cell']))
    out = Tensor(np.empty((6, 2, 2), np.float32))
    assert model(x, out=out) is out
    same_bits(out.array, whole)
    with pytest.raises(TypeError, match='x has elements of .*, expected float32'):
        model(Tensor(x.astype(np.float64)))
    with pytest.raises(BufferError, match='on the moon'):
        model(Tensor(x, device='on the moon'))


def test_a_run_keeps_no_references():
    model, x, out = make(), noise(5, 2, 3), np.empty((5, 2, 2), np.float32)
    stream, one, single = model.stream(2), x[0], np.empty((2, 2), np.float32)
    tensor, lengths = Tensor(x), [5, 3]

    def everything():
        model(x, out=out, lengths=lengths)
        model(tensor)
        model.gates(x)
        stream.step(one, single)
        stream.step(one)
        with pytest.raises(ValueError):
            model(x, out=single)
        with pytest.raises(TypeError):
            model(x.astype(np.float64))

    everything()
    objects = (x, out, one, single, tensor, lengths, np.dtype(np.float32))
    before = [sys.getrefcount(item) for item in objects]
    for _ in range(50):
        everything()
    assert all(sys.getrefcount(item) - count < 10 for item, count in zip(objects, before))


# ---- models ---------------------------------------------------------------------------------------------------------

def test_a_model_tells_what_it_is():
    model = lw.Model([lw.LSTM(3, 20, layers=2, direction='bidirectional', name='encoder'), lw.Dense(0, 2)])
    assert (model.input_size, model.output_size) == (3, 2) and model.bytes > 0 and model.isa == lw.isa()
    assert [(r.brick, r.kind, r.input, r.hidden, r.output) for r in model.layers] == [
        ('encoder', 'lstm', 3, 20, 20), ('encoder', 'lstm', 40, 20, 20), ('dense1', 'dense', 40, 2, 2)]
    assert model.layers[0].parameters == 2 * (80 * 3 + 80 * 20 + 160) and model.layers[0].flops > 0
    assert model.layers[0].signals == ('input', 'forget', 'output', 'candidate', 'cell', 'hidden')
    assert model.bricks == [lw.LSTM(3, 20, layers=2, direction='bidirectional', name='encoder'),
                            lw.Dense(40, 2, name='dense1')]
    assert repr(model).startswith("Model([LSTM(input=3, hidden=20, layers=2")
    shapes = {name: values.shape for name, values in model.parameters().items()}
    assert shapes['encoder.weight_hh_l1_reverse'] == (80, 20) and shapes['dense1.bias'] == (2,)


def test_parameters_are_copies_and_settable_until_the_first_use():
    model = lw.Model([lw.LSTM(3, 7, forget_bias=2.0)])
    model.initialise(5)
    twin = lw.Model([lw.LSTM(3, 7, forget_bias=2.0)])
    twin.initialise(5)
    for name, values in model.parameters().items():
        same_bits(values, twin.parameter(name))
    assert (model.parameter('lstm0.bias_ih_l0')[7:14] == 2).all()
    model.parameter('lstm0.weight_hh_l0')[:] = 9
    assert (model.parameter('lstm0.weight_hh_l0') != 9).all()
    strided = noise(7, 28).T
    model.set_parameter('lstm0.weight_hh_l0', strided)
    same_bits(model.parameter('lstm0.weight_hh_l0'), np.ascontiguousarray(strided))
    model(noise(2, 3))
    with pytest.raises(RuntimeError, match='uses the model'):
        model.set_parameter('lstm0.weight_hh_l0', strided)
    with pytest.raises(RuntimeError, match='uses the model'):
        model.initialise(1)


@pytest.mark.parametrize('name', STACKS)
def test_saved_loaded_pickled_and_copied_models_give_the_same_bits(name, tmp_path):
    model, x = make(STACKS[name], threads=1), noise(5, 2, 3)
    path = tmp_path / 'model.safetensors'
    model.save(path)
    for twin in (lw.load(path), lw.load(str(path), isa='scalar'), lw.load(bytes(path), threads=2),
                 pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert twin.bricks == model.bricks
        same_bits(twin(x), model(x))


def test_a_state_dict_of_pytorch_is_recognised(tmp_path):
    model = make([lw.GRU(3, 6, layers=2, direction='bidirectional', name='gru')])
    save_file({name[4:]: values for name, values in model.parameters().items()}, tmp_path / 'gru.safetensors')
    x = noise(5, 2, 3)
    same_bits(lw.load(tmp_path / 'gru.safetensors')(x), model(x))
