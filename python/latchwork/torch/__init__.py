# SPDX-License-Identifier: Apache-2.0
"""Latchwork inside PyTorch: torch.nn's recurrent modules, run and trained by Latchwork.

    latchwork.torch.accelerate(model)       # every LSTM, GRU, RNN and cell in it, in place
    latchwork.torch.restore(model)          # and back

or, instead of torch.nn's,

    lstm = latchwork.torch.LSTM(128, 256, num_layers=2, batch_first=True)

docs/pytorch.md says what runs where. Needs PyTorch 2.4 or newer.
"""
from __future__ import annotations

try:
    import torch as _torch
except ImportError as error:
    raise ImportError("latchwork.torch needs PyTorch: pip install 'latchwork[torch]'") from error
if not hasattr(_torch.library, "custom_op"):
    raise ImportError(f"latchwork.torch needs PyTorch 2.4 or newer, and this is {_torch.__version__}")

from .compiling import allow_compiling as _allow_compiling
from .modules import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from .replacing import Replaced, accelerate, restore

_allow_compiling()

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell", "Replaced", "accelerate", "restore"]
