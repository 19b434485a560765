# SPDX-License-Identifier: Apache-2.0
"""The operators latchwork::recurrent and latchwork::recurrent_backward, which stand for a run in a graph.

Called by modules.py only while torch.compile or torch.export follow it: eagerly, an operator costs more than a step.
They are functions of their tensors, so the way back runs forward once more rather than keep a tape between the two.
"""
from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections import OrderedDict
from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor

from .._core import Recurrent
from .autograd import _address

_most_engines = 64
_engines: OrderedDict[tuple[Any, ...], Recurrent] = OrderedDict()


def _names(mode: str, layers: int, bidirectional: bool, bias: bool, projection: int) -> list[str]:
    kinds = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * bias + ["weight_hr"] * (projection > 0)
    return [f"{kind}_l{layer}{suffix}" for layer in range(layers) for suffix in ("", "_reverse")[:1 + bidirectional]
            for kind in kinds]


def _engine(weights: list[Tensor], mode: str, inputs: int, hidden: int, layers: int, bidirectional: bool, bias: bool,
            projection: int) -> Recurrent:
    """The engine of these weights: packed weights are worth keeping, and an operator has no module to keep them in."""
    if not weights:
        raise ValueError("weights is empty")
    spec = (mode, inputs, hidden, layers, bidirectional, bias, projection)
    key = (*spec, weights[0].data_ptr())
    engine = _engines.get(key)
    if engine is None:
        engine = _engines[key] = Recurrent(*spec, _names(mode, layers, bidirectional, bias, projection))
        while len(_engines) > _most_engines:
            _engines.popitem(last=False)
    else:
        _engines.move_to_end(key)
    return engine


def _shapes(x: Tensor, mode: str, hidden: int, layers: int, bidirectional: bool, projection: int,
            batch_first: bool) -> tuple[Any, Any, Any]:
    directions, width = 2 if bidirectional else 1, projection or hidden
    batch = x.shape[0] if batch_first else x.shape[1]
    states = layers * directions
    c_shape = (states, batch, hidden) if mode == "LSTM" else (0,)
    return (x.shape[0], x.shape[1], width * directions), (states, batch, width), c_shape


def _check(what: str, tensor: Tensor | None, shape: Any) -> None:
    """Operators can be called with anything, and what follows goes by addresses."""
    if tensor is None:
        return
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu" or tensor.layout != torch.strided:
        raise ValueError(f"{what} is {tensor.dtype} on {tensor.device}, expected dense torch.float32 on the CPU")
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{what} has shape {tuple(tensor.shape)}, expected {tuple(shape)}")


def _check_inputs(x: Tensor, h0: Tensor | None, c0: Tensor | None, mode: str, hidden: int, layers: int,
                  bidirectional: bool, projection: int, batch_first: bool) -> tuple[Any, Any, Any]:
    """The shapes of y, h and c."""
    if x.dim() != 3:
        raise ValueError(f"x has shape {tuple(x.shape)}, expected three dimensions")
    if min(hidden, layers) < 1 or projection < 0:
        raise ValueError(f"hidden, layers and projection are {hidden}, {layers} and {projection}, expected 1 or more, "
                         "1 or more and 0 or more")
    y, h, c = _shapes(x, mode, hidden, layers, bidirectional, projection, batch_first)
    _check("x", x, x.shape)
    _check("h0", h0, h)
    _check("c0", c0, c)
    if mode == "LSTM" and (h0 is None) != (c0 is None):
        raise ValueError("an LSTM starts from both h0 and c0, or from neither")
    return y, h, c


def _dense(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous().resolve_neg()


@torch.library.custom_op("latchwork::recurrent", mutates_args=())
def recurrent(
    x: Tensor, h0: Optional[Tensor], c0: Optional[Tensor], weights: List[Tensor], mode: str, hidden: int, layers: int,
    bidirectional: bool, bias: bool, projection: int, batch_first: bool,
) -> Tuple[Tensor, Tensor, Tensor]:
    """(y, h, c) of x, (T, B, I) or, batch first, (B, T, I); c is empty unless the mode is LSTM."""
    shapes = _check_inputs(x, h0, c0, mode, hidden, layers, bidirectional, projection, batch_first)
    y, h, c = (x.new_empty(shape) for shape in shapes)
    if y.numel() == 0:
        return (y, h.zero_() if h0 is None else h.copy_(h0),
                c.zero_() if c0 is None or mode != "LSTM" else c.copy_(c0))
    rows, steps = x.shape[:2] if batch_first else (x.shape[1], x.shape[0])
    x, h0, c0 = x.contiguous().resolve_neg(), _dense(h0), _dense(c0)
    weights = [weight.contiguous().resolve_neg() for weight in weights]
    engine = _engine(weights, mode, x.shape[2], hidden, layers, bidirectional, bias, projection)
    if not engine.run(weights, x.data_ptr(), steps, rows, batch_first, _address(h0), _address(c0), y.data_ptr(),
                      h.data_ptr(), c.data_ptr() if mode == "LSTM" else 0, 0, torch.get_num_threads()):
        raise RuntimeError("latchwork::recurrent needs float32 weights on the CPU of the shapes that its sizes say")
    return y, h, c


@recurrent.register_fake
def _(x: Tensor, h0: Any, c0: Any, weights: Any, mode: str, hidden: int, layers: int, bidirectional: bool, bias: bool,
      projection: int, batch_first: bool) -> tuple[Tensor, Tensor, Tensor]:
    y, h, c = _shapes(x, mode, hidden, layers, bidirectional, projection, batch_first)
    return x.new_empty(y), x.new_empty(h), x.new_empty(c)


@torch.library.custom_op("latchwork::recurrent_backward", mutates_args=())
def recurrent_backward(
    dy: Tensor, dh: Tensor, dc: Tensor, x: Tensor, h0: Optional[Tensor], c0: Optional[Tensor], weights: List[Tensor],
    mode: str, hidden: int, layers: int, bidirectional: bool, bias: bool, projection: int, batch_first: bool,
) -> List[Tensor]:
    """The gradients with respect to x, h0, c0 (empty where there is none) and each weight."""
    shapes = _check_inputs(x, h0, c0, mode, hidden, layers, bidirectional, projection, batch_first)
    for what, gradient, shape in zip(("dy", "dh", "dc"), (dy, dh, dc), shapes):
        _check(what, gradient, shape)
    none = x.new_empty((0,))
    results = [torch.empty(x.shape), none if h0 is None else torch.empty(h0.shape),
               none.clone() if c0 is None else torch.empty(c0.shape),
               *(torch.empty(weight.shape) for weight in weights)]
    if dy.numel() == 0:
        return [result.zero_() for result in results]
    rows, steps = x.shape[:2] if batch_first else (x.shape[1], x.shape[0])
    x, h0, c0 = x.contiguous().resolve_neg(), _dense(h0), _dense(c0)
    gradients = [_dense(dy), _dense(dh), _dense(dc) if mode == "LSTM" else None]  # held while their addresses are used
    dy_at, dh_at, dc_at = map(_address, gradients)
    weights = [weight.contiguous().resolve_neg() for weight in weights]
    engine = _engine(weights, mode, x.shape[2], hidden, layers, bidirectional, bias, projection)
    y = torch.empty(dy.shape)
    tape = engine.record(weights, x.data_ptr(), steps, rows, batch_first, _address(h0), _address(c0), y.data_ptr(), 0,
                         0, 0, torch.get_num_threads())
    if tape is None:
        raise RuntimeError("latchwork::recurrent_backward needs float32 weights on the CPU")
    dx, dh0, dc0, *dweights = results
    tape.backward(dy_at, dh_at, dc_at, dx.data_ptr(), 0 if h0 is None else dh0.data_ptr(),
                  0 if c0 is None else dc0.data_ptr(), [gradient.data_ptr() for gradient in dweights])
    return results


@recurrent_backward.register_fake
def _(dy: Tensor, dh: Tensor, dc: Tensor, x: Tensor, h0: Any, c0: Any, weights: Any, *rest: Any) -> list[Tensor]:
    empty = x.new_empty
    return [empty(x.shape), empty((0,) if h0 is None else h0.shape), empty((0,) if c0 is None else c0.shape),
            *(empty(weight.shape) for weight in weights)]


def _setup(ctx: Any, inputs: Any, output: Any) -> None:
    x, h0, c0, weights, *ctx.sizes = inputs
    ctx.has = h0 is not None, c0 is not None
    ctx.save_for_backward(x, h0, c0, *weights)


def _backward(ctx: Any, dy: Tensor, dh: Tensor, dc: Tensor) -> Any:
    x, h0, c0, *weights = ctx.saved_tensors
    dx, dh0, dc0, *dweights = recurrent_backward(dy, dh, dc, x, h0, c0, list(weights), *ctx.sizes)
    has_h, has_c = ctx.has
    return dx, dh0 if has_h else None, dc0 if has_c else None, dweights, None, None, None, None, None, None, None


recurrent.register_autograd(_backward, setup_context=_setup)


def _backward_twice(ctx: Any, *gradients: Any) -> Any:
    raise RuntimeError("latchwork::recurrent has no gradient of its gradient (no double backward): "
                       "latchwork.torch.restore(model) gives torch.nn's back, which has one")


recurrent_backward.register_autograd(_backward_twice)


def _readable(*tensors: Tensor | None) -> bool:
    return all(t is None or (t.dtype == torch.float32 and t.device.type == "cpu") for t in tensors)


def _pair(lstm: bool, hx: Any) -> tuple[Tensor | None, Tensor | None]:
    if hx is None:
        return None, None
    return (hx[0], hx[1]) if lstm else (hx, None)


def layers(module: Any, input: Any, hx: Any) -> Any:
    """What an LSTM, GRU or RNN gives while it is followed; None: as torch.nn does it. Its checks are torch.nn's."""
    if not isinstance(input, Tensor) or input.dim() not in (2, 3) or torch.onnx.is_in_onnx_export():
        return None
    if module.dropout and module.training and module.num_layers > 1:
        return None
    weights = [getattr(module, name) for name in module._flat_weights_names]
    lstm = module.mode == "LSTM"
    h0, c0 = _pair(lstm, hx)
    if not _readable(input, h0, c0, *weights) or torch.is_autocast_enabled("cpu"):
        return None
    batched, batch_first = input.dim() == 3, module.batch_first
    x = input if batched else input.unsqueeze(0 if batch_first else 1)
    if h0 is not None:
        if h0.dim() != input.dim() or (c0 is not None and c0.dim() != input.dim()):
            return None
        if not batched:
            h0, c0 = h0.unsqueeze(1), None if c0 is None else c0.unsqueeze(1)
        hidden = (h0, c0) if lstm else h0
        module.check_forward_args(x, hidden, None)
    else:
        module.check_input(x, None)
    if x.shape[1 if batch_first else 0] == 0:
        return None
    y, h, c = recurrent(x, h0, c0, weights, module.mode, module.hidden_size, module.num_layers, module.bidirectional,
                        module.bias, module.proj_size, batch_first)
    if not batched:
        y, h = y.squeeze(0 if batch_first else 1), h.squeeze(1)
        c = c.squeeze(1) if lstm else c
    return (y, (h, c)) if lstm else (y, h)


def cell(module: Any, input: Any, hx: Any) -> Any:
    """The same of a cell."""
    mode = module._mode()
    if not isinstance(input, Tensor) or input.dim() not in (1, 2) or mode is None or torch.onnx.is_in_onnx_export():
        return None
    lstm = mode == "LSTM"
    h0, c0 = _pair(lstm, hx)
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] if module.bias else ["weight_ih", "weight_hh"]
    weights = [getattr(module, name) for name in names]
    if not _readable(input, h0, c0, *weights) or input.shape[-1] != module.input_size:
        return None
    shape = (*input.shape[:-1], module.hidden_size)
    if (h0 is not None and h0.shape != shape) or (c0 is not None and c0.shape != shape):
        return None
    batched = input.dim() == 2
    x = input.unsqueeze(0) if batched else input.view(1, 1, -1)
    if h0 is not None:
        h0 = h0.reshape(1, -1, module.hidden_size)
    if c0 is not None:
        c0 = c0.reshape(1, -1, module.hidden_size)
    _, h, c = recurrent(x, h0, c0, weights, mode, module.hidden_size, 1, False, module.bias, 0, False)
    return (h.reshape(shape), c.reshape(shape)) if lstm else h.reshape(shape)


# torch.compile stops at every instance of torch.nn's RNN, GRU and LSTM unless this is set, and ours are instances of
# them so that other code recognises them. It is set when torch.compile's own module comes, which is slow to import.
_DYNAMO = "torch._dynamo.config"


def _allow(module: Any) -> None:
    if hasattr(module, "allow_rnn"):
        module.allow_rnn = True


class _Waiting(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != _DYNAMO:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_allow(module: Any) -> None:
                load(module)
                _allow(module)

            spec.loader.exec_module = load_and_allow  # type: ignore[method-assign]
        return spec


def allow_compiling() -> None:
    """Lets torch.compile follow recurrent modules. Called once, when latchwork.torch is imported."""
    module = sys.modules.get(_DYNAMO)
    if module is not None:
        _allow(module)
    else:
        sys.meta_path.insert(0, _Waiting())
