# SPDX-License-Identifier: Apache-2.0
"""Bad input that has crashed recurrent modules elsewhere: here each is an exception of torch.nn's kind, or a defined result.

Every case runs with gradients and without, on a module that has run before (its short way) and on a new one.
"""
import pytest
from torch_case import LAYERS, close, flat, lt, nn, pair, torch


def state(module, *shape):
    zeros = torch.zeros(*shape)
    return (zeros, zeros) if isinstance(module, nn.LSTM) else zeros


REFUSED = {
    'B1 an input of rank 1': lambda m: m(torch.randn(3)),
    'B1 an input of rank 4': lambda m: m(torch.randn(1, 4, 2, 3)),
    'B1 no input': lambda m: m(None),
    'B2 an input of another width': lambda m: m(torch.randn(4, 2, 4)),
    'B3 a state of another width': lambda m: m(torch.randn(4, 2, 3), state(m, 2, 2, 4)),
    'B3 a state of rank 2': lambda m: m(torch.randn(4, 2, 3), state(m, 2, 5)),
    'B3 a state of other layers': lambda m: m(torch.randn(4, 2, 3), state(m, 3, 2, 5)),
    'B4 a state of another batch': lambda m: m(torch.randn(4, 2, 3), state(m, 2, 1, 5)),
    'B4 a state of a batch for none': lambda m: m(torch.randn(4, 3), state(m, 2, 2, 5)),
    'B6 no steps': lambda m: m(torch.randn(0, 2, 3)),
    'B6 no width': lambda m: m(torch.randn(4, 2, 0)),
    'B10 double': lambda m: m(torch.randn(4, 2, 3).double()),
}


@pytest.mark.parametrize('case', REFUSED)
@pytest.mark.parametrize('name', LAYERS)
def test_refused_as_pytorch_refuses_it(name, case):
    theirs, ours = pair(name, 3, 5, num_layers=2)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            with pytest.raises(Exception) as expected:
                REFUSED[case](theirs)
            for _ in range(2):
                with pytest.raises(expected.type):
                    REFUSED[case](ours)
                close(ours(torch.ones(4, 2, 3)), theirs(torch.ones(4, 2, 3)))  # usable, and on its short way next


def test_B2_weights_that_do_not_fit():
    """torch.nn.LSTM reads beyond such weights."""
    for name in LAYERS:
        for grad in (False, True):
            ours = getattr(lt, name)(3, 5)
            ours.weight_hh_l0 = nn.Parameter(torch.randn(7, 5))
            for _ in range(2):
                with torch.set_grad_enabled(grad), pytest.raises(RuntimeError):
                    ours(torch.randn(4, 2, 3))


@pytest.mark.parametrize('options', [{'num_layers': 0}, {'num_layers': -1}, {'dropout': 1.5}, {'dropout': -0.1},
                                     {'hidden_size': 0}, {'hidden_size': -3}], ids=str)
def test_B5_constructors(options):
    for name in LAYERS:
        with pytest.raises(Exception) as expected:
            getattr(nn, name)(**({'input_size': 3, 'hidden_size': 5} | options))
        with pytest.raises(expected.type):
            getattr(lt, name)(**({'input_size': 3, 'hidden_size': 5} | options))


def test_B5_missing_parameters():
    for name in LAYERS:
        with pytest.raises(RuntimeError, match='Missing key'):
            getattr(lt, name)(3, 5).load_state_dict({})


def test_B6_a_batch_of_none():
    for name in LAYERS:
        theirs, ours = pair(name, 3, 5)
        close(ours(torch.randn(4, 0, 3)), theirs(torch.randn(4, 0, 3)))


@pytest.mark.parametrize('sizes', [[2, 3], [2, 0], [3, 2], [-1, 6], [2**62, 2**62], [0, 0], []], ids=str)
def test_B7_B8_batch_sizes(sizes):
    packed = nn.utils.rnn.PackedSequence(torch.randn(4, 3), torch.tensor(sizes, dtype=torch.int64))
    for name in LAYERS:
        for grad in (False, True):
            with torch.set_grad_enabled(grad), pytest.raises((RuntimeError, IndexError)):
                getattr(lt, name)(3, 5)(packed)


def test_B9_states_are_optional():
    for name in LAYERS:
        theirs, ours = pair(name, 3, 5)
        x = torch.randn(4, 2, 3)
        close(ours(x, None), theirs(x))
        close(ours(x), ours(x, state(ours, 1, 2, 5)))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), 1e-42, 3e38])
def test_B11_odd_numbers_stay_in_their_row(value):
    for name in LAYERS:
        _, ours = pair(name, 3, 5)
        x = torch.randn(6, 3, 3)
        odd = x.clone()
        odd[2, 1, 0] = value
        with torch.no_grad():
            usual, got = ours(x)[0], ours(odd)[0]
        assert torch.equal(got[:, [0, 2]], usual[:, [0, 2]]) and torch.equal(got[:2, 1], usual[:2, 1])
        if value != value:
            assert got[2:, 1].isnan().all()
        assert flat(got)
