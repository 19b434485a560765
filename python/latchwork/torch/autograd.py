# SPDX-License-Identifier: Apache-2.0
"""The eager run of one recurrent module, without gradients and with them. Called by modules.py.

Everything here gets dense float32 tensors on the CPU, checked by the caller; the parameters are checked by the engine.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._core import Recurrent

_keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)


class Unreadable(Exception):
    """A parameter is not a dense float32 tensor on the CPU: torch.nn must do it."""


class Call(NamedTuple):
    """What a run is beside its tensors."""

    engine: Recurrent
    name: str
    steps: int
    rows: int  # of a packed sequence: all its rows
    batch_first: bool
    sizes: Tensor | None  # batch_sizes of a packed sequence
    shapes: tuple[tuple[int, ...], tuple[int, ...] | None, tuple[int, ...] | None]  # of y, h and c; None: not wanted


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _outputs(call: Call, x: Tensor) -> list[Tensor | None]:
    return [None if shape is None else x.new_empty(shape) for shape in call.shapes]


def run(call: Call, tensors: Any, x: Tensor, h0: Tensor | None, c0: Tensor | None) -> list[Tensor]:
    """(y, h, c) without those that are not wanted. `tensors` is a dict or a list of the parameters."""
    outputs = _outputs(call, x)
    y, h, c = outputs
    if not call.engine.run(tensors, x.data_ptr(), call.steps, call.rows, call.batch_first, _address(h0), _address(c0),
                           _address(y), _address(h), _address(c), _address(call.sizes), torch.get_num_threads()):
        raise Unreadable
    return [output for output in outputs if output is not None]


class _Recorded(torch.autograd.Function):
    """The tape lives from the forward run until the graph is let go of, or until its one way back."""

    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor, h0: Tensor | None, c0: Tensor | None,
                *parameters: Tensor) -> tuple[Tensor, ...]:
        outputs = _outputs(call, x)
        y, h, c = outputs
        tape = call.engine.record(list(parameters), x.data_ptr(), call.steps, call.rows, call.batch_first, _address(h0),
                                  _address(c0), _address(y), _address(h), _address(c), _address(call.sizes),
                                  torch.get_num_threads())
        if tape is None:
            raise Unreadable
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*parameters)  # so that a change in place before the way back is an error, as in torch.nn
        ctx.call, ctx.tape, ctx.device = call, tape, x.device
        ctx.inputs = tuple(None if tensor is None else tensor.shape for tensor in (x, h0, c0))
        return tuple(output for output in outputs if output is not None)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        call = ctx.call
        parameters = ctx.saved_tensors
        with torch.no_grad():
            given = iter(gradients)
            dy, dh, dc = (None if shape is None else next(given) for shape in call.shapes)
            dy, dh, dc = (None if tensor is None else tensor.to(torch.float32).contiguous().resolve_neg()
                          for tensor in (dy, dh, dc))
            wanted = ctx.needs_input_grad[1:]
            results = [torch.empty(shape, dtype=torch.float32, device=ctx.device) if want else None
                       for shape, want in zip((*ctx.inputs, *(p.shape for p in parameters)), wanted)]
            dx, dh0, dc0, *dparameters = results
            ctx.tape.backward(_address(dy), _address(dh), _address(dc), _address(dx), _address(dh0), _address(dc0),
                              [_address(gradient) for gradient in dparameters])
            if not _keeps_graph():
                ctx.tape.give_back()
        if torch.is_grad_enabled():  # create_graph: the gradient itself wants a gradient
            last: Any = _Last.apply
            results = [None if result is None else last(call.name, result.requires_grad_()) for result in results]
        return None, *results


class _Last(torch.autograd.Function):
    """The end of the road: a gradient that has no gradient."""

    @staticmethod
    def forward(ctx: Any, name: str, gradient: Tensor) -> Tensor:
        ctx.name = name
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None]:
        raise RuntimeError(
            f"latchwork.torch.{ctx.name} has no gradient of its gradient (no double backward): use torch.nn.{ctx.name}"
            ", or latchwork.torch.restore(model), where one is needed"
        )


def record(call: Call, tensors: list[Any], x: Tensor, h0: Tensor | None, c0: Tensor | None) -> tuple[Tensor, ...]:
    """As `run`, and gradients can flow back."""
    apply: Any = _Recorded.apply
    result: tuple[Tensor, ...] = apply(call, x, h0, c0, *tensors)
    return result
