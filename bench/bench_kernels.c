/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each kernel of struct lw_kernels alone, on one thread: the products (affine, dense) and one time step of each cell,
 * with the input part made inside and merged beforehand. The weights are drawn; only the padded sizes matter.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

enum what { AFFINE, DENSE, LSTM, LSTM_COUPLED, GRU, GRU_RESET, GRU_CANDIDATE, RNN, WHAT_COUNT };

/* gates = 0: a wide matrix. */
static const struct {
    const char *name;
    size_t gates;
} kinds[WHAT_COUNT] = {
    [AFFINE] = {"affine", 4},
    [DENSE] = {"dense", 0},
    [LSTM] = {"lstm", 4},
    [LSTM_COUPLED] = {"lstm_coupled", 3},
    [GRU] = {"gru", 3},
    [GRU_RESET] = {"gru_reset", 2},
    [GRU_CANDIDATE] = {"gru_candidate", 0},
    [RNN] = {"rnn", 0},
};

static const struct size {
    size_t rows, input, hidden;
} sizes[] = {
    {1, 1, 16},      {1, 1, 40},     {1, 128, 128},  {1, 256, 256},
    {1, 1024, 1024}, {16, 256, 256}, {16, 512, 512}, {64, 1024, 1024},
};
enum { SIZE_COUNT = sizeof sizes / sizeof sizes[0] };

struct kernel_case {
    struct bench_isa isa;
    struct size size;
    enum what what;
    int merged;
};

static struct lw_matrix random_matrix(size_t gates, size_t lanes, size_t outputs, size_t depth)
{
    struct lw_matrix m = {.depth = depth};
    const size_t vectors = (outputs + lanes - 1) / lanes;
    m.width = gates ? gates : LW_WIDE;
    m.columns = gates ? gates * vectors : vectors;
    m.w = bench_floats(m.columns * lanes * depth, -0.1f, 0.1f);
    m.bias = bench_floats(m.columns * lanes, -0.1f, 0.1f);
    return m;
}

static void free_matrix(struct lw_matrix *m)
{
    free((void *)m->w);
    free((void *)m->bias);
}

/* Rows of states at a stride that is no power of two, as the library keeps them. */
static size_t stride_of(size_t width, size_t lanes)
{
    return (width + lanes - 1) / lanes * lanes + lanes;
}

static void time_step(bench *b, const struct kernel_case *c, struct lw_step *step)
{
    const struct lw_kernels *k = c->isa.kernels;
    void (*const kernels[WHAT_COUNT])(const struct lw_step *, size_t, size_t) = {
        [LSTM] = k->lstm,           [LSTM_COUPLED] = k->lstm,           [GRU] = k->gru,
        [GRU_RESET] = k->gru_reset, [GRU_CANDIDATE] = k->gru_candidate, [RNN] = k->rnn,
    };
    const size_t panels = lw_matrix_panels(&step->recurrent);
    while (bench_loop(b, 8))
        for (int i = 0; i < 8; i++) {
            kernels[c->what](step, 0, panels);
            bench_keep(step->y);
        }
}

static void case_step(bench *b, void *argument)
{
    const struct kernel_case *c = argument;
    const size_t rows = c->size.rows, I = c->size.input, H = c->size.hidden, L = c->isa.kernels->lanes;
    const size_t gates = kinds[c->what].gates, stride = stride_of(H, L);
    struct lw_step step = {.rows = rows, .function = LW_K_TANH};
    step.input = random_matrix(gates, L, H, I);
    step.recurrent = random_matrix(gates, L, H, H);
    float *x = bench_floats(rows * I, -1.0f, 1.0f), *h = bench_floats(rows * stride, -1.0f, 1.0f);
    float *merged = bench_floats(rows * (step.input.columns + step.input.width) * L, -1.0f, 1.0f);
    step.y = bench_floats(rows * stride, 0.0f, 1.0f);
    step.c = bench_floats(rows * stride, -1.0f, 1.0f);
    step.z = bench_floats(rows * stride, 0.0f, 1.0f);
    step.x = x;
    step.h = h;
    step.x_stride = I;
    step.h_stride = step.y_stride = step.c_stride = step.z_stride = stride;
    if (c->merged) {
        step.merged = merged;
        step.merged_rows = rows;
    }
    time_step(b, c, &step);
    bench_flops(b, 2.0 * (double)rows * (double)((c->merged ? 0 : I) + H) * (double)(gates ? gates : 1) * (double)H,
                c->isa.isa, 1);
    free_matrix(&step.input);
    free_matrix(&step.recurrent);
    free(x);
    free(h);
    free(merged);
    free(step.y);
    free(step.c);
    free(step.z);
}

static void case_product(bench *b, void *argument)
{
    const struct kernel_case *c = argument;
    const struct lw_kernels *k = c->isa.kernels;
    const size_t rows = c->size.rows, I = c->size.input, H = c->size.hidden, gates = kinds[c->what].gates;
    struct lw_matrix m = random_matrix(gates, k->lanes, H, I);
    const size_t panels = lw_matrix_panels(&m), stride = (m.columns + 1) * k->lanes;
    float *x = bench_floats(rows * I, -1.0f, 1.0f), *out = bench_floats(rows * stride, 0.0f, 1.0f);
    while (bench_loop(b, 8))
        for (int i = 0; i < 8; i++) {
            if (c->what == AFFINE)
                k->affine(&m, rows, x, I, out, 0, panels);
            else
                k->dense(&m, LW_K_LINEAR, rows, x, I, out, stride, 0, panels);
            bench_keep(out);
        }
    bench_flops(b, 2.0 * (double)rows * (double)I * (double)(gates ? gates : 1) * (double)H, c->isa.isa, 1);
    free_matrix(&m);
    free(x);
    free(out);
}

void bench_kernels_register(void)
{
    static struct kernel_case cases[WHAT_COUNT * SIZE_COUNT * LW_ISA_COUNT * 2];
    struct bench_isa isas[LW_ISA_COUNT];
    const size_t isa_count = bench_isas(isas);
    size_t count = 0;
    for (int what = 0; what < WHAT_COUNT; what++)
        for (size_t s = 0; s < SIZE_COUNT; s++)
            for (size_t i = 0; i < isa_count; i++)
                for (int merged = 0; merged < 2; merged++) {
                    const struct size *size = &sizes[s];
                    char name[128];
                    if (merged && (size->input == 1 || (what != LSTM && what != GRU && what != RNN)))
                        continue;
                    if (!bench_worth_it(isas[i].isa, 2.0 * (double)size->rows * (double)size->hidden * 4.0 *
                                                         (double)(size->input + size->hidden)))
                        continue;
                    cases[count] = (struct kernel_case){isas[i], *size, (enum what)what, merged};
                    snprintf(name, sizeof name, "kernels/%s%s/B%zu_I%zu_H%zu/%s", kinds[what].name,
                             merged ? "_merged" : "", size->rows, size->input, size->hidden, isas[i].name);
                    bench_register(name, what < LSTM ? case_product : case_step, &cases[count++], 1, BENCH_NANOSECONDS);
                }
}
