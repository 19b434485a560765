# SPDX-License-Identifier: Apache-2.0
"""accelerate(model) and restore(model) on models that hold more than recurrent modules."""
import copy

import pytest
from torch_case import LAYERS, close, counting, lt, nn, torch

assert counting


class Subclass(nn.GRU):
    def forward(self, input, hx=None):
        return super().forward(input * 2, hx)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.encoder = nn.ModuleList([nn.LSTM(6, 5, bidirectional=True, batch_first=True),
                                      nn.GRU(10, 7, batch_first=True)])
        self.again = self.encoder[1]  # shared
        self.tied = nn.GRU(7, 7, batch_first=True)
        self.other = nn.GRU(7, 7, batch_first=True)
        self.other.weight_hh_l0 = self.tied.weight_hh_l0  # a shared parameter
        self.cells = nn.ModuleDict({'lstm': nn.LSTMCell(7, 4), 'rnn': nn.RNNCell(4, 4, nonlinearity='relu')})
        self.special = Subclass(4, 4)
        self.exact = nn.RNN(4, 4).double()
        self.head = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(-1))

    def forward(self, words):
        y, _ = self.encoder[0](self.embed(words))
        y, _ = self.again(y)
        y, _ = self.tied(y)
        y, _ = self.other(y)
        h, c = self.cells['lstm'](y[:, -1])
        h = self.cells['rnn'](h, c)
        h = self.special(h)[0]
        return self.head(self.exact(h.double())[0].float())


def identities(model):
    return {name: (id(module), [id(p) for p in module.parameters(recurse=False)])
            for name, module in model.named_modules()}


def train(model, words):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(4):
        optimiser.zero_grad()
        loss = model(words)[:, 0].mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def test_a_nested_model(counting):
    torch.manual_seed(0)
    model = Tagger()
    words, seen = torch.randint(10, (3, 8)), []
    model.encoder[0].register_forward_hook(lambda *_: seen.append('hook'))
    before = identities(model)
    expected = model(words)
    twin = copy.deepcopy(model)

    result = lt.accelerate(model)
    assert result.replaced == ['encoder.0', 'encoder.1', 'tied', 'other', 'cells.lstm', 'cells.rnn']
    assert list(result.kept) == ['special', 'exact']
    assert 'Subclass' in result.kept['special'] and 'torch.float64' in result.kept['exact']
    assert 'encoder.0: runs on Latchwork' in str(result) and 'exact: left to PyTorch: its parameter' in str(result)
    assert identities(model) == before
    assert model.again is model.encoder[1] and model.other.weight_hh_l0 is model.tied.weight_hh_l0
    assert repr(model) == repr(twin) and list(model.state_dict()) == list(twin.state_dict())
    assert isinstance(model.encoder[0], nn.LSTM) and type(model.encoder[0]) is lt.LSTM

    close(model(words), expected)
    assert counting.runs == 6 and seen == ['hook', 'hook']
    torch.testing.assert_close(train(model, words), train(twin, words), rtol=1e-4, atol=1e-5)
    assert lt.accelerate(model).replaced == result.replaced

    learnt = model(words)
    assert lt.restore(model) == result.replaced
    assert not [m for m in model.modules() if type(m).__module__.startswith('latchwork')]
    runs = counting.runs
    close(model(words), learnt)
    assert counting.runs == runs and lt.restore(model) == []
    assert not any(key.startswith('_latchwork') for m in model.modules() for key in m.__dict__)


@pytest.mark.parametrize('name', LAYERS)
def test_the_model_itself(name, counting):
    model = getattr(nn, name)(3, 5)
    x = torch.randn(4, 2, 3)
    expected = model(x)
    assert lt.accelerate(model).replaced == ['']
    close(model(x), expected)
    assert counting.runs == 1
    assert '(the model itself): runs' in str(lt.accelerate(model))
    lt.restore(model)
    assert type(model) is getattr(nn, name)


def test_restore_leaves_what_was_latchworks_from_the_start():
    model = nn.Sequential(lt.LSTM(3, 5))
    lt.accelerate(model)
    assert lt.restore(model) == [] and type(model[0]) is lt.LSTM


def test_a_copy_of_an_accelerated_model_can_be_restored():
    model = nn.ModuleList([nn.LSTM(3, 5)])
    lt.accelerate(model)
    model[0](torch.randn(4, 2, 3))
    copied = copy.deepcopy(model)
    assert lt.restore(copied) == ['0'] and type(copied[0]) is nn.LSTM and type(model[0]) is lt.LSTM


@pytest.mark.filterwarnings('ignore')
def test_what_cannot_be_replaced_says_why():
    with_forward = nn.GRU(3, 5)
    with_forward.forward = lambda x: x
    odd = nn.RNNCell(3, 5)
    odd.nonlinearity = 'sine'
    model = nn.ModuleDict({
        'on meta': nn.LSTM(3, 5, device='meta'), 'in half': nn.GRU(3, 5).half(), 'own forward': with_forward,
        'odd': odd,
        'parametrised': nn.utils.parametrizations.weight_norm(nn.LSTM(3, 5), 'weight_hh_l0'),
        'script': torch.jit.script(nn.LSTM(3, 5)), 'linear': nn.Linear(3, 5)})
    kept = lt.accelerate(model).kept
    reasons = {'on meta': 'meta', 'in half': 'torch.float16', 'own forward': 'forward', 'odd': "'sine'",
               'parametrised': 'ParametrizedLSTM', 'script': 'TorchScript'}
    assert set(kept) == set(reasons)
    for name, word in reasons.items():
        assert word in kept[name]
    assert lt.restore(model) == []


def test_only_models():
    for function in (lt.accelerate, lt.restore):
        with pytest.raises(TypeError, match='expected a torch.nn.Module'):
            function('model')
    assert str(lt.accelerate(nn.Linear(2, 2))) == 'no recurrent modules'
