# SPDX-License-Identifier: Apache-2.0
"""Changes of a reader's input that leave its outer form whole, so that they reach what lies behind the parser.

Called by fuzz.py and by the replay in tests/python. Each function takes the bytes, a random.Random and `flip`, which
changes bytes blindly and gets what cannot be parsed; it decides by the random numbers alone.
"""
import copy
import io
import json
import zipfile

NUMBERS = [0, 1, -1, 2, 3, 4, 7, 8, 16, 127, 255, 1 << 24, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63),
           1 << 128, 10 ** 400, 0.0, -0.0, 0.5, 1e38, 1e39, -1e308, float('inf'), float('nan')]
VALUES = [None, True, False, '', 'x', '\0', '\ud800', [], {}, [[]], [None], [{}], {'': 0}]
LARGE = 1 << 16  # bytes of a tensor that a change may fill


def blind(data, rng):
    """Some bytes changed, taken away or put in: what fuzz.py leaves to the engine."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            del data[place:place + rng.choice([1, 4, len(data)])]
        elif kind == 1:
            data[place:place] = rng.randbytes(rng.choice([1, 4]))
        elif place < len(data):
            data[place] = rng.randrange(256) if kind == 2 else data[place] ^ 1 << rng.randrange(8)
    return bytes(data)


# ---- JSON -----------------------------------------------------------------------------------------------------------

def _scalar(value, rng, words):
    if rng.random() < 0.3:
        return copy.copy(rng.choice(VALUES))
    if isinstance(value, str) and words and rng.random() < 0.8:
        return rng.choice(words)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.5:
        return value + rng.choice([-1, 1])
    return rng.choice(NUMBERS)


def _words(value):
    """The texts in a value, its keys among them."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [word for item in inner for word in _words(item)] + (list(value) if isinstance(value, dict) else [])


def _keys(value):
    return list(value) if isinstance(value, dict) else list(range(len(value)))


def _pick(value, rng):
    """A container somewhere inside and one of its keys; (None, None) where there is none."""
    here, key = None, None
    while isinstance(value, (dict, list)) and value:
        here, key = value, rng.choice(_keys(value))
        value = here[key]
        if rng.random() < 0.25:
            break
    return here, key


def value(root, rng):
    """Changes a JSON value in place."""
    words = _words(root)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        here, key = _pick(root, rng)
        if here is None:
            return
        kind = rng.randrange(6)
        if kind == 0:
            del here[key]
        elif kind == 1 and isinstance(here, list):
            here.insert(key, copy.deepcopy(here[key]))
        elif kind == 1:
            here[rng.choice(words)] = copy.deepcopy(here[key])
        elif kind == 2:
            there, other = _pick(root, rng)
            here[key] = copy.deepcopy(there[other])
        elif kind == 3:
            other = rng.choice(_keys(here))
            here[key], here[other] = here[other], here[key]
        elif isinstance(here[key], list) and kind == 4:
            here[key] = here[key][:rng.randrange(len(here[key]) + 1)]
        else:
            here[key] = _scalar(here[key], rng, words)


def json_text(data, rng, flip):
    """A changed JSON text, sometimes one that is none."""
    try:
        root = json.loads(data)
        if rng.random() < 0.1:
            return flip(data)
        value(root, rng)
        return json.dumps(root).encode()
    except (ValueError, RecursionError):
        return flip(data)


# ---- Keras ----------------------------------------------------------------------------------------------------------

def _answer(data, rng, flip):
    """What hdf5_dump.py writes: a length, a JSON text, arrays. The description may be a text inside of the text."""
    length = int.from_bytes(data[:8], 'little')
    text, arrays = data[8:8 + length], data[8 + length:]
    if rng.random() < 0.1:
        return data[:8] + flip(text) + arrays
    if rng.random() < 0.6:
        try:
            header = json.loads(text)
            root = header['groups']['']
            root['model_config'] = json_text(root['model_config'].encode(), rng, flip).decode()
            text = json.dumps(header).encode()
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            text = json_text(text, rng, flip)
    else:
        text = json_text(text, rng, flip)
    if rng.random() < 0.1:
        arrays = arrays[:rng.randrange(len(arrays) + 1)]
    return len(text).to_bytes(8, 'little') + text + arrays


def keras(data, rng, flip):
    """A ZIP archive one of whose members is changed, with its checksum made right again; or an answer by itself."""
    if rng.random() < 0.05:
        return flip(data)
    if data[:4] != b'PK\3\4':
        return _answer(data, rng, flip)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = rng.choice(sorted(members))
        change = json_text if name.endswith('.json') else _answer
        members[name] = change(members[name], rng, flip)
        return zip_archive(members)
    except Exception:  # whatever is wrong with an archive that was changed before
        return flip(data)


def zip_archive(members):
    """The same bytes for the same members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w') as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


# ---- ONNX -----------------------------------------------------------------------------------------------------------

def _repeated(field):
    return field.is_repeated if hasattr(field, 'is_repeated') else field.label == field.LABEL_REPEATED


def _messages(message):
    """A message and all that are in it."""
    yield message
    for field, content in message.ListFields():
        if field.message_type:
            for inner in content if _repeated(field) else [content]:
                yield from _messages(inner)


def _field_value(field, rng, words, flip, old=None):
    kind = field.cpp_type
    if kind == field.CPPTYPE_STRING:
        if field.type == field.TYPE_BYTES:
            return flip(old) if old else rng.choice(words).encode()
        return rng.choice(words)
    if kind in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return float(rng.choice([0, 1, -1, 0.5, 3, 1e38, 1e-45, float('inf'), float('nan')]))
    if kind == field.CPPTYPE_ENUM:
        return rng.choice(list(field.enum_type.values)).number
    number = old + rng.choice([-1, 1]) if old is not None and rng.random() < 0.4 else rng.choice(NUMBERS[:17])
    bits = 31 if kind in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32) else 63
    least = 0 if kind in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64) else -(1 << bits)
    return max(min(number, (1 << bits) - 1), least)


def _change_list(items, field, rng, words, flip):
    kind, place = rng.randrange(4), rng.randrange(len(items)) if items else 0
    if kind == 0 and items:
        del items[place]
    elif kind == 1 and len(items) > 1:
        other, old = rng.randrange(len(items)), list(items)
        old[place], old[other] = copy.deepcopy(old[other]), copy.deepcopy(old[place])
        del items[:]
        items.extend(old)
    elif field.message_type:
        items.add().CopyFrom(copy.deepcopy(items[place])) if items[:1] and kind == 2 else items.add()
    elif kind == 2 and items:
        items[place] = _field_value(field, rng, words, flip, items[place])
    else:
        items.append(_field_value(field, rng, words, flip))


def _change_field(message, rng, words, flip):
    present = [field for field, _ in message.ListFields()]
    field = rng.choice(present if present and rng.random() < 0.8 else list(message.DESCRIPTOR.fields))
    if _repeated(field):
        _change_list(getattr(message, field.name), field, rng, words, flip)
    elif field.message_type:
        message.ClearField(field.name) if rng.random() < 0.5 else getattr(message, field.name).SetInParent()
    elif field in present and rng.random() < 0.2:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _field_value(field, rng, words, flip, getattr(message, field.name)))


def _fill(graph, rng):
    """Gives a tensor the bytes that its changed shape and type need."""
    from latchwork.onnx.tensors import TYPES
    import numpy as np
    tensors = [tensor for tensor in graph.initializer if tensor.data_type in TYPES]
    if not tensors:
        return
    tensor = rng.choice(tensors)
    if rng.random() < 0.7 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice([0, 1, 2, 3, 4, 5, 6, 12, 24])
    kind, size = TYPES[tensor.data_type][1], 1
    for dim in tensor.dims:
        size *= dim
    if 0 <= size * np.dtype(kind).itemsize <= LARGE:
        for name in ('float_data', 'int32_data', 'int64_data', 'double_data'):
            tensor.ClearField(name)
        tensor.raw_data = np.array([rng.choice([-1, 0, 1, 2, 3, 5]) for _ in range(size)]).astype(kind).tobytes()


def _insert_node(graph, rng):
    """A node of an operator that is known, fed by what is there, whose result takes the place of another's."""
    import onnx
    from latchwork.onnx.operators import FUNCTIONS
    from latchwork.onnx.recurrent import GATES
    names = [info.name for info in graph.input] + [tensor.name for tensor in graph.initializer]
    place = rng.randrange(len(graph.node) + 1)
    names += [name for node in graph.node[:place] for name in node.output if name]
    if not names:
        return
    op = rng.choice(sorted({*FUNCTIONS, *GATES}))
    schema = onnx.defs.get_schema(op)
    node = onnx.NodeProto(op_type=op, input=rng.choices(names, k=rng.randint(max(schema.min_input, 1), min(
        schema.max_input, 5)) if schema.max_input else 0))
    fresh = f'made{len(graph.node)}'
    node.output.append(fresh)
    for name, attribute in schema.attributes.items():
        if attribute.required or rng.random() < 0.4:
            made = node.attribute.add(name=name, type=int(attribute.type.value))
            made.i = rng.choice([0, 1, 2, -1, -2, 6, 7])
            made.ints.extend(rng.choice([[0], [1], [1, 0, 2], [0, 2, 1, 3], []]) if made.type == made.INTS else [])
            made.s = rng.choice([b'reverse', b'bidirectional', b'forward', b'Tanh'])
            made.t.CopyFrom(onnx.TensorProto(data_type=1, dims=[1], raw_data=bytes(4)))
    later = list(graph.node[place:])
    del graph.node[place:]
    graph.node.append(node)
    graph.node.extend(later)
    users = [user for user in graph.node[place + 1:] if user.input]
    if users and rng.random() < 0.6:
        user = rng.choice(users)
        user.input[rng.randrange(len(user.input))] = fresh
    elif graph.output:
        rng.choice(list(graph.output)).name = fresh


def onnx_model(data, rng, flip):
    """A changed message: fields, whole parts, tensors with fitting data, and nodes put in."""
    import onnx
    from google.protobuf.message import DecodeError
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        if rng.random() < 0.05:
            return flip(data)
        messages = list(_messages(model))
        words = [word for node in model.graph.node for word in (*node.input, *node.output, node.op_type)]
        words = [word for word in words if isinstance(word, str)]  # bytes where it is not UTF-8
        words += ['', 'X', 'axis', 'axes', 'perm', 'direction', 'hidden_size', 'layout', 'ai.onnx', '\0', 'é' * 70]
        for _ in range(rng.choice([1, 1, 2, 4])):
            kind = rng.random()
            if kind < 0.2:
                _insert_node(model.graph, rng)
            elif kind < 0.35:
                _fill(model.graph, rng)
            else:
                _change_field(rng.choice(messages), rng, words, flip)
        return model.SerializeToString()
    except (DecodeError, ValueError):  # the second where a text that is not UTF-8 is put somewhere else
        return flip(data)
