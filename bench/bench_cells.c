/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole calls of the library, one case for each regime of use, cell, instruction set and thread count: single steps,
 * blocks, long sequences, batches, stacks of two directions, ragged batches and many streams at one tick.
 *
 * What limits a case is shown beside it. With a batch it is the peak of fused multiply-adds ("peak%"). With one row it
 * is the bandwidth of the nearest memory that holds the weights: "weight_bytes" counts the bytes that a call must read
 * at least, which for a sequence are the recurrent weights of each step alone, since the input part of all steps can be
 * one product.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>

enum mode { STEP, SEQUENCE, RAGGED, TOGETHER, SINGLY };

static const struct regime {
    const char *name;
    enum mode mode;
    size_t steps, batch, input, hidden, layers;
    lw_direction direction;
    size_t dense; /* outputs of a dense brick behind it; 0: none */
} regimes[] = {
    {"step_B1_I1_H16_dense", STEP, 1, 1, 1, 16, 1, LW_FORWARD, 1},
    {"step_B1_I1_H40_dense", STEP, 1, 1, 1, 40, 1, LW_FORWARD, 1},
    {"step_B1_I128_H128", STEP, 1, 1, 128, 128, 1, LW_FORWARD, 0},
    {"step_B1_I256_H256", STEP, 1, 1, 256, 256, 1, LW_FORWARD, 0},
    {"step_B1_I1024_H1024", STEP, 1, 1, 1024, 1024, 1, LW_FORWARD, 0},
    {"block_T512_B1_I1_H16", SEQUENCE, 512, 1, 1, 16, 1, LW_FORWARD, 0},
    {"sequence_T160_B1_I40_H256_L3", SEQUENCE, 160, 1, 40, 256, 3, LW_FORWARD, 0},
    {"sequence_T50_B1_I1024_H1024", SEQUENCE, 50, 1, 1024, 1024, 1, LW_FORWARD, 0},
    {"sequence_T25_B1_I1024_H1024_L4", SEQUENCE, 25, 1, 1024, 1024, 4, LW_FORWARD, 0},
    {"batched_T25_B16_I512_H512", SEQUENCE, 25, 16, 512, 512, 1, LW_FORWARD, 0},
    {"batched_T25_B32_I512_H512", SEQUENCE, 25, 32, 512, 512, 1, LW_FORWARD, 0},
    {"batched_T25_B64_I1024_H1024", SEQUENCE, 25, 64, 1024, 1024, 1, LW_FORWARD, 0},
    {"batched_T50_B16_I1536_H1536", SEQUENCE, 50, 16, 1536, 1536, 1, LW_FORWARD, 0},
    {"batched_T100_B16_I256_H256", SEQUENCE, 100, 16, 256, 256, 1, LW_FORWARD, 0},
    {"bidirectional_T60_B16_I256_H256_L2", SEQUENCE, 60, 16, 256, 256, 2, LW_BIDIRECTIONAL, 0},
    {"padded_T100_B32_I256_H256", SEQUENCE, 100, 32, 256, 256, 1, LW_FORWARD, 0},
    {"ragged_T100_B32_I256_H256", RAGGED, 100, 32, 256, 256, 1, LW_FORWARD, 0},
    {"streams_64_I128_H128_together", TOGETHER, 1, 64, 128, 128, 1, LW_FORWARD, 0},
    {"streams_64_I128_H128_singly", SINGLY, 1, 64, 128, 128, 1, LW_FORWARD, 0},
};

static const struct cell {
    const char *name;
    lw_kind kind;
    size_t gates;
} cells[] = {{"lstm", LW_LSTM, 4}, {"gru", LW_GRU, 3}, {"rnn", LW_RNN, 1}};

enum { REGIME_COUNT = sizeof regimes / sizeof regimes[0], CELL_COUNT = sizeof cells / sizeof cells[0] };

struct cell_case {
    const struct regime *regime;
    const struct cell *cell;
    struct bench_isa isa;
    size_t threads;
};

static size_t directions(const struct regime *r)
{
    return r->direction == LW_BIDIRECTIONAL ? 2 : 1;
}

/* Of one row and step. */
static double flops_of(const struct regime *r, const struct cell *cell)
{
    const double H = (double)r->hidden, D = (double)directions(r), G = (double)cell->gates;
    const double first = D * G * H * ((double)r->input + H), other = D * G * H * (D * H + H);
    return 2.0 * (first + (double)(r->layers - 1) * other + D * H * (double)r->dense);
}

/* lw_step stays on the calling thread, so its limits are those of one. */
static size_t threads_used(const struct cell_case *c)
{
    return c->regime->mode == SINGLY ? 1 : c->threads;
}

static double weight_bytes_of(const struct regime *r, const struct cell *cell)
{
    if (r->steps == 1)
        return flops_of(r, cell) / 2.0 * sizeof(float);
    const double H = (double)r->hidden;
    return (double)(r->steps * r->layers * directions(r) * cell->gates) * H * H * sizeof(float);
}

/* The same lengths in every run: spread evenly over 1 to T, in an order that is not sorted. Returns their sum. */
static size_t draw_lengths(size_t *lengths, size_t batch, size_t steps)
{
    size_t sum = 0;
    for (size_t b = 0; b < batch; b++) {
        lengths[b] = 1 + (b * 13 % batch * steps + steps / 2) / batch;
        sum += lengths[b];
    }
    return sum;
}

struct work {
    lw_model *model;
    lw_context *context;
    lw_state **states; /* `count` of them */
    size_t count;
    float *input, *output;
    size_t *lengths;
    lw_io io;
    size_t rows; /* rows of all steps that are computed in one call */
};

static lw_status prepare(struct work *w, const struct cell_case *c)
{
    const struct regime *r = c->regime;
    const int streams = r->mode == TOGETHER || r->mode == SINGLY;
    lw_model_options model_options = LW_MODEL_OPTIONS_INIT;
    lw_context_options context_options = LW_CONTEXT_OPTIONS_INIT;
    lw_brick bricks[2] = {LW_BRICK_INIT(c->cell->kind), LW_BRICK_INIT(LW_DENSE)};
    model_options.isa = (int)c->isa.isa;
    context_options.threads = c->threads;
    bricks[0].input = r->input;
    bricks[0].hidden = r->hidden;
    bricks[0].layers = r->layers;
    bricks[0].direction = r->direction;
    bricks[1].hidden = r->dense;
    const size_t width = r->dense ? r->dense : directions(r) * r->hidden;
    w->input = bench_floats(r->steps * r->batch * r->input, -1.0f, 1.0f);
    w->output = bench_floats(r->steps * r->batch * width, 0.0f, 1.0f);
    w->lengths = calloc(r->batch, sizeof *w->lengths);
    w->states = calloc(r->batch, sizeof *w->states);
    w->count = streams ? r->batch : 1;
    w->rows = r->steps * r->batch;
    if (!w->lengths || !w->states)
        return LW_ERR_MEMORY;
    w->io = (lw_io)LW_IO_INIT;
    w->io.steps = r->steps;
    w->io.batch = r->batch;
    w->io.input = w->input;
    w->io.output = w->output;
    if (r->mode == RAGGED) {
        w->rows = draw_lengths(w->lengths, r->batch, r->steps);
        w->io.lengths = w->lengths;
    }
    lw_status status = lw_model_create(bricks, r->dense ? 2 : 1, &model_options, &w->model);
    if (!status)
        status = lw_model_initialise(w->model, 1);
    if (!status)
        status = lw_context_create(w->model, &context_options, &w->context);
    if (!status)
        status = lw_context_reserve(w->context, r->steps, r->batch);
    for (size_t i = 0; !status && i < w->count; i++)
        status = lw_state_create(w->model, streams ? 1 : r->batch, &w->states[i]);
    return status;
}

static void dispose(struct work *w)
{
    for (size_t i = 0; w->states && i < w->count; i++)
        lw_state_destroy(w->states[i]);
    lw_context_destroy(w->context);
    lw_model_destroy(w->model);
    free(w->states);
    free(w->lengths);
    free(w->input);
    free(w->output);
}

/* A step on more threads than one is a run of one step, as latchwork.h advises. */
static lw_status call(struct work *w, const struct cell_case *c)
{
    const struct regime *r = c->regime;
    lw_status status = LW_OK;
    switch (r->mode) {
    case STEP:
        return c->threads == 1 ? lw_step(w->context, w->states[0], w->input, w->output)
                               : lw_run(w->context, w->states[0], &w->io);
    case TOGETHER:
        return lw_step_many(w->context, w->states, w->count, w->input, w->output);
    case SINGLY:
        for (size_t i = 0; !status && i < w->count; i++)
            status = lw_step(w->context, w->states[i], w->input + i * r->input, w->output + i * r->hidden);
        return status;
    default: /* every call from a state of zeros */
        return lw_run(w->context, NULL, &w->io);
    }
}

static void case_cell(bench *b, void *argument)
{
    const struct cell_case *c = argument;
    const struct regime *r = c->regime;
    struct work work = {0};
    const size_t batch = r->mode == STEP && r->hidden <= 128 ? 64 : 1;
    lw_status status = prepare(&work, c);
    if (!status)
        status = call(&work, c); /* what happens once: pages, threads */
    while (!status && bench_loop(b, batch))
        for (size_t i = 0; !status && i < batch; i++)
            status = call(&work, c);
    if (status) {
        bench_fail(b, "%s: %s", lw_status_name(status), lw_error());
    } else {
        bench_flops(b, flops_of(r, c->cell) * (double)work.rows, c->isa.isa, threads_used(c));
        if (r->batch == 1) {
            const enum limit_level level = limits_holding(lw_model_bytes(work.model), threads_used(c));
            const double bytes = weight_bytes_of(r, c->cell), limit = limits_read(level, threads_used(c));
            bench_rate(b, "weight_bytes", bytes);
            if (limit > 0.0 && bench_seconds(b) > 0.0)
                bench_counter(b, "bandwidth%", 100.0 * bytes / bench_seconds(b) / limit);
            bench_label(b, "weights in %s", limits_name(level));
        }
    }
    dispose(&work);
}

void bench_cells_register(void)
{
    static struct cell_case cases[REGIME_COUNT * CELL_COUNT * LW_ISA_COUNT * 2];
    struct bench_isa isas[LW_ISA_COUNT];
    size_t threads[2], count = 0;
    const size_t isa_count = bench_isas(isas), thread_count = bench_threads(threads);
    for (size_t r = 0; r < REGIME_COUNT; r++)
        for (size_t k = 0; k < CELL_COUNT; k++)
            for (size_t i = 0; i < isa_count; i++)
                for (size_t t = 0; t < thread_count; t++) {
                    char name[160];
                    if (!bench_worth_it(isas[i].isa, flops_of(&regimes[r], &cells[k]) *
                                                         (double)(regimes[r].steps * regimes[r].batch)))
                        continue;
                    cases[count] = (struct cell_case){&regimes[r], &cells[k], isas[i], threads[t]};
                    snprintf(name, sizeof name, "cells/%s/%s/%s/%zut", regimes[r].name, cells[k].name, isas[i].name,
                             threads[t]);
                    bench_register(name, case_cell, &cases[count++], 1, BENCH_MICROSECONDS);
                }
}
