# SPDX-License-Identifier: Apache-2.0
"""What Model.explain tells."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One way to run a shape: the threads that it would use (0: not possible), its predicted time, and why."""

    name: str  # "one thread", "rows", "units" or "wavefront"
    threads: int
    seconds: float
    reason: str


@dataclass(frozen=True)
class Explanation:
    """What a run of a shape does and costs, predicted by the library's cost model."""

    isa: str
    lanes: int  # floats in a vector
    tile_rows: int  # rows of the register tile of the widest layer
    tile_vectors: int  # its weight vectors
    threads: int
    teams: int  # they deal rows among them
    members: int  # of a team; they share units
    stages: int  # of a wavefront
    block_rows: int  # rows that a team walks together
    segment_steps: int  # steps that a layer walks before the next layer does
    merged_rows: int  # steps x rows of the input part that become one product; 1: none
    flops: float
    weight_bytes: float
    traffic_bytes: float  # recurrent weights read in the call
    seconds: float
    bound: str  # "arithmetic", "L1", "L2", "L3", "memory" or "overhead"
    share: float  # of the predicted time that the bound takes
    workspace_bytes: int
    state_bytes: int
    choices: tuple[Choice, ...]  # the chosen one first
