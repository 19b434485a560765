/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel's result must be; see kernel_case.h. Three measures: the double-precision reference, the bits of the
 * scalar table, and the bits that the contract's order of summation gives.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_numbers.h"
#include "random.h"

void kernel_case_reference(const kernel_case *c, double *result)
{
    struct numbers n = numbers_create(c);
    const ref_layer *layer = &n.ref->layers[0];
    size_t H = c->brick.hidden, S = layer->signals;
    for (size_t k = 0; k < n.ref->parameter_count; k++)
        for (size_t e = 0; e < n.ref->parameters[k].count; e++)
            n.ref->parameters[k].values[e] = (double)n.parameter[k][e];
    ref_state *state = ref_state_create(n.ref, c->rows);
    double *x = ref_alloc(c->rows * c->brick.input, sizeof *x);
    for (size_t k = 0; k < c->rows * c->brick.input; k++)
        x[k] = (double)n.x[k];
    for (size_t k = 0; k < c->rows * n.recurrent; k++)
        state->memory[0][0][LW_HIDDEN][k] = (double)n.h[k];
    for (size_t k = 0; k < c->rows * H && c->brick.kind == LW_LSTM; k++)
        state->memory[0][0][LW_CELL][k] = (double)n.c[k];
    ref_trace *trace = ref_run(n.ref, state, 1, c->rows, x, NULL);
    /* The reference's signals in the kernels' order; "hidden" is what a kernel's y is, before a projection. */
    static const size_t lstm_order[] = {0, 1, 3, 2, 4};
    const double *signals = trace->layers[0].signals[LW_FORWARD];
    for (size_t r = 0; r < c->rows; r++, result += H)
        memcpy(result, signals + (r * S + S - 1) * H, H * sizeof *result);
    for (size_t r = 0; r < c->rows && c->brick.kind == LW_LSTM; r++, result += H)
        memcpy(result, state->memory[0][0][LW_CELL] + r * H, H * sizeof *result);
    for (size_t r = 0; r < c->rows; r++)
        for (size_t g = 0; g < compared_gates(c); g++, result += H)
            memcpy(result, signals + (r * S + (c->brick.kind == LW_LSTM ? lstm_order[g] : g)) * H, H * sizeof *result);
    free(x);
    ref_trace_destroy(trace);
    ref_state_destroy(state);
    numbers_destroy(&n);
}

double kernel_case_tolerance(const kernel_case *c)
{
    const lw_brick *b = &c->brick;
    double terms = (double)(b->input + (b->projection ? b->projection : b->hidden)) + 2;
    double largest = fmax(1, (double)c->scale) / sqrt((double)b->hidden);
    /* A sum of n terms has n roundings of partial sums that reach sqrt(n) * largest by chance, 3 times that rarely. */
    double argument = 3 * sqrt(terms) * sqrt(terms) * largest * FLT_EPSILON / 2;
    return argument + 8 * FLT_EPSILON * fmax(1, (double)c->scale);
}

const char *kernel_case_text(const kernel_case *c)
{
    static const char *const kinds[] = {"?", "lstm", "gru", "rnn"};
    static char text[256];
    const lw_brick *b = &c->brick;
    snprintf(text, sizeof text, "%s I%zu H%zu P%zu o%u f%d cc%g gc%g rows %zu%s%s side %d offset %zu seed %llu",
             kinds[b->kind], b->input, b->hidden, b->projection, b->options, b->function, (double)b->cell_clip,
             (double)b->gate_clip, c->rows, c->merged ? " merged" : "", c->gates ? " gates" : "", c->side, c->offset,
             (unsigned long long)c->seed);
    return text;
}

/* The order of summation, to the bit: (b + sum over x) + (d + sum over h), each term a fused multiply-add. */
static float ordered_sum(const struct numbers *n, const lw_brick *b, size_t row, size_t unit_row)
{
    const float *w = numbers_find(n, "weight_ih") + unit_row * b->input, *x = n->x + row * b->input;
    const float *u = numbers_find(n, "weight_hh") + unit_row * n->recurrent, *h = n->h + row * n->recurrent;
    const float *bias_ih = numbers_find(n, "bias_ih"), *bias_hh = numbers_find(n, "bias_hh");
    float input = bias_ih ? bias_ih[unit_row] : 0.0f, state = bias_hh ? bias_hh[unit_row] : 0.0f;
    for (size_t k = 0; k < b->input; k++)
        input = fmaf(x[k], w[k], input);
    for (size_t k = 0; k < n->recurrent; k++)
        state = fmaf(h[k], u[k], state);
    float sum = input + state;
    if (b->gate_clip > 0)
        sum = fmaxf(-b->gate_clip, fminf(b->gate_clip, sum));
    return sum;
}

/* Where the gate's value is a function of that sum alone and can be seen in the result: block `at` of (rows, H) numbers
 * before the gates, or gate `at` of them; the gate's block of rows in the weights; its function. */
struct visible_gate {
    bool stored;
    size_t at;
    size_t block;
    enum lw_kernel_function function;
};

static size_t visible_gates(const kernel_case *c, struct visible_gate gates[4])
{
    static const struct visible_gate lstm[] = {
        {true, 0, 0, LW_K_SIGMOID}, {true, 1, 1, LW_K_SIGMOID}, {true, 2, 2, LW_K_TANH}, {true, 3, 3, LW_K_SIGMOID}};
    static const struct visible_gate coupled[] = {
        {true, 0, 0, LW_K_SIGMOID}, {true, 2, 1, LW_K_TANH}, {true, 3, 2, LW_K_SIGMOID}};
    static const struct visible_gate gru[] = {{true, 0, 0, LW_K_SIGMOID}, {true, 1, 1, LW_K_SIGMOID}};
    const lw_brick *b = &c->brick;
    if (b->kind == LW_RNN) {
        gates[0] = (struct visible_gate){false, 0, 0, b->function == LW_RELU ? LW_K_RELU : LW_K_TANH};
        return 1;
    }
    if (!c->gates || b->options & LW_PEEPHOLES)
        return 0;
    const struct visible_gate *from = b->kind == LW_GRU ? gru : b->options & LW_COUPLED ? coupled : lstm;
    size_t count = b->kind == LW_GRU ? 2 : b->options & LW_COUPLED ? 3 : 4;
    memcpy(gates, from, count * sizeof *gates);
    return count;
}

static bool check_order(const kernel_case *c, const float *got, char why[WHY_SIZE])
{
    struct visible_gate gates[4];
    struct numbers n = numbers_create(c);
    size_t H = c->brick.hidden, count = visible_gates(c, gates), stored = compared_gates(c);
    const float *first = got + (c->brick.kind == LW_LSTM ? 2 : 1) * c->rows * H;
    bool good = true;
    for (size_t g = 0; g < count; g++)
        for (size_t row = 0; row < c->rows; row++)
            for (size_t j = 0; j < H && good; j++) {
                float sum = ordered_sum(&n, &c->brick, row, gates[g].block * H + j), want;
                lw_kernels_scalar.activate(gates[g].function, 1, &sum, &want);
                const float *at = gates[g].stored ? first + (row * stored + gates[g].at) * H : got + row * H;
                good = memcmp(at + j, &want, sizeof want) == 0;
                if (!good)
                    snprintf(why, WHY_SIZE, "gate %zu of row %zu unit %zu is %a, but the contract's order gives %a", g,
                             row, j, (double)at[j], (double)want);
            }
    numbers_destroy(&n);
    return good;
}

static bool check_numbers(const kernel_case *c, const float *got, const float *scalar, char why[WHY_SIZE])
{
    size_t floats = kernel_case_count(c);
    double *want = ref_alloc(floats, sizeof *want), tolerance = kernel_case_tolerance(c);
    kernel_case_reference(c, want);
    bool good = true;
    for (size_t k = 0; k < floats && good; k++) {
        good = fabs((double)got[k] - want[k]) <= tolerance * fmax(1, fabs(want[k]));
        if (!good)
            snprintf(why, WHY_SIZE, "[%zu] of %zu is %.9g, expected %.17g", k, floats, (double)got[k], want[k]);
    }
    free(want);
    for (size_t k = 0; k < floats && good; k++) {
        good = memcmp(got + k, scalar + k, sizeof *got) == 0;
        if (!good)
            snprintf(why, WHY_SIZE, "[%zu] of %zu is %a, but %a with the scalar kernels", k, floats, (double)got[k],
                     (double)scalar[k]);
    }
    return good;
}

bool kernel_case_check(const kernel_case *c, const struct lw_kernels *table, uint64_t *hash, char why[WHY_SIZE])
{
    size_t floats = kernel_case_count(c);
    float *got = ref_alloc(floats, sizeof *got), *scalar = ref_alloc(floats, sizeof *scalar);
    char reason[WHY_SIZE];
    bool good = kernel_case_run(c, table, got, reason) && kernel_case_run(c, &lw_kernels_scalar, scalar, reason) &&
                check_numbers(c, got, scalar, reason) && check_order(c, got, reason);
    if (!good)
        snprintf(why, WHY_SIZE, "%s: %.200s: %.200s", table->name, kernel_case_text(c), reason);
    if (hash)
        *hash = hash_bytes(HASH_INIT, got, floats * sizeof *got);
    free(got);
    free(scalar);
    return good;
}
