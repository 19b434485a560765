# SPDX-License-Identifier: Apache-2.0
"""What the tests of latchwork.torch share: pairs of modules with equal parameters, random configurations, comparing."""
import os
import random

import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed: pip install torch')
pytest.importorskip('latchwork', reason='the package is not installed: pip install .')
import latchwork.torch as lt  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence  # noqa: E402

LAYERS = ['LSTM', 'GRU', 'RNN']
CELLS = ['LSTMCell', 'GRUCell', 'RNNCell']
CONFIGURATIONS = int(os.environ.get('LATCHWORK_TORCH_CONFIGURATIONS', 2000))


def pair(name, *args, scale=1.0, **options):
    """torch.nn's module and ours, with equal parameters."""
    theirs = getattr(nn, name)(*args, **options)
    ours = getattr(lt, name)(*args, **options)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(scale)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def flat(result):
    """All tensors of a result, in order."""
    if isinstance(result, PackedSequence):
        return [result.data, result.batch_sizes] + [t for t in result[2:] if t is not None]
    if isinstance(result, torch.Tensor):
        return [result]
    return [tensor for part in result if part is not None for tensor in flat(part)]


def close(ours, theirs, rtol=1.3e-6, atol=1e-5):
    ours, theirs = flat(ours), flat(theirs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


class Counting:
    """Counts what really ran on Latchwork, so that a test of parity cannot pass by falling back."""

    def counted(self, real, refusal):
        def run(*arguments):
            result = real(*arguments)
            self.runs += result is not refusal
            return result

        return run

    def __init__(self, monkeypatch):
        self.runs = 0
        original = lt.modules._Engine.__init__

        def made(engine, *args):
            original(engine, *args)
            engine.run = self.counted(engine.run, False)
            engine.call, engine.quick = self.counted(engine.call, None), self.counted(engine.quick, None)

        monkeypatch.setattr(lt.modules._Engine, '__init__', made)
        record, run = lt.modules.record, lt.modules.run

        def recorded(*arguments):
            result = record(*arguments)
            self.runs += 1
            return result

        def ran(*arguments):
            result = run(*arguments)
            self.runs += 1
            return result

        monkeypatch.setattr(lt.modules, 'record', recorded)
        monkeypatch.setattr(lt.modules, 'run', ran)


@pytest.fixture
def counting(monkeypatch):
    return Counting(monkeypatch)


def draw(seed):
    """A random configuration: (name, constructor arguments, what the call is like)."""
    r = random.Random(seed)
    name = r.choice(LAYERS + LAYERS + CELLS)
    options = {'bias': r.random() < 0.8}
    if name.startswith('RNN'):
        options['nonlinearity'] = r.choice(['tanh', 'relu'])
    sizes = r.choice([1, 2, 3, 5, 8, 13, 16, 17, 31, 40]), r.choice([2, 3, 4, 7, 8, 15, 16, 17, 24, 33, 48])
    call = {'rows': r.choice([1, 1, 2, 3, 5, 8, 9, 17]), 'steps': r.choice([1, 1, 2, 3, 7, 12, 20]),
            'hx': r.random() < 0.5, 'unbatched': r.random() < 0.15,
            'strided': r.random() < 0.2, 'packed': False, 'sorted': r.random() < 0.5,
            'outputs': r.choice(['all', 'y', 'hidden'])}
    if name in LAYERS:
        options |= {'num_layers': r.choice([1, 1, 2, 3]), 'batch_first': r.random() < 0.4,
                    'bidirectional': r.random() < 0.35}
        if options['num_layers'] > 1 and r.random() < 0.25:
            options['dropout'] = r.choice([0.2, 0.5])
        if name == 'LSTM' and r.random() < 0.25:
            options['proj_size'] = r.randint(1, sizes[1] - 1)
        call['packed'] = not call['unbatched'] and r.random() < 0.3
    return name, sizes, options, call


def make_input(name, sizes, options, call, seed, grad):
    """(input, hx) of that call; fresh leaves each time, equal for equal seeds."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(*shape, generator=generator)

    rows, steps, (inputs, hidden) = call['rows'], call['steps'], sizes
    if name in CELLS:
        lead = () if call['unbatched'] else (rows,)
        x, states = noise(*lead, inputs), [(*lead, hidden)] * 2
    else:
        batch_first = options.get('batch_first')
        lead = (steps,) if call['unbatched'] else (rows, steps) if batch_first else (steps, rows)
        x = noise(*lead, 2 * inputs)[..., ::2] if call['strided'] else noise(*lead, inputs)
        count = options['num_layers'] * (2 if options['bidirectional'] else 1)
        middle = () if call['unbatched'] else (rows,)
        states = [(count, *middle, options.get('proj_size') or hidden), (count, *middle, hidden)]
    leaves = [x.detach().requires_grad_(grad)]
    given = leaves[0]
    if call['packed']:
        lengths = torch.randint(1, steps + 1, (rows,), generator=generator)
        if call['sorted']:
            lengths = lengths.sort(descending=True).values
        given = pack_padded_sequence(given, lengths, batch_first=options['batch_first'], enforce_sorted=call['sorted'])
    hx = None
    if call['hx']:
        hx = [noise(*shape).requires_grad_(grad) for shape in states]
        if not name.startswith('LSTM'):
            hx = hx[:1]
        leaves += hx
        hx = tuple(hx) if name.startswith('LSTM') else hx[0]
    return given, hx, leaves
