/* SPDX-License-Identifier: Apache-2.0 */
/* The vector functions tanh, sigmoid and exp (and ReLU, as the cost of a pass) on an array that stays in the L1. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 2048 };

static const struct activation {
    const char *name;
    enum lw_kernel_function function;
} activations[] = {
    {"tanh", LW_K_TANH},
    {"sigmoid", LW_K_SIGMOID},
    {"exp", LW_K_EXP},
    {"relu", LW_K_RELU},
};

struct activation_case {
    const struct lw_kernels *kernels;
    enum lw_kernel_function function;
};

static void case_activation(bench *b, void *argument)
{
    const struct activation_case *c = argument;
    float *from = bench_floats(COUNT, -8.0f, 8.0f), *to = bench_floats(COUNT, 0.0f, 1.0f);
    while (bench_loop(b, 16))
        for (int i = 0; i < 16; i++) {
            c->kernels->activate(c->function, COUNT, from, to);
            bench_keep(to);
        }
    bench_rate(b, "elements", COUNT);
    bench_counter(b, "ns/element", bench_seconds(b) * 1e9 / COUNT);
    free(from);
    free(to);
}

void bench_activations_register(void)
{
    static struct activation_case cases[LW_ISA_COUNT * sizeof activations / sizeof activations[0]];
    struct bench_isa isas[LW_ISA_COUNT];
    const size_t isa_count = bench_isas(isas);
    size_t count = 0;
    for (size_t a = 0; a < sizeof activations / sizeof activations[0]; a++)
        for (size_t i = 0; i < isa_count; i++) {
            char name[64];
            cases[count] = (struct activation_case){isas[i].kernels, activations[a].function};
            snprintf(name, sizeof name, "activations/%s/%s", activations[a].name, isas[i].name);
            bench_register(name, case_activation, &cases[count++], 1, BENCH_NANOSECONDS);
        }
}
