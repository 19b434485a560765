# SPDX-License-Identifier: Apache-2.0
"""LSTM, GRU, RNN and their cells: torch.nn's classes with another forward().

Everything but forward() is torch.nn's. forward() runs on Latchwork what is a plain case and hands all else, errors
included, to torch.nn's own forward(); so an exception is torch.nn's, and nothing is refused that torch.nn can do.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.compiler import is_compiling
from torch.nn import Parameter
from torch.nn.utils.rnn import PackedSequence

from .._core import Recurrent
from . import compiling
from .autograd import Call, Unreadable, record, run

_float32, _strided = torch.float32, torch.strided
_grads = torch.is_grad_enabled
_threads = torch.get_num_threads
_tracing = torch._C._get_tracing_state
_autocast: Callable[[], bool] = getattr(torch._C, "_is_any_autocast_enabled", lambda: torch.is_autocast_enabled("cpu"))
_transforms: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)
_dispatching: Callable[[], int] = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)
_CACHE = "_latchwork"  # in a module's __dict__: what runs it. Never copied or pickled
_LAYERS = "_latchwork_layers"


def _watched() -> bool:
    """Does somebody follow each operation (tracing, transforms, forward-mode gradients, dispatch modes)? A call that
    goes by addresses would be invisible to it."""
    return (_tracing() is not None or _transforms() or _dispatching() != 0
            or getattr(forward_ad, "_current_level", -1) >= 0)


def _plain(tensor: Any) -> bool:
    return ((type(tensor) is Tensor or type(tensor) is Parameter) and tensor.dtype is _float32 and tensor.is_cpu
            and tensor.layout is _strided and not tensor.is_neg())


def _any_requires_grad(x: Tensor, h0: Tensor | None, c0: Tensor | None, tensors: Any) -> bool:
    if x.requires_grad or (h0 is not None and h0.requires_grad) or (c0 is not None and c0.requires_grad):
        return True
    for tensor in tensors.values() if type(tensors) is dict else tensors:
        if tensor is not None and tensor.requires_grad:
            return True
    return False


class _Engine:
    """What runs a module, and the sizes that every call needs."""

    __slots__ = ("run", "call", "quick", "recurrent", "names", "width", "states", "lstm", "h_width", "c_width")

    def __init__(self, mode: str, inputs: int, hidden: int, layers: int, bidirectional: bool, bias: bool,
                 projection: int, names: list[str]) -> None:
        self.recurrent = Recurrent(mode, inputs, hidden, layers, bidirectional, bias, projection, names)
        self.run, self.call, self.quick = self.recurrent.run, self.recurrent.call, self.recurrent.quick
        self.names = names
        self.lstm = mode == "LSTM"
        self.h_width, self.c_width = projection or hidden, hidden
        directions = 2 if bidirectional else 1
        self.width, self.states = self.h_width * directions, layers * directions


if TYPE_CHECKING:
    from torch.nn import Module as _AnyModule
    from torch.nn import RNNBase as _LayersBase
    from torch.nn import RNNCellBase as _CellBase
else:  # torch.nn's classes come after these in each class below
    class _AnyModule:
        pass

    _LayersBase = _CellBase = _AnyModule


class _Quick(_AnyModule):
    """module(...) in one step down to C where nn.Module.__call__ has nothing to do; and keeps what runs a module out of
    its copies and pickles."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not is_compiling():
            engine = self.__dict__.get(_CACHE)
            if engine is not None:
                result = engine.quick(self, args, kwargs)
                if result is not None:
                    return result
        return super().__call__(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        above = getattr(super(), "__getstate__", None)
        state: Any = above() if above is not None else self.__dict__
        if type(state) is not dict:  # object's own, of Python 3.11 and later
            state = self.__dict__
        return {name: value for name, value in state.items() if name not in (_CACHE, _LAYERS)}


class _Layers(_Quick, _LayersBase):
    """forward() of LSTM, GRU and RNN."""

    _nn: type[nn.RNNBase]

    def forward(self, input: Any, hx: Any = None) -> Any:
        if is_compiling():
            result = compiling.layers(self, input, hx)
        elif _watched():
            result = None
        elif _autocast() and self.mode != "GRU" and torch.is_autocast_enabled("cpu"):
            result = None if type(input) is PackedSequence else _cast(self._padded, input, hx)
        elif type(input) is PackedSequence:
            result = self._packed(input, hx)
        else:
            engine = self.__dict__.get(_CACHE)
            result = None
            if engine is not None and not _grads() and not (self.dropout and self.training):
                result = engine.call(self._parameters, input, hx, self.batch_first, _threads())
            if result is None:
                result = self._padded(input, hx)
        if result is None:
            if self.mode == "LSTM" and not is_compiling():
                self._check_weights()
            result = self._nn.forward(self, input, hx)
        return result

    def _check_weights(self) -> None:
        """torch.nn.LSTM hands its weights to oneDNN unseen, which reads beyond those that are too small."""
        width = self.proj_size or self.hidden_size
        kinds = {"weight_ih": (4 * self.hidden_size, 0), "weight_hh": (4 * self.hidden_size, width),
                 "bias_ih": (4 * self.hidden_size,), "bias_hh": (4 * self.hidden_size,),
                 "weight_hr": (self.proj_size, self.hidden_size)}
        for name in self._flat_weights_names:
            kind, _, level = name.partition("_l")
            tensor = getattr(self, name, None)
            expected = kinds[kind]
            if kind == "weight_ih":
                deep = width * (2 if self.bidirectional else 1)
                expected = (expected[0], self.input_size if level.partition("_")[0] == "0" else deep)
            if tensor is not None and tuple(tensor.shape) != expected:
                raise RuntimeError(f"{name} has shape {tuple(tensor.shape)}, expected {expected}")

    def flatten_parameters(self) -> None:
        """As torch.nn's; besides, the weights are packed anew at the next call."""
        self.__dict__.pop(_CACHE, None)
        self.__dict__.pop(_LAYERS, None)
        self._nn.flatten_parameters(self)

    def _engine(self) -> _Engine:
        engine = self.__dict__[_CACHE] = _Engine(self.mode, self.input_size, self.hidden_size, self.num_layers,
                                                 self.bidirectional, self.bias, self.proj_size,
                                                 list(self._flat_weights_names))
        return engine

    def _tensors(self) -> Any:
        """The parameters, by name or in order. They are in a dict of their own unless a parametrisation makes them."""
        if len(self._parameters) == len(self._flat_weights_names):
            return self._parameters
        self._update_flat_weights()
        return self._flat_weights

    def _drops(self) -> bool:
        return bool(self.dropout) and self.training and self.num_layers > 1

    def _padded(self, input: Any, hx: Any) -> Any:
        if not _plain(input):
            return None
        shape = input.shape
        batched = len(shape) == 3
        batch_first = batched and self.batch_first
        if batch_first:
            rows, steps, width = shape
        elif batched:
            steps, rows, width = shape
        elif len(shape) == 2:
            (steps, width), rows = shape, 1
        else:
            return None
        if width != self.input_size or steps == 0 or rows == 0:
            return None
        engine = self.__dict__.get(_CACHE) or self._engine()
        states = engine.states
        h_shape = (states, rows, engine.h_width) if batched else (states, engine.h_width)
        c_shape = (states, rows, engine.c_width) if batched else (states, engine.c_width)
        h0 = c0 = None
        if hx is not None:
            checked = _initial(engine.lstm, hx, h_shape, c_shape)
            if checked is None:
                return None
            h0, c0 = checked
        x = input.contiguous()
        if self.dropout and self._drops():
            return self._dropped(x, None, batch_first, batched, h0, c0)
        tensors = self._tensors()
        y_shape = (*shape[:-1], engine.width)
        if _grads() and _any_requires_grad(x, h0, c0, tensors):
            return self._recorded(engine, x, steps, rows, batch_first, None,
                                  (y_shape, h_shape, c_shape if engine.lstm else None), h0, c0)
        y, h = x.new_empty(*y_shape), x.new_empty(*h_shape)  # a third quicker than from a tuple
        c = x.new_empty(*c_shape) if engine.lstm else None
        done = engine.run(tensors, x.data_ptr(), steps, rows, batch_first, 0 if h0 is None else h0.data_ptr(),
                          0 if c0 is None else c0.data_ptr(), y.data_ptr(), h.data_ptr(),
                          0 if c is None else c.data_ptr(), 0, _threads())
        if not done:
            return None
        return (y, h) if c is None else (y, (h, c))

    def _recorded(self, engine: _Engine, x: Tensor, steps: int, rows: int, batch_first: bool, sizes: Tensor | None,
                  shapes: Any, h0: Tensor | None, c0: Tensor | None) -> Any:
        self._update_flat_weights()
        call = Call(engine.recurrent, type(self).__name__, steps, rows, batch_first, sizes, shapes)
        try:
            y, *states = record(call, self._flat_weights, x, h0, c0)
        except Unreadable:
            return None
        return (y, tuple(states)) if engine.lstm else (y, *states)

    def _packed(self, input: PackedSequence, hx: Any) -> Any:
        data, sizes, order, back = input
        if (not _plain(data) or data.dim() != 2 or data.shape[1] != self.input_size or sizes.dim() != 1
                or sizes.dtype is not torch.int64 or len(sizes) == 0 or data.shape[0] == 0):
            return None
        engine = self.__dict__.get(_CACHE) or self._engine()
        rows = int(sizes[0])
        h_shape, c_shape = (engine.states, rows, engine.h_width), (engine.states, rows, engine.c_width)
        h0 = c0 = None
        if hx is not None:
            checked = _initial(engine.lstm, hx, h_shape, c_shape)
            if checked is None:
                return None
            h0, c0 = (state if state is None or order is None else state.index_select(1, order) for state in checked)
        data, sizes = data.contiguous(), sizes.contiguous()
        if self._drops():
            result = self._dropped(data, sizes, False, True, h0, c0)
        else:
            tensors = self._tensors()
            shapes = ((data.shape[0], engine.width), h_shape, c_shape if engine.lstm else None)
            if _grads() and _any_requires_grad(data, h0, c0, tensors):
                result = self._recorded(engine, data, len(sizes), data.shape[0], False, sizes, shapes, h0, c0)
            else:
                call = Call(engine.recurrent, "", len(sizes), data.shape[0], False, sizes, shapes)
                try:
                    y, *states = run(call, tensors, data, h0, c0)
                except Unreadable:
                    return None
                result = (y, tuple(states) if engine.lstm else states[0])
        if result is None:
            return None
        y, hidden = result
        if back is not None:
            hidden = (tuple(state.index_select(1, back) for state in hidden) if engine.lstm
                      else hidden.index_select(1, back))
        return PackedSequence(y, input.batch_sizes, order, back), hidden

    def _dropped(self, x: Tensor, sizes: Tensor | None, batch_first: bool, batched: bool, h0: Tensor | None,
                 c0: Tensor | None) -> Any:
        """Layer by layer with torch's own dropout between them: the same masks as torch.nn's for the same seed."""
        self._update_flat_weights()
        engines = self.__dict__.get(_LAYERS)
        count, directions = len(self._flat_weights) // self.num_layers, 2 if self.bidirectional else 1
        if engines is None:
            first = self._flat_weights_names[:count]
            widths = [self.input_size] + [(self.proj_size or self.hidden_size) * directions] * (self.num_layers - 1)
            engines = self.__dict__[_LAYERS] = [
                _Engine(self.mode, width, self.hidden_size, 1, self.bidirectional, self.bias, self.proj_size, first)
                for width in widths]
        if not batched:
            x = x.unsqueeze(1)
            h0, c0 = (None if state is None else state.unsqueeze(1) for state in (h0, c0))
        if batch_first:
            x = x.transpose(0, 1).contiguous()
        steps, rows = (x.shape[0], x.shape[1]) if sizes is None else (len(sizes), x.shape[0])
        batch = rows if sizes is None else int(sizes[0])
        finals: list[list[Tensor]] = []
        for layer, engine in enumerate(engines):
            if layer:
                x = nn.functional.dropout(x, self.dropout, True)
            part = slice(layer * directions, (layer + 1) * directions)
            h, c = (None if state is None else state[part] for state in (h0, c0))
            weights = self._flat_weights[layer * count:(layer + 1) * count]
            call = Call(engine.recurrent, type(self).__name__, steps, rows, False, sizes,
                        ((*x.shape[:-1], engine.width), (directions, batch, engine.h_width),
                         (directions, batch, engine.c_width) if engine.lstm else None))
            try:
                wants = _grads() and _any_requires_grad(x, h, c, weights)
                x, *states = record(call, weights, x, h, c) if wants else run(call, weights, x, h, c)
            except Unreadable:
                if layer:
                    raise RuntimeError(f"the weights of layer {layer} are not dense float32 tensors on the CPU like "
                                       "those of the layers before") from None
                return None
            finals.append(states)
        hidden = tuple(torch.cat(states) for states in zip(*finals))
        if batch_first:
            x = x.transpose(0, 1)
        if not batched:
            x, hidden = x.squeeze(1), tuple(state.squeeze(1) for state in hidden)
        return (x, hidden) if engines[0].lstm else (x, hidden[0])


def _cast(run_it: Callable[[Tensor, Any], Any], input: Any, hx: Any) -> Any:
    """A run under autocast of a module whose results torch.nn gives in autocast's type: computed in float32, then cast.
    (GRU, GRUCell and LSTMCell give float32 there.)"""
    states = () if hx is None else hx if isinstance(hx, (tuple, list)) else (hx,)
    if not all(isinstance(t, Tensor) and t.is_floating_point() and t.is_cpu for t in (input, *states)):
        return None
    floats = [state.float() for state in states]
    with torch.autocast("cpu", enabled=False):
        result = run_it(input.float(), None if hx is None else floats if isinstance(hx, (tuple, list)) else floats[0])
    return None if result is None else _to(result, torch.get_autocast_dtype("cpu"))


def _to(result: Any, dtype: torch.dtype) -> Any:
    return result.to(dtype) if isinstance(result, Tensor) else tuple(_to(part, dtype) for part in result)


def _initial(lstm: bool, hx: Any, h_shape: tuple[int, ...],
             c_shape: tuple[int, ...]) -> tuple[Tensor, Tensor | None] | None:
    """The initial states, dense; None where torch.nn has to say what is wrong with them."""
    if not lstm:
        return (hx.contiguous(), None) if _plain(hx) and hx.shape == h_shape else None
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        return None
    h0, c0 = hx
    if not _plain(h0) or not _plain(c0) or h0.shape != h_shape or c0.shape != c_shape:
        return None
    return h0.contiguous(), c0.contiguous()


class LSTM(_Layers, nn.LSTM):
    __doc__ = nn.LSTM.__doc__
    _nn = nn.LSTM


class GRU(_Layers, nn.GRU):
    __doc__ = nn.GRU.__doc__
    _nn = nn.GRU


class RNN(_Layers, nn.RNN):
    __doc__ = nn.RNN.__doc__
    _nn = nn.RNN


class _Cell(_Quick, _CellBase):
    """forward() of LSTMCell, GRUCell and RNNCell: one step of one layer."""

    _nn: type[nn.RNNCellBase]
    _rounded = False  # by autocast

    def _mode(self) -> str | None:
        raise NotImplementedError

    def forward(self, input: Any, hx: Any = None) -> Any:
        if is_compiling():
            result = compiling.cell(self, input, hx)
        elif _watched():
            result = None
        elif _autocast() and self._rounded and torch.is_autocast_enabled("cpu"):
            result = _cast(self._step, input, hx)
        else:
            engine = self.__dict__.get(_CACHE)
            result = None
            if engine is not None and not _grads():
                result = engine.call(self._parameters, input, hx, False, _threads())
            if result is None and _plain(input):
                result = self._step(input, hx)
        return self._nn.forward(self, input, hx) if result is None else result

    def _names(self) -> list[str]:
        return ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] if self.bias else ["weight_ih", "weight_hh"]

    def _engine(self) -> _Engine | None:
        mode = self._mode()
        if mode is None:
            return None
        engine = self.__dict__[_CACHE] = _Engine(mode, self.input_size, self.hidden_size, 1, False, self.bias, 0,
                                                 self._names())
        return engine

    def _step(self, input: Tensor, hx: Any) -> Any:
        shape = input.shape
        if len(shape) == 2:
            rows, width = shape
        elif len(shape) == 1:
            (width,), rows = shape, 1
        else:
            return None
        engine = self.__dict__.get(_CACHE) or self._engine()
        if engine is None or width != self.input_size or rows == 0:
            return None
        h_shape = (*shape[:-1], self.hidden_size)
        h0 = c0 = None
        if hx is not None:
            checked = _initial(engine.lstm, hx, h_shape, h_shape)
            if checked is None:
                return None
            h0, c0 = checked
        x = input.contiguous()
        tensors: Any = self._parameters
        if len(tensors) != 4:  # a parametrisation makes them
            tensors = [getattr(self, name) for name in engine.names]
        if _grads() and _any_requires_grad(x, h0, c0, tensors):
            call = Call(engine.recurrent, type(self).__name__, 1, rows, False, None,
                        (h_shape, None, h_shape if engine.lstm else None))
            try:
                results = record(call, [getattr(self, name) for name in engine.names], x, h0, c0)
            except Unreadable:
                return None
            return results if engine.lstm else results[0]
        h, c = x.new_empty(*h_shape), x.new_empty(*h_shape) if engine.lstm else None
        done = engine.run(tensors, x.data_ptr(), 1, rows, False, 0 if h0 is None else h0.data_ptr(),
                          0 if c0 is None else c0.data_ptr(), h.data_ptr(), 0, 0 if c is None else c.data_ptr(), 0,
                          _threads())
        if not done:
            return None
        return h if c is None else (h, c)


class LSTMCell(_Cell, nn.LSTMCell):
    __doc__ = nn.LSTMCell.__doc__
    _nn = nn.LSTMCell

    def _mode(self) -> str:
        return "LSTM"


class GRUCell(_Cell, nn.GRUCell):
    __doc__ = nn.GRUCell.__doc__
    _nn = nn.GRUCell

    def _mode(self) -> str:
        return "GRU"


class RNNCell(_Cell, nn.RNNCell):
    __doc__ = nn.RNNCell.__doc__
    _nn = nn.RNNCell
    _rounded = True

    def _mode(self) -> str | None:
        return {"tanh": "RNN_TANH", "relu": "RNN_RELU"}.get(self.nonlinearity)


_WATCHERS = {  # read by _core.Recurrent.quick: whoever may look at a call
    "module": nn.Module,
    "call": nn.Module.__call__,
    "forwards": (_Layers.forward, _Cell.forward),
    "hooks": tuple(getattr(nn.modules.module, name) for name in (
        "_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks")),
    "watching": (_grads, _autocast, _tracing, _transforms, _dispatching),
    "forward_ad": forward_ad,
    "threads": _threads,
}
