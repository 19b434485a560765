# SPDX-License-Identifier: Apache-2.0
"""latchwork.torch under torch.compile and torch.export, and the operators that stand for it in a graph."""
import subprocess
import sys

import pytest
from torch_case import CELLS, LAYERS, close, flat, lt, nn, pair, torch

assert lt


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Model(nn.Module):
    """A recurrent module with something on either side."""

    def __init__(self, recurrent, width):
        super().__init__()
        self.before, self.recurrent, self.after = nn.Linear(3, 3), recurrent, nn.Linear(width, 2)

    def forward(self, x, hx=None):
        y, hidden = self.recurrent(self.before(x).tanh(), hx)
        return self.after(y), hidden


def targets(graph):
    return [str(node.target) for node in graph.graph.nodes if node.op == 'call_function']


OPTIONS = [{}, {'num_layers': 2, 'bidirectional': True}, {'batch_first': True, 'bias': False}]


@pytest.mark.parametrize('options', OPTIONS, ids=str)
@pytest.mark.parametrize('name', LAYERS)
def test_compile_whole(name, options):
    theirs, ours = pair(name, 3, 5, **options)
    model = Model(ours, 10 if options.get('bidirectional') else 5)
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    for shape in [(4, 2, 3), (7, 2, 3), (9, 4, 3), (6, 3)]:
        x = torch.randn(*shape)
        _, hidden = model(x)
        for hx in (None, tuple(t.detach() for t in flat(hidden)) if name == 'LSTM' else hidden.detach()):
            results = []
            for call in (model, compiled):
                model.zero_grad()
                result = call(x, hx)
                sum(t.square().sum() for t in flat(result)).backward()
                results.append((result, [p.grad.clone() for p in model.parameters()]))
            close(results[1][0], results[0][0])
            for a, b in zip(results[1][1], results[0][1]):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert type(theirs) is getattr(nn, name)


@pytest.mark.parametrize('name', CELLS)
def test_compile_a_loop_of_cells(name):
    _, ours = pair(name, 3, 5)

    def loop(x, hx):
        for step in x:
            hx = ours(step, hx)
        return hx

    compiled = torch.compile(loop, fullgraph=True, backend='aot_eager')
    for shape in [(3, 2, 3), (3, 3)]:
        x = torch.randn(*shape, requires_grad=True)
        close(compiled(x, None), loop(x, None))
        a, = torch.autograd.grad(sum(t.sum() for t in flat(compiled(x, None))), x)
        b, = torch.autograd.grad(sum(t.sum() for t in flat(loop(x, None))), x)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_compile_with_pytorchs_own_compiler_and_train():
    torch.manual_seed(1)
    model = Model(lt.LSTM(3, 5), 5)
    try:
        compiled = torch.compile(model, fullgraph=True)
        x = torch.randn(4, 2, 3)
        first = compiled(x)
    except Exception as error:
        if 'compiler' in str(error).lower() and 'not found' in str(error).lower():
            pytest.skip(f'inductor has no compiler here: {error}')
        raise
    close(first, model(x))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = compiled(x)[0].square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        with torch.no_grad():
            close(compiled(x), model(x))  # the optimiser's change is seen
    assert losses[-1] < losses[0]


def test_the_graph_holds_one_operator():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch.compile(lt.LSTM(3, 5), fullgraph=True, backend=backend)(torch.randn(4, 2, 3))
    assert sum('latchwork.recurrent' in target for target in targets(graphs[0])) == 1


@pytest.mark.parametrize('name', LAYERS)
def test_export(name):
    _, ours = pair(name, 3, 5, num_layers=2, batch_first=True)
    model = Model(ours, 5).eval()
    x = torch.randn(2, 7, 3)
    steps, rows = torch.export.Dim('steps', min=2, max=1000), torch.export.Dim('rows', min=2, max=100)
    for strict in (False, True):
        program = torch.export.export(model, (x,), dynamic_shapes={'x': {0: rows, 1: steps}}, strict=strict)
        assert sum('latchwork.recurrent' in target for target in targets(program)) == 1
        for shape in [(2, 7, 3), (5, 30, 3)]:
            other = torch.randn(*shape)
            close(program.module()(other), model(other))
        assert set(program.state_dict) == set(model.state_dict())


def test_export_can_be_saved_and_loaded(tmp_path):
    model = Model(lt.GRU(3, 5), 5).eval()
    x = torch.randn(7, 2, 3)
    torch.export.save(torch.export.export(model, (x,)), tmp_path / 'model.pt2')
    close(torch.export.load(tmp_path / 'model.pt2').module()(x), model(x))


def arguments(mode, batch_first, states, grad=True):
    module = nn.LSTM(3, 5, 2) if mode == 'LSTM' else nn.GRU(3, 5, 2) if mode == 'GRU' else nn.RNN(3, 5, 2)
    x = torch.randn(4, 2, 3).requires_grad_(grad)
    rows = 4 if batch_first else 2
    h0 = torch.randn(2, rows, 5).requires_grad_(grad) if states else None
    c0 = torch.randn(2, rows, 5).requires_grad_(grad) if states and mode == 'LSTM' else None
    weights = [p.detach().requires_grad_(grad) for p in module.parameters()]
    return x, h0, c0, weights, mode, 5, 2, False, True, 0, batch_first


@pytest.mark.parametrize('states', [False, True])
@pytest.mark.parametrize('mode', ['LSTM', 'GRU', 'RNN_TANH'])
def test_opcheck(mode, states):
    op = torch.ops.latchwork.recurrent.default
    result = torch.library.opcheck(op, arguments(mode, states, states))
    assert set(result.values()) == {'SUCCESS'}
    given = arguments(mode, states, states, grad=False)
    y, h, c = op(*given)
    result = torch.library.opcheck(torch.ops.latchwork.recurrent_backward.default,
                                   (torch.randn_like(y), torch.randn_like(h), torch.randn_like(c), *given))
    assert set(result.values()) == {'SUCCESS'}


def test_the_operator_refuses_weights_that_do_not_fit():
    given = list(arguments('GRU', False, False, grad=False))
    for wrong in (given[3][:3], [w.double() for w in given[3]], [w.t() if w.dim() == 2 else w for w in given[3]]):
        with pytest.raises((RuntimeError, ValueError)):
            torch.ops.latchwork.recurrent(*given[:3], wrong, *given[4:])
    for x in (torch.randn(4, 2, 7), torch.randn(4, 2, 3, dtype=torch.float64), torch.randn(4, 3)):
        with pytest.raises((RuntimeError, ValueError)):
            torch.ops.latchwork.recurrent(x, *given[1:])
    for h0 in (torch.randn(2, 3, 5), torch.randn(2, 2, 4), torch.randn(2, 2, 5, dtype=torch.float64)):
        with pytest.raises((RuntimeError, ValueError)):
            torch.ops.latchwork.recurrent(given[0], h0, *given[2:])


def test_what_is_refused_while_compiling_is_refused():
    compiled = torch.compile(lt.LSTM(3, 5), fullgraph=True, backend='eager')
    with pytest.raises(Exception, match='input_size'):
        compiled(torch.randn(4, 2, 7))


def test_a_gradient_of_a_gradient_is_refused_in_a_sentence():
    x, *rest = arguments('GRU', False, False)
    y, _, _ = torch.ops.latchwork.recurrent(x, *rest)
    with pytest.raises(RuntimeError, match='no gradient of its gradient'):
        gradient, = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        gradient.sum().backward()


def test_importing_is_enough_before_and_after_pytorchs_compiler():
    """torch.compile refuses recurrent modules unless told otherwise; importing latchwork.torch tells it, lazily."""
    text = ('import sys, torch\n{}import latchwork.torch as lt\n'
            'assert ("torch._dynamo" in sys.modules) is {}\n'
            'f = torch.compile(lt.LSTM(3, 5), fullgraph=True, backend="eager")\n'
            'print(f(torch.randn(4, 2, 3))[0].shape)')
    for first, loaded in (('', False), ('import torch._dynamo\n', True)):
        done = subprocess.run([sys.executable, '-c', text.format(first, loaded)], capture_output=True, text=True,
                              timeout=300)
        assert done.returncode == 0 and 'torch.Size([4, 2, 5])' in done.stdout, done.stderr
