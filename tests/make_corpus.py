# SPDX-License-Identifier: Apache-2.0
"""Writes tests/corpus: small safetensors files, valid and hostile, that tests/test_files.c loads.

Run by hand after a change: python3 tests/make_corpus.py. Needs nothing beyond Python. The same bytes each time.
A file's name says what is wrong with it; what the library must answer stands in test_files.c.
"""

import json
import struct
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
BYTES = {"F64": 8, "I64": 8, "F32": 4, "F16": 2, "BF16": 2, "U8": 1, "F8_E4M3": 1}


def numbers(name, count):
    """Numbers that F16, BF16, F32 and F64 all hold exactly: eighths from -1 to 1."""
    seed = sum(name.encode())
    return [((seed + 7 * i) % 17 - 8) / 8 for i in range(count)]


def encode(kind, values):
    if kind == "BF16":
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    code = {"F64": "d", "F32": "f", "F16": "e"}.get(kind)
    if code is None:
        return bytes(len(values) * BYTES[kind])
    return struct.pack(f"<{len(values)}{code}", *values)


def count(shape):
    product = 1
    for size in shape:
        product *= size
    return product


def file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensors(shapes, kind="F32", metadata=None):
    """A file of tensors, name to shape, or to (type, shape)."""
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, shape in shapes.items():
        own, dims = shape if isinstance(shape[0] if shape else 0, str) else (kind, shape)
        part = encode(own, numbers(name, count(dims)))
        header[name] = {"dtype": own, "shape": list(dims), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    return file(header, data)


def module(gates, inputs, hidden, layers=1, both=False, bias=True, projection=0, prefix="", cell=False):
    """The shapes of a state_dict, as PyTorch names them."""
    shapes, state = {}, projection or hidden
    for layer in range(layers):
        for suffix in ["", "_reverse"] if both else [""]:
            end = "" if cell else f"_l{layer}{suffix}"
            shapes[f"{prefix}weight_ih{end}"] = (gates * hidden, inputs)
            shapes[f"{prefix}weight_hh{end}"] = (gates * hidden, state)
            if bias:
                shapes[f"{prefix}bias_ih{end}"] = (gates * hidden,)
                shapes[f"{prefix}bias_hh{end}"] = (gates * hidden,)
            if projection:
                shapes[f"{prefix}weight_hr{end}"] = (projection, hidden)
        inputs = state * (2 if both else 1)
    return shapes


def without(shapes, name):
    return {key: shape for key, shape in shapes.items() if key != name}


def native(bricks, shapes, version=1, **more):
    text = bricks if isinstance(bricks, str) else json.dumps({"version": version, "bricks": bricks, **more})
    return tensors(shapes, metadata={"format": "latchwork", "latchwork": text})


def entry(kind="U8", shape="[4]", offsets="[0,4]", more=""):
    return f'{{"dtype":"{kind}","shape":{shape},"data_offsets":{offsets}{more}}}'


def one(text, data=b"1234", name='"a"'):
    """A file with one tensor, whose entry is given as text."""
    return file(f"{{{name}:{text}}}".encode(), data)


LSTM = {"kind": "lstm", "name": "lstm", "input": 2, "hidden": 3}
LSTM_SHAPES = module(4, 2, 3, prefix="lstm.")
HEAD = {"kind": "dense", "name": "head", "output": 1, "function": "sigmoid"}
HEAD_SHAPES = {"head.weight": (1, 3), "head.bias": (1,)}


def lstm(**changes):
    return native([{**LSTM, **changes}], LSTM_SHAPES)


def valid():
    yield "lstm", tensors(module(4, 2, 3))
    yield "gru", tensors(module(3, 2, 3))
    yield "rnn", tensors(module(1, 2, 3))
    yield "lstm_hidden_1", tensors(module(4, 1, 1))
    yield "lstm_two_layers_both_ways", tensors(module(4, 2, 3, layers=2, both=True, prefix="lstm."))
    yield "lstm_projected", tensors(module(4, 2, 3, layers=2, both=True, projection=2))
    yield "gru_without_bias", tensors(module(3, 5, 4, bias=False, prefix="encoder.rnn."))
    yield "rnn_three_layers", tensors(module(1, 5, 4, layers=3, prefix="net."))
    yield "lstm_cell", tensors(module(4, 2, 3, cell=True, prefix="cell."))
    yield "gru_cell", tensors(module(3, 2, 3, cell=True))
    yield "rnn_cell", tensors(module(1, 2, 3, cell=True, bias=False))
    others = {"fc.weight": (1, 3), "fc.bias": (1,), "norm.steps": ("I64", ())}
    yield "lstm_beside_others", tensors({**module(4, 2, 3, prefix="lstm."), **others}, metadata={"format": "pt"})
    for kind in ["F64", "F16", "BF16"]:
        yield f"lstm_{kind.lower()}", tensors(module(4, 2, 3), kind)
    yield "native", native([LSTM, HEAD], {**LSTM_SHAPES, **HEAD_SHAPES, "norm.mean": (2,)})
    options = {"peepholes": True, "coupled": True, "cell_clip": 0.5, "gate_clip": 8, "forget_bias": 1.5, "bias": False}
    stack = [
        {**LSTM, **options, "direction": "bidirectional", "layers": 2},
        {"kind": "gru", "name": "gru", "hidden": 2, "reset": "before", "direction": "reverse"},
        {"kind": "rnn", "name": "rnn", "hidden": 3, "function": "relu"},
        {"kind": "activation", "name": "squash", "function": "tanh"},
        HEAD,
    ]
    shapes = module(3, 2, 3, layers=2, both=True, bias=False, prefix="lstm.")
    for layer in range(2):
        for suffix in ["", "_reverse"]:
            shapes[f"lstm.weight_peephole_l{layer}{suffix}"] = (3, 3)
    shapes |= {f"{name}_reverse": shape for name, shape in module(3, 6, 2, prefix="gru.").items()}
    shapes |= module(1, 2, 3, prefix="rnn.") | HEAD_SHAPES
    yield "native_all_kinds", native(stack, shapes)


def hostile():
    yield "empty", b""
    yield "seven_bytes", b"\x02\0\0\0\0\0\0"
    yield "eight_bytes", b"\x02\0\0\0\0\0\0\0"
    yield "header_length_0", struct.pack("<Q", 0) + b"{}"
    yield "header_length_beyond", struct.pack("<Q", 100) + b"{}"
    yield "header_length_over_limit", struct.pack("<Q", 100_000_001) + b"{}"
    yield "header_length_2e63", struct.pack("<Q", 1 << 63) + b"{}"
    yield "header_length_max", struct.pack("<Q", (1 << 64) - 1) + b"{}"
    yield "header_first_byte", file(b' {"a":1}')
    yield "header_not_json", file(b"{nonsense}")
    yield "header_one_byte", file(b"{")
    yield "header_not_utf8", one(entry(), name='"a"').replace(b'"a"', b'"\xff"')
    yield "header_overlong_utf8", one(entry(), name='"aa"').replace(b'"aa"', b'"\xc0\x80"')
    yield "header_text_behind", file(b"{}x")
    yield "header_comma_last", file(b'{"a":' + entry().encode() + b",}", b"1234")
    yield "header_without_colon", file(b'{"a" 1}')
    yield "header_open_string", file(b'{"a')
    yield "header_open_object", file(b'{"a":{"dtype":"U8"')
    yield "git_lfs_pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    # The first bytes of what others write; the rest is never looked at.
    yield "zip_archive", b"PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00\x00\x00\x00\x00"
    yield "pickle", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
    yield "hdf5", b"\x89HDF\r\n\x1a\n\x00\x00\x00\x00\x00\x08\x08\x00"
    yield "numpy_array", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}"
    damaged = file(b'{"a":' + entry("U8", "[6]", "[0,6]").encode() + b"}", b"12\n45\n")
    yield "line_ends_converted", damaged.replace(b"\n", b"\r\n")

    pair = '{{"a":{},"b":{}}}'
    yield "tensors_overlap", file(pair.format(entry(), entry("U8", "[4]", "[2,6]")).encode(), b"123456")
    yield "tensors_same_bytes", file(pair.format(entry(), entry()).encode(), b"1234")
    yield "tensors_hole", file(pair.format(entry(), entry("U8", "[4]", "[5,9]")).encode(), b"123456789")
    yield "tensors_first_hole", one(entry("U8", "[4]", "[1,5]"), b"12345")
    yield "tensors_trailing", one(entry(), b"12345")
    yield "tensors_none_but_data", file(b"{}", b"12345")
    yield "tensors_beyond", one(entry("U8", "[5]", "[0,5]"))
    yield "tensors_twice", file(b'{"a":' + entry().encode() + b',"a":' + entry("U8", "[0]", "[4,4]").encode() + b"}", b"1234")
    yield "offsets_reversed", one(entry("U8", "[4]", "[4,0]"))
    yield "offsets_negative", one(entry("U8", "[4]", "[-4,0]"))
    yield "offsets_fraction", one(entry("U8", "[4]", "[0,4.5]"))
    yield "offsets_real", one(entry("U8", "[4]", "[0.0,4.0]"))
    yield "offsets_exponent", one(entry("U8", "[4]", "[0,4e0]"))
    yield "offsets_huge", one(entry("U8", "[4]", "[0,18446744073709551616]"))
    yield "offsets_three", one(entry("U8", "[4]", "[0,4,4]"))
    yield "offsets_strings", one(entry("U8", "[4]", '["0","4"]'))
    yield "shape_unlike_length", one(entry("F32", "[4]", "[0,4]"))
    yield "shape_overflow", one(entry("F32", "[4294967296,4294967296,4294967296]", "[0,4]"))
    yield "shape_bytes_overflow", one(entry("F64", "[4611686018427387904]", "[0,0]"), b"")
    yield "shape_wraps_to_length", one(entry("U8", "[4611686018427387905,4]", "[0,4]"))
    yield "shape_negative", one(entry("U8", "[-2,-2]", "[0,4]"))
    yield "shape_real", one(entry("U8", "[4.0]", "[0,4]"))
    yield "shape_no_array", one(entry("U8", "4", "[0,4]"))
    yield "shape_rank_9", one(entry("U8", "[1,1,1,1,1,1,1,1,4]", "[0,4]"))
    yield "type_unknown", one(entry("F99"))
    yield "type_lower_case", one(entry("u8"))
    yield "type_number", one('{"dtype":8,"shape":[4],"data_offsets":[0,4]}')
    yield "entry_key_missing", one('{"dtype":"U8","shape":[4]}')
    yield "entry_key_unknown", one(entry(more=',"stride":1'))
    yield "entry_key_twice", one(entry(more=',"dtype":"I8"'))
    yield "entry_no_object", one("[1,2]")
    yield "entry_literal", one("true")
    yield "entry_nested", one('{"dtype":[[[[["U8"]]]]]}')
    yield "entry_brackets_crossed", one('{"dtype":"U8","shape":[4},"data_offsets":[0,4]]')
    yield "entry_long", one(entry(shape="[" + " " * 5000 + "4]"))
    yield "name_nul", one(entry(), name='"a\\u0000b"')
    yield "name_raw_nul", one(entry(), name='"a\0b"')
    yield "name_lone_surrogate", one(entry(), name='"\\ud800"')
    yield "name_reversed_surrogates", one(entry(), name='"\\udc00\\ud800"')
    yield "name_split_surrogates", one(entry(), name='"\\ud800abdc00"')
    yield "name_low_surrogates", one(entry(), name='"\\udc00\\udc00"')
    yield "name_control", one(entry("F99"), name='"\\u001b[31m' + "x" * 300 + '"')
    yield "metadata_number", file(b'{"__metadata__":{"a":1}}')
    yield "metadata_nested", file(b'{"__metadata__":{"a":{"b":"c"}}}')
    yield "metadata_no_object", file(b'{"__metadata__":["a"]}')
    yield "metadata_key_twice", file(b'{"__metadata__":{"a":"1","b":"2","a":"3"}}')
    yield "metadata_twice", file(b'{"__metadata__":{},"__metadata__":{}}')
    yield "metadata_twice_escaped", file(b'{"__metadata__":{},"\\u005f_metadata__":{}}')


def hostile_models():
    yield "format_without_architecture", tensors(LSTM_SHAPES, metadata={"format": "latchwork"})
    yield "architecture_not_json", native("{]", LSTM_SHAPES)
    yield "architecture_no_object", native("[1]", LSTM_SHAPES)
    yield "architecture_nested", native('{"version":' + "[" * 1000 + "]" * 1000 + "}", LSTM_SHAPES)
    yield "architecture_key_twice", native('{"version":1,"version":1,"bricks":[]}', LSTM_SHAPES)
    yield "architecture_key_unknown", native([LSTM], LSTM_SHAPES, author="me")
    yield "architecture_version_2", native([LSTM], LSTM_SHAPES, version=2)
    yield "architecture_version_text", native([LSTM], LSTM_SHAPES, version="1")
    yield "architecture_no_bricks", native([], LSTM_SHAPES)
    yield "architecture_brick_number", native([7], LSTM_SHAPES)
    yield "brick_kind_unknown", lstm(kind="transformer")
    yield "brick_kind_missing", native([{"name": "lstm"}], LSTM_SHAPES)
    yield "brick_key_unknown", lstm(dropout=0.5)
    yield "brick_key_of_another_kind", lstm(reset="after")
    yield "brick_name_missing", native([{"kind": "lstm", "input": 2, "hidden": 3}], LSTM_SHAPES)
    yield "brick_name_dot", lstm(name="a.b")
    yield "brick_name_long", lstm(name="n" * 64)
    yield "brick_name_twice", native([{**LSTM, "input": 3}, {**LSTM, "input": 3}], module(4, 3, 3, prefix="lstm."))
    yield "brick_hidden_missing", native([{"kind": "lstm", "name": "lstm", "input": 2}], LSTM_SHAPES)
    yield "brick_hidden_0", lstm(hidden=0)
    yield "brick_hidden_text", lstm(hidden="3")
    yield "brick_hidden_real", lstm(hidden=3.0)
    yield "brick_hidden_huge", lstm(hidden=1 << 40)
    yield "brick_hidden_largest", lstm(hidden=1 << 24)
    yield "brick_layers_largest", lstm(layers=1 << 24)
    yield "brick_input_missing", native([{"kind": "lstm", "name": "lstm", "hidden": 3}], LSTM_SHAPES)
    yield "brick_input_unlike_width", native([LSTM, {**HEAD, "input": 4}], {**LSTM_SHAPES, "head.weight": (1, 4), "head.bias": (1,)})
    yield "brick_bias_number", lstm(bias=1)
    yield "brick_direction_unknown", lstm(direction="sideways")
    yield "brick_clip_text", lstm(cell_clip="3")
    yield "brick_clip_beyond_f32", lstm(cell_clip=1e300)
    yield "brick_clip_negative", lstm(cell_clip=-1)
    yield "brick_projection_too_wide", native([{**LSTM, "projection": 3}], module(4, 2, 3, projection=3, prefix="lstm."))
    yield "brick_function_unfit", native([{"kind": "rnn", "name": "rnn", "input": 2, "hidden": 3, "function": "sigmoid"}], module(1, 2, 3, prefix="rnn."))
    yield "tensor_missing", native([LSTM], without(LSTM_SHAPES, "lstm.bias_hh_l0"))
    yield "tensor_wrong_shape", native([LSTM], {**LSTM_SHAPES, "lstm.weight_hh_l0": (3, 12)})
    yield "tensor_wrong_rank", native([LSTM], {**LSTM_SHAPES, "lstm.bias_ih_l0": (12, 1)})
    yield "tensor_integers", native([LSTM], {**LSTM_SHAPES, "lstm.bias_ih_l0": ("I64", (12,))})
    yield "tensor_f8", native([LSTM], {**LSTM_SHAPES, "lstm.bias_ih_l0": ("F8_E4M3", (12,))})

    yield "module_none", tensors({"fc.weight": (1, 3), "fc.bias": (1,)})
    yield "module_no_tensors", file(b"{}")
    yield "modules_two", tensors(module(4, 2, 3, prefix="encoder.") | module(3, 2, 3, prefix="decoder."))
    yield "module_cell_and_layers", tensors(module(4, 2, 3) | module(4, 2, 3, cell=True))
    yield "module_stranger", tensors({**module(4, 2, 3, prefix="lstm."), "lstm.scale": (3,)})
    yield "module_peepholes", tensors({**module(4, 2, 3), "weight_peephole_l0": (3, 3)})
    yield "module_bias_missing", tensors(without(module(4, 2, 3), "bias_hh_l0"))
    yield "module_layer_missing", tensors(module(4, 2, 3) | {n.replace("_l0", "_l2"): s for n, s in module(4, 3, 3).items()})
    yield "module_reverse_missing", tensors(without(module(4, 2, 3, layers=2, both=True), "weight_ih_l1_reverse"))
    yield "module_forward_missing", tensors({n + "_reverse": s for n, s in module(4, 2, 3).items()})
    yield "module_projection_missing", tensors(without(module(4, 2, 3, layers=2, projection=2), "weight_hr_l1"))
    yield "module_layer_huge", tensors({**module(4, 2, 3), "weight_ih_l9999999": (12, 3)})
    yield "module_layer_overflow", tensors({**module(4, 2, 3), "weight_ih_l99999999999999999999": (12, 3)})
    yield "module_two_gates", tensors(module(2, 2, 3))
    yield "module_uneven_gates", tensors({**module(4, 2, 3), "weight_hh_l0": (13, 3)})
    yield "module_no_hidden", tensors({**module(4, 2, 3), "weight_hh_l0": (0, 0)})
    yield "module_no_input", tensors({**module(4, 2, 3), "weight_ih_l0": (12, 0)})
    yield "module_projected_gru", tensors(module(3, 2, 3, projection=2))
    yield "module_projection_too_wide", tensors(module(4, 2, 3, projection=3))
    yield "module_layers_unfit", tensors({**module(4, 2, 3, layers=2), "weight_ih_l1": (12, 5)})
    yield "module_rank_1", tensors({**module(4, 2, 3), "weight_hh_l0": (36,)})
    yield "module_integers", tensors({**module(4, 2, 3), "bias_ih_l0": ("I64", (12,))})


def main():
    CORPUS.mkdir(exist_ok=True)
    for old in CORPUS.glob("*.safetensors"):
        old.unlink()
    for make in [valid, hostile, hostile_models]:
        for name, content in make():
            path = CORPUS / f"{name}.safetensors"
            assert not path.exists(), name
            path.write_bytes(content)


if __name__ == "__main__":
    main()
