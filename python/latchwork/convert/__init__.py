# SPDX-License-Identifier: Apache-2.0
"""Models from other tools and for other tools.

    converted = latchwork.convert.load("amplifier.nam")   # .onnx, .keras, .h5, .json (RTNeural), .nam, .safetensors
    model = converted.model()
    latchwork.convert.save(converted, "amplifier.safetensors")

The command `latchwork convert` does the same; docs/converting.md says what each format can hold.
"""
from .formats import initial_state, load, save
from .model import Converted, start_state

__all__ = ["Converted", "initial_state", "load", "save", "start_state"]
