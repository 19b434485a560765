/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each kernel of struct lw_kernels alone, on one thread: the products (affine, dense), one time step of each cell, with
 * the input part made inside and merged beforehand, and those of the way back. The weights are drawn. Called by main.c.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum what {
    AFFINE,
    DENSE,
    DENSE_ADD,
    OUTER, /* products */
    LSTM,
    LSTM_COUPLED,
    GRU,
    GRU_RESET,
    GRU_CANDIDATE,
    RNN, /* a time step */
    LSTM_BACK,
    GRU_BACK,
    RNN_BACK, /* the way back: element by element */
    WHAT_COUNT
};

/* gates = 0: a wide matrix. */
static const struct {
    const char *name;
    size_t gates;
} kinds[WHAT_COUNT] = {
    [AFFINE] = {"affine", 4},     [DENSE] = {"dense", 0},         [DENSE_ADD] = {"dense_add", 0},
    [OUTER] = {"outer", 4},       [LSTM] = {"lstm", 4},           [LSTM_COUPLED] = {"lstm_coupled", 3},
    [GRU] = {"gru", 3},           [GRU_RESET] = {"gru_reset", 2}, [GRU_CANDIDATE] = {"gru_candidate", 0},
    [RNN] = {"rnn", 0},           [LSTM_BACK] = {"lstm_back", 4}, [GRU_BACK] = {"gru_back", 4},
    [RNN_BACK] = {"rnn_back", 1},
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

static void product(const struct kernel_case *c, const struct lw_matrix *m, const float *x, float *out, size_t stride)
{
    const struct lw_kernels *k = c->isa.kernels;
    const size_t rows = c->size.rows, panels = lw_matrix_panels(m);
    if (c->what == AFFINE)
        k->affine(m, rows, x, c->size.input, out, 0, panels);
    else if (c->what == DENSE)
        k->dense(m, LW_K_LINEAR, rows, x, c->size.input, out, stride, 0, panels);
    else
        k->dense_add(m, rows, x, c->size.input, out, stride, 0, panels);
}

static double product_flops(const struct kernel_case *c)
{
    const size_t gates = kinds[c->what].gates;
    return 2.0 * (double)c->size.rows * (double)c->size.input * (double)(gates ? gates : 1) * (double)c->size.hidden;
}

static void case_product(bench *b, void *argument)
{
    const struct kernel_case *c = argument;
    const size_t rows = c->size.rows, I = c->size.input, L = c->isa.kernels->lanes;
    struct lw_matrix m = random_matrix(kinds[c->what].gates, L, c->size.hidden, I);
    const size_t stride = (m.columns + 1) * L;
    float *x = bench_floats(rows * I, -1.0f, 1.0f), *out = bench_floats(rows * stride, 0.0f, 1.0f);
    while (bench_loop(b, 8))
        for (int i = 0; i < 8; i++) {
            product(c, &m, x, out, stride);
            bench_keep(out);
        }
    bench_flops(b, product_flops(c), c->isa.isa, 1);
    free_matrix(&m);
    free(x);
    free(out);
}

/* The gradient of a gated weight; the batch rows are what is summed over. */
static void case_outer(bench *b, void *argument)
{
    const struct kernel_case *c = argument;
    const size_t rows = c->size.rows, I = c->size.input, H = c->size.hidden, L = c->isa.kernels->lanes;
    const size_t gates = kinds[c->what].gates, step = gates * H + L;
    struct lw_matrix m = random_matrix(gates, L, H, I);
    float *d = bench_floats(rows * step, -1.0f, 1.0f), *x = bench_floats(rows * I, -1.0f, 1.0f);
    float *dw = bench_floats(m.columns * L * I, 0.0f, 1.0f), *dbias = bench_floats(m.columns * L, 0.0f, 1.0f);
    struct lw_outer outer = {.count = rows, .d = d, .d_step = step, .gates = gates, .x = x, .x_step = I};
    for (size_t g = 0; g < gates; g++)
        outer.offset[g] = g * H;
    while (bench_loop(b, 8))
        for (int i = 0; i < 8; i++) {
            c->isa.kernels->outer(&m, &outer, dw, dbias, 0, lw_matrix_panels(&m));
            bench_keep(dw);
        }
    bench_flops(b, product_flops(c), c->isa.isa, 1);
    free_matrix(&m);
    free(d);
    free(x);
    free(dw);
    free(dbias);
}

/* dh and dc are made anew before each call, since the kernels carry them on; the copies count. */
static void case_back(bench *b, void *argument)
{
    const struct kernel_case *c = argument;
    const struct lw_kernels *k = c->isa.kernels;
    void (*const kernels[WHAT_COUNT])(const struct lw_back *, size_t, size_t) = {
        [LSTM_BACK] = k->lstm_back, [GRU_BACK] = k->gru_back, [RNN_BACK] = k->rnn_back};
    const size_t rows = c->size.rows, H = c->size.hidden, L = k->lanes, vectors = (H + L - 1) / L;
    const size_t stride = stride_of(H, L), gates_stride = vectors * 5 * L, d_stride = kinds[c->what].gates * H + L;
    float *gates = bench_floats(rows * gates_stride, 0.1f, 0.9f), *states = bench_floats(rows * stride, -1.0f, 1.0f);
    float *before = bench_floats(rows * stride, -1.0f, 1.0f), *dh = bench_floats(rows * stride, 0.0f, 1.0f);
    float *dc = bench_floats(rows * stride, 0.0f, 1.0f), *d = bench_floats(rows * d_stride, 0.0f, 1.0f);
    const struct lw_back back = {
        .rows = rows,
        .hidden = H,
        .gates = gates,
        .gates_stride = gates_stride,
        .c_before = states,
        .c_stride = stride,
        .c_unit = L,
        .h_before = states,
        .h_stride = stride,
        .h = states,
        .dy = states,
        .dy_stride = stride,
        .dh = dh,
        .dh_stride = stride,
        .dc = dc,
        .dc_stride = stride,
        .d = d,
        .d_stride = d_stride,
        .gate_count = 4,
        .function = LW_K_TANH,
    };
    while (bench_loop(b, 8))
        for (int i = 0; i < 8; i++) {
            memcpy(dh, before, rows * stride * sizeof *dh);
            memcpy(dc, before, rows * stride * sizeof *dc);
            kernels[c->what](&back, 0, vectors);
            bench_keep(d);
        }
    bench_rate(b, "units", (double)rows * (double)H);
    free(gates);
    free(states);
    free(before);
    free(dh);
    free(dc);
    free(d);
}

static bench_function case_of(enum what what)
{
    if (what == OUTER)
        return case_outer;
    return what < OUTER ? case_product : what < LSTM_BACK ? case_step : case_back;
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
                    bench_register(name, case_of((enum what)what), &cases[count++], 1, BENCH_NANOSECONDS);
                }
}
