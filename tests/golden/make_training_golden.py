#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden files of training/ with PyTorch: losses, optimisers and learning rates.

    pip install torch==2.13.0 safetensors numpy
    tests/golden/make_training_golden.py

losses.safetensors       <case>.output (T, B, O), .target or .classes, .lengths, .mask, and what PyTorch makes of them
                         in double: .loss, .gradient, .counted, .correct. The same in single precision must agree.
optimisers.safetensors   start (sum of the counts), counts, gradients (50, sum), rates (50); <case>.after (3, sum): the
                         parameters after 1, 2 and 50 updates in single precision; <case>.norms (50) if clipped by norm.
rates.safetensors        <case>: the rates of the first updates, in double.

The settings of a case stand here and in the tests (test_losses.c, test_optimisers.c) under the same name.
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch.optim import lr_scheduler

FOLDER = pathlib.Path(__file__).resolve().parent / "training"
COUNTS = [37, 5, 1, 20]
UPDATES = 50
IGNORE = -100

# name, kind, T, B, O, what is special
LOSSES = [
    ("squared", "squared", 5, 3, 7, {}),
    ("squared_one", "squared", 1, 6, 1, {}),
    ("squared_ragged", "squared", 6, 4, 9, {"lengths": [3, 6, 0, 5]}),
    ("squared_masked", "squared", 6, 4, 2, {"lengths": [3, 6, 1, 5], "mask": True}),
    ("classes", "cross", 4, 5, 11, {}),
    ("classes_two", "cross", 7, 2, 2, {}),
    ("classes_wide", "cross", 2, 3, 201, {}),
    ("classes_ignore", "cross", 6, 3, 10, {"ignore": True}),
    ("classes_ragged", "cross", 6, 4, 8, {"lengths": [6, 2, 5, 1], "ignore": True, "mask": True}),
    ("classes_sure", "cross", 3, 4, 5, {"scale": 30.0}),
    ("binary", "binary", 5, 3, 6, {}),
    ("binary_soft", "binary", 4, 3, 70, {"soft": True}),
    ("binary_ragged", "binary", 7, 4, 1, {"lengths": [7, 1, 4, 0]}),
    ("binary_sure", "binary", 3, 4, 5, {"scale": 30.0}),
]


def counted_rows(case, steps, batch, classes):
    counted = np.ones((steps, batch), bool)
    if "lengths" in case:
        counted &= np.arange(steps)[:, None] < case["lengths"]
    if "mask" in case:
        counted &= case["mask"] != 0
    if classes is not None:
        counted &= classes != IGNORE
    return counted


def torch_loss(kind, output, target, counted, dtype):
    y = torch.tensor(output, dtype=dtype, requires_grad=True)
    rows = torch.tensor(counted)
    if kind == "cross":
        classes = torch.tensor(target.astype(np.int64)).masked_fill(~rows, IGNORE)
        loss = F.cross_entropy(y.flatten(0, 1), classes.flatten(), ignore_index=IGNORE)
        correct = (y.argmax(-1) == classes)[rows]
    elif kind == "squared":
        loss = F.mse_loss(y[rows], torch.tensor(target, dtype=dtype)[rows])
        correct = torch.zeros(1)
    else:
        t = torch.tensor(target, dtype=dtype)[rows]
        loss = F.binary_cross_entropy_with_logits(y[rows], t)
        correct = (y[rows] > 0) == (t > 0.5)
    loss.backward()
    return loss.detach().numpy(), y.grad.numpy(), int(correct.sum())


def make_losses(rng):
    file = {}
    for name, kind, steps, batch, width, special in LOSSES:
        output = (special.get("scale", 2.0) * rng.standard_normal((steps, batch, width))).astype(np.float32)
        case = {"output": output}
        if kind == "cross":
            target = rng.integers(0, width, (steps, batch)).astype(np.int32)
            if special.get("ignore"):
                target[rng.random((steps, batch)) < 0.3] = IGNORE
            case["classes"] = target
        elif kind == "squared":
            target = case["target"] = rng.standard_normal(output.shape).astype(np.float32)
        else:
            target = rng.random(output.shape).astype(np.float32)
            target = case["target"] = target if special.get("soft") else np.round(target)
        if "lengths" in special:
            case["lengths"] = np.array(special["lengths"], np.int64)
        if special.get("mask"):
            case["mask"] = (rng.random((steps, batch)) < 0.7).astype(np.uint8)
        counted = counted_rows(case, steps, batch, target if kind == "cross" else None)
        loss, gradient, correct = torch_loss(kind, output, target, counted, torch.float64)
        single, single_gradient, _ = torch_loss(kind, output, target, counted, torch.float32)
        np.testing.assert_allclose(single, loss, rtol=1e-5)
        np.testing.assert_allclose(single_gradient, gradient, rtol=1e-4, atol=1e-7)
        case["loss"] = loss.reshape(1)
        case["gradient"] = gradient
        case["counted"] = np.array([counted.sum() * (1 if kind == "cross" else width)], np.int64)
        case["correct"] = np.array([correct], np.int64)
        file.update({f"{name}.{key}": np.ascontiguousarray(value) for key, value in case.items()})
    save_file(file, FOLDER / "losses.safetensors")


# name, optimiser, its arguments, clipping by norm, clipping by value
OPTIMISERS = [
    ("sgd", torch.optim.SGD, {}, 0, 0),
    ("sgd_decay", torch.optim.SGD, {"weight_decay": 0.1}, 0, 0),
    ("sgd_momentum", torch.optim.SGD, {"momentum": 0.9}, 0, 0),
    ("sgd_nesterov", torch.optim.SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01}, 0, 0),
    ("sgd_norm", torch.optim.SGD, {"momentum": 0.9}, 1.5, 0),
    ("sgd_value", torch.optim.SGD, {}, 0, 0.25),
    ("rmsprop", torch.optim.RMSprop, {}, 0, 0),
    ("rmsprop_momentum", torch.optim.RMSprop, {"alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "weight_decay": 0.02}, 0, 0),
    ("adam", torch.optim.Adam, {}, 0, 0),
    ("adam_decay", torch.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-5, "weight_decay": 0.1}, 0, 0),
    ("adam_norm", torch.optim.Adam, {}, 1.0, 0),
    ("adam_value", torch.optim.Adam, {}, 0, 0.5),
    ("adamw", torch.optim.AdamW, {}, 0, 0),
    ("adamw_decay", torch.optim.AdamW, {"betas": (0.85, 0.99), "weight_decay": 0.3}, 2.0, 0.3),
]


def make_optimisers(rng):
    total, ends = sum(COUNTS), np.cumsum(COUNTS)[:-1]
    start = rng.standard_normal(total).astype(np.float32)
    gradients = (rng.standard_normal((UPDATES, total)) * rng.uniform(0.05, 2.0, (1, total))).astype(np.float32)
    rates = rng.uniform(0.001, 0.02, UPDATES)
    file = {"start": start, "gradients": gradients, "rates": rates, "counts": np.array(COUNTS, np.int64)}
    for name, optimiser_class, arguments, norm, value in OPTIMISERS:
        parameters = [torch.nn.Parameter(torch.tensor(part)) for part in np.split(start, ends)]
        optimiser = optimiser_class(parameters, lr=1.0, **arguments)
        after, norms = [], []
        for update in range(UPDATES):
            for parameter, part in zip(parameters, np.split(gradients[update], ends)):
                parameter.grad = torch.tensor(part)
            if norm:
                norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, norm)))
            if value:
                torch.nn.utils.clip_grad_value_(parameters, value)
            optimiser.param_groups[0]["lr"] = float(rates[update])
            optimiser.step()
            if update in (0, 1, UPDATES - 1):
                after.append(np.concatenate([parameter.detach().numpy() for parameter in parameters]))
        file[f"{name}.after"] = np.stack(after)
        if norm:
            file[f"{name}.norms"] = np.array(norms)
    save_file(file, FOLDER / "optimisers.safetensors")


def rates_of(make, count, rate):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler = make(optimiser)
    rates = []
    for _ in range(count):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return np.array(rates, np.float64)


def warm(updates, then):
    def make(optimiser):
        first = lr_scheduler.LinearLR(optimiser, start_factor=1 / (updates + 1), total_iters=updates)
        return lr_scheduler.SequentialLR(optimiser, [first, then(optimiser)], milestones=[updates])
    return make


def make_rates():
    def constant(optimiser):
        return lr_scheduler.LambdaLR(optimiser, lambda _: 1.0)

    def step(optimiser):
        return lr_scheduler.StepLR(optimiser, step_size=4, gamma=0.7)

    def cosine(optimiser):
        return lr_scheduler.CosineAnnealingLR(optimiser, T_max=20, eta_min=0.002)

    save_file({
        "constant": rates_of(constant, 8, 0.03),
        "step": rates_of(step, 30, 0.03),
        "cosine": rates_of(cosine, 21, 0.03),
        "constant_warm": rates_of(warm(5, constant), 12, 0.03),
        "step_warm": rates_of(warm(3, step), 30, 0.03),
        "cosine_warm": rates_of(warm(6, cosine), 27, 0.03),
    }, FOLDER / "rates.safetensors")


def main():
    FOLDER.mkdir(exist_ok=True)
    rng = np.random.default_rng(20240705)
    make_losses(rng)
    make_optimisers(rng)
    make_rates()


if __name__ == "__main__":
    main()
