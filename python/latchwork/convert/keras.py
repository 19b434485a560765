# SPDX-License-Identifier: Apache-2.0
"""Keras models: .keras archives of Keras 3, and .h5 files as Keras 2 and 3 write them. Needs h5py, not Keras.

Called through `load`. The layers must form a chain: LSTM, GRU, SimpleRNN, Bidirectional around one of them, Dense,
TimeDistributed around a Dense, Activation, ReLU; Dropout does nothing. Where a layer gives its last step alone, so does
the whole model, and only layers without memory may follow.
"""
from __future__ import annotations

from typing import Any, Optional

from .. import GRU, LSTM, RNN, Activation, Brick, Dense
from ..errors import FormatError
from .files import PathLike
from .jsonfile import member, size
from .keras_file import KerasFile, LayerWeights
from .keras_layout import from_gru, from_lstm
from .model import Array, Converted, Names, output_width

_FUNCTIONS = ("linear", "relu", "tanh", "sigmoid")
_RECURRENT = {"LSTM": ("lstm", 4), "GRU": ("gru", 3), "SimpleRNN": ("rnn", 1)}
_NOTHING = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout")
_FIRST_RELU = {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}


def _flag(config: dict[str, Any], key: str, default: bool, who: str) -> bool:
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise FormatError(f"{who}: its {key} is neither true nor false")
    return value


def _function(config: dict[str, Any], key: str, allowed: tuple[str, ...], who: str, default: str) -> str:
    value = config.get(key, default)
    if isinstance(value, dict):  # a serialised object
        value = value.get("config") if isinstance(value.get("config"), str) else value.get("class_name")
    if value not in allowed:
        raise NotImplementedError(f"{who}: its {key} is {str(value)[:40]!r}, only {', '.join(allowed)} is supported")
    return str(value)


class _Reader:
    """Walks the chain and collects bricks."""

    def __init__(self, file: KerasFile) -> None:
        self.file, self.names = file, Names()
        self.bricks: list[Brick] = []
        self.parameters: dict[str, Array] = {}
        self.notes: list[str] = []
        self.last = False
        self.width = 0

    def take(self, layer: dict[str, Any]) -> None:
        kind, config = member(layer, "class_name", str, self.file.who), member(layer, "config", dict, self.file.who)
        name = str(config.get("name", kind))
        who = f"{self.file.who}: layer {name[:60]!r} ({kind[:40]})"
        if kind in _NOTHING:
            return
        if kind == "TimeDistributed":
            inner = member(config, "layer", dict, who)
            if inner.get("class_name") != "Dense":
                raise NotImplementedError(f"{who}: around {str(inner.get('class_name'))[:40]}, only Dense is supported")
            self._dense(member(inner, "config", dict, who), self.file.weights(name, who).inner("layer"), who)
        elif kind == "Dense":
            self._dense(config, self.file.weights(name, who), who)
        elif kind in _RECURRENT:
            self._recurrent(kind, config, [self.file.weights(name, who)], who)
        elif kind == "Bidirectional":
            self._bidirectional(config, self.file.weights(name, who), who)
        elif kind == "Activation":
            self._activation(_function(config, "activation", _FUNCTIONS, who, ""))
        elif kind == "ReLU" and all(config.get(key, value) == value for key, value in _FIRST_RELU.items()):
            self._activation("relu")
        else:
            raise NotImplementedError(
                f"{who}: layers of this kind are not supported; LSTM, GRU, SimpleRNN, Bidirectional, Dense, "
                "TimeDistributed(Dense), Activation and ReLU are"
            )

    def _add(self, brick: Brick) -> None:
        self.bricks.append(brick)
        self.width = output_width(brick, self.width)

    def _activation(self, function: str) -> None:
        if function != "linear":
            if not self.bricks:
                raise NotImplementedError(f"{self.file.who}: the first layer must be a recurrent or a Dense one")
            self._add(Activation(function, name=self.names.take("activation")))

    def _dense(self, config: dict[str, Any], weights: LayerWeights, who: str) -> None:
        units, bias = size(config, "units", who), _flag(config, "use_bias", True, who)
        function = _function(config, "activation", _FUNCTIONS, who, "linear")
        kernel = weights.get("kernel", 0, (self.width or None, units))
        name = self.names.take("dense")
        self.parameters[f"{name}.weight"] = kernel.T
        if bias:
            self.parameters[f"{name}.bias"] = weights.get("bias", 1, (units,))
        self._add(Dense(kernel.shape[0], units, function, bias, name=name))

    def _bidirectional(self, config: dict[str, Any], weights: LayerWeights, who: str) -> None:
        inner = member(config, "layer", dict, who)
        kind, forward = member(inner, "class_name", str, who), member(inner, "config", dict, who)
        if kind not in _RECURRENT:
            raise NotImplementedError(f"{who}: around {kind[:40]}, only LSTM, GRU and SimpleRNN are supported")
        if config.get("merge_mode", "concat") != "concat":
            mode = str(config["merge_mode"])[:40]
            raise NotImplementedError(f"{who}: its merge_mode is {mode!r}, only 'concat' is supported")
        backward = config.get("backward_layer")
        other = member(backward, "config", dict, who) if backward is not None else {**forward, "go_backwards": True}
        alike = ("units", "activation", "recurrent_activation", "use_bias", "reset_after", "return_sequences")
        if any(forward.get(key) != other.get(key) for key in alike):
            raise NotImplementedError(f"{who}: its two directions differ, which is not supported")
        if forward.get("go_backwards") or not other.get("go_backwards"):
            raise NotImplementedError(f"{who}: its directions are not forward and backward")
        self._recurrent(kind, forward, [weights.inner("forward_layer"), weights.inner("backward_layer")], who)

    def _recurrent(self, kind: str, config: dict[str, Any], sides: list[LayerWeights], who: str) -> None:
        if self.last:
            raise NotImplementedError(f"{who}: the layer before gives its last step alone, so this one has no sequence")
        stem, gates = _RECURRENT[kind]
        units, bias = size(config, "units", who), _flag(config, "use_bias", True, who)
        function = _function(config, "activation", ("tanh", "relu") if kind == "SimpleRNN" else ("tanh",), who, "tanh")
        after = _flag(config, "reset_after", True, who) if kind == "GRU" else True
        if kind != "SimpleRNN":
            _function(config, "recurrent_activation", ("sigmoid",), who, "sigmoid")
        backwards = len(sides) == 1 and _flag(config, "go_backwards", False, who)
        sequences = _flag(config, "return_sequences", False, who)
        if backwards and sequences:
            raise NotImplementedError(f"{who}: it gives its sequence backwards, which is not supported")
        if _flag(config, "return_state", False, who):
            raise NotImplementedError(f"{who}: its return_state is true, which is not supported")
        if _flag(config, "stateful", False, who):
            self.notes.append(f"layer {who.split('layer ')[-1]} is stateful: keep a State or a Stream between calls")
        name = self.names.take(stem)
        width: Optional[int] = self.width or None
        for side, weights in enumerate(sides):
            cell = weights.inner("cell")
            kernel = cell.get("kernel", 0, (width, gates * units))
            width = kernel.shape[0]
            recurrent = cell.get("recurrent_kernel", 1, (units, gates * units))
            shape = (2, gates * units) if kind == "GRU" and after else (gates * units,)
            values = cell.get("bias", 2, shape) if bias else None
            layer = "l0_reverse" if side or backwards else "l0"
            take = from_gru if kind == "GRU" else from_lstm
            self.parameters.update(take(f"{name}.", layer, kernel, recurrent, values))
        direction = "bidirectional" if len(sides) == 2 else "reverse" if backwards else "forward"
        assert width is not None
        if kind == "LSTM":
            self._add(LSTM(width, units, direction=direction, bias=bias, name=name))
        elif kind == "GRU":
            reset = "after" if after else "before"
            self._add(GRU(width, units, direction=direction, bias=bias, reset=reset, name=name))
        else:
            self._add(RNN(width, units, direction=direction, function=function, bias=bias, name=name))
        self.last = not sequences


def load_keras(path: PathLike) -> Converted:
    """Reads a .keras or .h5 file."""
    file = KerasFile(path)
    reader = _Reader(file)
    for layer in file.layers:
        reader.take(layer)
    if not reader.bricks:
        raise FormatError(f"{file.who}: it has no layers with weights")
    return Converted(reader.bricks, reader.parameters, last=reader.last, notes=reader.notes)
