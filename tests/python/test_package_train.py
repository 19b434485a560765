# SPDX-License-Identifier: Apache-2.0
"""Training with the Python package alone: gradients against differences and PyTorch, losses, optimisers, rates."""
import math

import numpy as np
import pytest
from package_case import STACKS, STREAMING, lw, make, noise, same_bits


def moved(parameters, name, place, by):
    result = dict(parameters)
    result[name] = parameters[name].copy()
    result[name][place] += by
    return result


@pytest.mark.parametrize('options', [{}, {'lengths': [4, 0, 6]}, {'last': True}, {'batch_first': True}], ids=str)
@pytest.mark.parametrize('stack', STACKS)
def test_gradients_are_the_slopes_of_the_loss(stack, options):
    model = make(STACKS[stack])
    parameters = model.parameters()
    tape = lw.Tape(model)
    x = noise(*((3, 6, 3) if options.get('batch_first') else (6, 3, 3)))
    y = tape.forward(parameters, x, **options)
    same_bits(y, model(x, **options))
    weights = noise(*y.shape, seed=5)
    gradients = tape.backward(weights, input=True)
    assert list(gradients.parameters) == list(parameters) and gradients.initial_state is None

    def loss(parameters, x):
        return float((tape.forward(parameters, x, **options).astype(np.float64) * weights).sum())

    if 'clips' in stack or 'relu' in stack or stack == 'stack':
        return  # differences of a function with corners say little
    rng = np.random.default_rng(3)
    step = 2e-3
    for name, slope in gradients.parameters.items():
        assert slope.shape == parameters[name].shape
        place = tuple(rng.integers(extent) for extent in slope.shape)
        expected = (loss(moved(parameters, name, place, step), x) - loss(moved(parameters, name, place, -step), x))
        assert slope[place] == pytest.approx(expected / (2 * step), rel=0.02, abs=0.02)
    place = (1, 2, 0)
    up, down = x.copy(), x.copy()
    up[place] += step
    down[place] -= step
    slope = (loss(parameters, up) - loss(parameters, down)) / (2 * step)
    assert gradients.input.shape == x.shape
    assert gradients.input[place] == pytest.approx(slope, rel=0.02, abs=0.02)


def test_gradients_are_pytorchs():
    torch = pytest.importorskip('torch')
    module = torch.nn.LSTM(3, 7, num_layers=2)
    model = lw.Model([lw.LSTM(3, 7, layers=2)])
    parameters = {'lstm0.' + name: value.detach().numpy() for name, value in module.named_parameters()}
    tape = lw.Tape(model, threads=1)
    x, state = noise(5, 4, 3), tape.state(4)
    h0, c0 = noise(2, 4, 7, seed=6), noise(2, 4, 7, seed=7)
    for layer in range(2):
        state.set(h0[layer], layer)
        state.set(c0[layer], layer, 'cell')
    y = tape.forward(parameters, x, state)
    ours = tape.backward(2 * y, input=True, initial_state=True)
    leaves = [torch.from_numpy(a).requires_grad_() for a in (x, h0, c0)]
    module(leaves[0], tuple(leaves[1:]))[0].square().sum().backward()
    for name, value in module.named_parameters():
        np.testing.assert_allclose(ours.parameters['lstm0.' + name], value.grad.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.input, leaves[0].grad.numpy(), rtol=1e-4, atol=1e-5)
    for layer in range(2):
        for memory, leaf in (('hidden', leaves[1]), ('cell', leaves[2])):
            np.testing.assert_allclose(ours.initial_state.get(layer, memory), leaf.grad[layer].numpy(), rtol=1e-4,
                                       atol=1e-5)


def test_cuts_carry_the_gradient_of_the_state():
    """Two halves, the second one's gradient of its initial state handed to the first, give the whole's gradients."""
    model = make([lw.GRU(3, 8)])
    parameters, x, tape = model.parameters(), noise(10, 2, 3), lw.Tape(model)
    dy = noise(10, 2, 8, seed=4)
    tape.forward(parameters, x)
    whole = tape.backward(dy)
    first, second, state = lw.Tape(model), lw.Tape(model), None
    state = first.state(2)
    first.forward(parameters, x[:6], state)
    middle = second.state(2)
    middle.set(state.get())
    second.forward(parameters, x[6:], middle)
    late = second.backward(dy[6:], initial_state=True)
    handed = first.state(2)
    handed.set(late.initial_state.get())
    both = first.backward(dy[:6], handed, add_to=late.parameters)
    assert both.parameters['gru0.weight_hh_l0'] is late.parameters['gru0.weight_hh_l0']
    for name, value in whole.parameters.items():
        np.testing.assert_allclose(both.parameters[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('stack', STREAMING)
def test_segments_and_threads_change_no_bit(stack):
    model = make(STACKS[stack])
    parameters, x, results = model.parameters(), noise(20, 4, 3), []
    for options in ({'threads': 1}, {'threads': 3}, {'threads': 1, 'segment': 5}):
        tape = lw.Tape(model, **options)
        y = tape.forward(parameters, x)
        results.append([y, *tape.backward(y, input=True).parameters.values()])
        assert tape.bytes(20, 4) > 0
    for other in results[1:]:
        for a, b in zip(results[0], other):
            same_bits(a, b)


def train(seed, updates=150, threads=None):
    model = lw.Model([lw.LSTM(1, 12), lw.Dense(12, 1)])
    model.initialise(seed, recurrent='orthogonal', chrono=10)
    parameters = model.parameters()
    optimiser = lw.Optimiser('adam', parameters, clip_norm=1.0)
    schedule = lw.LearningRate(0.03, 'cosine', warm_up=5, updates=updates, floor=0.003)
    tape, losses = lw.Tape(model, threads), []
    x = noise(15, 16, 1)
    target = np.tanh(np.cumsum(x, axis=0) / 2)
    for n in range(updates):
        score = lw.squared_error(tape.forward(parameters, x), target)
        optimiser.step(parameters, tape.backward(score.gradient).parameters, schedule(n))
        losses.append(score.loss)
    for name, values in parameters.items():
        model.set_parameter(name, values)
    return model, losses, lw.squared_error(model(x), target).loss


def test_a_training_learns_and_repeats_its_bits():
    model, losses, final = train(1)
    again, same, _ = train(1, threads=2)
    assert losses == same and losses[0] > 0.2 and final < losses[0] / 20, (losses[0], final)
    for name, value in model.parameters().items():
        same_bits(value, again.parameter(name))


LOSSES = {
    'squared': (lambda y, t, **o: lw.squared_error(y, t, **o), lambda f, y, t: f.mse_loss(y, t)),
    'classes': (lambda y, t, **o: lw.cross_entropy(y, np.argmax(t, -1), **o),
                lambda f, y, t: f.cross_entropy(y.reshape(-1, y.shape[-1]), t.argmax(-1).reshape(-1))),
    'binary': (lambda y, t, **o: lw.binary_cross_entropy(y, t, **o),
               lambda f, y, t: f.binary_cross_entropy_with_logits(y, t)),
}


@pytest.mark.parametrize('kind', LOSSES)
def test_losses_are_pytorchs(kind):
    torch = pytest.importorskip('torch')
    ours, theirs = LOSSES[kind]
    y, t = noise(5, 4, 3), np.random.default_rng(8).random((5, 4, 3)).astype(np.float32)
    leaf = torch.from_numpy(y).requires_grad_()
    expected = theirs(torch.nn.functional, leaf, torch.from_numpy(t))
    expected.backward()
    for score in (ours(y, t), ours(y, t, lengths=[5] * 4), ours(y, t, mask=np.ones((5, 4), bool))):
        assert score.loss == pytest.approx(expected.item(), rel=1e-5)
        assert score.counted == (20 if kind == 'classes' else 60)
        np.testing.assert_allclose(score.gradient, leaf.grad.numpy(), rtol=1e-4, atol=1e-7)
    swapped = ours(y.swapaxes(0, 1), t.swapaxes(0, 1), batch_first=True)
    assert swapped.loss == ours(y, t).loss
    same_bits(swapped.gradient, ours(y, t).gradient.swapaxes(0, 1))
    flat = ours(y[:, 0], t[:, 0])
    assert flat.gradient.shape == (5, 3) and flat.loss == pytest.approx(ours(y[:, :1], t[:, :1]).loss)
    part = ours(y, t, lengths=[5, 2, 0, 1])
    assert not part.gradient[2:, 1].any() and not part.gradient[:, 2].any() and part.gradient[1, 1].any()
    masked = ours(y, t, mask=(np.arange(5)[:, None] < np.array([5, 2, 0, 1])).astype(np.int64))
    assert part.loss == masked.loss


@pytest.mark.parametrize('kind, options', [
    ('sgd', {'momentum': 0.9}), ('sgd', {'momentum': 0.9, 'nesterov': True}), ('rmsprop', {'momentum': 0.5}),
    ('adam', {'decay': 0.1}), ('adamw', {}), ('adam', {'clip_norm': 0.5}), ('sgd', {'clip_value': 0.3})], ids=str)
def test_optimisers_are_pytorchs(kind, options):
    torch = pytest.importorskip('torch')
    names = {'sgd': 'SGD', 'rmsprop': 'RMSprop', 'adam': 'Adam', 'adamw': 'AdamW'}
    values = {'a': noise(3, 4), 'b': noise(5, seed=9)}
    leaves = [torch.from_numpy(v.copy()).requires_grad_() for v in values.values()]
    given = {{'decay': 'weight_decay'}.get(k, k): v for k, v in options.items() if 'clip' not in k}
    theirs, ours = getattr(torch.optim, names[kind])(leaves, lr=0.02, **given), lw.Optimiser(kind, values, **options)
    for n in range(5):
        slopes = {'a': noise(3, 4, seed=20 + n), 'b': noise(5, seed=40 + n)}
        for leaf, slope in zip(leaves, slopes.values()):
            leaf.grad = torch.from_numpy(slope.copy())
        norm = math.sqrt(sum(float((s.astype(np.float64) ** 2).sum()) for s in slopes.values()))
        if 'clip_norm' in options:
            torch.nn.utils.clip_grad_norm_(leaves, options['clip_norm'])
        if 'clip_value' in options:
            torch.nn.utils.clip_grad_value_(leaves, options['clip_value'])
        theirs.step()
        assert ours.step(values, slopes, 0.02) == pytest.approx(norm, rel=1e-6)
    assert ours.updates == 5
    for leaf, value in zip(leaves, values.values()):
        np.testing.assert_allclose(value, leaf.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_an_optimiser_goes_on_from_its_bytes():
    values, slopes = {'a': noise(6)}, {'a': noise(6, seed=5)}
    first = lw.Optimiser('adam', values)
    first.step(values, slopes, 0.1)
    second = lw.Optimiser('adam', values)
    second.from_bytes(first.to_bytes())
    other = {'a': values['a'].copy()}
    first.step(values, slopes, 0.1)
    second.step(other, slopes, 0.1)
    same_bits(values['a'], other['a'])
    assert second.updates == 2
    with pytest.raises(lw.FormatError):
        second.from_bytes(b'?' * len(first.to_bytes()))
    with pytest.raises(ValueError, match='19 bytes'):
        second.from_bytes(b'nothing of the kind')
    with pytest.raises(ValueError):
        lw.Optimiser('sgd', values).from_bytes(first.to_bytes())
    before = values['a'].copy()
    first.step(values, {}, 0.1)  # no gradient: stays as it is
    same_bits(values['a'], before)


def test_learning_rates():
    assert lw.LearningRate(0.1)(1000) == 0.1
    assert lw.LearningRate(0.1, 'step', every=10, gamma=0.5)(25) == pytest.approx(0.025)
    cosine = lw.LearningRate(0.1, 'cosine', warm_up=3, updates=10, floor=0.01)
    assert [cosine(0), cosine(3), cosine(8), cosine(99)] == pytest.approx([0.025, 0.1, 0.055, 0.01])
    assert lw.LearningRate(0.1, 'step', every=np.int64(10), gamma=0.5)(np.int32(25)) == pytest.approx(0.025)
    for error, words, wrong in (
            (ValueError, 'rate is -1', {'rate': -1.0}), (ValueError, "kind is 'linear'", {'kind': 'linear'}),
            (ValueError, 'floor is 1', {'kind': 'cosine', 'floor': 1.0}), (ValueError, 'warm_up is -1', {'warm_up': -1}),
            (ValueError, 'updates is 0', {'kind': 'cosine', 'updates': 0}), (TypeError, 'every is a float', {'every': 1.5})):
        with pytest.raises(error, match=words):
            lw.LearningRate(**{'rate': 0.1, **wrong})
    for error, update in ((ValueError, -1), (TypeError, 1.5)):
        with pytest.raises(error, match='update is'):
            lw.LearningRate(0.1)(update)


def test_initialisers():
    model = lw.Model([lw.LSTM(3, 16)])
    model.initialise(4, recurrent='orthogonal', bias='zero')
    gate = model.parameter('lstm0.weight_hh_l0')[:16].astype(np.float64)
    np.testing.assert_allclose(gate @ gate.T, np.eye(16), atol=1e-5)
    assert not model.parameter('lstm0.bias_ih_l0').any()
    model.initialise(4, input='xavier_uniform', chrono=100)
    assert (model.parameter('lstm0.bias_ih_l0')[16:32] >= 0).all()
    for wrong in ({'bias': 'orthogonal'}, {'input': 'tall'}, {'chrono': 1}, {'chrono': -1}):
        with pytest.raises(ValueError):
            model.initialise(4, **wrong)


def test_wrong_uses_of_a_tape():
    model = make([lw.LSTM(3, 7)])
    tape, parameters, x = lw.Tape(model), model.parameters(), noise(4, 2, 3)
    with pytest.raises(RuntimeError, match='call forward first'):
        tape.backward(noise(4, 2, 7))
    short = {name: value for name, value in parameters.items() if 'bias_ih' not in name}
    wide = parameters | {'lstm0.weight_ih_l0': noise(28, 4)}
    for wrong, kind, word in ((short, KeyError, 'bias_ih'), (wide, ValueError, r'expected \(28, 3\)'),
                              (None, TypeError, 'expected a dict'), ([1], TypeError, 'expected a dict'),
                              (parameters | {'lstm0.weight_ih_l0': noise(28, 3).astype(np.float64)}, TypeError,
                               'float32'),
                              (parameters | {'lstm0.weight_ih_l0': noise(3, 28).T}, ValueError, 'dense')):
        with pytest.raises(kind, match=word):
            tape.forward(wrong, x)
    with pytest.raises(ValueError, match='x has shape'):
        tape.forward(parameters, noise(4, 2, 5))
    with pytest.raises(ValueError):
        tape.forward(parameters, x, state=model.state(2))  # of another model
    with pytest.raises(ValueError):
        tape.forward(parameters, x, state=tape.state(3))
    tape.forward(parameters, x)
    with pytest.raises(ValueError, match=r'expected \(4, 2, 7\)'):
        tape.backward(noise(4, 3, 7))
    with pytest.raises(NotImplementedError):
        lw.Tape(make([lw.LSTM(3, 7, direction='bidirectional')]), segment=4)
    tape.backward(noise(4, 2, 7))  # all that was refused has left the run as it was


def test_wrong_uses_of_losses_and_optimisers():
    y = noise(4, 2, 3)
    for wrong in (lambda: lw.squared_error(y, noise(4, 2, 2)), lambda: lw.cross_entropy(y, np.full((4, 2), 3)),
                  lambda: lw.cross_entropy(y, np.full((4, 3), 0)), lambda: lw.squared_error(y[0, 0], y[0, 0]),
                  lambda: lw.cross_entropy(y, np.full((4, 2), 2**40)), lambda: lw.squared_error(y, y, lengths=[5, 0]),
                  lambda: lw.squared_error(y[0], y[0], lengths=[1, 1]), lambda: lw.squared_error(y, y, mask=[1]),
                  lambda: lw.Optimiser('adagrad', {'a': noise(3)}), lambda: lw.Optimiser('adam', {'a': noise(0)}),
                  lambda: lw.Optimiser('adam', {'a': noise(3)}, beta1=1.5), lambda: lw.Optimiser('sgd', {})):
        with pytest.raises(ValueError):
            wrong()
    for wrong in (lambda: lw.squared_error(y.astype(np.float64), y), lambda: lw.cross_entropy(y, y[..., 0]),
                  lambda: lw.cross_entropy(y, None), lambda: lw.Optimiser('adam', [1]),
                  lambda: lw.Optimiser('sgd', {'a': noise(3)}, momentum='a')):
        with pytest.raises(TypeError):
            wrong()
    values = {'a': noise(3)}
    optimiser = lw.Optimiser('sgd', values)
    frozen = noise(3)
    frozen.setflags(write=False)
    for parameters, gradients, kind in (({}, values, KeyError), (values, {'a': noise(4)}, ValueError),
                                        ({'a': frozen}, values, ValueError)):
        with pytest.raises(kind):
            optimiser.step(parameters, gradients, 0.1)
    with pytest.raises(ValueError):
        optimiser.step(values, values, float('nan'))


# ---- many streams ----

@pytest.mark.parametrize('stack', STREAMING)
def test_many_streams_step_as_each_alone(stack):
    model = make(STACKS[stack])
    states, alone = [model.state() for _ in range(9)], [model.stream() for _ in range(9)]
    rng = np.random.default_rng(1)
    for _ in range(6):
        here = rng.permutation(9)[:rng.integers(1, 10)]
        x = noise(len(here), 3, seed=int(rng.integers(1000)))
        y = model.step_many((states[i] for i in here), x)
        for row, i in enumerate(here):
            same_bits(y[row], alone[i].step(x[row]))
    out = np.empty((2, y.shape[1]), np.float32)
    assert model.step_many(states[:2], noise(2, 6)[:, ::2], out) is out
    assert model.step_many([], noise(0, 3)).shape == (0, y.shape[1])


def test_wrong_uses_of_many_streams():
    model = make([lw.LSTM(3, 7)])
    one, other = model.state(), model.state()
    for states, x, kind in (([one], noise(2, 3), ValueError), ([one, other], noise(2, 4), ValueError),
                            ([model.state(2)], noise(1, 3), ValueError), ([None], noise(1, 3), TypeError),
                            ([make().state()], noise(1, 3), ValueError), (3, noise(1, 3), TypeError),
                            ([one, one], noise(2, 3), RuntimeError)):
        with pytest.raises(kind):
            model.step_many(states, x)
    assert model.step_many([one, other], noise(2, 3)).shape == (2, 7)  # nobody is left marked as in use
