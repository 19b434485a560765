# SPDX-License-Identifier: Apache-2.0
"""What an importer hands on: bricks, parameters, and what a stream remembers before its first step.

Made by every importer, taken by every exporter and by the command. Parameters have the engine's names and gate orders
and are float32; `model()` builds the model, which checks every size once more.
"""
from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, Optional, Union

import numpy as np

from .. import GRU, LSTM, RNN, Activation, Brick, Dense, Model, State

Array = np.ndarray[Any, Any]
Recurrent = Union[LSTM, GRU, RNN]
RECURRENT = (LSTM, GRU, RNN)
_LAYER = re.compile(r"(.*_l)(\d+)((?:_reverse)?)\Z")


@dataclass
class Converted:
    bricks: list[Brick]
    parameters: dict[str, Array]
    # "<brick>.hidden_l0", "<brick>.cell_l0_reverse", ...: (width,); a state that is not named is zero
    initial: dict[str, Array] = field(default_factory=dict)
    last: bool = False  # the original answers once a sequence: call the model with last=True
    notes: list[str] = field(default_factory=list)
    # What runs along the axes of the original's input and output: T, B and F; others are 1 long. Verifying needs it.
    layout: tuple[str, str] = ("TBF", "TBF")

    def model(self, threads: Optional[int] = None) -> Model:
        """The model itself."""
        model = Model(self.bricks, threads=threads)
        for name, values in self.parameters.items():
            model.set_parameter(name, np.ascontiguousarray(values, np.float32))
        return model


class Names:
    """Names of bricks: "lstm", then "lstm1", "lstm2"."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def take(self, kind: str) -> str:
        count = self._taken.get(kind, 0)
        self._taken[kind] = count + 1
        return f"{kind}{count}" if count else kind


def output_width(brick: Brick, before: int = 0) -> int:
    """The width of a brick's output; `before` is that of the brick before."""
    if isinstance(brick, Activation):
        return brick.input or before
    if isinstance(brick, Dense):
        return brick.output
    one = brick.projection or brick.hidden if isinstance(brick, LSTM) else brick.hidden
    return one * (2 if brick.direction == "bidirectional" else 1)


def _mergeable(first: Brick, second: Brick) -> bool:
    if not isinstance(first, RECURRENT) or type(first) is not type(second) or output_width(first) != second.input:
        return False
    alike = dataclasses.replace(second, input=first.input, layers=first.layers, name=first.name)
    return alike == first


def merge_layers(converted: Converted) -> Converted:
    """The same model with recurrent bricks that follow each other and are alike made into one of several layers, and
    with the bricks named by their kinds."""
    names = Names()
    bricks: list[Brick] = []
    moves: dict[str, tuple[str, int]] = {}  # of a brick's name: the brick that it went into and its first layer there
    for brick in converted.bricks:
        assert brick.name is not None
        if bricks and isinstance(brick, RECURRENT) and _mergeable(bricks[-1], brick):
            base = bricks[-1]
            assert isinstance(base, RECURRENT) and base.name is not None
            moves[brick.name] = (base.name, base.layers)
            bricks[-1] = dataclasses.replace(base, layers=base.layers + brick.layers)
        else:
            fresh = names.take(brick.kind)
            moves[brick.name] = (fresh, 0)
            bricks.append(dataclasses.replace(brick, name=fresh))

    def moved(values: dict[str, Array]) -> dict[str, Array]:
        result = {}
        for name, array in values.items():
            brick_name, key = name.split(".")
            target, offset = moves[brick_name]
            layer = _LAYER.match(key)
            if layer:
                key = f"{layer[1]}{int(layer[2]) + offset}{layer[3]}"
            result[f"{target}.{key}"] = array
        return result

    return dataclasses.replace(
        converted, bricks=bricks, parameters=moved(converted.parameters), initial=moved(converted.initial)
    )


def take_apart(model: Union[Model, Converted]) -> Converted:
    """What exporters work on: a model as bricks with every default resolved, and parameters."""
    if isinstance(model, Converted):
        return dataclasses.replace(model, bricks=list(model.model().bricks))
    return Converted(list(model.bricks), dict(model.parameters()))


def start_state(converted: Converted, model: Model, batch: int = 1) -> State:
    """A state of the model with the initial values in every row."""
    state = model.state(batch)
    first: dict[str, int] = {}
    for index, layer in enumerate(model.layers):
        first.setdefault(layer.brick, index)
    for name, values in converted.initial.items():
        brick, key = name.split(".")
        match = re.match(r"(hidden|cell)_l(\d+)(_reverse)?\Z", key)
        if match is None or brick not in first:
            raise ValueError(f"the initial state '{name[:80]}' fits no layer of the model")
        rows = np.repeat(np.asarray(values, np.float32)[None], batch, 0)
        state.set(rows, first[brick] + int(match[2]), match[1], match[3] is not None)
    return state
