# SPDX-License-Identifier: Apache-2.0
"""The Python package: what it refuses, threads and processes, and what it says about the machine and its types."""
import ast
import inspect
import multiprocessing
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from package_case import PACKAGE, lw, make, noise, same_bits
from conftest import ROOT

# ---- what is refused ------------------------------------------------------------------------------------------------

def refusals(tmp_path):
    model, x = make(), noise(5, 2, 3)
    used = make()
    used.state()
    junk = tmp_path / 'junk.safetensors'
    junk.write_bytes(b'this is no model of any kind')
    other = make([lw.LSTM(3, 7)])
    state, stream = model.state(2), model.stream(2)
    frozen = np.zeros((2, 2), np.float32)
    frozen.flags.writeable = False
    return [
        (TypeError, 'x has elements of float64, expected float32', lambda: model(x.astype(np.float64))),
        (TypeError, 'x has elements of >f4, expected float32', lambda: model(x.astype('>f4'))),
        (TypeError, 'x has elements of datetime64.*, expected', lambda: model(np.zeros((5, 3), 'datetime64[s]'))),
        (TypeError, 'x is a list, expected an array', lambda: model([[1.0, 2.0, 3.0]])),
        (TypeError, 'x is a NoneType, expected an array', lambda: stream.step(None)),
        (ValueError, r'x has shape \(3,\), expected \(T, 3\) or \(T, B, 3\)', lambda: model(x[0, 0])),
        (ValueError, r'x has shape \(5, 2, 2\), expected .*\(B, T, 3\)', lambda: model(x[..., :2], batch_first=True)),
        (ValueError, 'more than 8 axes', lambda: model(x.reshape((1,) * 9 + x.shape))),
        (ValueError, 'the state has 2 rows, but the batch is 1', lambda: model(x[:, 0], state)),
        (ValueError, 'different models', lambda: model(x, other.state(2))),
        (ValueError, 'of another model', lambda: model.stream(state=other.state())),
        (TypeError, 'state is a ndarray, expected a State', lambda: model(x, x)),
        (ValueError, r'out has shape \(5, 2, 3\), expected \(5, 2, 2\)', lambda: model(x, out=np.empty_like(x))),
        (ValueError, 'dense', lambda: model(x, last=True, out=np.empty((2, 2), np.float32).T)),
        (ValueError, 'overlap', lambda: make([lw.LSTM(3, 3)])(x, out=x)),
        (ValueError, 'overlap', lambda: make([lw.LSTM(3, 3)]).stream(2).step(x[0], x[0])),
        (ValueError, r'lengths\[1\] is 6, expected 0 to 5', lambda: model(x, lengths=[0, 6])),
        (ValueError, r'lengths\[0\] is -1', lambda: model(x, lengths=[-1, 2])),
        (ValueError, r'lengths\[0\] is 36893', lambda: model(x, lengths=[1 << 65, 2])),
        (ValueError, 'lengths has 1 entries, expected one for each of the 2 rows', lambda: model(x, lengths=[3])),
        (TypeError, r'lengths\[0\] is a float, expected an integer', lambda: model(x, lengths=[1.5, 2])),
        (TypeError, 'lengths is a int', lambda: model(x, lengths=5)),
        (ValueError, r'x has shape \(3,\), expected \(2, 3\)', lambda: stream.step(x[0, 0])),
        (ValueError, r'out has shape \(2,\), expected \(2, 2\)', lambda: stream.step(x[0], np.empty(2, np.float32))),
        (ValueError, 'out is read-only', lambda: stream.step(x[0], frozen)),
        (ValueError, 'out must be dense', lambda: stream.step(x[0], np.empty((2, 4), np.float32)[:, ::2])),
        (LookupError, '', lambda: model.gates(x, layer=2)),
        (LookupError, 'no recurrent layer', lambda: model.gates(x, layer=1)),
        (LookupError, 'direction', lambda: model.gates(x, reverse=True)),
        (ValueError, 'layer is -1', lambda: model.gates(x, layer=-1)),
        (ValueError, 'unit 7, but layer 0 has 7 units', lambda: model.gates(x, units=[0, 7])),
        (LookupError, 'no hidden state', lambda: state.get(1)),
        (LookupError, '', lambda: state.get(5)),
        (ValueError, "memory is 'both'", lambda: state.get(0, 'both')),
        (ValueError, r'values has shape \(2, 3\), expected \(2, 7\)', lambda: state.set(x[0])),
        (ValueError, 'bytes, but a saved state of this model and batch has', lambda: state.from_bytes(b'LWSTATE1')),
        (lw.FormatError, 'LWSTATE1', lambda: state.from_bytes(bytes(len(state.to_bytes())))),
        (TypeError, 'data is a str', lambda: state.from_bytes('LWSTATE1')),
        (RuntimeError, 'named twice', lambda: used.step_many([used.state()] * 2, x[0])),
        (ValueError, 'batch is -1', lambda: model.state(-1)),
        (ValueError, 'rows, expected at most', lambda: model.state(1 << 40)),
        (KeyError, 'lstm0.weight', lambda: model.parameter('lstm0.weight')),
        (KeyError, 'lstm0.weight', lambda: model.set_parameter('lstm0.weight', x)),
        (ValueError, r'values of shape \(5, 2, 3\), expected \(28, 3\)',
         lambda: model.set_parameter('lstm0.weight_ih_l0', x)),
        (TypeError, 'values has elements of int64', lambda: model.set_parameter('dense1.bias', np.arange(2))),
        (RuntimeError, 'uses the model', lambda: used.set_parameter('dense1.bias', x[0, 0, :2])),
        (OSError, 'missing', lambda: lw.load(tmp_path / 'missing')),
        (FileNotFoundError, 'missing', lambda: lw.load(tmp_path / 'missing')),
        (OSError, '', lambda: lw.load(tmp_path)),
        (OSError, '', lambda: model.save(tmp_path / 'no' / 'folder')),
        (lw.FormatError, '', lambda: lw.load(junk)),
        (ValueError, 'NUL', lambda: lw.load('a\0b')),
        (TypeError, '', lambda: lw.load(5)),
        (KeyError, 'scalar', lambda: lw.load(junk, isa='mmx')),
        (TypeError, 'isa is a int', lambda: lw.Model([lw.LSTM(1, 1)], isa=3)),
        (ValueError, 'threads is 257, expected at most 256', lambda: lw.Model([lw.LSTM(1, 1)], threads=257)),
        (TypeError, 'threads is a str', lambda: lw.Model([lw.LSTM(1, 1)], threads='two')),
        (ValueError, 'a model of 0 bricks, expected 1 to 65536', lambda: lw.Model([])),
        (TypeError, 'bricks is a LSTM, expected a list', lambda: lw.Model(lw.LSTM(1, 2))),
        (TypeError, 'brick 1 is a str, expected LSTM', lambda: lw.Model([lw.LSTM(1, 2), 'dense'])),
        (ValueError, '', lambda: lw.Model([lw.LSTM(1, 2), lw.Dense(3, 1)])),
        (ValueError, 'brick 0', lambda: lw.Model([lw.LSTM(1, 0)])),
        (ValueError, 'brick 0: hidden is -4', lambda: lw.Model([lw.LSTM(1, -4)])),
        (TypeError, 'brick 0: hidden is a float', lambda: lw.Model([lw.LSTM(1, 2.0)])),
        (ValueError, "brick 0: direction is 'up', expected one of 'forward'",
         lambda: lw.Model([lw.LSTM(1, 2, direction='up')])),
        (ValueError, "brick 0: reset is 'never'", lambda: lw.Model([lw.GRU(1, 2, reset='never')])),
        (TypeError, 'brick 0: bias is a int', lambda: lw.Model([lw.GRU(1, 2, bias=0)])),
        (TypeError, 'brick 0: cell_clip is a str', lambda: lw.Model([lw.LSTM(1, 2, cell_clip='1')])),
        (TypeError, 'brick 0: name is a int', lambda: lw.Model([lw.LSTM(1, 2, name=5)])),
        (ValueError, 'brick 0: name holds a NUL', lambda: lw.Model([lw.LSTM(1, 2, name='a\0b')])),
        (FileNotFoundError, 'missing\udcff', lambda: lw.load(bytes(tmp_path / 'missing') + b'\xff')),
        (ValueError, 'seed is -1, expected 0 or more and below 2', lambda: model.initialise(-1)),
        (ValueError, 'seed is 18446744073709551616', lambda: model.initialise(seed=1 << 64)),
        (TypeError, 'seed is a float, expected an integer', lambda: model.initialise(1.5)),
        (ValueError, 'threads is 0', lambda: lw.set_threads(0)),
        (ValueError, 'threads is 257', lambda: lw.set_threads(257)),
        (KeyError, 'mmx', lambda: lw.set_isa('mmx')),
    ]


def test_every_refusal_is_the_right_exception_with_a_sentence_and_loses_nothing(tmp_path):
    kept, x = make(), noise(5, 2, 3)
    before = kept(x)
    problems = []
    for kind, sentence, call in refusals(tmp_path):
        try:
            call()
            problems.append(f'{sentence}: nothing was raised')
        except Exception as error:  # judged here
            if not isinstance(error, kind) or not str(error) or not re.search(sentence, str(error)):
                problems.append(f'expected {kind.__name__}, {sentence}; came {error!r}')
    assert not problems, '\n'.join(problems)
    same_bits(kept(x), before)


@pytest.mark.parametrize('isa', sorted({'neon', 'avx2', 'avx512'} - set(lw.isas())))
def test_an_instruction_set_that_is_not_here_is_unsupported(isa):
    with pytest.raises(NotImplementedError, match=isa):
        lw.set_isa(isa)
    with pytest.raises(NotImplementedError, match=isa):
        lw.Model([lw.LSTM(1, 1)], isa=isa)


FULL_MEMORY = '''
import resource
import numpy as np
import latchwork as lw
model = lw.Model([lw.LSTM(1, 64)])
before = model(np.ones((3, 1), np.float32))
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
for call in (lambda: model.state(1 << 24), lambda: lw.Model([lw.LSTM(1 << 15, 1 << 15)])):
    try:
        call()
    except MemoryError as error:
        print("refused:", error)
assert (model(np.ones((3, 1), np.float32)) == before).all()
print("usable")
'''


@pytest.mark.skipif(sys.platform != 'linux', reason='needs the memory limit of Linux')
def test_a_full_memory_is_a_memory_error_and_loses_nothing():
    done = subprocess.run([sys.executable, '-c', FULL_MEMORY], capture_output=True, text=True, timeout=120)
    assert done.stdout.count('refused: ') == 2 and 'usable' in done.stdout, done.stdout + done.stderr


# ---- threads and processes ------------------------------------------------------------------------------------------

def test_threads_share_one_model_with_their_own_states():
    model, x = make([lw.LSTM(3, 40), lw.Dense(0, 2)], threads=2), noise(60, 3, 3)
    expected, results, errors = model(x), {}, []

    def work(number):
        try:
            state = model.state(3)
            results[number] = [np.concatenate([model(x[:20], state), model(x[20:], state)])]
            state.reset()
            stream = model.stream(3, state=state)
            results[number].append(np.stack([stream.step(step) for step in x]))
        except Exception as error:  # shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors and len(results) == 12
    for pair in results.values():
        same_bits(pair[0], expected)
        same_bits(pair[1], expected)


@pytest.mark.parametrize('touch', [
    lambda model, stream, x: model(x[:1], stream.state),
    lambda model, stream, x: stream.step(x[0]),
    lambda model, stream, x: stream.reset(),
    lambda model, stream, x: stream.state.to_bytes(),
    lambda model, stream, x: stream.state.set(np.zeros((1, 256), np.float32)),
])
def test_one_state_in_two_threads_is_an_error(touch):
    model = make([lw.LSTM(3, 256)], threads=1)
    stream, x = model.stream(), noise(1, 3)
    long, done = np.zeros((20000, 3), np.float32), threading.Event()

    def work():
        model(long, stream.state)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    refused = False
    while not refused and not done.is_set():
        try:
            touch(model, stream, x)
        except RuntimeError as error:
            assert 'another call is using this state' in str(error)
            refused = True
    thread.join(120)
    assert done.is_set() and refused
    touch(model, stream, x)  # and usable again


def in_child(model, x, queue):
    state = model.state(x.shape[1])
    stream = model.stream(x.shape[1])
    queue.put((model(x, state).tobytes(), np.stack([stream.step(step) for step in x]).tobytes(), state.to_bytes()))


@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
def test_calls_work_in_other_processes_after_parallel_work(method):
    model, x = make([lw.LSTM(3, 100, direction='bidirectional'), lw.Dense(0, 2)], threads=2), noise(40, 8, 3)
    forward = make([lw.LSTM(3, 100)], threads=2)
    state = forward.state(8)
    model(x)
    expected = forward(x, state).tobytes()
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=in_child, args=(forward, x, queue))
    process.start()
    try:
        assert queue.get(timeout=60) == (expected, expected, state.to_bytes())
        process.join(60)
        assert process.exitcode == 0
    finally:
        process.kill()
    assert forward(x).tobytes() == expected


# ---- the machine and the package ------------------------------------------------------------------------------------

def test_what_the_package_says_about_the_machine():
    info = lw.info()
    assert info['version'] == lw.__version__ and info['isa'] == lw.isa() and info['isas'] == lw.isas()
    assert 'scalar' in lw.isas() and set(lw.isas()) <= set(info['isas_built'])
    assert info['cpus'] >= 1 and info['lanes'] >= 1 and info['threads'] >= 1
    before = lw.isa()
    try:
        for isa in lw.isas():
            lw.set_isa(isa)
            assert lw.isa() == isa == lw.Model([lw.LSTM(1, 1)]).isa
    finally:
        lw.set_isa(before)


def test_set_threads_changes_no_bit_and_reaches_models_that_exist():
    model, x = make([lw.LSTM(3, 64)]), noise(9, 16, 3)
    expected = model(x)
    try:
        for threads in (1, 3, 2):
            lw.set_threads(threads)
            assert lw.info()['threads'] == threads
            same_bits(model(x), expected)
    finally:
        lw.set_threads(None)


def test_a_model_explains_what_a_run_would_do():
    model = make([lw.LSTM(40, 256, layers=3)], threads=2)
    one, many = model.explain(1), model.explain(160, 32)
    assert make([lw.LSTM(1, 16)], threads=1).explain(100, 4).threads == 1
    assert one.isa == many.isa == model.isa and 1 <= many.threads <= 2
    assert many.flops == 160 * 32 * sum(layer.flops for layer in model.layers) and many.seconds > one.seconds > 0
    assert many.bound in ('arithmetic', 'L1', 'L2', 'L3', 'memory', 'overhead') and 0 < many.share <= 1
    assert len(many.choices) == 4 and many.choices[0].threads == many.threads
    assert all(choice.name and choice.reason for choice in many.choices)
    with pytest.raises(ValueError, match='steps is -1'):
        model.explain(-1)


def stub_names():
    """Names of the module, and of each class, as _core.pyi tells them."""
    tree = ast.parse((PACKAGE / '_core.pyi').read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
               for node in tree.body if isinstance(node, ast.ClassDef)}
    return functions, {name: classes[name] for name in ('Model', 'State', 'Stream')}


def test_the_types_tell_what_the_module_has():
    from latchwork import _core
    functions, classes = stub_names()
    assert functions == {name for name, value in vars(_core).items() if callable(value) and not inspect.isclass(value)}
    for name, members in classes.items():
        present = {member for member in vars(getattr(_core, name)) if not member.startswith('_')}
        assert {member for member in members if not member.startswith('_')} == present
    assert (PACKAGE / 'py.typed').exists()


USE = '''
import numpy as np
import latchwork as lw
model = lw.Model([lw.LSTM(1, 16), lw.Dense(16, 1)], threads=1)
y: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = model(np.zeros((4, 1), np.float32), model.state(), [4])
z = model.stream().step(np.zeros(1, np.float32))
h = model.gates(np.zeros((4, 1), np.float32))["hidden"].mean()
name: str = model.layers[0].brick + lw.info()["cpu"]
'''


def test_the_types_satisfy_a_strict_checker(tmp_path):
    pytest.importorskip('mypy', reason='mypy is not installed')
    (tmp_path / 'use.py').write_text(USE)
    (tmp_path / 'wrong.py').write_text(USE + 'model(3)\nmodel.stream().state.batch = 4\n')
    check = [sys.executable, '-m', 'mypy', f'--config-file={ROOT}/pyproject.toml', '--no-incremental']
    done = subprocess.run([*check, '-p', 'latchwork'], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([*check, 'use.py'], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([*check, 'wrong.py'], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert 'call-overload' in done.stdout and 'read-only' in done.stdout, done.stdout + done.stderr


def test_the_command_comes_with_the_package():
    import latchwork_command
    if not latchwork_command.PROGRAM.exists():
        pytest.skip('the package was built without the command')
    done = subprocess.run([sys.executable, latchwork_command.__file__, 'info', '--json'], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0 and lw.__version__ in done.stdout, done.stderr
    done = subprocess.run([sys.executable, latchwork_command.__file__, 'inspect', '/missing'], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode not in (0, -11) and 'latchwork: ' in done.stderr
