# SPDX-License-Identifier: Apache-2.0
"""latchwork.torch against torch.nn: random configurations with gradients and without, PyTorch's own module inputs, errors.

LATCHWORK_TORCH_CONFIGURATIONS says how many configurations are drawn (2,000).
"""
import copy
import pickle
import warnings

import pytest
from torch_case import CELLS, CONFIGURATIONS, LAYERS, close, counting, draw, flat, lt, make_input, nn, pair, torch

warnings.filterwarnings('ignore', message='LSTM with projections is not supported with oneDNN')
BATCHES = 10  # tests that the configurations are dealt to
assert counting


def chosen(result, which):
    """The outputs that the loss is made of."""
    tensors = [tensor for tensor in flat(result) if tensor.is_floating_point()]
    return tensors if which == 'all' or len(tensors) == 1 else tensors[:1] if which == 'y' else tensors[1:]


def loss(tensors):
    return sum((tensor * torch.linspace(-1, 1, tensor.numel()).reshape(tensor.shape)).sum() for tensor in tensors)


def close_gradients(ours, theirs):
    """To the tolerance of the outputs, once the largest gradient of all is 1: a sum over many outputs, through a ReLU
    network above all, has gradients of any size, and neither side's rounding errors are smaller than that size allows."""
    assert len(ours) == len(theirs)
    pairs = [(a, b) for a, b in zip(ours, theirs) if a is not None and b is not None]
    assert all(not t.any() for a, b in zip(ours, theirs) for t in (a, b) if (a is None or b is None) and t is not None)
    largest = max(b.abs().max().item() for _, b in pairs if b.numel()) or 1.0  # a ReLU that lets nothing through: all 0
    close([a / largest for a, _ in pairs], [b / largest for _, b in pairs])


def outcome(module, seed, grad):
    """(result, gradients of the input, the states and the parameters) of the call that seed draws."""
    name, sizes, options, call = draw(seed)
    torch.manual_seed(seed)  # of dropout's masks
    x, hx, leaves = make_input(name, sizes, options, call, seed, grad)
    with torch.set_grad_enabled(grad):
        result = module(x, hx)
    if not grad:
        return result, []
    wanted = leaves + list(module.parameters())
    return result, torch.autograd.grad(loss(chosen(result, call['outputs'])), wanted, allow_unused=True)


@pytest.mark.parametrize('batch', range(BATCHES))
def test_random_configurations_are_equal_to_pytorch(batch, counting):
    for seed in range(batch, CONFIGURATIONS, BATCHES):
        name, sizes, options, call = draw(seed)
        torch.manual_seed(seed)
        theirs, ours = pair(name, *sizes, scale=1.5, **options)
        for grad in (False, True):
            message = f'seed {seed}: {name}{sizes} {options} {call}, gradients: {grad}'
            expected, their_gradients = outcome(theirs, seed, grad)
            before = counting.runs
            got, our_gradients = outcome(ours, seed, grad)
            assert counting.runs > before, 'not run on Latchwork: ' + message
            try:
                assert type(got) is type(expected)
                close(got, expected)
                if grad:
                    close_gradients(our_gradients, their_gradients)
            except AssertionError as error:
                raise AssertionError(f'{message}\n{error}') from None


def test_the_gradients_are_those_of_double_precision(counting):
    for name in LAYERS:
        theirs, ours = pair(name, 5, 12, num_layers=2, bidirectional=True)
        x = torch.randn(9, 4, 5)
        exact = copy.deepcopy(theirs).double()
        a = torch.autograd.grad(ours(x)[0].square().sum(), list(ours.parameters()))
        b = torch.autograd.grad(exact(x.double())[0].square().sum(), list(exact.parameters()))
        assert counting.runs
        close_gradients([gradient.double() for gradient in a], b)


# ---- PyTorch's own database of module inputs ----

def module_infos():
    from torch.testing._internal.common_modules import module_db
    return [info for info in module_db if info.module_cls in [getattr(nn, name) for name in LAYERS + CELLS]]


try:
    INFOS = module_infos()
except ImportError as error:  # a part of PyTorch that is not promised
    INFOS = []
    REASON = f'PyTorch gives no database of modules: {error}'
else:
    REASON = 'PyTorch has no database of modules'


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('info', INFOS or [pytest.param(None, marks=pytest.mark.skip(reason=REASON))],
                         ids=lambda info: info and info.name)
def test_inputs_of_pytorchs_own_tests(info, training, counting):
    inputs = info.module_inputs_func(info, device='cpu', dtype=torch.float32, requires_grad=True, training=training)
    assert inputs
    ran = 0
    for given in inputs:
        args, kwargs = given.constructor_input.args, given.constructor_input.kwargs
        theirs, ours = pair(info.module_cls.__name__, *args, **kwargs)
        assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
        ours.train(training), theirs.train(training)
        forward_args, forward_kwargs = given.forward_input.args, given.forward_input.kwargs
        forwards = [copy.deepcopy((forward_args, forward_kwargs)) for _ in range(2)]
        torch.manual_seed(1)
        expected = theirs(*forwards[0][0], **forwards[0][1])
        torch.manual_seed(1)
        before = counting.runs
        got = ours(*forwards[1][0], **forwards[1][1])
        ran += counting.runs > before
        close(got, expected)
        # gradients
        leaves = [[t for t in flat([a for a in f[0] if a is not None] + list(f[1].values()))
                   if isinstance(t, torch.Tensor) and t.requires_grad] for f in forwards]
        for part, module, result in zip(leaves, (theirs, ours), (expected, got)):
            part += list(module.parameters())
            loss(chosen(result, 'all')).backward()
        close_gradients([leaf.grad for leaf in leaves[1]], [leaf.grad for leaf in leaves[0]])
        # inputs that are not contiguous
        def spread(value):
            if isinstance(value, torch.Tensor) and value.dim() > 0 and value.is_floating_point():
                wide = torch.empty(*value.shape, 2)
                wide[..., 0] = value.detach()
                return wide[..., 0]
            if isinstance(value, tuple) and not hasattr(value, 'batch_sizes'):
                return tuple(map(spread, value))
            return value
        torch.manual_seed(1)
        close(ours(*map(spread, forward_args), **{k: spread(v) for k, v in forward_kwargs.items()}), expected)
        # pickling and copying keep the results
        for copied in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
            assert type(copied) is type(ours)
            torch.manual_seed(1)
            close(copied(*forwards[1][0], **forwards[1][1]), expected)
    assert ran == len(inputs), f'{ran} of {len(inputs)} ran on Latchwork'


@pytest.mark.parametrize('name', LAYERS)
def test_a_batch_of_none(name):
    theirs, ours = pair(name, 3, 5, num_layers=2)
    for shape in [(4, 0, 3)]:
        x = torch.randn(*shape, requires_grad=True)
        close(ours(x), theirs(x))
        flat(ours(x))[0].sum().backward()
        assert x.grad.shape == x.shape and all(p.grad is not None for p in ours.parameters())


@pytest.mark.parametrize('name', CELLS)
def test_a_batch_of_none_in_a_cell(name):
    theirs, ours = pair(name, 3, 5)
    close(ours(torch.randn(0, 3)), theirs(torch.randn(0, 3)))


# ---- errors ----

WRONG = {
    'rank': lambda m: m(torch.randn(2, 3, 4, 3)),
    'width': lambda m: m(torch.randn(4, 2, 7)),
    'no steps': lambda m: m(torch.randn(0, 2, 3)),
    'double': lambda m: m(torch.randn(4, 2, 3, dtype=torch.float64)),
    'integers': lambda m: m(torch.ones(4, 2, 3, dtype=torch.int64)),
    'state of another batch': lambda m: m(torch.randn(4, 2, 3), states(m, 2, 3, 5)),
    'state of another width': lambda m: m(torch.randn(4, 2, 3), states(m, 2, 2, 6)),
    'state of other layers': lambda m: m(torch.randn(4, 2, 3), states(m, 1, 2, 5)),
    'state of another rank': lambda m: m(torch.randn(4, 2, 3), states(m, 2, 5)),
    'state with an unbatched input': lambda m: m(torch.randn(4, 3), states(m, 2, 1, 5)),
    'double state': lambda m: m(torch.randn(4, 2, 3), states(m, 2, 2, 5, dtype=torch.float64)),
    'a list': lambda m: m([1.0, 2.0]),
    'nothing': lambda m: m(None),
}


def states(module, *shape, dtype=torch.float32):
    state = torch.zeros(*shape, dtype=dtype)
    return (state, state) if module.mode == 'LSTM' else state


@pytest.mark.parametrize('case', WRONG)
@pytest.mark.parametrize('name', LAYERS)
def test_what_pytorch_refuses_is_refused_alike(name, case):
    theirs, ours = pair(name, 3, 5, num_layers=2)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            with pytest.raises(Exception) as expected:
                WRONG[case](theirs)
            with pytest.raises(Exception) as got:
                WRONG[case](ours)
        assert got.type is expected.type and str(got.value) == str(expected.value)


WRONG_CELL = [lambda m: m(torch.randn(2, 2, 3)), lambda m: m(torch.randn(2, 4)),
              lambda m: m(torch.randn(2, 3), cell_state(m, 3, 5)), lambda m: m(torch.randn(2, 3), cell_state(m, 2, 6)),
              lambda m: m(torch.randn(2, 3).double()), lambda m: m(torch.randn(2, 3), cell_state(m, 2, 1, 5))]


def cell_state(module, *shape):
    return (torch.zeros(*shape),) * 2 if isinstance(module, nn.LSTMCell) else torch.zeros(*shape)


@pytest.mark.parametrize('case', range(len(WRONG_CELL)))
@pytest.mark.parametrize('name', CELLS)
def test_what_a_cell_of_pytorch_refuses_is_refused_alike(name, case):
    theirs, ours = pair(name, 3, 5)
    with pytest.raises(Exception) as expected:
        WRONG_CELL[case](theirs)
    with pytest.raises(Exception) as got:
        WRONG_CELL[case](ours)
    assert got.type is expected.type and str(got.value) == str(expected.value)


@pytest.mark.parametrize('options', [{'num_layers': 0}, {'dropout': 1.5}, {'dropout': 'x'}, {'hidden_size': 0},
                                     {'hidden_size': 2.5}, {'input_size': 0}, {'bias': 1}, {'batch_first': 1},
                                     {'proj_size': 5}, {'proj_size': -1}])
def test_constructors_refuse_what_pytorchs_refuse(options):
    options = {'input_size': 3, 'hidden_size': 5} | options
    for name in LAYERS:
        with pytest.raises(Exception) as expected:
            getattr(nn, name)(**options)
        with pytest.raises(Exception) as got:
            getattr(lt, name)(**options)
        assert got.type is expected.type and str(got.value) == str(expected.value)


@pytest.mark.parametrize('sizes', [[2, 3], [2, 0], [3, 2], [1, 1], [-1, 6], [2**62, 2**62], []])
def test_batch_sizes_that_cannot_be(sizes):
    """PyTorch reads or writes outside its memory for some of these; here each is an exception."""
    data = torch.randn(4, 3)
    packed = nn.utils.rnn.PackedSequence(data, torch.tensor(sizes, dtype=torch.int64))
    for grad in (False, True):
        with torch.set_grad_enabled(grad), pytest.raises((RuntimeError, IndexError)):
            lt.GRU(3, 5)(packed)
