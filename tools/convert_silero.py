#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Converts the weights of the voice activity detector in the PyPI package silero-vad into one Latchwork file.

    pip download --no-deps silero-vad==6.2.3
    tools/convert_silero.py silero_vad-6.2.3-py3-none-any.whl examples/models/silero_vad_16k.safetensors

The numbers are those of silero_vad_16k_op15.onnx, which are the ones in the package's silero_vad.onnx and silero_vad.jit.
(silero_vad_16k.safetensors in the same package holds another training of the same network; its probabilities differ.)
The recurrent half (LSTM, ReLU, dense + sigmoid) becomes a native model; the convolutional half rides along as tensors
named frontend.*, which examples/vad_frontend.c reads. No number is changed, only names and layouts: a convolution
(O, C, taps) becomes (O, taps*C), tap by tap, because that is the dense layer that a window of the input passes through.
"""
import argparse
import json
import pathlib
import sys
import zipfile

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from safetensors.numpy import save

NETWORK = "silero_vad_16k_op15.onnx"

ARCHITECTURE = {
    "version": 1,
    "bricks": [
        {"kind": "lstm", "name": "lstm", "input": 128, "hidden": 128},
        {"kind": "activation", "name": "relu", "function": "relu"},
        {"kind": "dense", "name": "head", "input": 128, "output": 1, "function": "sigmoid"},
    ],
}

# name in the package, its shape there, name here
RECURRENT = [
    ("model.decoder.rnn.weight_ih", (512, 128), "lstm.weight_ih_l0"),
    ("model.decoder.rnn.weight_hh", (512, 128), "lstm.weight_hh_l0"),
    ("model.decoder.rnn.bias_ih", (512,), "lstm.bias_ih_l0"),
    ("model.decoder.rnn.bias_hh", (512,), "lstm.bias_hh_l0"),
    ("model.decoder.decoder.2.weight", (1, 128, 1), "head.weight"),
    ("model.decoder.decoder.2.bias", (1,), "head.bias"),
]
CONVOLUTIONS = [
    ("model.stft.forward_basis_buffer", (258, 1, 256), "frontend.stft"),
    ("model.encoder.0.reparam_conv", (128, 129, 3), "frontend.conv1"),
    ("model.encoder.1.reparam_conv", (64, 128, 3), "frontend.conv2"),
    ("model.encoder.2.reparam_conv", (64, 64, 3), "frontend.conv3"),
    ("model.encoder.3.reparam_conv", (128, 64, 3), "frontend.conv4"),
]


def read_package(path):
    """The network's tensors by name, from a wheel, an unpacked package or the ONNX file itself."""
    if path.is_dir():
        data = next((found.read_bytes() for found in sorted(path.rglob(NETWORK))), None)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            member = "silero_vad/data/" + NETWORK
            data = wheel.read(member) if member in wheel.namelist() else None
    else:
        data = path.read_bytes()
    if data is None:
        raise SystemExit(f"{path}: no {NETWORK} in it")
    graph = onnx.load_from_string(data).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    tensors[node.output[0]] = numpy_helper.to_array(attribute.t)
    return tensors


def convert(source):
    """Returns the tensors of the Latchwork file; refuses anything that is not the network it was written for."""

    def take(name, shape):
        tensor = source.get(name)
        if tensor is None:
            raise SystemExit(f"the network has no tensor {name}")
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise SystemExit(f"{name}: expected float32 of shape {shape}, found {tensor.dtype} of {tensor.shape}")
        return tensor

    target = {}
    for name, shape, new_name in RECURRENT:
        tensor = take(name, shape)
        target[new_name] = tensor.reshape(tensor.shape[:2])
    for name, shape, new_name in CONVOLUTIONS:
        tensor = take(name if name.endswith("buffer") else name + ".weight", shape)
        target[new_name + ".weight"] = np.ascontiguousarray(tensor.transpose(0, 2, 1).reshape(shape[0], -1))
        if not name.endswith("buffer"):
            target[new_name + ".bias"] = take(name + ".bias", shape[:1])
    return target


def settled(data):
    """The same file with its metadata in order: the library writes them in a new order each time."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size:]


def main():
    parser = argparse.ArgumentParser(description="Converts silero-vad's 16 kHz weights into a Latchwork file.")
    parser.add_argument("package", type=pathlib.Path, help="the wheel, the unpacked package or its ONNX file")
    parser.add_argument("output", type=pathlib.Path, help="the file to write")
    arguments = parser.parse_args()
    try:
        tensors = convert(read_package(arguments.package))
        metadata = {
            "format": "latchwork",
            "latchwork": json.dumps(ARCHITECTURE, separators=(",", ":")),
            "origin": "silero-vad 6.2.3, " + NETWORK,
            "license": "MIT, Copyright (c) 2020-present Silero Team",
        }
        arguments.output.write_bytes(settled(save(tensors, metadata)))
    except (OSError, DecodeError, zipfile.BadZipFile) as error:
        raise SystemExit(f"{arguments.package}: {error}") from None
    print(f"{arguments.output}: {len(tensors)} tensors, {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    sys.exit(main())
