# SPDX-License-Identifier: Apache-2.0
"""Training without another framework: gradients, losses, optimisers and learning rates over NumPy arrays.

    tape = latchwork.Tape(model)
    parameters = model.parameters()
    optimiser = latchwork.Optimiser("adam", parameters, clip_norm=1.0)
    for _ in range(updates):
        y = tape.forward(parameters, x)
        score = latchwork.squared_error(y, target)
        optimiser.step(parameters, tape.backward(score.gradient).parameters, rate=0.01)

Every sum has a fixed order: two trainings give the same bits, on any number of threads.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from . import _core

if TYPE_CHECKING:
    from ._core import Floats, State, SupportsDLPack


class Gradients(NamedTuple):
    """What one way back gives."""

    parameters: dict[str, Floats]  # by name
    input: Optional[Floats]  # if it was asked for
    initial_state: Optional[State]  # likewise


class Score(NamedTuple):
    """What a loss says of one run."""

    loss: float
    gradient: Floats  # of the loss with respect to y, in y's shape
    counted: int  # elements, or rows of a cross-entropy
    correct: int  # of those; 0 for a squared error


class Tape(_core.Tape):
    """Runs a model forward with the caller's parameters and walks back for the gradients.

    Only the model's architecture is used. `segment` steps at a time trade time for memory on long sequences, with the
    same bits; 0: off.
    """

    def backward(
        self,
        output: Floats | SupportsDLPack | None = None,
        final_state: State | None = None,
        input: bool = False,
        initial_state: bool = False,
        add_to: Mapping[str, Floats] | None = None,
    ) -> Gradients:
        """The gradients of the last `forward`, from those of the loss with respect to y and to the final state (a state
        of this tape's whose vectors hold them). With `add_to` the parameters' gradients are added to these arrays."""
        return Gradients(*self._backward(output, final_state, input, initial_state, add_to))


class Optimiser(_core._Optimiser):
    """Changes parameters in place: "sgd", "rmsprop", "adam" or "adamw", with PyTorch's formulas and defaults.

    `clip_norm` scales all gradients together down to that norm, `clip_value` clips each element afterwards; 0: off.
    """

    def __init__(
        self,
        kind: str,
        parameters: Mapping[str, Floats],
        *,
        momentum: float | None = None,
        nesterov: bool = False,
        alpha: float | None = None,
        beta1: float | None = None,
        beta2: float | None = None,
        epsilon: float | None = None,
        decay: float | None = None,
        clip_norm: float = 0.0,
        clip_value: float = 0.0,
    ) -> None:
        super().__init__(kind, parameters, dict(
            momentum=momentum, nesterov=nesterov, alpha=alpha, beta1=beta1, beta2=beta2, epsilon=epsilon, decay=decay,
            clip_norm=clip_norm, clip_value=clip_value))


@dataclass(frozen=True)
class LearningRate:
    """The rate of each update: schedule(n), n from 0. "constant"; "step": times `gamma` every `every` updates; "cosine":
    half a cosine down to `floor` in `updates` updates. The first `warm_up` updates climb to `rate`."""

    rate: float
    kind: str = "constant"
    warm_up: int = 0
    every: int = 1
    gamma: float = 1.0
    updates: int = 1
    floor: float = 0.0

    def __post_init__(self) -> None:
        self(0)  # refuses what no update could use, where it is written

    def __call__(self, update: SupportsIndex) -> float:
        kinds = ("constant", "step", "cosine")
        if self.kind not in kinds:
            raise ValueError(f"kind is {self.kind!r}, expected one of {kinds}")
        return _core._learning_rate(kinds.index(self.kind), self.rate, _count(self.warm_up, "warm_up"),
                                    _count(self.every, "every"), self.gamma, _count(self.updates, "updates"),
                                    self.floor, _count(update, "update"))


def _count(value: SupportsIndex, what: str) -> int:
    try:
        count = index(value)
    except TypeError:
        raise TypeError(f"{what} is a {type(value).__name__}, expected an integer") from None
    if not 0 <= count < 2**63:
        raise ValueError(f"{what} is {count}, expected 0 or more and below 2^63")
    return count


def _steps_first(array: NDArray[Any], batch_first: bool) -> NDArray[Any]:
    return np.ascontiguousarray(array.swapaxes(0, 1) if batch_first else array)


def _integers(array: Any, what: str, kind: type[np.generic]) -> NDArray[Any]:
    given = np.asarray(array)
    if given.dtype.kind not in "iub":
        raise TypeError(f"{what} has elements of {given.dtype}, expected integers")
    result = given.astype(kind)
    if (result != given).any():
        raise ValueError(f"{what} holds a number beyond {np.dtype(kind)}")
    return result


def _evaluate(kind: int, y: Any, target: Any, classes: Any, lengths: Iterable[SupportsIndex] | None, mask: Any,
              divisor: float, ignore: int, batch_first: bool) -> Score:
    y = np.asarray(y)
    if y.dtype != np.float32:
        raise TypeError(f"y has elements of {y.dtype}, expected float32")
    if y.ndim not in (2, 3):
        raise ValueError(f"y has shape {y.shape}, expected (T, B, O) or (T, O)")
    batch_first = batch_first and y.ndim == 3
    flat = y.ndim == 2  # as so many steps of one row
    if flat and lengths is not None:
        raise ValueError("lengths need an output (T, B, O)")

    def align(array: NDArray[Any], axes: int, what: str) -> NDArray[Any]:
        if array.shape != y.shape[:axes]:
            raise ValueError(f"{what} has shape {array.shape}, expected {y.shape[:axes]}")
        return np.ascontiguousarray(array[:, None] if flat else _steps_first(array, batch_first))

    values = align(y, y.ndim, "y")
    gradient = np.empty_like(values)
    wanted = None if target is None else np.asarray(target)
    if wanted is not None and wanted.dtype != np.float32:
        raise TypeError(f"target has elements of {wanted.dtype}, expected float32")
    if wanted is not None:
        wanted = align(wanted, y.ndim, "target")
    numbers = None if classes is None else align(_integers(classes, "classes", np.int32), y.ndim - 1, "classes")
    counts = None if mask is None else align((np.asarray(mask) != 0).astype(np.uint8), y.ndim - 1, "mask")
    loss, counted, correct = _core._loss(
        kind, values, wanted, 0 if numbers is None else numbers.ctypes.data, lengths,
        0 if counts is None else counts.ctypes.data, divisor, ignore, gradient)
    return Score(loss, gradient[:, 0] if flat else _steps_first(gradient, batch_first), counted, correct)


def squared_error(y: Floats, target: Floats, lengths: Iterable[SupportsIndex] | None = None, mask: Any = None,
                  divisor: float = 0.0, batch_first: bool = False) -> Score:
    """(y - target)^2, summed and divided by `divisor` (0: the number counted). Of y (T, B, O) steps beyond a row's
    length and steps whose mask (T, B) is 0 do not count; y may be (T, O), or (B, O) of `last`, too."""
    return _evaluate(1, y, target, None, lengths, mask, divisor, 0, batch_first)


def cross_entropy(y: Floats, classes: Any, lengths: Iterable[SupportsIndex] | None = None, mask: Any = None,
                  divisor: float = 0.0, ignore: int = -100, batch_first: bool = False) -> Score:
    """-log softmax(y)[class] of each row; y are logits, classes integers (T, B). As `squared_error` otherwise."""
    if classes is None:
        raise TypeError("classes is None, expected integers")
    return _evaluate(2, y, None, classes, lengths, mask, divisor, ignore, batch_first)


def binary_cross_entropy(y: Floats, target: Floats, lengths: Iterable[SupportsIndex] | None = None, mask: Any = None,
                         divisor: float = 0.0, batch_first: bool = False) -> Score:
    """-t log s(y) - (1 - t) log(1 - s(y)) of each element; y are logits, t in [0, 1]. As `squared_error` otherwise."""
    return _evaluate(3, y, target, None, lengths, mask, divisor, 0, batch_first)
