/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of kernel cases: which variants of each cell, and which sizes, offsets and sides. Walked by the
 * Criterion tests and by the plain runner, so that every architecture sees the same cases with the same numbers.
 */
#ifndef LW_TESTS_CASES_H
#define LW_TESTS_CASES_H

#include "kernel_case.h"
#include "random.h"

#define SIZE_SWEEP 67 /* every size from 1 to this: beyond four vectors of sixteen lanes */
#define OFFSETS 16    /* floats: every position of a buffer in a cache line */

typedef struct kernel_variant {
    const char *name;
    lw_kind kind;
    unsigned options;
    lw_function function;
    int projected;
    float cell_clip;
    float gate_clip;
} kernel_variant;

static const kernel_variant kernel_variants[] = {
    {"lstm", LW_LSTM, 0, LW_FUNCTION_DEFAULT, 0, 0, 0},
    {"lstm-no-bias", LW_LSTM, LW_NO_BIAS, LW_FUNCTION_DEFAULT, 0, 0, 0},
    {"lstm-peepholes", LW_LSTM, LW_PEEPHOLES, LW_FUNCTION_DEFAULT, 0, 0, 0},
    {"lstm-coupled", LW_LSTM, LW_COUPLED, LW_FUNCTION_DEFAULT, 0, 0, 0},
    {"lstm-coupled-peepholes", LW_LSTM, LW_COUPLED | LW_PEEPHOLES, LW_FUNCTION_DEFAULT, 0, 0, 0},
    {"lstm-projected", LW_LSTM, 0, LW_FUNCTION_DEFAULT, 1, 0, 0},
    {"lstm-clipped", LW_LSTM, LW_PEEPHOLES, LW_FUNCTION_DEFAULT, 0, 0.25f, 0.5f},
    {"gru", LW_GRU, 0, LW_FUNCTION_DEFAULT, 0, 0, 0},
    {"gru-clipped", LW_GRU, LW_NO_BIAS, LW_FUNCTION_DEFAULT, 0, 0, 0.5f},
    {"gru-reset-before", LW_GRU, LW_RESET_BEFORE, LW_FUNCTION_DEFAULT, 0, 0, 0},
    {"gru-reset-before-clipped", LW_GRU, LW_RESET_BEFORE, LW_FUNCTION_DEFAULT, 0, 0, 0.5f},
    {"rnn-tanh", LW_RNN, 0, LW_TANH, 0, 0, 0},
    {"rnn-relu", LW_RNN, 0, LW_RELU, 0, 0, 0},
    {"rnn-relu-clipped", LW_RNN, LW_NO_BIAS, LW_RELU, 0, 0, 0.5f},
};
#define VARIANT_COUNT (sizeof kernel_variants / sizeof *kernel_variants)

static inline kernel_case kernel_case_of(const kernel_variant *v, size_t rows, size_t input, size_t hidden,
                                         size_t number)
{
    kernel_case c = {.brick = LW_BRICK_INIT(v->kind), .rows = rows, .scale = 1};
    c.brick.input = input;
    c.brick.hidden = hidden;
    c.brick.options = v->options;
    c.brick.function = v->function;
    c.brick.projection = v->projected && hidden > 1 ? 1 + number % (hidden - 1) : 0;
    c.brick.cell_clip = v->cell_clip;
    c.brick.gate_clip = v->gate_clip;
    c.merged = number % 2;
    c.gates = number / 2 % 2;
    c.side = number / 4 % 2 ? GUARD_BEFORE : GUARD_AFTER;
    c.offset = number / 8 % 3 ? 0 : number / 24 % OFFSETS;
    c.seed = rng_mix(number) + (uint64_t)(v - kernel_variants);
    return c;
}

/* Case `number` of a variant; false when there are no more. First every size of each dimension, with each of
 * merged or not, gates or not and both sides in turn; then every offset; then the edges of the blocks of the
 * kernels: panels that one row takes together, rows and depths of a block. */
static inline bool kernel_case_number(const kernel_variant *v, size_t number, kernel_case *c)
{
    static const size_t large[] = {80, 96, 127, 128, 129, 160, 257, 321};
    static const size_t many_rows[] = {47, 48, 49, 96, 97};
    size_t n = number % SIZE_SWEEP + 1, sweep = number / SIZE_SWEEP;
    if (sweep < 12) {
        /* Three dimensions, four rounds of each: the round moves the parity of merged, gates and side. */
        size_t other = 1 + (n * 5 + sweep * 3) % 19, k = number + sweep / 3;
        switch (sweep % 3) {
        case 0:
            *c = kernel_case_of(v, 1 + (n + sweep) % 7, other, n, k);
            break;
        case 1:
            *c = kernel_case_of(v, 1 + (n + sweep) % 5, n, other, k);
            break;
        default:
            *c = kernel_case_of(v, n, 1 + other % 5, other, k);
        }
        return true;
    }
    number -= 12 * SIZE_SWEEP;
    if (number < OFFSETS * 8) {
        *c = kernel_case_of(v, 1 + number % 4, 5 + number % 3, 17 + number % 32, number);
        c->offset = number % OFFSETS;
        c->side = number / OFFSETS % 2 ? GUARD_BEFORE : GUARD_AFTER;
        return true;
    }
    number -= OFFSETS * 8;
    if (number < 8 * 4) {
        *c = kernel_case_of(v, 1 + number / 8 % 2 * 3, 3, large[number % 8], number * 3);
        return true;
    }
    number -= 8 * 4;
    if (number < 8 * 4) {
        *c = kernel_case_of(v, 1 + number / 8 % 2 * 13, large[number % 8], 5, number * 3);
        return true;
    }
    number -= 8 * 4;
    if (number < 5 * 4) {
        *c = kernel_case_of(v, many_rows[number % 5], 2, 19, number * 3);
        return true;
    }
    return false;
}

/* Case `number` of the matrix kernels: every size of each dimension for each width, every offset, and the edges. */
static inline bool matrix_case_number(size_t number, matrix_case *c)
{
    static const size_t edges[] = {127, 128, 129, 255, 256, 257, 300, 384};
    size_t shape = number % 5, n = number / 5 % SIZE_SWEEP + 1, sweep = number / 5 / SIZE_SWEEP;
    *c = (matrix_case){.width = shape == 4 ? LW_WIDE : shape + 1, .wide = shape == 4, .seed = rng_mix(number)};
    c->side = number / 5 % 2 ? GUARD_BEFORE : GUARD_AFTER;
    c->offset = n % 3 ? 0 : n / 3 % OFFSETS;
    switch (sweep) {
    case 0:
        c->outputs = n, c->depth = 1 + n * 7 % 13, c->rows = 1 + n % 11;
        return true;
    case 1:
        c->outputs = n, c->depth = 1 + n * 7 % 13, c->rows = 1;
        return true;
    case 2:
        c->outputs = 1 + n * 3 % 37, c->depth = n, c->rows = 1 + n % 3;
        return true;
    case 3:
        c->outputs = 1 + n * 3 % 37, c->depth = 1 + n * 7 % 13, c->rows = n;
        return true;
    case 4:
        c->outputs = 1 + n * 3 % 37, c->depth = n % 4, c->rows = 1 + n % 9;
        c->offset = n % OFFSETS;
        return true;
    case 5:
        c->outputs = 70 + n * 5, c->depth = 1 + n % 3, c->rows = 1 + n % 2 * 3;
        return true;
    case 6:
        c->outputs = 1 + n % 21, c->depth = edges[n % 8], c->rows = 1 + n % 23;
        return true;
    case 7:
        c->outputs = 1 + n % 21, c->depth = 1 + n % 6, c->rows = 40 + n;
        return true;
    default:
        return false;
    }
}

#endif
