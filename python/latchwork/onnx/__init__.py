# SPDX-License-Identifier: Apache-2.0
"""ONNX models on Latchwork without ONNX Runtime: LSTM, GRU and RNN nodes and what usually stands around them.

    session = latchwork.onnx.load("model.onnx")
    y, = session.run([x])

`Backend` is ONNX's own interface (onnx.backend.base), whose functions the module has too: prepare, run_model, run_node,
supports_device, is_compatible. Needs the package onnx (`pip install 'latchwork[onnx]'`).
"""
from .backend import Backend, Session, load

prepare = Backend.prepare
run_model = Backend.run_model
run_node = Backend.run_node
supports_device = Backend.supports_device
is_compatible = Backend.is_compatible

__all__ = [
    "Backend",
    "Session",
    "is_compatible",
    "load",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]
