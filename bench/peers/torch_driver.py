# SPDX-License-Identifier: Apache-2.0
"""PyTorch behind the driver protocol, started by `latchwork bench --peers torch`. Inference mode, or autograd for training; a
ragged batch is a packed sequence, whose packing and unpacking belong to the call. A step is made by the module or by its
cell, whichever was quicker in a short trial."""

import time

import numpy as np

from protocol import Engine, Unsupported, serve


class Torch(Engine):
    name = "PyTorch"
    trains = True

    def __init__(self):
        import torch

        self.torch = torch

    def version(self):
        return self.torch.__version__

    def details(self):
        return self.torch.backends.cpu.get_cpu_capability()

    def prepare(self, workload, inputs):
        torch = self.torch
        if workload.mode == "streams":
            raise Unsupported("many streams with states of their own in one call")
        torch.set_num_threads(workload.threads)
        modules = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
        self.workload = workload
        self.module = modules[workload.cell](
            workload.input, workload.hidden, workload.layers, bidirectional=workload.directions == 2
        ).eval()
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        parameters = {
            f"{name}_l{index}{suffix}": torch.from_numpy(values)
            for index in range(workload.layers)
            for suffix, tensors in zip(("", "_reverse"), workload.layer(index))
            for name, values in zip(names, tensors)
        }
        self.module.load_state_dict(parameters)
        self.head = None
        if workload.dense:
            self.head = torch.nn.Linear(workload.directions * workload.hidden, workload.dense).eval()
            weight, bias = workload.head()
            self.head.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        self.inputs = torch.from_numpy(inputs)
        lengths = workload.lengths()
        self.lengths = None if lengths is None else torch.from_numpy(lengths)
        if workload.train:
            self.prepare_training()
            return
        self.choose()

    def prepare_training(self):
        """Autograd; with "update" PyTorch's own Adam, fused where this build has that."""
        torch = self.torch
        self.module.train()
        self.trained = list(self.module.parameters()) + list(self.head.parameters() if self.head else ())
        self.drawn = [p.detach().clone() for p in self.trained]
        self.gradient = torch.from_numpy(self.workload.output_gradient())
        if self.lengths is not None:
            within = np.arange(self.workload.steps)[:, None, None] < self.lengths.numpy()[None, :, None]
            self.gradient = self.gradient * torch.from_numpy(within)
        self.reset()
        self.call = self.learn

    def new_optimiser(self):
        Adam = self.torch.optim.Adam
        try:
            return Adam(self.trained, lr=1e-4, eps=1e-4, fused=True)
        except (RuntimeError, TypeError):
            return Adam(self.trained, lr=1e-4, eps=1e-4)

    def learn(self, _):
        for parameter in self.trained:
            parameter.grad = None
        if self.lengths is None:
            output = self.module(self.inputs)[0]
        else:
            rnn = self.torch.nn.utils.rnn
            packed = rnn.pack_padded_sequence(self.inputs, self.lengths, enforce_sorted=False)
            output = rnn.pad_packed_sequence(self.module(packed)[0], total_length=self.workload.steps)[0]
        output = output if self.head is None else self.head(output)
        output.backward(self.gradient)
        if self.workload.train == "update":
            self.optimiser.step()

    def choose(self):
        if self.workload.mode == "sequence":
            self.call = self.sequence if self.lengths is None else self.ragged
            return
        self.call = self.step
        if self.workload.layers > 1:
            return
        torch = self.torch
        cells = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}
        self.cell = cells[self.workload.cell](self.workload.input, self.workload.hidden).eval()
        self.cell.load_state_dict({name[:-3]: values for name, values in self.module.state_dict().items()})
        trials = []
        for candidate in (self.step, self.cell_step):
            self.reset()
            for _ in range(10):
                candidate(0)
            begin = time.perf_counter()
            for _ in range(30):
                candidate(0)
            trials.append((time.perf_counter() - begin, candidate))
        self.call = min(trials, key=lambda trial: trial[0])[1]
        self.reset()

    def with_head(self, output):
        self.output = output if self.head is None else self.head(output)

    def sequence(self, _):
        with self.torch.inference_mode():
            self.with_head(self.module(self.inputs)[0])

    def ragged(self, _):
        rnn = self.torch.nn.utils.rnn
        with self.torch.inference_mode():
            packed = rnn.pack_padded_sequence(self.inputs, self.lengths, enforce_sorted=False)
            output, _ = self.module(packed)
            self.with_head(rnn.pad_packed_sequence(output, total_length=self.workload.steps)[0])

    def step(self, step):
        with self.torch.inference_mode():
            output, self.state = self.module(self.inputs[step : step + 1], self.state)
            self.with_head(output)

    def cell_step(self, step):
        with self.torch.inference_mode():
            self.state = self.cell(self.inputs[step], self.state)
            self.with_head(self.state[0] if self.workload.cell == "lstm" else self.state)

    def reset(self):
        self.state = None
        if self.workload.train:
            with self.torch.no_grad():
                for parameter, values in zip(self.trained, self.drawn):
                    parameter.copy_(values)
            self.optimiser = self.new_optimiser() if self.workload.train == "update" else None

    def result(self):
        if self.workload.train:
            update = self.workload.train == "update"
            return np.concatenate([(p.detach() if update else p.grad).numpy().ravel() for p in self.trained])
        shape = (self.workload.batch, self.workload.width)
        if self.workload.mode != "sequence":
            return self.output.numpy().reshape(shape)
        values = self.output.numpy()
        if self.lengths is not None and self.head is not None:  # the head's bias beyond a row's end
            values = values * (np.arange(self.workload.steps)[:, None, None] < self.lengths.numpy()[None, :, None])
        return values


if __name__ == "__main__":
    serve(Torch)
