# SPDX-License-Identifier: Apache-2.0
"""latchwork.torch in use: weights that change, gradients of every kind, copies, processes, threads, and what PyTorch
does to modules from outside (hooks, transforms, tracing, parametrisations)."""
import copy
import gc
import io
import multiprocessing
import pickle
import threading
import weakref

import pytest
from torch_case import CELLS, LAYERS, close, counting, flat, lt, nn, pair, torch
from torch.nn.utils.rnn import pack_sequence

assert counting


def both(theirs, ours, *args):
    with torch.no_grad():
        close(ours(*args), theirs(*args))


# ---- weights are never stale ----

OPTIMISERS = {
    'sgd': lambda p: torch.optim.SGD(p, lr=0.5),
    'sgd foreach': lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.9, foreach=True),
    'adam': lambda p: torch.optim.Adam(p, lr=0.1),
    'adamw fused': lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    'rmsprop': lambda p: torch.optim.RMSprop(p, lr=0.1),
    'lbfgs': lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
}


@pytest.mark.parametrize('optimiser', OPTIMISERS)
@pytest.mark.parametrize('name', LAYERS + CELLS)
def test_an_optimiser_changes_the_next_call(name, optimiser, counting):
    theirs, ours = pair(name, 3, 5)
    x = torch.randn(2, 3) if name in CELLS else torch.randn(4, 2, 3)
    step = OPTIMISERS[optimiser](ours.parameters())
    with torch.no_grad():
        before = flat(ours(x))[0].clone()
    for _ in range(3):
        def closure():
            step.zero_grad()
            result = flat(ours(x))[0].square().sum()
            result.backward()
            return result
        step.step(closure)
        theirs.load_state_dict(ours.state_dict())
        both(theirs, ours, x)
    with torch.no_grad():
        assert (flat(ours(x))[0] - before).abs().max() > 1e-3 and counting.runs >= 8


def assign_data(weight):
    weight.data = torch.randn_like(weight)


def write_row(weight):
    weight.data[3:4].fill_(0.25)


CHANGES = {
    'copy_': lambda w: w.copy_(torch.randn_like(w)),
    'one element': lambda w: w[0, 0].add_(1),
    'data assigned': assign_data,
    'data written': lambda w: w.data.mul_(0.5),
    'a row of data written': write_row,
    'one element of data written': lambda w: w.data[2, 1].add_(1),
    'through numpy': lambda w: w.detach().numpy().__imul__(0.5),
    'initialised': lambda w: nn.init.orthogonal_(w),
    'set_': lambda w: w.set_(torch.randn_like(w)),
}


@pytest.mark.parametrize('change', CHANGES)
def test_any_change_of_a_small_weight_is_seen(change, counting):
    theirs, ours = pair('LSTM', 3, 5)
    x = torch.randn(4, 2, 3)
    for weight in ('weight_hh_l0', 'weight_ih_l0'):
        both(theirs, ours, x)
        with torch.no_grad():
            CHANGES[change](getattr(ours, weight))
        theirs.load_state_dict(ours.state_dict())
        both(theirs, ours, x)
        y, _ = ours(x)  # with gradients: the tape's own packed weights
        close(y.detach(), theirs(x)[0].detach())
    assert counting.runs == 6


def test_data_written_to_a_large_weight_is_seen_in_samples_and_flatten_parameters_makes_sure():
    theirs, ours = pair('GRU', 128, 128)
    x = torch.randn(3, 2, 128)
    both(theirs, ours, x)
    for part in (slice(None), slice(0, 128), slice(200, 210)):  # everything, a gate, ten rows
        ours.weight_hh_l0.data[part].mul_(0.5)
        theirs.load_state_dict(ours.state_dict())
        both(theirs, ours, x)
    ours.weight_hh_l0.data[1, 1] += 5  # behind every counter and beside every sample
    ours.flatten_parameters()
    theirs.load_state_dict(ours.state_dict())
    both(theirs, ours, x)


def test_a_parameter_that_is_replaced_is_used():
    theirs, ours = pair('RNN', 3, 5)
    x = torch.randn(4, 2, 3)
    both(theirs, ours, x)
    for _ in range(20):  # new tensors may get the addresses of old ones
        weight = torch.randn(5, 5)
        theirs.weight_hh_l0, ours.weight_hh_l0 = nn.Parameter(weight.clone()), nn.Parameter(weight.clone())
        del weight
        both(theirs, ours, x)


def test_weights_without_versions_are_compared_whole():
    with torch.inference_mode():
        theirs, ours = pair('LSTM', 100, 64)
        x = torch.randn(2, 1, 100)
        close(ours(x), theirs(x))
        for module in (theirs, ours):
            module.weight_ih_l0[77, 3] = 3.0
        close(ours(x), theirs(x))


# ---- gradients ----

def test_many_runs_before_one_way_back(counting):
    """Each run keeps its own tape until the graph is gone."""
    theirs, ours = pair('LSTM', 3, 5, num_layers=2)
    pieces = torch.randn(6, 4, 2, 3)
    for module in (theirs, ours):
        hx, total = None, 0
        for piece in pieces:
            y, hx = module(piece, hx)
            total = total + y.square().sum()
        total.backward()
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)
    assert counting.runs == len(pieces)


def test_the_way_back_twice_needs_a_retained_graph():
    _, ours = pair('GRU', 3, 5)
    loss = ours(torch.randn(4, 2, 3))[0].square().sum()
    loss.backward(retain_graph=True)
    first = [p.grad.clone() for p in ours.parameters()]
    loss.backward()
    for p, once in zip(ours.parameters(), first):
        torch.testing.assert_close(p.grad, 2 * once)
    with pytest.raises(RuntimeError, match='second time'):
        loss.backward()


def test_a_weight_changed_in_place_before_the_way_back_is_an_error_as_in_pytorch():
    for module in pair('LSTM', 3, 5):
        y, _ = module(torch.randn(4, 2, 3))
        with torch.no_grad():
            module.weight_hh_l0.mul_(2)
        with pytest.raises(RuntimeError, match='modified by an inplace operation'):
            y.sum().backward()


@pytest.mark.parametrize('name', LAYERS + CELLS)
def test_a_gradient_of_a_gradient_is_refused_in_a_sentence(name):
    _, ours = pair(name, 3, 5)
    x = torch.randn(2, 3, requires_grad=True) if name in CELLS else torch.randn(4, 2, 3, requires_grad=True)
    gradient, = torch.autograd.grad(flat(ours(x))[0].sum(), x, create_graph=True)
    assert gradient.abs().max() > 0
    with pytest.raises(RuntimeError, match=rf'latchwork\.torch\.{name} has no gradient of its gradient.*restore'):
        gradient.sum().backward()


def test_only_the_gradients_that_are_wanted():
    _, ours = pair('LSTM', 3, 5)
    for parameter in ours.parameters():
        parameter.requires_grad_(False)
    x = torch.randn(4, 2, 3)
    assert not ours(x)[0].requires_grad
    ours.bias_hh_l0.requires_grad_(True)
    ours(x)[0].sum().backward()
    assert ours.bias_hh_l0.grad is not None and ours.weight_ih_l0.grad is None
    ours.bias_hh_l0.requires_grad_(False)
    ours(x.requires_grad_())[1][1].sum().backward()
    assert x.grad.abs().max() > 0


def test_tapes_go_back_to_the_module_and_end_with_it():
    module = lt.LSTM(3, 5)
    for _ in range(50):
        module(torch.randn(4, 2, 3))[0].sum().backward()
    y, _ = module(torch.randn(4, 2, 3))
    gone = weakref.ref(module)
    del module
    gc.collect()
    assert gone() is None
    y.sum().backward()  # the graph outlives the module


@pytest.mark.parametrize('options', [{}, {'use_reentrant': False}])
def test_checkpointing(options):
    from torch.utils.checkpoint import checkpoint
    theirs, ours = pair('GRU', 3, 5)
    x = torch.randn(4, 2, 3, requires_grad=True)
    options = options or {'use_reentrant': True}
    for module in (theirs, ours):
        checkpoint(lambda x, module=module: module(x)[0], x, **options).square().sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_training_reaches_what_pytorch_reaches():
    torch.manual_seed(3)
    theirs, ours = pair('LSTM', 2, 16, batch_first=True)
    x = torch.randn(16, 20, 2)
    target = x.cumsum(1)[..., :1].tanh()
    losses = []
    for module in (theirs, ours):
        torch.manual_seed(4)
        head = nn.Linear(16, 1)
        optimiser = torch.optim.Adam([*module.parameters(), *head.parameters()], lr=0.02)
        for _ in range(60):
            optimiser.zero_grad()
            loss = (head(module(x)[0]) - target).square().mean()
            loss.backward()
            optimiser.step()
        losses.append(loss.item())
    assert losses[1] < 0.1 and abs(losses[0] - losses[1]) < 0.02 * losses[0] + 1e-3, losses


# ---- packed sequences ----

@pytest.mark.parametrize('enforce_sorted', [True, False])
def test_a_row_of_a_packed_sequence_is_what_it_is_alone(enforce_sorted):
    ours = lt.LSTM(3, 5, num_layers=2, bidirectional=True)
    rows = [torch.randn(length, 3) for length in ([9, 6, 6, 1] if enforce_sorted else [1, 9, 6, 6])]
    with torch.no_grad():
        packed, (h, c) = ours(pack_sequence(rows, enforce_sorted=enforce_sorted))
        y, lengths = nn.utils.rnn.pad_packed_sequence(packed)
        assert lengths.tolist() == [len(row) for row in rows]
        for i, row in enumerate(rows):
            alone, (ha, ca) = ours(row)
            assert torch.equal(y[:len(row), i], alone) and torch.equal(h[:, i], ha) and torch.equal(c[:, i], ca)


# ---- types, transforms, tracing ----

@pytest.mark.parametrize('name', LAYERS + CELLS)
def test_autocast_gives_the_types_of_pytorch(name):
    theirs, ours = pair(name, 3, 5)
    x = torch.randn(2, 3) if name in CELLS else torch.randn(4, 2, 3)
    for grad in (False, True):
        with torch.autocast('cpu', dtype=torch.bfloat16), torch.set_grad_enabled(grad):
            a, b = flat(ours(x)), flat(theirs(x))
            assert [t.dtype for t in a] == [t.dtype for t in b]
            for p, q in zip(a, b):
                torch.testing.assert_close(p, q, rtol=0.02, atol=0.02)
            if grad:
                a[0].float().sum().backward()
                assert all(p.grad.dtype is torch.float32 for p in ours.parameters())


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_other_types_are_left_to_pytorch(dtype, counting):
    theirs, ours = pair('LSTM', 3, 5, dtype=dtype)
    x = torch.randn(4, 2, 3, dtype=dtype)
    for a, b in zip(flat(ours(x)), flat(theirs(x))):
        assert torch.equal(a, b)
    assert counting.runs == 0
    ours.float(), theirs.float()
    both(theirs, ours, x.float())
    assert counting.runs == 1


def test_the_meta_device_and_fake_tensors():
    from torch._subclasses.fake_tensor import FakeTensorMode
    y, (h, c) = lt.LSTM(3, 5, device='meta')(torch.randn(4, 2, 3, device='meta'))
    assert y.shape == (4, 2, 5) and y.is_meta
    with FakeTensorMode():
        assert lt.GRU(3, 5)(torch.randn(4, 2, 3))[0].shape == (4, 2, 5)


def test_transforms_see_every_operation():
    theirs, ours = pair('GRU', 3, 5)
    x = torch.randn(6, 4, 2, 3)
    with torch.no_grad():
        ours(x[0])
    parameters = {name: p * 0.5 for name, p in ours.named_parameters()}
    call = torch.func.functional_call
    close(call(ours, parameters, (x[0],)), call(theirs, parameters, (x[0],)))
    both(theirs, ours, x[0])
    a, b = (torch.func.grad(lambda p, m=m: call(m, p, (x[0],))[0].sum())(parameters) for m in (ours, theirs))
    for name in a:
        torch.testing.assert_close(a[name], b[name])
    jvp = [torch.func.jvp(lambda x, m=m: m(x)[0], (x[0],), (torch.ones_like(x[0]),))[1] for m in (ours, theirs)]
    torch.testing.assert_close(*jvp)
    with torch.no_grad():
        from torch.autograd import forward_ad
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x[0], torch.ones_like(x[0]))
            torch.testing.assert_close(forward_ad.unpack_dual(ours(dual)[0]).tangent, jvp[1])


def test_tracing_records_operations_not_a_result():
    ours = lt.LSTM(3, 5).eval()
    x = torch.randn(4, 2, 3)
    with torch.no_grad():
        ours(x)
        traced = torch.jit.trace(ours, (x,))
        other = torch.randn(4, 2, 3)
        close(traced(other), ours(other))


@pytest.mark.filterwarnings('ignore')
def test_parametrisations_and_weight_norm(counting):
    for wrap in (lambda m: nn.utils.parametrizations.weight_norm(m, 'weight_hh_l0'),
                 lambda m: nn.utils.weight_norm(m, 'weight_hh_l0'),
                 lambda m: nn.utils.parametrizations.spectral_norm(m.eval(), 'weight_ih_l0')):
        theirs, ours = pair('LSTM', 3, 5)
        theirs, ours = wrap(theirs), wrap(ours)
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(4, 2, 3)
        for _ in range(2):
            both(theirs, ours, x)
            gradients = []
            for module in (theirs, ours):
                module.zero_grad()
                module(x)[0].square().sum().backward()
                gradients.append([p.grad for p in module.parameters()])
                with torch.no_grad():
                    for p in module.parameters():
                        p -= 0.1 * p.grad
            for a, b in zip(*gradients):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert counting.runs == 12


def test_dropout_has_the_masks_of_pytorch(counting):
    for options in ({}, {'batch_first': True}, {'bidirectional': True}):
        theirs, ours = pair('LSTM', 3, 5, num_layers=3, dropout=0.5, **options)
        results = []
        for module in (theirs, ours):
            torch.manual_seed(7)
            results.append(module(torch.ones(4, 4, 3)))
        close(results[1], results[0])
        assert not torch.equal(ours(torch.ones(4, 4, 3))[0], ours(torch.ones(4, 4, 3))[0])
        ours.eval()
        assert torch.equal(ours(torch.ones(4, 4, 3))[0], ours(torch.ones(4, 4, 3))[0])
    assert counting.runs == 3 * (3 * 3 + 2)


# ---- copies, hooks, processes, threads ----

@pytest.mark.parametrize('name', LAYERS + CELLS)
def test_copies_have_weights_of_their_own(name):
    _, ours = pair(name, 3, 5)
    x = torch.randn(2, 3) if name in CELLS else torch.randn(4, 2, 3)
    with torch.no_grad():
        before = [t.clone() for t in flat(ours(x))]
        file = io.BytesIO()
        torch.save(ours, file)
        file.seek(0)
        copies = [copy.deepcopy(ours), copy.copy(ours), pickle.loads(pickle.dumps(ours)),
                  torch.load(file, weights_only=False)]
        for copied in copies:
            assert repr(copied) == repr(ours) and list(copied.state_dict()) == list(ours.state_dict())
            close(copied(x), before, rtol=0, atol=0)
        for parameter in ours.parameters():
            parameter.zero_()
        close(copies[0](x), before, rtol=0, atol=0)
        assert flat(ours(x))[0].abs().max() == 0


def test_hooks_run():
    ours, seen = lt.LSTM(3, 5), []
    ours.register_forward_pre_hook(lambda module, args: seen.append('before'))
    ours.register_forward_hook(lambda module, args, result: seen.append('after'))
    ours.register_full_backward_hook(lambda module, a, b: seen.append('back'))
    ours(torch.randn(4, 2, 3, requires_grad=True))[0].sum().backward()
    assert seen == ['before', 'after', 'back']


def test_threads_may_share_a_module():
    ours = lt.LSTM(8, 32, num_layers=2)
    inputs = [torch.randn(10, 3, 8) for _ in range(4)]
    with torch.no_grad():
        expected = [ours(x)[0] for x in inputs]
    wrong = []

    def work(i):
        for _ in range(20):
            with torch.no_grad():
                if not torch.equal(ours(inputs[i])[0], expected[i]):
                    wrong.append(i)
            ours(inputs[i])[0].sum().backward()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_number_of_threads_changes_no_bit():
    ours = lt.LSTM(40, 96, num_layers=2)
    x, before, results = torch.randn(30, 8, 40), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with torch.no_grad():
                y = ours(x)[0]
            ours.zero_grad()
            ours(x)[0].square().sum().backward()
            results.append([y] + [p.grad.clone() for p in ours.parameters()])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


class Squares(torch.utils.data.Dataset):
    """A data set that runs a recurrent module in the loader's worker."""

    def __init__(self, module):
        self.module = module

    def __len__(self):
        return 8

    def __getitem__(self, index):
        with torch.no_grad():
            return self.module(torch.full((12, 4, 16), float(index)))[0]


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_a_worker_of_a_data_loader(request):
    module = lt.GRU(16, 64, num_layers=2)
    data = Squares(module)
    expected = torch.stack([data[i] for i in range(8)])  # the parent's threads exist before the fork
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=2, multiprocessing_context='fork', timeout=60)
    assert torch.equal(torch.cat(list(loader)), expected)


def train_rank(rank, port, results):
    import torch.distributed as dist
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    module = nn.parallel.DistributedDataParallel(lt.LSTM(3, 5, num_layers=2))
    torch.manual_seed(rank + 1)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        module(torch.randn(4, 2, 3))[0].square().sum().backward()
        optimiser.step()
    results.put((rank, [p.detach().numpy().tolist() for p in module.parameters()]))
    dist.destroy_process_group()


def test_distributed_data_parallel_over_gloo():
    import socket
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip('this PyTorch has no gloo')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context('spawn')
    results = context.Queue()
    processes = [context.Process(target=train_rank, args=(rank, port, results)) for rank in range(2)]
    for process in processes:
        process.start()
    got = dict(results.get(timeout=120) for _ in range(2))
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert got[0] == got[1]
    # what one process computes from both parts
    torch.manual_seed(0)
    module = nn.LSTM(3, 5, num_layers=2)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
    generators = [torch.Generator().manual_seed(rank + 1) for rank in range(2)]
    for _ in range(3):
        optimiser.zero_grad()
        sum(module(torch.randn(4, 2, 3, generator=g))[0].square().sum() for g in generators).div(2).backward()
        optimiser.step()
    for a, b in zip(got[0], module.parameters()):
        torch.testing.assert_close(torch.tensor(a), b.detach(), rtol=1e-4, atol=1e-5)


def test_without_pytorch_the_sentence_says_what_to_install():
    import subprocess
    import sys
    code = 'import sys; sys.modules["torch"] = None; import latchwork, latchwork.torch'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "needs PyTorch: pip install 'latchwork[torch]'" in done.stderr
