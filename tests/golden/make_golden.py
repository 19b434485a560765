#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden files of this folder with PyTorch and ONNX Runtime, and proves each one with golden_reference.py.

    pip install torch==2.13.0 onnx==1.23.2 onnxruntime==1.32.0 safetensors numpy
    tests/golden/make_golden.py            # makes all files anew
    tests/golden/make_golden.py --check    # only proves those that are there; needs numpy and safetensors alone

A file torch_*.safetensors or onnx_*.safetensors is a Latchwork model (architecture in the metadata, one recurrent brick)
with what the original said about it: golden.input (T, B, I), golden.output (T, B, O), for each layer and direction
golden.h0.<layer>[_reverse], golden.hn..., for an LSTM golden.c0..., golden.cn..., and golden.lengths (B) as I64 where
rows differ in length. plain_*.safetensors are state_dicts as PyTorch writes them, without metadata, with the same golden
tensors beside the parameters: the loader must find the architecture by names and shapes alone.
"""
import argparse
import json
import pathlib
import sys
import zlib

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as serialise

import golden_reference

FOLDER = pathlib.Path(__file__).resolve().parent
# The original computes in f32 with its own order of summation and its own activations (2 ulp); cells that are clipped
# or saturate do not add to that.
RTOL, ATOL = 1e-5, 1e-6

# kind, name, settings. T, B, I, H; L layers; bi: bidirectional; P: projection; lengths: one a row.
TORCH = [
    ("lstm", "lstm_h1", dict(T=6, B=1, I=1, H=1)),
    ("lstm", "lstm_h3_l2_bi", dict(T=7, B=2, I=4, H=3, L=2, bi=True)),
    ("lstm", "lstm_h8_l3", dict(T=5, B=3, I=3, H=8, L=3)),
    ("lstm", "lstm_h20_nobias", dict(T=6, B=2, I=5, H=20, bias=False)),
    ("lstm", "lstm_h33_b5", dict(T=4, B=5, I=17, H=33)),
    ("lstm", "lstm_h20_l2_bi_p7", dict(T=6, B=2, I=6, H=20, L=2, bi=True, P=7)),
    ("lstm", "lstm_h8_p3_b1_nobias", dict(T=9, B=1, I=8, H=8, P=3, bias=False)),
    ("lstm", "lstm_h8_l2_bi_lengths", dict(T=8, B=4, I=5, H=8, L=2, bi=True, lengths=[5, 8, 1, 3])),
    ("lstm", "lstm_h33_p20_lengths", dict(T=7, B=3, I=9, H=33, P=20, lengths=[7, 2, 4])),
    ("gru", "gru_h1", dict(T=6, B=1, I=2, H=1)),
    ("gru", "gru_h3_l2_bi", dict(T=7, B=2, I=4, H=3, L=2, bi=True)),
    ("gru", "gru_h8_l3_nobias", dict(T=5, B=3, I=3, H=8, L=3, bias=False)),
    ("gru", "gru_h20_bi_lengths", dict(T=8, B=4, I=5, H=20, bi=True, lengths=[2, 6, 8, 1])),
    ("gru", "gru_h33_b1", dict(T=6, B=1, I=12, H=33)),
    ("rnn", "rnn_tanh_h1", dict(T=6, B=2, I=1, H=1)),
    ("rnn", "rnn_tanh_h20_l2_bi", dict(T=7, B=1, I=6, H=20, L=2, bi=True)),
    ("rnn", "rnn_tanh_h8_l3_bi_lengths", dict(T=6, B=3, I=4, H=8, L=3, bi=True, lengths=[6, 1, 4])),
    ("rnn", "rnn_relu_h3_l3", dict(T=6, B=2, I=3, H=3, L=3, relu=True)),
    ("rnn", "rnn_relu_h33_nobias", dict(T=5, B=3, I=7, H=33, relu=True, bias=False)),
]
ONNX = [
    ("lstm", "lstm_h8_peepholes", dict(T=6, B=2, I=5, H=8, peepholes=True)),
    ("lstm", "lstm_h20_clip", dict(T=7, B=2, I=6, H=20, clip=0.75, scale=3)),
    ("lstm", "lstm_h3_peepholes_clip_bi", dict(T=6, B=2, I=4, H=3, bi=True, peepholes=True, clip=0.5, scale=3)),
    ("lstm", "lstm_h8_coupled", dict(T=6, B=3, I=4, H=8, coupled=True)),
    ("lstm", "lstm_h20_reverse", dict(T=6, B=2, I=3, H=20, reverse=True)),
    ("lstm", "lstm_h33_reverse_peepholes_lengths",
     dict(T=7, B=3, I=5, H=33, reverse=True, peepholes=True, lengths=[7, 3, 1])),
    ("lstm", "lstm_h8_bi_lengths_nobias", dict(T=6, B=4, I=3, H=8, bi=True, lengths=[2, 6, 1, 5], bias=False)),
    ("gru", "gru_h8_before", dict(T=6, B=2, I=5, H=8, before=True)),
    ("gru", "gru_h20_before_bi_lengths", dict(T=7, B=3, I=4, H=20, before=True, bi=True, lengths=[4, 7, 1])),
    ("gru", "gru_h33_before_reverse_b1", dict(T=5, B=1, I=9, H=33, before=True, reverse=True)),
    ("gru", "gru_h8_before_clip", dict(T=6, B=2, I=5, H=8, before=True, clip=0.5, scale=3)),
    ("gru", "gru_h8_after_clip", dict(T=6, B=2, I=5, H=8, clip=0.5, scale=3)),
    ("gru", "gru_h20_after_bi", dict(T=6, B=2, I=5, H=20, bi=True)),
    ("gru", "gru_h3_after_reverse_nobias", dict(T=6, B=2, I=3, H=3, reverse=True, bias=False)),
    ("rnn", "rnn_tanh_h8_reverse_lengths", dict(T=6, B=3, I=4, H=8, reverse=True, lengths=[6, 2, 3])),
    ("rnn", "rnn_tanh_h8_clip", dict(T=6, B=2, I=5, H=8, clip=0.5, scale=3)),
    ("rnn", "rnn_relu_h20_bi", dict(T=5, B=2, I=5, H=20, bi=True, relu=True)),
]
# prefix: what the state_dict's names begin with; cell: an LSTMCell and its like; dtype of the file.
PLAIN = [
    ("lstm", "lstm_l2_bi_proj", dict(T=6, B=2, I=5, H=8, L=2, bi=True, P=3)),
    ("lstm", "lstm_prefix", dict(T=5, B=2, I=4, H=20, prefix="lstm.")),
    ("lstm", "lstm_cell", dict(T=5, B=2, I=4, H=8, cell=True)),
    ("lstm", "lstm_bf16", dict(T=5, B=2, I=3, H=8, dtype="bfloat16")),
    ("gru", "gru_l3_prefix", dict(T=5, B=2, I=4, H=8, L=3, prefix="encoder.rnn.")),
    ("gru", "gru_f16_cell", dict(T=5, B=2, I=3, H=8, cell=True, prefix="cell.", dtype="float16")),
    ("rnn", "rnn_bi_f64", dict(T=6, B=1, I=3, H=8, bi=True, dtype="float64")),
]


def architecture(kind, s):
    """The brick that Latchwork's loader reads; keys at their default are left out."""
    brick = {"kind": kind, "name": kind, "input": s["I"], "hidden": s["H"]}
    options = {
        "layers": s.get("L", 1) if s.get("L", 1) > 1 else None,
        "direction": "bidirectional" if s.get("bi") else "reverse" if s.get("reverse") else None,
        "bias": None if s.get("bias", True) else False,
        "projection": s.get("P"),
        "peepholes": s.get("peepholes"),
        "coupled": s.get("coupled"),
        "gate_clip": s.get("clip"),
        "reset": "before" if s.get("before") else None,
        "function": "relu" if s.get("relu") else None,
    }
    brick.update((key, value) for key, value in options.items() if value is not None)
    return {"version": 1, "bricks": [brick]}


def make_io(rng, kind, s):
    """Input, initial states and lengths of a case, by name without `golden.`."""
    brick = architecture(kind, s)["bricks"][0]
    io = {"input": rng.standard_normal((s["T"], s["B"], s["I"])).astype(np.float32)}
    for layer in range(s.get("L", 1)):
        for suffix in golden_reference.direction_suffixes(brick):
            widths = {"h0": s.get("P", s["H"]), "c0": s["H"]}
            for memory in ("h0", "c0") if kind == "lstm" else ("h0",):
                start = rng.uniform(-1, 1, (s["B"], widths[memory])).astype(np.float32)
                io[f"{memory}.{layer}{suffix}"] = start
    if "lengths" in s:
        io["lengths"] = np.array(s["lengths"], np.int64)
    return io


def run_torch(kind, s, io, seed):
    """Returns the module and what it says: output and final states by name without `golden.`."""
    import torch

    torch.manual_seed(seed)
    classes = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
    more = {"proj_size": s["P"]} if "P" in s else {"nonlinearity": "relu"} if s.get("relu") else {}
    module = classes[kind](s["I"], s["H"], s.get("L", 1), bias=s.get("bias", True), bidirectional=s.get("bi", False),
                           **more)
    if "dtype" in s:
        # The numbers that the file can hold; the module computes in f32, as the library does.
        module = module.to(getattr(torch, s["dtype"])).to(torch.float32)
    brick = architecture(kind, s)["bricks"][0]
    order = [f"{layer}{suffix}" for layer in range(s.get("L", 1))
             for suffix in golden_reference.direction_suffixes(brick)]
    stack = {m: torch.from_numpy(np.stack([io[f"{m}.{place}"] for place in order]))
             for m in ("h0", "c0") if f"{m}.0" in io}
    x = torch.from_numpy(io["input"])
    if "lengths" in io:
        x = torch.nn.utils.rnn.pack_padded_sequence(x, torch.from_numpy(io["lengths"]), enforce_sorted=False)
    with torch.no_grad():
        y, last = module(x, (stack["h0"], stack["c0"]) if kind == "lstm" else stack["h0"])
        if "lengths" in io:
            y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=s["T"])
    said = {"output": y.numpy()}
    for memory, values in zip(("hn", "cn"), last if kind == "lstm" else (last,)):
        said.update((f"{memory}.{place}", values[i].numpy()) for i, place in enumerate(order))
    return module, said


# ONNX keeps the gates of an LSTM as i, o, f, c and those of a GRU as z, r, h; a peephole as i, o, f. These are the
# places of Latchwork's gates (i, f, g, o; r, z, n; i, f, o) in it.
GATES = {"lstm": [0, 2, 3, 1], "lstm coupled": [0, 3, 1], "gru": [1, 0, 2], "rnn": [0]}
GATE_COUNT = {"lstm": 4, "gru": 3, "rnn": 1}
PEEPHOLE = [0, 2, 1]


def run_onnx(kind, s, io, rng):
    """Returns the tensors in Latchwork's names and what ONNX Runtime says."""
    import onnx
    import onnxruntime

    brick = architecture(kind, s)["bricks"][0]
    suffixes = golden_reference.direction_suffixes(brick)
    gates, width, directions = GATE_COUNT[kind], s["H"], len(suffixes)
    bound = s.get("scale", 1) / np.sqrt(width)

    def draw(*shape):
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    feed = {"X": io["input"], "W": draw(directions, gates * width, s["I"]), "R": draw(directions, gates * width, width)}
    feed["B"] = draw(directions, 2 * gates * width) if s.get("bias", True) else None
    feed["lengths"] = io["lengths"].astype(np.int32) if "lengths" in io else None
    feed["h0"] = np.stack([io[f"h0.0{suffix}"] for suffix in suffixes])
    if kind == "lstm":
        feed["c0"] = np.stack([io[f"c0.0{suffix}"] for suffix in suffixes])
        feed["P"] = draw(directions, 3 * width) if s.get("peepholes") else None
    attributes = {"hidden_size": width, "direction": brick.get("direction", "forward")}
    optional = {"clip": s.get("clip"), "input_forget": 1 if s.get("coupled") else None,
                "linear_before_reset": None if kind != "gru" or s.get("before") else 1,
                "activations": ["Relu"] * directions if s.get("relu") else None}
    attributes.update((key, value) for key, value in optional.items() if value is not None)
    outputs = ["Y", "Y_h", "Y_c"][:3 if kind == "lstm" else 2]
    inputs = [name if feed[name] is not None else "" for name in feed]
    feed = {name: value for name, value in feed.items() if value is not None}
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(kind.upper(), inputs, outputs, **attributes)], "golden",
        [onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
         for name, value in feed.items()],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * (4 if name == "Y" else 3))
         for name in outputs])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result = dict(zip(outputs, session.run(outputs, feed)))

    tensors, said = {}, {"output": np.concatenate(list(result["Y"].transpose(1, 0, 2, 3)), axis=2)}
    order = GATES["lstm coupled" if s.get("coupled") else kind]
    for d, suffix in enumerate(suffixes):
        def put(role, values):
            tensors[f"{kind}.{role}_l0{suffix}"] = np.ascontiguousarray(values)
        put("weight_ih", feed["W"][d].reshape(gates, width, -1)[order].reshape(-1, s["I"]))
        put("weight_hh", feed["R"][d].reshape(gates, width, -1)[order].reshape(-1, width))
        if "B" in feed:
            bias = feed["B"][d].reshape(2, gates, width)[:, order].reshape(2, -1)
            put("bias_ih", bias[0])
            put("bias_hh", bias[1])
        if "P" in feed:
            put("weight_peephole", feed["P"][d].reshape(3, width)[PEEPHOLE])
        said[f"hn.0{suffix}"] = result["Y_h"][d]
        if kind == "lstm":
            said[f"cn.0{suffix}"] = result["Y_c"][d]
    return tensors, said


def prove(name, brick, tensors, golden):
    """Raises when the golden values are not those of the equations. Returns the worst difference."""
    worst = 0.0
    for key, expected in golden_reference.run(brick, tensors, golden).items():
        if golden[key].shape != expected.shape:
            raise SystemExit(f"{name}: {key} has the shape {golden[key].shape}; {expected.shape} is expected")
        difference = np.abs(golden[key] - expected)
        if not np.all(difference <= ATOL + RTOL * np.abs(expected)):
            raise SystemExit(f"{name}: {key} differs from the equations by {difference.max():.3g}")
        worst = max(worst, float(difference.max()))
    return worst


def settled(data):
    """The same file with its metadata in order: the library writes them in a new order each time."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size:]


def save(name, tensors, golden, description, origin):
    metadata = {"format": "latchwork", "latchwork": json.dumps(description, separators=(",", ":")), "origin": origin}
    tensors = dict(tensors)
    tensors.update((f"golden.{key}", np.ascontiguousarray(value)) for key, value in golden.items())
    (FOLDER / f"{name}.safetensors").write_bytes(settled(serialise(tensors, metadata)))


def case_tools(name):
    seed = zlib.crc32(name.encode())
    return seed, np.random.Generator(np.random.PCG64(seed))


def make_torch():
    import torch

    for kind, short, s in TORCH:
        name = "torch_" + short
        seed, rng = case_tools(name)
        io = make_io(rng, kind, s)
        module, said = run_torch(kind, s, io, seed)
        tensors = {f"{kind}.{key}": value.numpy() for key, value in module.state_dict().items()}
        save(name, tensors, {**io, **said}, architecture(kind, s), "PyTorch " + torch.__version__)


def make_onnx():
    import onnxruntime

    for kind, short, s in ONNX:
        name = "onnx_" + short
        _, rng = case_tools(name)
        io = make_io(rng, kind, s)
        tensors, said = run_onnx(kind, s, io, rng)
        save(name, tensors, {**io, **said}, architecture(kind, s), "ONNX Runtime " + onnxruntime.__version__)


def make_plain():
    import torch
    from safetensors.torch import save_file as save_torch

    for kind, short, s in PLAIN:
        name = "plain_" + short
        seed, rng = case_tools(name)
        io = make_io(rng, kind, s)
        module, said = run_torch(kind, s, io, seed)
        tensors = {key: value.to(getattr(torch, s.get("dtype", "float32"))) for key, value in module.state_dict().items()}
        if s.get("cell"):
            # The names of a cell come from a cell: the module's numbers are loaded into one.
            cell = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}[kind](s["I"], s["H"])
            cell = cell.to(getattr(torch, s.get("dtype", "float32")))
            cell.load_state_dict({key.removesuffix("_l0"): value for key, value in tensors.items()})
            tensors = dict(cell.state_dict())
        tensors = {s.get("prefix", "") + key: value for key, value in tensors.items()}
        golden = {f"golden.{key}": np.ascontiguousarray(value) for key, value in {**io, **said}.items()}
        tensors.update((key, torch.from_numpy(value)) for key, value in golden.items())
        save_torch(tensors, FOLDER / f"{name}.safetensors")


def read(path):
    """Tensors as NumPy arrays and metadata; NumPy has no bfloat16, so its bits are widened here."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    types = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "BF16": "<u2"}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = values
    return tensors, metadata


def check():
    """Proves every file of the folder; the files on the disk, not what was in memory when they were made."""
    plain = {f"plain_{short}": architecture(kind, s) for kind, short, s in PLAIN}
    paths = sorted(FOLDER.glob("*.safetensors"))
    for path in paths:
        with safe_open(path, "np") as file:  # the reference reader accepts it
            file.keys()
        tensors, metadata = read(path)
        description = plain.get(path.stem) or json.loads(metadata["latchwork"])
        brick = description["bricks"][0]
        golden = {key.removeprefix("golden."): value for key, value in tensors.items() if key.startswith("golden.")}
        if path.stem in plain:
            leaves = {key.rsplit(".", 1)[-1]: tensors[key] for key in tensors if not key.startswith("golden.")}
            tensors = {f"{brick['name']}.{leaf if '_l' in leaf else leaf + '_l0'}": leaves[leaf] for leaf in leaves}
        worst = prove(path.name, brick, tensors, golden)
        print(f"{path.name:55} {metadata.get('origin', 'PyTorch state_dict'):24} worst difference {worst:.1e}")
    expected = len(TORCH) + len(ONNX) + len(PLAIN)
    if len(paths) != expected:
        raise SystemExit(f"{len(paths)} cases are in the folder; {expected} are expected")
    total = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} cases proved, {total} bytes")


def main():
    parser = argparse.ArgumentParser(description="Makes and proves the golden files.")
    parser.add_argument("--check", action="store_true", help="only prove the files that are there")
    if not parser.parse_args().check:
        import onnx, onnxruntime, torch  # noqa: E401, F401: nothing is removed where one of them is missing

        for path in FOLDER.glob("*.safetensors"):
            path.unlink()
        make_torch()
        make_onnx()
        make_plain()
    check()


if __name__ == "__main__":
    sys.exit(main())
