# SPDX-License-Identifier: Apache-2.0
"""OpenVINO behind the driver protocol, started by `latchwork bench --peers`: the ONNX model of onnx_model.py on the CPU
device, set for the least latency and for f32 (its own default may be bf16 where the CPU has it)."""

import numpy as np

from protocol import Engine, Unsupported, serve


class OpenVino(Engine):
    name = "OpenVINO"

    def __init__(self):
        import openvino

        import onnx_model

        self.openvino = openvino
        self.model = onnx_model
        self.core = openvino.Core()

    def version(self):
        return self.openvino.__version__.split("-")[0]

    def prepare(self, workload, inputs):
        if workload.mode == "streams":
            raise Unsupported("many streams with states of their own in one call")
        tensor = self.openvino.Tensor
        serialised, states, shape = self.model.build(workload)
        settings = {
            "INFERENCE_NUM_THREADS": workload.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled = self.core.compile_model(self.core.read_model(serialised), "CPU", settings)
        self.workload = workload
        self.request = compiled.create_infer_request()
        self.lengths = workload.lengths()
        self.kept = [inputs]
        if workload.mode == "step":
            self.kept = [np.ascontiguousarray(inputs[step : step + 1]) for step in range(workload.steps)]
        self.inputs = [tensor(array, shared_memory=True) for array in self.kept]
        self.request.set_tensor("x", self.inputs[0])
        if self.lengths is not None:
            self.request.set_tensor("lengths", tensor(self.lengths.astype(np.int32)))
        self.states = [(np.zeros(shape, dtype=np.float32), f"new_{name}") for name in states]
        for name, (array, _) in zip(states, self.states):
            self.request.set_tensor(name, tensor(array, shared_memory=True))
        self.call = self.step if workload.mode == "step" else self.sequence

    def sequence(self, _):
        self.request.infer()

    def step(self, step):
        self.request.set_tensor("x", self.inputs[step])
        self.request.infer()
        for array, new in self.states:
            array[...] = self.request.get_tensor(new).data

    def reset(self):
        for array, _ in self.states:
            array[...] = 0

    def result(self):
        values = self.request.get_tensor("y").data
        return self.model.without_padding(values, self.lengths) if self.workload.dense else values


if __name__ == "__main__":
    serve(OpenVino)
