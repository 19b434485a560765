# SPDX-License-Identifier: Apache-2.0
"""accelerate(model) and restore(model): torch.nn's recurrent modules become Latchwork's where they stand, and back.

Only the class of a module changes. So parameters, buffers, hooks, names and whoever else holds the module stay.
"""
from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from . import modules

_classes: dict[type[nn.Module], type[nn.Module]] = {
    nn.LSTM: modules.LSTM,
    nn.GRU: modules.GRU,
    nn.RNN: modules.RNN,
    nn.LSTMCell: modules.LSTMCell,
    nn.GRUCell: modules.GRUCell,
    nn.RNNCell: modules.RNNCell,
}
_originals = {ours: theirs for theirs, ours in _classes.items()}
_MARK = "_latchwork_accelerated"  # in the __dict__ of a module that accelerate() has changed


@dataclass
class Replaced:
    """What accelerate() did: the names of the modules that Latchwork runs now, and why it left others."""

    replaced: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{name or '(the model itself)'}: runs on Latchwork" for name in self.replaced]
        lines += [f"{name or '(the model itself)'}: left to PyTorch: {reason}" for name, reason in self.kept.items()]
        return "\n".join(lines) or "no recurrent modules"


def _obstacle(module: nn.Module) -> str | None:
    """Why this module cannot run on Latchwork; None: it can."""
    if type(module) not in _classes:
        kind = next(theirs for theirs in _classes if isinstance(module, theirs))
        return f"it is a {type(module).__name__}, a subclass of torch.nn.{kind.__name__} that may do something else"
    if "forward" in module.__dict__:
        return "its forward() has been replaced on the module itself"
    if isinstance(module, nn.RNNCell) and module.nonlinearity not in ("tanh", "relu"):
        return f"its nonlinearity is {module.nonlinearity!r}, expected 'tanh' or 'relu'"
    for name, tensor in module.named_parameters():
        if isinstance(tensor, nn.parameter.UninitializedParameter):
            return f"its parameter {name} is not initialised yet"
        if tensor.dtype != torch.float32:
            return f"its parameter {name} is {tensor.dtype}, expected torch.float32"
        if tensor.device.type != "cpu":
            return f"its parameter {name} is on {tensor.device}, expected the CPU"
        if type(tensor) is not nn.Parameter:
            return f"its parameter {name} is a {type(tensor).__name__}, expected a plain torch.nn.Parameter"
    return None


def _foreign(module: nn.Module) -> str | None:
    """A recurrent module that is none of torch.nn's classes: scripted or quantised."""
    if isinstance(module, torch.jit.ScriptModule):
        name = getattr(module, "original_name", "")
        if name in {theirs.__name__ for theirs in _classes}:
            return "it is a TorchScript module, whose code is fixed"
    elif (type(module).__module__.startswith(("torch.ao.", "torch.nn.quantized"))
          and type(module).__name__ in {theirs.__name__ for theirs in _classes}):
        return "it is quantised"
    return None


def accelerate(model: nn.Module) -> Replaced:
    """Makes every recurrent module in `model` (itself included) run on Latchwork, in place. Once more does no harm.

    Parameters, state_dict, hooks and shared modules stay as they are. Returns what was replaced, and what was not and
    why.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, expected a torch.nn.Module")
    result = Replaced()
    for name, module in model.named_modules():
        kind: type[nn.Module] = type(module)
        if kind in _originals:
            result.replaced.append(name)
        elif issubclass(kind, tuple(_classes)):
            reason = _obstacle(module)
            if reason is None:
                module.__class__ = _classes[kind]
                module.__dict__[_MARK] = True
                result.replaced.append(name)
            else:
                result.kept[name] = reason
        elif (reason := _foreign(module)) is not None:
            result.kept[name] = reason
    return result


def restore(model: nn.Module) -> list[str]:
    """Undoes accelerate(): the modules that it changed are torch.nn's again, with all that they have learnt. Returns
    their names."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, expected a torch.nn.Module")
    names = []
    for name, module in model.named_modules():
        if type(module) in _originals and module.__dict__.pop(_MARK, False):
            module.__class__ = _originals[type(module)]
            for cache in (modules._CACHE, modules._LAYERS):
                module.__dict__.pop(cache, None)
            names.append(name)
    return names
