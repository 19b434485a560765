#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden gradients in gradients/ with PyTorch's autograd.

    pip install torch==2.13.0 safetensors numpy
    tests/golden/make_gradient_golden.py            # makes all files anew
    tests/golden/make_gradient_golden.py --check    # makes them in memory and compares; needs the same

A file is a Latchwork model (architecture in the metadata, one recurrent brick) with a request and what PyTorch said
about it: golden.input (T, B, I), golden.output (T, B, O), golden.lengths (B) as I64 where rows differ in length, and
for each layer and direction the initial states golden.h0.<layer>[_reverse], for an LSTM golden.c0...; then the
gradients that come in, golden.doutput and golden.dhn..., golden.dcn..., and those that go out: golden.dinput,
golden.dh0..., golden.dc0... and golden.d<parameter> for every parameter. The numbers that go in are f32; PyTorch
computes in double and the results are rounded once, so that the whole tolerance belongs to whoever is compared.
"""
import argparse
import json
import pathlib
import sys
import zlib

import numpy as np
import torch
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialise

import golden_reference
from make_golden import architecture, make_io, read, settled

FOLDER = pathlib.Path(__file__).resolve().parent / "gradients"

# kind, name, settings as in make_golden.py. T, B, I, H; L layers; bi: bidirectional; P: projection; lengths: one a row.
CASES = [
    ("lstm", "lstm_h1", dict(T=6, B=1, I=1, H=1)),
    ("lstm", "lstm_h8", dict(T=7, B=3, I=5, H=8)),
    ("lstm", "lstm_h20_nobias", dict(T=6, B=2, I=5, H=20, bias=False)),
    ("lstm", "lstm_h8_l3", dict(T=5, B=3, I=3, H=8, L=3)),
    ("lstm", "lstm_h5_l2_bi", dict(T=7, B=2, I=4, H=5, L=2, bi=True)),
    ("lstm", "lstm_h17_b5", dict(T=4, B=5, I=9, H=17)),
    ("lstm", "lstm_h8_p3_nobias", dict(T=9, B=1, I=8, H=8, P=3, bias=False)),
    ("lstm", "lstm_h12_l2_bi_p7", dict(T=6, B=2, I=6, H=12, L=2, bi=True, P=7)),
    ("lstm", "lstm_h17_p10_lengths", dict(T=7, B=3, I=9, H=17, P=10, lengths=[7, 2, 4])),
    ("lstm", "lstm_h8_l2_bi_lengths", dict(T=8, B=4, I=5, H=8, L=2, bi=True, lengths=[5, 8, 1, 3])),
    ("lstm", "lstm_h8_t100", dict(T=100, B=2, I=3, H=8)),
    ("gru", "gru_h1", dict(T=6, B=1, I=2, H=1)),
    ("gru", "gru_h8", dict(T=7, B=3, I=5, H=8)),
    ("gru", "gru_h8_l3_nobias", dict(T=5, B=3, I=3, H=8, L=3, bias=False)),
    ("gru", "gru_h3_l2_bi", dict(T=7, B=2, I=4, H=3, L=2, bi=True)),
    ("gru", "gru_h12_bi_lengths", dict(T=8, B=4, I=5, H=12, bi=True, lengths=[2, 6, 8, 1])),
    ("gru", "gru_h17_t60", dict(T=60, B=2, I=4, H=17)),
    ("rnn", "rnn_tanh_h1", dict(T=6, B=2, I=1, H=1)),
    ("rnn", "rnn_tanh_h20_l2_bi", dict(T=7, B=1, I=6, H=20, L=2, bi=True)),
    ("rnn", "rnn_tanh_h8_l3_bi_lengths", dict(T=6, B=3, I=4, H=8, L=3, bi=True, lengths=[6, 1, 4])),
    ("rnn", "rnn_relu_h3_l3", dict(T=6, B=2, I=3, H=3, L=3, relu=True)),
    ("rnn", "rnn_relu_h17_nobias", dict(T=5, B=3, I=7, H=17, relu=True, bias=False)),
]


def weigh(rng, result, like):
    """A random gradient for `result`, rounded to f32, and the loss that has it."""
    weight = rng.uniform(-1, 1, like).astype(np.float32)
    return weight, (result * torch.from_numpy(weight).double()).sum()


def make(kind, name, s):
    """The file's bytes."""
    seed = zlib.crc32(name.encode())
    rng = np.random.Generator(np.random.PCG64(seed))
    torch.manual_seed(seed)
    brick = architecture(kind, s)["bricks"][0]
    io = make_io(rng, kind, s)
    classes = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    more = {"proj_size": s["P"]} if "P" in s else {"nonlinearity": "relu"} if s.get("relu") else {}
    module = classes[kind](s["I"], s["H"], s.get("L", 1), bias=s.get("bias", True), bidirectional=s.get("bi", False),
                           **more).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.float())
    order = [f"{layer}{suffix}" for layer in range(s.get("L", 1))
             for suffix in golden_reference.direction_suffixes(brick)]
    letters = ("h", "c") if kind == "lstm" else ("h",)
    x = torch.from_numpy(io["input"]).double().requires_grad_()
    start = [torch.from_numpy(np.stack([io[f"{letter}0.{place}"] for place in order])).double().requires_grad_()
             for letter in letters]
    sequence = x
    if "lengths" in io:
        sequence = torch.nn.utils.rnn.pack_padded_sequence(x, torch.from_numpy(io["lengths"]), enforce_sorted=False)
    y, last = module(sequence, tuple(start) if kind == "lstm" else start[0])
    if "lengths" in io:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=s["T"])
    golden = dict(io, output=y.detach().float().numpy())
    golden["doutput"], loss = weigh(rng, y, y.shape)
    for letter, values in zip(letters, last if kind == "lstm" else (last,)):
        for place, value in zip(order, values):
            golden[f"d{letter}n.{place}"], part = weigh(rng, value, value.shape)
            loss = loss + part
    loss.backward()
    golden["dinput"] = x.grad.float().numpy()
    for letter, values in zip(letters, start):
        golden.update((f"d{letter}0.{place}", values.grad[k].float().numpy()) for k, place in enumerate(order))
    tensors = {}
    for key, parameter in module.named_parameters():
        tensors[f"{kind}.{key}"] = parameter.detach().float().numpy()
        golden[f"d{kind}.{key}"] = parameter.grad.float().numpy()
    tensors.update((f"golden.{key}", np.ascontiguousarray(value)) for key, value in golden.items())
    return settled(serialise(tensors, {
        "format": "latchwork", "latchwork": json.dumps(architecture(kind, s), separators=(",", ":")),
        "origin": "PyTorch " + torch.__version__}))


def check():
    """The files on the disk hold what PyTorch says here, to the last bits of a double rounded to f32."""
    paths = {path.stem for path in FOLDER.glob("*.safetensors")}
    names = {name for _, name, _ in CASES}
    if paths != names:
        raise SystemExit(f"the folder has {sorted(paths - names)} too much and lacks {sorted(names - paths)}")
    total = 0
    for kind, name, s in CASES:
        path = FOLDER / f"{name}.safetensors"
        total += path.stat().st_size
        there, _ = read(path)
        here = parse(make(kind, name, s))
        if there.keys() != here.keys():
            raise SystemExit(f"{name}: the tensors are {sorted(there)}; {sorted(here)} are expected")
        for key, value in here.items():
            if not np.allclose(there[key], value, rtol=3e-7, atol=1e-12):
                raise SystemExit(f"{name}: {key} is not what PyTorch says")
    print(f"{len(CASES)} cases proved, {total} bytes")


def main():
    parser = argparse.ArgumentParser(description="Makes and proves the golden gradients.")
    parser.add_argument("--check", action="store_true", help="only prove the files that are there")
    if not parser.parse_args().check:
        FOLDER.mkdir(exist_ok=True)
        for path in FOLDER.glob("*.safetensors"):
            path.unlink()
        for kind, name, s in CASES:
            (FOLDER / f"{name}.safetensors").write_bytes(make(kind, name, s))
    check()


if __name__ == "__main__":
    sys.exit(main())
