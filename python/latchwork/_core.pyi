# SPDX-License-Identifier: Apache-2.0
import os
from collections.abc import Iterable
from typing import Any, Optional, Protocol, SupportsIndex, TypedDict, TypeVar, Union, overload

import numpy as np
from numpy.typing import NDArray

from .bricks import Brick, Layer
from .explanation import Explanation

__version__: str

class SupportsDLPack(Protocol):
    def __dlpack__(self, *, stream: None = ...) -> Any: ...

Floats = NDArray[np.float32]
Path = Union[str, bytes, os.PathLike[str], os.PathLike[bytes]]
Tensor = TypeVar("Tensor", bound=SupportsDLPack)
Out = TypeVar("Out")

class Info(TypedDict):
    version: str
    isa: str
    isas: list[str]
    isas_built: list[str]
    lanes: int
    cpu: str
    cpus: int
    threads: int
    l1_bytes: int
    l2_bytes: int
    l3_bytes: int

class State:
    @property
    def batch(self) -> int: ...
    def get(self, layer: SupportsIndex = 0, memory: str = "hidden", reverse: bool = False) -> Floats: ...
    def set(
        self,
        values: Union[Floats, SupportsDLPack],
        layer: SupportsIndex = 0,
        memory: str = "hidden",
        reverse: bool = False,
    ) -> None: ...
    def reset(self) -> None: ...
    def copy(self) -> State: ...
    def to_bytes(self) -> bytes: ...
    def from_bytes(self, data: bytes) -> None: ...
    def __copy__(self) -> State: ...
    def __deepcopy__(self, memo: Any) -> State: ...

class Stream:
    @property
    def state(self) -> State: ...
    @property
    def batch(self) -> int: ...
    @overload
    def step(self, x: Floats, out: None = None) -> Floats: ...
    @overload
    def step(self, x: Tensor, out: None = None) -> Tensor: ...
    @overload
    def step(self, x: Union[Floats, SupportsDLPack], out: Out) -> Out: ...
    def reset(self) -> None: ...

class Model:
    def __init__(
        self, bricks: Iterable[Brick], isa: Optional[str] = None, threads: Optional[SupportsIndex] = None
    ) -> None: ...
    @property
    def input_size(self) -> int: ...
    @property
    def output_size(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def isa(self) -> str: ...
    @property
    def bricks(self) -> list[Brick]: ...
    @property
    def layers(self) -> list[Layer]: ...
    def parameters(self) -> dict[str, Floats]: ...
    def parameter(self, name: str) -> Floats: ...
    def set_parameter(self, name: str, values: Union[Floats, SupportsDLPack]) -> None: ...
    def initialise(self, seed: int) -> None: ...
    def save(self, path: Path) -> None: ...
    def state(self, batch: SupportsIndex = 1) -> State: ...
    def stream(self, batch: SupportsIndex = 1, state: Optional[State] = None) -> Stream: ...
    @overload
    def __call__(
        self,
        x: Floats,
        state: Optional[State] = None,
        lengths: Optional[Iterable[SupportsIndex]] = None,
        last: bool = False,
        batch_first: bool = False,
        out: None = None,
    ) -> Floats: ...
    @overload
    def __call__(
        self,
        x: Tensor,
        state: Optional[State] = None,
        lengths: Optional[Iterable[SupportsIndex]] = None,
        last: bool = False,
        batch_first: bool = False,
        out: None = None,
    ) -> Tensor: ...
    @overload
    def __call__(
        self,
        x: Union[Floats, SupportsDLPack],
        state: Optional[State] = None,
        lengths: Optional[Iterable[SupportsIndex]] = None,
        last: bool = False,
        batch_first: bool = False,
        *,
        out: Out,
    ) -> Out: ...
    @overload
    def gates(
        self,
        x: Floats,
        layer: SupportsIndex = 0,
        reverse: bool = False,
        units: Optional[Iterable[SupportsIndex]] = None,
        state: Optional[State] = None,
        lengths: Optional[Iterable[SupportsIndex]] = None,
        batch_first: bool = False,
    ) -> dict[str, Floats]: ...
    @overload
    def gates(
        self,
        x: Tensor,
        layer: SupportsIndex = 0,
        reverse: bool = False,
        units: Optional[Iterable[SupportsIndex]] = None,
        state: Optional[State] = None,
        lengths: Optional[Iterable[SupportsIndex]] = None,
        batch_first: bool = False,
    ) -> dict[str, Tensor]: ...
    def explain(self, steps: SupportsIndex, batch: SupportsIndex = 1) -> Explanation: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def load(path: Path, isa: Optional[str] = None, threads: Optional[SupportsIndex] = None) -> Model: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def isas() -> list[str]: ...
def set_threads(threads: Optional[SupportsIndex]) -> None: ...
def info() -> Info: ...
def step_seconds(model: Model, count: int, tries: int) -> float: ...
