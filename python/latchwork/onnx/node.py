# SPDX-License-Identifier: Apache-2.0
"""One node of a graph with its attributes as Python values, held against ONNX's own definition of the operator.

Made by graph.py and by the converter. Once a Node exists, its operator is of ONNX's own domain, each attribute is one
that the operator has, of the right type, and it has as many inputs and outputs as the operator takes.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Optional

import onnx
from onnx import AttributeProto, NodeProto

from ..errors import FormatError
from .tensors import to_array

OLDEST_OPSET = 7  # since then, LSTM, GRU and RNN are as they are
_READERS: dict[Any, Callable[[Any], Any]] = {
    AttributeProto.FLOAT: lambda a: float(a.f),
    AttributeProto.INT: lambda a: int(a.i),
    AttributeProto.STRING: lambda a: a.s,
    AttributeProto.FLOATS: lambda a: [float(value) for value in a.floats],
    AttributeProto.INTS: lambda a: [int(value) for value in a.ints],
    AttributeProto.STRINGS: lambda a: list(a.strings),
}


@dataclass
class Node:
    op: str
    label: str  # "LSTM node 'encoder'"
    version: int  # of the operator
    inputs: list[str]  # "" for one that is left out
    outputs: list[str]
    attributes: dict[str, Any]
    folder: Optional[str] = None

    def input_name(self, index: int) -> str:
        """The name of an input, "" when it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def wants(self, index: int) -> bool:
        """Whether somebody asked for that output."""
        return index < len(self.outputs) and self.outputs[index] != ""


def label_of(proto: NodeProto, index: int) -> str:
    """How sentences call a node: by its name, else by its first output, else by its place."""
    made = next((name for name in proto.output if name), "")
    name = f"'{proto.name[:60]}'" if proto.name else f"making '{made[:60]}'" if made else f"number {index}"
    return f"{proto.op_type[:40] or 'nameless'} node {name}"


def check_text(texts: Iterable[Any], who: str) -> None:
    """Refuses a text of a message that is not UTF-8, which Protocol Buffers hand on as bytes."""
    for text in texts:
        if not isinstance(text, str):
            raise FormatError(f"{who}: {text[:60]!r} is not text in UTF-8")


def _text(value: bytes, who: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError(f"{who} is not text in UTF-8") from None


def _attribute(attribute: AttributeProto, schema: Any, label: str, folder: Optional[str]) -> Any:
    name = attribute.name[:60]
    who = f"{label}: its attribute {name}"
    if attribute.name not in schema.attributes:
        raise FormatError(f"{who} is unknown to ONNX")
    wanted = int(schema.attributes[attribute.name].type.value)
    if attribute.ref_attr_name:
        raise FormatError(f"{who} refers to an attribute of a function, but there is none around it")
    if attribute.type != wanted:
        kind: Callable[[Any], str] = AttributeProto.AttributeType.Name
        try:
            found = kind(attribute.type)
        except ValueError:
            found = str(attribute.type)
        raise FormatError(f"{who} is of type {found}, expected {kind(wanted)}")
    if wanted == AttributeProto.TENSOR:
        return to_array(attribute.t, who, folder)
    if wanted not in _READERS:
        raise NotImplementedError(f"{who} is of a type that is not supported")
    value = _READERS[wanted](attribute)
    if isinstance(value, bytes):
        return _text(value, who)
    if wanted == AttributeProto.STRINGS:
        return [_text(item, who) for item in value]
    return value


def read_node(proto: NodeProto, index: int, opset: int, folder: Optional[str] = None) -> Node:
    """Reads a node; FormatError when it breaks ONNX's rules, NotImplementedError when it is of a kind unknown here."""
    label = label_of(proto, index)
    check_text((proto.op_type, proto.domain, proto.name, *proto.input, *proto.output), label)
    check_text((text for attribute in proto.attribute for text in (attribute.name, attribute.ref_attr_name)), label)
    if proto.domain not in ("", "ai.onnx"):
        raise NotImplementedError(f"{label}: the operators of domain '{proto.domain[:60]}' are not supported")
    find: Any = onnx.defs.get_schema
    try:
        schema = find(proto.op_type, opset)
    except onnx.defs.SchemaError:
        raise FormatError(f"{label}: ONNX has no such operator in version {opset} of its set") from None
    least_in, most_in, least_out, most_out = schema.min_input, schema.max_input, schema.min_output, schema.max_output
    if not least_in <= len(proto.input) <= most_in:
        raise FormatError(f"{label}: it has {len(proto.input)} inputs, expected {least_in} to {most_in}")
    if not least_out <= len(proto.output) <= most_out:
        raise FormatError(f"{label}: it has {len(proto.output)} outputs, expected {least_out} to {most_out}")
    listed = bool(schema.inputs) and schema.inputs[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic
    for place, name in enumerate(proto.input):
        if not name and (listed or place < least_in):
            raise FormatError(f"{label}: its input {place} is left out, but the operator needs it")
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        if attribute.name in attributes:
            raise FormatError(f"{label}: it has the attribute {attribute.name[:60]} twice")
        attributes[attribute.name] = _attribute(attribute, schema, label, folder)
    for name, wanted in schema.attributes.items():
        if wanted.required and name not in attributes:
            raise FormatError(f"{label}: it lacks the attribute {name}")
    return Node(proto.op_type, label, schema.since_version, list(proto.input), list(proto.output), attributes, folder)
