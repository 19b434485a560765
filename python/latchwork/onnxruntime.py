# SPDX-License-Identifier: Apache-2.0
"""Latchwork inside ONNX Runtime: its LSTM, GRU and RNN nodes run on Latchwork, everything else as before.

    session = latchwork.onnxruntime.session("model.onnx")
    outputs = session.run(None, {"input": x})

or, with the usual session options,

    latchwork.onnxruntime.register()
    options = onnxruntime.SessionOptions()
    latchwork.onnxruntime.add_to(options, threads=2)
    session = onnxruntime.InferenceSession("model.onnx", options)

A node that Latchwork cannot run stays with ONNX Runtime's own kernels, and ONNX Runtime's log says why when
`options.log_severity_level` is 1; `claimed(session)` lists the ones that it runs. Needs onnxruntime 1.23 or newer.
"""
from __future__ import annotations

import os
import pathlib
import sys
import threading
from typing import Any

import onnxruntime as _ort

__all__ = ["PROVIDER", "add_to", "claimed", "library", "register", "session", "unregister"]

PROVIDER = "LatchworkExecutionProvider"
_REGISTRATION = "latchwork"
_RECORD = "session.record_ep_graph_assignment_info"
_lock = threading.Lock()
_registered: str | None = None


def library() -> str:
    """The path of the provider's library: beside this file, or what LATCHWORK_ONNXRUNTIME_LIBRARY names."""
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    named = os.environ.get("LATCHWORK_ONNXRUNTIME_LIBRARY")
    path = pathlib.Path(named) if named else pathlib.Path(__file__).with_name("liblatchwork_onnxruntime" + suffix)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}: this Latchwork was built without ONNX Runtime's headers "
            "(pip install . --config-settings=setup-args=-Donnxruntime=enabled says what is missing)"
        )
    return str(path.resolve())


def _devices() -> list[_ort.OrtEpDevice]:
    """The devices that ONNX Runtime offers to the provider: none before it is known."""
    return [device for device in _ort.get_ep_devices() if device.ep_name == PROVIDER]


def register(path: str | os.PathLike[str] | None = None) -> None:
    """Makes the provider known to ONNX Runtime, in this process.

    A second call does nothing, nor does one after somebody else, another copy of this module say, has made it known.

    `path` names the provider's library; without it `library()` does.
    """
    global _registered
    if not hasattr(_ort, "register_execution_provider_library"):
        raise ImportError(f"onnxruntime {_ort.__version__} has no plugin providers: 1.23 or newer is needed")
    wanted = os.path.realpath(path) if path is not None else None
    with _lock:
        if _registered is None:
            wanted = wanted or library()
            if not _devices():
                _ort.register_execution_provider_library(_REGISTRATION, wanted)
            _registered = wanted
        elif wanted not in (None, _registered):
            raise RuntimeError(f"the provider is registered from {_registered}, not from {wanted}")


def unregister() -> None:
    """Takes the provider away from ONNX Runtime. Sessions that use it must be gone."""
    global _registered
    with _lock:
        if _registered is not None:
            _ort.unregister_execution_provider_library(_REGISTRATION)
            _registered = None


def add_to(
    options: _ort.SessionOptions, *, threads: int | None = None, isa: str | None = None, stacks: bool = True
) -> None:
    """Puts Latchwork in front of ONNX Runtime's own kernels in these session options.

    `threads` is the most that a node uses, 0 all; unless said, as many as the options give ONNX Runtime
    (`intra_op_num_threads`, 0: all). `isa` is "scalar", "avx2", "avx512" or "neon"; unless said, the best. Nodes that
    are the layers of one stack run as one, unless `stacks` is False; the results are the same, bit by bit.
    """
    register()
    devices = _devices()
    if not devices:
        raise RuntimeError(f"ONNX Runtime shows no CPU to {PROVIDER}")
    if threads is None:
        threads = options.intra_op_num_threads
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 0:
        raise ValueError(f"threads is {threads!r}, expected 0 (all) or a positive integer")
    values = {"threads": str(threads), "stacks": "1" if stacks else "0"}
    if isa is not None:
        values["isa"] = isa
    options.add_provider_for_devices(devices[:1], values)


def session(
    model: str | bytes | os.PathLike[str],
    options: _ort.SessionOptions | None = None,
    *,
    threads: int | None = None,
    isa: str | None = None,
    stacks: bool = True,
    **arguments: Any,
) -> _ort.InferenceSession:
    """An InferenceSession of `model` (a path, or its bytes) whose recurrent nodes run on Latchwork.

    `options` is changed: the provider is added to it, as `add_to` does. What is left over goes to InferenceSession.
    """
    if options is None:
        options = _ort.SessionOptions()
    add_to(options, threads=threads, isa=isa, stacks=stacks)
    options.add_session_config_entry(_RECORD, "1")
    arguments.setdefault("enable_fallback", 0)  # a refusal is an exception, not a second try without Latchwork
    try:
        return _ort.InferenceSession(model, options, **arguments)
    except Exception as error:
        if str(error):
            raise
        # Some versions of Python lose its sentence where it quotes bytes of the model.
        raise type(error)("ONNX Runtime refused the model, in a sentence that is not text in UTF-8") from error


def claimed(session: _ort.InferenceSession) -> list[tuple[str, str]]:
    """(operator, name) of every node that Latchwork runs in a session that `session()` has made.

    Among them is what stands between the layers of a stack: Squeeze, Transpose, Reshape.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        raise NotImplementedError(
            f"onnxruntime {_ort.__version__} does not tell who runs a node; its log and its profile do"
        )
    options = session.get_session_options()
    try:
        recorded = options.get_session_config_entry(_RECORD) == "1"
    except RuntimeError:
        recorded = False
    if not recorded:
        raise ValueError(f'this session did not record who runs what: make it with latchwork.onnxruntime.session(), or '
                         f'set "{_RECORD}" to "1"')
    return [
        (node.op_type, node.name)
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == PROVIDER
        for node in part.get_nodes()
    ]
