# SPDX-License-Identifier: Apache-2.0
"""Turns an ONNX graph into bricks, where it is a chain of recurrent nodes with what usually stands between them.

Called by `load`. Each value of the graph becomes one of five things: a constant; the sequence itself, with the meaning
of each of its axes and the bricks that made it; zeros of some shape; something worked out from shapes; or an input of
the graph beside the sequence. A node that would give the sequence another meaning is refused with its name.
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional, Union

import numpy as np

from .. import Activation, Brick, Dense
from ..errors import FormatError
from ..onnx.graph import Graph, read_graph, read_model
from ..onnx.node import Node
from ..onnx.operators import FUNCTIONS, compile_node
from ..onnx.recurrent import GATES, make_brick, read_settings
from .files import PathLike
from .model import RECURRENT, Array, Converted, Names, output_width

# An axis: what runs along it ("T" time, "B" batch, "D" direction, "F" features, "1" nothing) and its size if known.
Axis = tuple[str, Optional[int]]


@dataclass(frozen=True)
class Stream:
    """The sequence, or its last step, somewhere on its way."""

    axes: tuple[Axis, ...]
    bricks: tuple[Brick, ...] = ()
    last: bool = False

    @property
    def letters(self) -> str:
        return "".join(letter for letter, _ in self.axes)


@dataclass(frozen=True)
class Zeros:
    """A tensor of zeros whose shape follows from the input's."""


@dataclass(frozen=True)
class Shapes:
    """Whole numbers worked out from the shape of an input."""


@dataclass(frozen=True)
class Extra:
    """An input of the graph beside the sequence: an initial state, or the lengths."""

    name: str


Thing = Union[Array, Stream, Zeros, Shapes, Extra]
_FUNCTIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
_PASS = ("Identity", "Dropout")
_KEEP_ZEROS = ("Identity", "Transpose", "Slice", "Unsqueeze", "Squeeze", "Expand")


class _Importer:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.names = graph, Names()
        self.parameters: dict[str, Array] = {}
        self.initial: dict[str, Array] = {}
        self.notes: list[str] = []
        self.input_letters = "TBF"
        self.things: dict[str, Thing] = dict(graph.constants)

    # ---- the walk ----

    def run(self) -> Converted:
        """The bricks behind the graph's first output."""
        nodes = self._needed(self.graph.outputs[0])
        self._inputs(nodes)
        for node in nodes:
            self._node(node)
        end = self.things[self.graph.outputs[0]]
        if not isinstance(end, Stream) or not end.bricks:
            raise NotImplementedError(f"the graph's output '{self.graph.outputs[0][:60]}' does not come from a brick")
        if ("D", 2) in end.axes or "F" not in end.letters:
            raise NotImplementedError(f"the graph's output '{self.graph.outputs[0][:60]}' keeps its directions apart")
        for name in self.graph.outputs[1:]:
            self.notes.append(f"the output '{name[:60]}' is not converted; final states are read from a State")
        used = {brick.name for brick in end.bricks}
        keep = {name: array for name, array in self.parameters.items() if name.split(".")[0] in used}
        layout = (self.input_letters, end.letters)
        return Converted(list(end.bricks), keep, self.initial, end.last, self.notes, layout)

    def _needed(self, output: str) -> list[Node]:
        wanted, nodes = {output}, []
        for node in reversed(self.graph.nodes):
            if wanted.intersection(node.outputs):
                wanted.update(filter(None, node.inputs))
                nodes.append(node)
        return nodes[::-1]

    def _inputs(self, nodes: list[Node]) -> None:
        """Tells the sequence from states and lengths, which recurrent nodes take beside it."""
        beside = {name for node in nodes if node.op in GATES for name in node.inputs[4:7]}
        for value in self.graph.inputs:
            if value.name in beside:
                self.things[value.name] = Extra(value.name)
                continue
            sizes = value.sizes
            if sizes is None or len(sizes) not in (2, 3):
                self.things[value.name] = Extra(value.name)
                continue
            known = [size if isinstance(size, int) else None for size in sizes]
            letters = "TBF" if len(sizes) == 3 else "BF"
            self.things[value.name] = Stream(tuple(zip(letters, known)))

    def _node(self, node: Node) -> None:
        things = [self.things[name] if name else None for name in node.inputs]
        if all(thing is None or isinstance(thing, np.ndarray) for thing in things) and node.op in FUNCTIONS:
            arrays = [thing if isinstance(thing, np.ndarray) else None for thing in things]
            made: Sequence[Any] = compile_node(node, arrays)(arrays)
        elif node.op in GATES:
            made = self._recurrent(node, things)
        else:
            made = [self._other(node, things)]
        for name, thing in zip(node.outputs, made):
            if name and thing is not None:
                self.things[name] = thing
        for name in node.outputs:
            if name and name not in self.things:
                self.things[name] = Extra(name)  # an error once somebody uses it

    # ---- recurrent nodes ----

    def _recurrent(self, node: Node, things: list[Optional[Thing]]) -> list[Thing]:
        settings = read_settings(node)
        given = [things[place] if place < len(things) else None for place in range(8)]
        x, weights = given[0], [given[place] for place in (1, 2, 3, 7)]
        if not isinstance(x, Stream):
            raise NotImplementedError(f"{node.label}: its X does not come from an input of the graph")
        wanted = "BTF" if settings.batch_first else "TBF"
        first = not any(isinstance(brick, RECURRENT) for brick in x.bricks)
        if first and x.letters == wanted[1] + wanted[0] + "F":  # the input's own order is known only here
            x = replace(x, axes=tuple(zip(wanted, (size for _, size in x.axes))))
            self.input_letters = "BTF"
        if x.letters != wanted or x.last:
            raise NotImplementedError(f"{node.label}: its X has the axes {x.letters}, expected {wanted}")
        if any(weight is not None and not isinstance(weight, np.ndarray) for weight in weights):
            raise NotImplementedError(f"{node.label}: its weights are not constants")
        name = self.names.take(node.op.lower())
        arrays = [weight if isinstance(weight, np.ndarray) else None for weight in weights]
        brick, parameters = make_brick(settings, arrays, name)
        self._check_width(x, brick.input, node)
        self.parameters.update(parameters)
        lengths = given[4]
        if isinstance(lengths, Extra):
            self.notes.append(f"the input '{lengths.name[:60]}' is lengths= of a call")
        elif lengths is not None:
            raise NotImplementedError(f"{node.label}: its sequence_lens is a constant")
        for memory, thing in (("hidden", given[5]), ("cell", given[6])):
            self._initial(node, name, memory, thing, settings.batch_first, settings.suffixes)
        sizes = dict(x.axes)
        time: Axis = ("T", sizes["T"])
        batch, direction, features = ("B", sizes["B"]), ("D", settings.directions), ("F", brick.hidden)
        bricks = (*x.bricks, brick)
        y: tuple[Axis, ...] = (time, direction, batch, features)
        if settings.batch_first:
            y = (batch, time, direction, features)
        return [Stream(y, bricks), Stream(tuple(axis for axis in y if axis != time), bricks, last=True)]

    def _initial(
        self, node: Node, name: str, memory: str, thing: Optional[Thing], batch_first: bool, suffixes: Sequence[str]
    ) -> None:
        if thing is None or isinstance(thing, Zeros):
            return
        if isinstance(thing, Extra):
            self.notes.append(f"the input '{thing.name[:60]}' is the {memory} state of the {node.label}: use a State")
            return
        if not isinstance(thing, np.ndarray) or thing.ndim != 3 or thing.shape[0 if batch_first else 1] < 1:
            raise NotImplementedError(f"{node.label}: its initial {memory} state is worked out in the graph")
        rows = thing.swapaxes(0, 1) if batch_first else thing
        if len(rows) != len(suffixes) or (rows != rows[:, :1]).any():
            raise NotImplementedError(f"{node.label}: its initial {memory} state differs from row to row of the batch")
        for values, suffix in zip(rows, suffixes):
            if values.any():
                self.initial[f"{name}.{memory}_l0{suffix}"] = np.array(values[0], np.float32)

    def _check_width(self, stream: Stream, width: int, node: Node) -> None:
        before = output_width(stream.bricks[-1], dict(stream.axes).get("F") or 0) if stream.bricks else width
        declared = dict(stream.axes).get("F")
        if before != width or declared not in (None, width):
            raise FormatError(f"{node.label}: its input is {declared or before} wide, its weights expect {width}")

    # ---- the others ----

    def _other(self, node: Node, things: list[Optional[Thing]]) -> Thing:
        streams = [thing for thing in things if isinstance(thing, Stream)]
        if node.op == "Shape" or any(isinstance(thing, Shapes) for thing in things) and not streams:
            return self._from_shapes(node, things)
        if any(isinstance(thing, Zeros) for thing in things) and not streams:
            return Zeros() if node.op in _KEEP_ZEROS else Extra(node.outputs[0])
        if not streams and node.op in _PASS and isinstance(things[0], Extra):
            return things[0]
        if len(streams) > 1:
            raise NotImplementedError(f"{node.label}: it joins {len(streams)} sequences, which is no chain")
        if not streams:
            raise NotImplementedError(f"{node.label}: what it takes is no sequence that a brick could have made")
        if node.op in _PASS:
            return streams[0]
        handlers = {
            "Transpose": self._transpose,
            "Squeeze": self._squeeze,
            "Reshape": self._reshape,
            "Gather": self._gather,
            "MatMul": self._matmul,
            "Gemm": self._gemm,
            "Add": self._add,
        }
        if node.op in _FUNCTIONS:
            return self._function(streams[0], node)
        if node.op not in handlers:
            raise NotImplementedError(f"{node.label}: a model of bricks has nothing like it")
        return handlers[node.op](streams[0], node, things)

    def _from_shapes(self, node: Node, things: list[Optional[Thing]]) -> Thing:
        if node.op == "ConstantOfShape":
            value = node.attributes.get("value")
            if value is None or not np.any(value):
                return Zeros()
        elif node.op == "Expand":
            if isinstance(things[0], Zeros) or (isinstance(things[0], np.ndarray) and not things[0].any()):
                return Zeros()
        elif node.op in FUNCTIONS:
            return Shapes()
        raise NotImplementedError(f"{node.label}: what it makes of shapes is not zero")

    def _transpose(self, stream: Stream, node: Node, things: list[Optional[Thing]]) -> Stream:
        perm = node.attributes.get("perm", list(range(len(stream.axes)))[::-1])
        if sorted(perm) != list(range(len(stream.axes))):
            raise FormatError(f"{node.label}: its perm is {perm}, its input has {len(stream.axes)} axes")
        return replace(stream, axes=tuple(stream.axes[axis] for axis in perm))

    def _numbers(self, node: Node, things: list[Optional[Thing]], attribute: str) -> list[int]:
        if len(things) > 1:
            value = things[1]
            if not isinstance(value, np.ndarray):
                raise NotImplementedError(f"{node.label}: its {attribute} is no constant")
            return self._whole(value, node)
        listed: list[int] = node.attributes.get(attribute, [])
        return listed

    @staticmethod
    def _whole(value: Array, node: Node) -> list[int]:
        if value.dtype not in (np.int64, np.int32):
            raise FormatError(f"{node.label}: its second input is of {value.dtype}, expected int32 or int64")
        return [int(item) for item in value.ravel()]

    @staticmethod
    def _place(axis: int, stream: Stream, node: Node) -> int:
        rank = len(stream.axes)
        if not -rank <= axis < rank:
            raise FormatError(f"{node.label}: its axis {axis} is outside {-rank} to {rank - 1}")
        return axis % rank

    def _squeeze(self, stream: Stream, node: Node, things: list[Optional[Thing]]) -> Stream:
        axes = [self._place(axis, stream, node) for axis in self._numbers(node, things, "axes")]
        if not axes or any(stream.axes[axis] not in (("D", 1), ("1", 1)) for axis in axes):
            raise NotImplementedError(f"{node.label}: it takes away another axis than that of one direction")
        return replace(stream, axes=tuple(pair for axis, pair in enumerate(stream.axes) if axis not in axes))

    def _reshape(self, stream: Stream, node: Node, things: list[Optional[Thing]]) -> Stream:
        """Directions and features, side by side at the end, become one axis; everything else stays."""
        value = things[1]
        if stream.letters[-2:] != "DF":
            raise NotImplementedError(f"{node.label}: it changes the axes {stream.letters}")
        width = (stream.axes[-2][1] or 1) * (stream.axes[-1][1] or 0)
        if not isinstance(value, (np.ndarray, Shapes)):
            raise NotImplementedError(f"{node.label}: its shape is no constant")
        if isinstance(value, np.ndarray):
            shape = self._whole(value, node)
            front = stream.axes[:-2]
            fits = len(shape) == len(front) + 1 and shape[-1] in (-1, width) and shape.count(-1) <= 1
            for axis, size in enumerate(shape[:-1]):
                fits = fits and (size in (0, -1) or size == front[axis][1])
            if not fits or node.attributes.get("allowzero", 0):
                raise NotImplementedError(f"{node.label}: {shape} does more than join directions and features")
        else:
            raise NotImplementedError(f"{node.label}: its shape is worked out in the graph")
        return replace(stream, axes=(*stream.axes[:-2], ("F", width)))

    def _gather(self, stream: Stream, node: Node, things: list[Optional[Thing]]) -> Stream:
        """The last step of a sequence whose last recurrent layer walks forward."""
        axis, index = self._place(node.attributes.get("axis", 0), stream, node), things[1]
        letter, size = stream.axes[axis]
        recurrent = [brick for brick in stream.bricks if isinstance(brick, RECURRENT)]
        at_end = isinstance(index, np.ndarray) and self._whole(index, node) in ([-1], [(size or 0) - 1])
        if letter != "T" or not at_end or not recurrent or recurrent[-1].direction != "forward" or stream.last:
            raise NotImplementedError(f"{node.label}: it picks something else than the last step of a forward layer")
        assert isinstance(index, np.ndarray)
        kept = () if index.ndim == 0 else (("1", 1),)
        return replace(stream, axes=(*stream.axes[:axis], *kept, *stream.axes[axis + 1 :]), last=True)

    def _dense(self, stream: Stream, weight: Array, bias: Optional[Array], node: Node) -> Stream:
        if stream.letters[-1:] != "F" or "D" in stream.letters:
            raise NotImplementedError(f"{node.label}: its input has the axes {stream.letters}, expected features last")
        if weight.ndim != 2 or weight.dtype not in (np.float32, np.float16):
            raise NotImplementedError(f"{node.label}: its matrix is of {weight.dtype} with {weight.ndim} dimensions")
        self._check_width(stream, weight.shape[1], node)
        name, output = self.names.take("dense"), weight.shape[0]
        self.parameters[f"{name}.weight"] = np.ascontiguousarray(weight, np.float32)
        if bias is not None:
            self.parameters[f"{name}.bias"] = self._bias(bias, output, node)
        brick = Dense(weight.shape[1], output, bias=bias is not None, name=name)
        return replace(stream, axes=(*stream.axes[:-1], ("F", output)), bricks=(*stream.bricks, brick))

    def _bias(self, bias: Array, output: int, node: Node) -> Array:
        if bias.size not in (1, output) or bias.shape[-1:] not in ((), (1,), (output,)) or bias.dtype.kind != "f":
            raise NotImplementedError(f"{node.label}: what it adds has the shape {bias.shape}, expected ({output},)")
        return np.ascontiguousarray(np.broadcast_to(bias.ravel(), (output,)), np.float32)

    def _matmul(self, stream: Stream, node: Node, things: list[Optional[Thing]]) -> Stream:
        matrix = things[1]
        if not isinstance(matrix, np.ndarray):
            raise NotImplementedError(f"{node.label}: its second input is no constant")
        return self._dense(stream, matrix.T, None, node)

    def _gemm(self, stream: Stream, node: Node, things: list[Optional[Thing]]) -> Stream:
        matrix, bias = things[1], things[2] if len(things) > 2 else None
        get = node.attributes.get
        if not isinstance(matrix, np.ndarray) or not (bias is None or isinstance(bias, np.ndarray)):
            raise NotImplementedError(f"{node.label}: its matrix or its bias is no constant")
        if get("transA", 0) or get("alpha", 1.0) != 1.0 or get("beta", 1.0) != 1.0:
            raise NotImplementedError(f"{node.label}: its transA, alpha or beta is not at its default")
        return self._dense(stream, matrix if get("transB", 0) else matrix.T, bias, node)

    def _add(self, stream: Stream, node: Node, things: list[Optional[Thing]]) -> Stream:
        constant = next((thing for thing in things if isinstance(thing, np.ndarray)), None)
        brick = stream.bricks[-1] if stream.bricks else None
        if constant is None or not isinstance(brick, Dense) or brick.bias or brick.function != "linear":
            raise NotImplementedError(f"{node.label}: it adds to something else than a matrix product")
        if constant.ndim > len(stream.axes):
            raise NotImplementedError(f"{node.label}: what it adds has more axes than the sequence")
        # A value of its own: the product without the bias may have another user.
        fresh = replace(brick, bias=True, name=self.names.take("dense"))
        self.parameters[f"{fresh.name}.weight"] = self.parameters[f"{brick.name}.weight"]
        self.parameters[f"{fresh.name}.bias"] = self._bias(constant, brick.output, node)
        return replace(stream, bricks=(*stream.bricks[:-1], fresh))

    def _function(self, stream: Stream, node: Node) -> Stream:
        function = _FUNCTIONS[node.op]
        brick = stream.bricks[-1] if stream.bricks else None
        if isinstance(brick, Dense) and brick.function == "linear":
            return replace(stream, bricks=(*stream.bricks[:-1], replace(brick, function=function)))
        width = dict(stream.axes).get("F") or 0
        if "D" in stream.letters:
            raise NotImplementedError(f"{node.label}: its input keeps directions apart")
        if not stream.bricks and not width:
            raise NotImplementedError(f"{node.label}: the width of its input is not known")
        made = Activation(function, input=0 if stream.bricks else width, name=self.names.take("activation"))
        return replace(stream, bricks=(*stream.bricks, made))


def load_onnx(path: PathLike, external_data: bool = False) -> Converted:
    """Reads an ONNX file whose graph fits bricks. External data is read from the file's folder when allowed."""
    folder = os.path.dirname(os.path.abspath(path)) if external_data else None
    return _Importer(read_graph(read_model(path), folder)).run()
