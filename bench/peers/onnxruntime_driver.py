# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime behind the driver protocol, started by `latchwork bench --peers`. Inputs and outputs are bound once; a step's
states change places between two bindings, so that nothing is copied."""

import numpy as np

from protocol import Engine, Unsupported, serve


class OnnxRuntime(Engine):
    name = "ONNX Runtime"

    def __init__(self):
        import onnxruntime

        import onnx_model

        self.ort = onnxruntime
        self.model = onnx_model
        onnxruntime.set_default_logger_severity(3)

    def version(self):
        return self.ort.__version__

    def prepare(self, workload, inputs):
        if workload.mode == "streams":
            raise Unsupported("many streams with states of their own in one call")
        options = self.ort.SessionOptions()
        options.intra_op_num_threads = workload.threads
        options.inter_op_num_threads = 1
        serialised, states, shape = self.model.build(workload)
        self.workload = workload
        self.session = self.ort.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
        value = self.ort.OrtValue.ortvalue_from_numpy
        self.lengths = workload.lengths()
        self.inputs = [value(inputs)]
        if workload.mode == "step":
            self.inputs = [value(np.ascontiguousarray(inputs[step : step + 1])) for step in range(workload.steps)]
        steps = 1 if workload.mode == "step" else workload.steps
        self.output = value(np.zeros((steps, workload.batch, workload.width), dtype=np.float32))
        # The states before and after an even call, and the other way round for an odd one.
        self.states = [[value(np.zeros(shape, dtype=np.float32)) for _ in states] for _ in range(2)]
        self.bindings = []
        for parity in range(2):
            binding = self.session.io_binding()
            binding.bind_ortvalue_output("y", self.output)
            if self.lengths is not None:
                binding.bind_ortvalue_input("lengths", value(self.lengths.astype(np.int32)))
            for name, before, after in zip(states, self.states[parity], self.states[1 - parity]):
                binding.bind_ortvalue_input(name, before)
                binding.bind_ortvalue_output(f"new_{name}", after)
            binding.bind_ortvalue_input("x", self.inputs[0])
            self.bindings.append(binding)
        self.parity = 0
        self.call = self.step if workload.mode == "step" else self.sequence

    def sequence(self, _):
        self.session.run_with_iobinding(self.bindings[0])

    def step(self, step):
        binding = self.bindings[self.parity]
        binding.bind_ortvalue_input("x", self.inputs[step])
        self.session.run_with_iobinding(binding)
        self.parity ^= 1

    def reset(self):
        for state in self.states[0] + self.states[1]:
            state.update_inplace(np.zeros(state.shape(), dtype=np.float32))

    def result(self):
        values = self.output.numpy()
        return self.model.without_padding(values, self.lengths) if self.workload.dense else values


if __name__ == "__main__":
    serve(OnnxRuntime)
