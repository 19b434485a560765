# SPDX-License-Identifier: Apache-2.0
"""A checked ONNX graph, ready to run: every value has one maker, known before it is used.

Called by backend.py and, up to `read_graph`, by the converter. What depends on constants alone is worked out once, when
the Program is made; the weights of recurrent nodes are packed then too.
"""
from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, ValueInfoProto

from ..convert.files import read_bytes
from ..errors import FormatError
from .limits import MOST_FILE_BYTES, MOST_FOLDED_BYTES, MOST_NODES
from .node import OLDEST_OPSET, Node, check_text, label_of, read_node
from .operators import Kernel, compile_node
from .recurrent import GATES
from .tensors import TYPES, Array, to_array, type_name
from .wire import check_parts


@dataclass
class Value:
    """An input of the graph as it is declared; a size is a number, a name, or None where nothing is said."""

    name: str
    kind: np.dtype[np.generic]
    sizes: Optional[list[Union[int, str, None]]]


@dataclass
class Graph:
    inputs: list[Value]  # without those that have an initializer
    optional: dict[str, Value]  # those that have one
    constants: dict[str, Array]
    nodes: list[Node]
    outputs: list[str]


def read_model(source: Union[ModelProto, bytes, str, "os.PathLike[str]"]) -> ModelProto:
    """The message in a file or in bytes."""
    if isinstance(source, ModelProto):
        return source
    if isinstance(source, bytes):
        data = source
    else:
        data = read_bytes(source, MOST_FILE_BYTES)
    if len(data) > MOST_FILE_BYTES:
        raise FormatError(f"the ONNX file has more than {MOST_FILE_BYTES} bytes, which its format does not allow")
    check_parts(data)
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError) as error:
        raise FormatError(f"this is not an ONNX file: {error}") from error
    if not model.HasField("graph"):
        raise FormatError("this is not an ONNX file: it has no graph")
    return model


def _opset(model: ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise FormatError(f"the model names {len(versions)} versions of ONNX's operators, expected one")
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= versions[0] <= newest:
        raise NotImplementedError(
            f"the model uses version {versions[0]} of ONNX's operators, expected {OLDEST_OPSET} to {newest}"
        )
    return int(versions[0])


def _value(info: ValueInfoProto) -> Value:
    who = f"input '{info.name[:60]}'"
    if not info.name:
        raise FormatError("an input of the graph has no name")
    if info.type.WhichOneof("value") != "tensor_type":
        raise NotImplementedError(f"{who}: it is no tensor ({info.type.WhichOneof('value') or 'no type is given'})")
    tensor = info.type.tensor_type
    if tensor.elem_type not in TYPES:
        raise NotImplementedError(f"{who}: its type is {type_name(tensor.elem_type)}, which is not supported")
    sizes: Optional[list[Union[int, str, None]]] = None
    if tensor.HasField("shape"):
        sizes = []
        check_text((dim.dim_param for dim in tensor.shape.dim), who)
        for dim in tensor.shape.dim:
            which = dim.WhichOneof("value")
            sizes.append(dim.dim_value if which == "dim_value" else dim.dim_param or None if which else None)
            if which == "dim_value" and dim.dim_value < 0:
                raise FormatError(f"{who}: its shape has the negative size {dim.dim_value}")
    return Value(info.name, np.dtype(TYPES[tensor.elem_type][1]), sizes)


def _check_order(nodes: list[Node], known: set[str], outputs: list[str]) -> None:
    """Every name has one maker, which comes before its users."""
    made_by: dict[str, str] = {}
    for node in nodes:
        for name in filter(None, node.outputs):
            if name in known or name in made_by:
                raise FormatError(f"{node.label}: its output '{name[:60]}' is already made elsewhere")
            made_by[name] = node.label
    seen = set(known)
    for node in nodes:
        for name in filter(None, node.inputs):
            if name not in seen and name in made_by:
                raise FormatError(
                    f"{node.label}: its input '{name[:60]}' is made later, by the {made_by[name]}: "
                    "the graph has a cycle or its nodes are not in order"
                )
            if name not in seen:
                raise FormatError(f"{node.label}: its input '{name[:60]}' is made by nothing in the graph")
        seen.update(filter(None, node.outputs))
    for name in outputs:
        if name not in seen:
            raise FormatError(f"the graph's output '{name[:60]}' is made by nothing in it")


def _has_graphs(proto: onnx.NodeProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for attribute in proto.attribute)


def read_graph(model: ModelProto, folder: Optional[str] = None) -> Graph:
    """Checks a model and takes it apart. `folder`: where external data may be; None: it is refused."""
    opset, graph = _opset(model), model.graph
    check_text((named.name for named in (*graph.initializer, *graph.input, *graph.output)), "the graph's names")
    if graph.sparse_initializer:
        raise NotImplementedError("the model has sparse initializers, which are not supported")
    if len(graph.node) > MOST_NODES:
        raise FormatError(f"the graph has {len(graph.node)} nodes, at most {MOST_NODES} are supported")
    for index, proto in enumerate(graph.node):
        if _has_graphs(proto):
            raise NotImplementedError(f"{label_of(proto, index)}: graphs inside of nodes are not supported")
    constants: dict[str, Array] = {}
    for tensor in graph.initializer:
        who = f"initializer '{tensor.name[:60]}'"
        if not tensor.name:
            raise FormatError("an initializer has no name")
        if tensor.name in constants:
            raise FormatError(f"{who}: there are two of that name")
        constants[tensor.name] = to_array(tensor, who, folder)
    values = [_value(info) for info in graph.input]
    names = [value.name for value in values]
    if len(set(names)) != len(names):
        raise FormatError("two inputs of the graph have the same name")
    nodes = [read_node(proto, index, opset, folder) for index, proto in enumerate(graph.node)]
    outputs = [info.name for info in graph.output]
    if not outputs:
        raise FormatError("the graph has no outputs")
    _check_order(nodes, {*names, *constants}, outputs)
    optional = {value.name: value for value in values if value.name in constants}
    for name, value in optional.items():
        try:
            check_value(value, constants[name], {})
        except (TypeError, ValueError) as error:
            raise FormatError(f"the initializer of {error}") from None
    return Graph([value for value in values if value.name not in optional], optional, constants, nodes, outputs)


def check_value(value: Value, array: Array, named: dict[str, int]) -> None:
    """Holds an array against what is declared; `named` collects what each named size is in this run."""
    who = f"input '{value.name[:60]}'"
    if array.dtype != value.kind:
        raise TypeError(f"{who}: it is of {array.dtype}, expected {value.kind}")
    if value.sizes is None:
        return
    if array.ndim != len(value.sizes):
        raise ValueError(f"{who}: it has the shape {array.shape}, expected {len(value.sizes)} dimensions")
    for axis, (size, found) in enumerate(zip(value.sizes, array.shape)):
        if isinstance(size, str):
            size = named.setdefault(size, found)
        if size is not None and size != found:
            raise ValueError(f"{who}: its axis {axis} is {found} long, expected {size}")


class Program:
    """A graph whose nodes are ready to run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values = dict(graph.constants)
        self.steps: list[tuple[Node, Kernel]] = []
        known = {name: array for name, array in graph.constants.items() if name not in graph.optional}
        folded = 0
        for node in graph.nodes:
            inputs = [known.get(name) for name in node.inputs]
            kernel = compile_node(node, inputs)
            settled = all(name == "" or name in known for name in node.inputs)
            if settled and node.op not in GATES and folded < MOST_FOLDED_BYTES:
                made = self._results(node, kernel, known)
                folded += sum(array.nbytes for array in made.values())
                known.update(made)
                self.values.update(made)
            else:
                self.steps.append((node, kernel))
        self.last_use = self._last_uses()

    def _last_uses(self) -> list[list[str]]:
        """Of each step the values that nobody needs after it."""
        kept, uses = {*self.values, *self.graph.outputs}, []
        for node, _ in reversed(self.steps):
            mine = {name for name in (*node.inputs, *node.outputs) if name and name not in kept}
            kept |= mine
            uses.append(sorted(mine))
        return uses[::-1]

    @staticmethod
    def _results(node: Node, kernel: Kernel, values: Mapping[str, Array]) -> dict[str, Array]:
        made = kernel([values[name] if name else None for name in node.inputs])
        found: dict[str, Array] = {}
        for place, name in enumerate(node.outputs):
            if not name:
                continue
            value = made[place] if place < len(made) else None
            if value is None:
                raise NotImplementedError(f"{node.label}: its output {place} is not supported")
            found[name] = value
        return found

    def run(self, given: Mapping[str, Array]) -> list[Array]:
        """The outputs for inputs by name, in the graph's order."""
        values = dict(self.values)
        named: dict[str, int] = {}
        known = {value.name: value for value in self.graph.inputs} | self.graph.optional
        for name, array in given.items():
            if name not in known:
                raise ValueError(f"the model has no input '{name[:60]}'; its inputs: {', '.join(known)}"[:300])
            check_value(known[name], array, named)
            values[name] = array
        for value in self.graph.inputs:
            if value.name not in given:
                raise ValueError(f"the input '{value.name[:60]}' is missing")
        for (node, kernel), unneeded in zip(self.steps, self.last_use):
            values.update(self._results(node, kernel, values))
            for name in unneeded:
                values.pop(name, None)
        return [values[name] for name in self.graph.outputs]
