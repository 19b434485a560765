# SPDX-License-Identifier: Apache-2.0
"""The short way of latchwork.torch: module(...) without nn.Module.__call__. Nobody may notice but by the clock."""
import copy
import pickle

import pytest
from torch_case import CELLS, LAYERS, close, counting, flat, lt, nn, pair, torch

from latchwork._core import Recurrent

assert counting


@pytest.fixture(params=[True, False], ids=['shim', 'no shim'])
def shim(request):
    """Results made through PyTorch's C shim, and by its Python functions as where there is no shim."""
    Recurrent.use_shim(request.param)
    yield request.param
    Recurrent.use_shim(True)


def warm(name, **options):
    """Both modules, ours ready for the short way, and an input."""
    theirs, ours = pair(name, 3, 5, **options)
    x = torch.randn(2, 3) if name in CELLS else torch.randn(4, 2, 3)
    with torch.no_grad():
        ours(x)
    return theirs, ours, x


def quick_runs(ours):
    """Counts what the short way has done for this module."""
    engine, seen = ours.__dict__['_latchwork'], []
    real = engine.quick

    def counted(*arguments):
        result = real(*arguments)
        seen.append(result is not None)
        return result

    engine.quick = counted
    return seen


@pytest.mark.parametrize('name', LAYERS + CELLS)
def test_results_are_fresh_plain_tensors(name, shim):
    theirs, ours, x = warm(name)
    seen = quick_runs(ours)
    with torch.no_grad():
        for args, kwargs in (((x,), {}), ((x, None), {}), ((x[0] if name in CELLS else x[:, 0],), {}),
                             ((x[::2],), {}), ((x.flip(-1),), {})):
            close(ours(*args, **kwargs), theirs(*args, **kwargs))
        result, again = flat(ours(x)), flat(ours(x))
        assert all(seen) and len(seen) == 7
        expected = [t.clone() for t in again]
        for i, tensor in enumerate(result):
            assert type(tensor) is torch.Tensor and tensor.is_contiguous() and not tensor.requires_grad
            assert tensor.dtype is torch.float32 and tensor._version == 0 and tensor.is_leaf and tensor._base is None
            assert tensor.untyped_storage().nbytes() == tensor.numel() * 4 and not tensor.is_inference()
            tensor.fill_(7)  # reaches no other result, neither of this call nor of another
            assert all(bool((other != 7).all()) for other in result[i + 1:])
        close(again, expected, rtol=0, atol=0)
        result[0].resize_(3, 3)
    with torch.inference_mode():
        assert all(t.is_inference() for t in flat(ours(x)))
    assert all(seen) and len(seen) == 8


def test_states_by_position_and_by_name():
    for name in LAYERS + CELLS:
        theirs, ours, x = warm(name)
        seen = quick_runs(ours)
        with torch.no_grad():
            result = theirs(x)
            hx = result[1] if name in LAYERS else result
            close(ours(x, hx), theirs(x, hx))
            close(ours(x, hx=hx), theirs(x, hx=hx))
            assert seen == [True, True]
            close(ours(input=x, hx=hx), theirs(input=x, hx=hx))
            close(ours(x, list(hx)) if name.startswith('LSTM') else ours(x), theirs(x, hx) if name.startswith('LSTM')
                  else theirs(x))
            for wrong in (lambda m: m(), lambda m: m(x, hx, 1), lambda m: m(x, nothing=1), lambda m: m(x, x=1)):
                with pytest.raises(TypeError):
                    wrong(theirs)
                with pytest.raises(TypeError):
                    wrong(ours)


def test_no_hook_is_passed_by():
    _, ours, x = warm('LSTM')
    said = []
    hooks = [ours.register_forward_hook, ours.register_forward_pre_hook, ours.register_full_backward_hook,
             ours.register_full_backward_pre_hook, nn.modules.module.register_module_forward_hook,
             nn.modules.module.register_module_forward_pre_hook,
             nn.modules.module.register_module_full_backward_hook,
             nn.modules.module.register_module_full_backward_pre_hook]
    seen = quick_runs(ours)
    with torch.no_grad():
        for register in hooks:
            handle = register(lambda *_: said.append(1))
            ours(x)
            handle.remove()
            ours(x)
    assert seen == [False, True] * len(hooks) and len(said) == 4


def test_no_other_forward_is_passed_by(monkeypatch):
    class Own(lt.LSTM):
        def forward(self, input, hx=None):
            return 'own'

    class Mixin:
        def forward(self, input, hx=None):
            return 'mixed in'

    class Mixed(Mixin, lt.GRU):
        pass

    class Same(lt.GRU):
        pass

    x = torch.randn(4, 2, 3)
    with torch.no_grad():
        for kind, expected in ((Own, 'own'), (Mixed, 'mixed in')):
            module = kind(3, 5)
            lt.modules._Layers.forward(module, x)  # so that there is something to go to
            assert '_latchwork' in module.__dict__ and module(x) == expected
        same = Same(3, 5)
        same(x)
        seen = quick_runs(same)
        same(x)
        assert seen == [True]
        _, ours, x = warm('RNN')
        seen = quick_runs(ours)
        ours.forward = lambda x: 'of the instance'
        assert ours(x) == 'of the instance'
        del ours.forward
        monkeypatch.setattr(nn.Module, '__call__', lambda self, *args: 'patched')
        assert ours(x) == 'patched'
        monkeypatch.undo()
        monkeypatch.setattr(lt.RNN, 'forward', lambda self, *args: 'of the class')
        assert ours(x) == 'of the class'
        monkeypatch.undo()
        ours(x)
        assert seen == [False, False, False, True]


def test_a_compiled_module_runs_compiled():
    torch._dynamo.reset()
    _, ours, x = warm('GRU')
    seen = quick_runs(ours)
    with torch.no_grad():
        expected = ours(x)
        ours.compile(backend='eager', fullgraph=True)
        close(ours(x), expected)
        assert seen[0] and not any(seen[1:])
    torch._dynamo.reset()


def test_modes_that_follow_operations():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Names(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.names = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    theirs, ours, x = warm('LSTM')
    seen = quick_runs(ours)
    with torch.no_grad():
        names = []
        for module in (theirs, ours):
            with Names() as mode:
                module(x)
            names.append(mode.names)
        assert names[0] == names[1] and names[0]
        with torch.autocast('cpu', dtype=torch.bfloat16):
            assert ours(x)[0].dtype is torch.bfloat16
        with torch.autograd.forward_ad.dual_level():
            ours(x)
    torch.func.grad(lambda x: ours(x)[0].sum())(x)
    ours(x)  # with gradients
    assert not any(seen)


def test_dropout_while_training_is_not_passed_by():
    _, ours, x = warm('LSTM', num_layers=2, dropout=0.5)
    with torch.no_grad():
        assert not torch.equal(ours(x)[0], ours(x)[0])
        ours.eval()
        assert torch.equal(ours(x)[0], ours(x)[0])


def test_what_is_not_a_plain_tensor_goes_the_long_way():
    class Tagged(torch.Tensor):
        pass

    theirs, ours, x = warm('GRU')
    seen = quick_runs(ours)
    negative = torch.randn(4, 2, 3, dtype=torch.complex64).conj().imag
    assert negative.is_neg()
    with torch.no_grad():
        for given in (negative, x.as_subclass(Tagged), torch.randn(4, 0, 3)):
            close([t.as_subclass(torch.Tensor) for t in flat(ours(given))],
                  [t.as_subclass(torch.Tensor) for t in flat(theirs(given))])
        for wrong in (x.double(), x.to_sparse(), 'text', torch.randn(4, 2, 7)):
            with pytest.raises(Exception) as expected:
                theirs(wrong)
            with pytest.raises(expected.type):
                ours(wrong)
    assert not any(seen)


def test_copies_find_the_short_way_themselves():
    _, ours, x = warm('LSTM')
    with torch.no_grad():
        for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            assert '_latchwork' not in copied.__dict__
            copied(x)
            seen = quick_runs(copied)
            close(copied(x), ours(x), rtol=0, atol=0)
            assert seen == [True]


def test_nothing_leaks():
    import gc
    import sys
    _, ours, x = warm('LSTM')
    with torch.no_grad():
        hx = ours(x)[1]
        for _ in range(10):
            ours(x, hx)
        while gc.collect():  # what other tests have left may take more than one round
            pass
        before = [sys.getrefcount(x), sys.getrefcount(hx), sys.getrefcount(hx[0]), len(gc.get_objects())]
        for _ in range(1000):
            ours(x, hx)
        gc.collect()
        after = [sys.getrefcount(x), sys.getrefcount(hx), sys.getrefcount(hx[0]), len(gc.get_objects())]
    assert before[:3] == after[:3] and abs(before[3] - after[3]) < 20
