# SPDX-License-Identifier: Apache-2.0
"""ONNX's Backend interface over Program, and the one class that users hold: Session.

Called through latchwork.onnx. Inputs come as a list in the graph's order, as a dict by name, or as one array.
"""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np
import onnx
from onnx.backend.base import Backend as _Backend
from onnx.backend.base import BackendRep, namedtupledict

from .graph import Graph, Program, read_graph, read_model
from .node import read_node
from .operators import compile_node
from .tensors import Array

External = Union[bool, str, "os.PathLike[str]"]
Inputs = Union[Sequence[Any], Mapping[str, Any], Array]


class Session(BackendRep):  # type: ignore[misc,unused-ignore]
    """A prepared model: `session.run(inputs)` gives a tuple whose fields are the outputs' names."""

    def __init__(self, graph: Graph) -> None:
        self.program = Program(graph)
        self.input_names = [value.name for value in graph.inputs]
        self.output_names = list(graph.outputs)
        self._tuple = namedtupledict("Outputs", self.output_names)

    def run(self, inputs: Inputs, **kwargs: Any) -> tuple[Any, ...]:
        """Runs the model once."""
        if kwargs:
            raise TypeError(f"run: unknown arguments {sorted(kwargs)}")
        if isinstance(inputs, Mapping):
            given = dict(inputs)
        else:
            listed = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
            # Those with an initializer may follow those without.
            names = [*self.input_names, *self.program.graph.optional]
            if not len(self.input_names) <= len(listed) <= len(names):
                raise ValueError(f"{len(listed)} inputs, the model has {len(self.input_names)}: {self.input_names}")
            given = dict(zip(names, listed))
        return self._tuple(*self.program.run({name: np.asarray(value) for name, value in given.items()}))


def _folder(external_data: External) -> Optional[str]:
    if external_data is True:
        raise ValueError("external_data: a model that is already in memory needs the folder's name")
    return None if external_data is False else os.fspath(external_data)


class Backend(_Backend):  # type: ignore[misc,unused-ignore]
    """Runs models of recurrent nodes, and of what usually stands around them, on Latchwork."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether `prepare` takes the model."""
        try:
            cls.prepare(model, device, **kwargs)
        except (ValueError, NotImplementedError):
            return False
        return True

    @classmethod
    def prepare(
        cls, model: onnx.ModelProto, device: str = "CPU", external_data: External = False, **kwargs: Any
    ) -> Session:
        """Checks the model and packs its weights. External data is read only from the folder `external_data`."""
        if kwargs:
            raise TypeError(f"prepare: unknown arguments {sorted(kwargs)}")
        if not cls.supports_device(device):
            raise ValueError(f"the device is {device!r}, only 'CPU' is supported")
        return Session(read_graph(read_model(model), _folder(external_data)))

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Optional[Sequence[tuple[Any, tuple[int, ...]]]] = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Runs one operator on inputs in its own order, None for one that is left out."""
        if not cls.supports_device(device):
            raise ValueError(f"the device is {device!r}, only 'CPU' is supported")
        opset = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        if kwargs:
            raise TypeError(f"run_node: unknown arguments {sorted(kwargs)}")
        read = read_node(node, 0, opset)
        arrays = [None if value is None else np.asarray(value) for value in inputs]
        if len([name for name in read.inputs if name]) == len(arrays):
            supplied = iter(arrays)
            arrays = [next(supplied) if name else None for name in read.inputs]
        if len(arrays) != len(read.inputs):
            raise ValueError(f"{read.label}: {len(arrays)} inputs were given, it has {len(read.inputs)}")
        made = compile_node(read, [None] * len(arrays))(arrays)
        names = [name for name in read.outputs if name]
        results: list[Any] = [made[place] for place, name in enumerate(read.outputs) if name]
        return namedtupledict("Outputs", names)(*results)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """CPU alone."""
        return device.split(":")[0] == "CPU"


def load(path: Union[str, os.PathLike[str]], external_data: External = False) -> Session:
    """Prepares the model in a file. External data is read where `external_data` is True (from the file's own folder)
    or the name of a folder, and refused otherwise."""
    folder = os.path.dirname(os.path.abspath(path)) if external_data is True else _folder(external_data)
    return Session(read_graph(read_model(path), folder))
