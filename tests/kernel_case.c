/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a cell's kernel on guarded buffers; see kernel_case.h. Inputs are read-only pages, outputs start as
 * "unwritten", the panels are done in two ranges and the second range must still be unwritten after the first.
 */
#include "kernel_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_numbers.h"
#include "packing.h"
#include "random.h"

#define MAX_BUFFERS 24

#ifdef LW_HAVE_AVX2
static bool runs_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

#ifdef LW_HAVE_AVX512
static bool runs_avx512(void)
{
#if defined(LW_SIMDE) && defined(LW_HAVE_AVX2)
    return runs_avx2(); /* what SIMDe writes it in */
#elif defined(LW_SIMDE)
    return true;
#else
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
}
#endif

size_t kernel_tables(const struct lw_kernels *tables[MAX_TABLES])
{
    size_t count = 0;
    tables[count++] = &lw_kernels_scalar;
#ifdef LW_HAVE_AVX2
    if (runs_avx2())
        tables[count++] = &lw_kernels_avx2;
#endif
#ifdef LW_HAVE_NEON
    tables[count++] = &lw_kernels_neon;
#endif
#ifdef LW_HAVE_AVX512
    if (runs_avx512())
        tables[count++] = &lw_kernels_avx512;
#endif
    return count;
}

/* The guarded buffers of one call. */
struct buffers {
    guard all[MAX_BUFFERS];
    size_t count;
    const kernel_case *c;
};

static guard *take(struct buffers *b, size_t floats)
{
    guard *g = &b->all[b->count++];
    *g = guard_create(floats, b->c->side, b->c->offset);
    return g;
}

/* Rows of `width` floats, `stride` apart, the last one ending with the buffer; `vector` rows are padded with zeros to
 * whole vectors. Nothing but the rows is defined. */
static guard *take_rows(struct buffers *b, const float *from, size_t rows, size_t width, size_t padded, size_t stride)
{
    guard *g = take(b, rows ? (rows - 1) * stride + padded : 0);
    for (size_t r = 0; r < rows; r++) {
        memcpy(g->data + r * stride, from + r * width, width * sizeof(float));
        for (size_t k = width; k < padded; k++)
            g->data[r * stride + k] = 0.0f;
    }
    return g;
}

static struct lw_matrix take_matrix(struct buffers *b, const struct packing *p, const float *weights, const float *bias)
{
    size_t columns = pack_columns(p);
    guard *w = take(b, columns * p->depth * p->lanes);
    guard *d = take(b, columns * p->lanes);
    pack_weights(p, weights, w->data);
    pack_bias(p, bias, d->data);
    guard_read_only(w);
    guard_read_only(d);
    return (struct lw_matrix){
        .w = w->data, .bias = d->data, .columns = columns, .width = pack_width(p), .depth = p->depth};
}

/* One kernel call: a step, its kernel, and what it writes. */
struct call {
    struct buffers b;
    struct packing units; /* of the recurrent matrix */
    struct lw_step s;
    guard *y, *c, *z, *gates;
    size_t padded; /* H in whole vectors */
    size_t stored; /* gates that the kernel stores */
};

static size_t gate_count(const lw_brick *brick)
{
    if (brick->kind == LW_LSTM)
        return brick->options & LW_COUPLED ? 3 : 4;
    return brick->kind == LW_GRU ? 3 : 1;
}

size_t kernel_case_count(const kernel_case *c)
{
    size_t vectors = (c->brick.kind == LW_LSTM ? 2 : 1) + compared_gates(c);
    return vectors * c->rows * c->brick.hidden;
}

/* The matrices of `groups` gates from gate `first` on, and their input part: by the kernel itself or merged. */
static void set_matrices(struct call *call, const kernel_case *c, const struct numbers *n, size_t first, size_t groups,
                         bool wide, const struct lw_kernels *table)
{
    size_t H = c->brick.hidden, I = c->brick.input, R = n->recurrent;
    const float *bias_ih = numbers_find(n, "bias_ih"), *bias_hh = numbers_find(n, "bias_hh");
    struct packing in = {table->lanes, groups, H, I, wide};
    call->units = (struct packing){table->lanes, groups, H, R, wide};
    struct lw_step *s = &call->s;
    s->input = take_matrix(&call->b, &in, numbers_find(n, "weight_ih") + first * H * I,
                           bias_ih ? bias_ih + first * H : NULL);
    s->recurrent = take_matrix(&call->b, &call->units, numbers_find(n, "weight_hh") + first * H * R,
                               bias_hh ? bias_hh + first * H : NULL);
    s->merged = NULL;
    if (!c->merged)
        return;
    /* The rows of this step stand between two of the step before and one of the next, of which the kernel may read
     * none: they are NaN, since x has no numbers for them. */
    size_t rows = c->rows + 3;
    float *x = ref_alloc(rows * I, sizeof *x);
    for (size_t k = 0; k < rows * I; k++)
        x[k] = NAN;
    memcpy(x + 2 * I, n->x, c->rows * I * sizeof *x);
    guard *merged = take(&call->b, pack_columns(&in) * rows * table->lanes);
    table->affine(&s->input, rows, x, I, merged->data, 0, lw_matrix_panels(&s->input));
    free(x);
    guard_read_only(merged);
    s->merged = merged->data;
    s->merged_rows = rows;
    s->merged_row = 2;
    s->x = NULL;
    s->input = (struct lw_matrix){0};
}

/* True if rows beyond panel `cut` are untouched. A kernel writes whole vectors of its own panels only. */
static bool untouched_beyond(const struct call *call, const guard *g, size_t stride, size_t per_vector, size_t cut)
{
    if (!g)
        return true;
    size_t vectors = call->units.wide ? LW_WIDE : 1;
    size_t begin = cut * vectors * per_vector * call->units.lanes;
    for (size_t r = 0; r < call->s.rows; r++)
        for (size_t k = begin; k < call->padded * per_vector; k++) {
            uint32_t bits;
            memcpy(&bits, g->data + r * stride + k, sizeof bits);
            if (bits != GUARD_UNWRITTEN)
                return false;
        }
    return true;
}

typedef void (*step_kernel)(const struct lw_step *s, size_t begin, size_t end);

static bool call_in_two(struct call *call, const kernel_case *c, step_kernel kernel, bool writes_y, char why[WHY_SIZE])
{
    size_t panels = lw_matrix_panels(&call->s.recurrent);
    size_t cut = panels ? (size_t)(rng_mix(c->seed) % (panels + 1)) : 0;
    kernel(&call->s, 0, cut);
    if (writes_y && !untouched_beyond(call, call->y, call->s.y_stride, 1, cut)) {
        snprintf(why, WHY_SIZE, "panels [0, %zu) of %zu also wrote into y beyond them", cut, panels);
        return false;
    }
    if (writes_y && call->stored == 5 && !untouched_beyond(call, call->gates, call->s.gates_stride, 5, cut)) {
        snprintf(why, WHY_SIZE, "panels [0, %zu) of %zu also wrote into the gates beyond them", cut, panels);
        return false;
    }
    kernel(&call->s, cut, panels);
    return true;
}

/* Number of floats of a strided array that must stay unwritten: the gaps between the rows. */
static bool written_exactly(const char *name, const guard *g, size_t rows, size_t padded, size_t stride,
                            char why[WHY_SIZE])
{
    size_t gaps = rows ? (rows - 1) * (stride - padded) : 0;
    size_t left = guard_unwritten(g);
    if (left == gaps)
        return true;
    snprintf(why, WHY_SIZE, "%zu floats of %s were left unwritten, expected %zu (the gaps)", left, name, gaps);
    return false;
}

static void take_apart(const struct call *call, const kernel_case *c, float *result)
{
    size_t H = c->brick.hidden, L = call->units.lanes;
    for (size_t r = 0; r < c->rows; r++, result += H)
        memcpy(result, call->y->data + r * call->s.y_stride, H * sizeof *result);
    for (size_t r = 0; r < c->rows && c->brick.kind == LW_LSTM; r++, result += H)
        memcpy(result, call->c->data + r * call->s.c_stride, H * sizeof *result);
    for (size_t r = 0; r < c->rows; r++)
        for (size_t g = 0; g < compared_gates(c); g++)
            for (size_t j = 0; j < H; j++)
                *result++ = call->gates->data[r * call->s.gates_stride + (j / L * call->stored + g) * L + j % L];
}

static void set_peepholes(struct call *call, const float *from, size_t hidden)
{
    call->s.peephole_stride = call->padded + 7;
    guard *g = take_rows(&call->b, from, 3, hidden, call->padded, call->s.peephole_stride);
    guard_read_only(g);
    call->s.peephole = g->data;
}

/* Buffers that do not depend on the kernel. Strides are wider than the rows, by different gaps. */
static void set_step(struct call *call, const kernel_case *c, const struct numbers *n, size_t lanes)
{
    size_t H = c->brick.hidden, I = c->brick.input, R = n->recurrent;
    struct lw_step *s = &call->s;
    call->padded = (H + lanes - 1) / lanes * lanes;
    call->stored = stored_gates(c);
    s->rows = c->rows;
    s->cell_clip = c->brick.cell_clip;
    s->gate_clip = c->brick.gate_clip;
    s->function = c->brick.function == LW_RELU ? LW_K_RELU : LW_K_TANH;
    s->x_stride = I + 1;
    guard *x = take_rows(&call->b, n->x, c->rows, I, I, s->x_stride);
    guard_read_only(x);
    s->x = x->data;
    /* The GRU blends with h vector by vector; for the others h is a factor alone and ends exactly. */
    size_t h_padded = c->brick.kind == LW_GRU ? call->padded : R;
    s->h_stride = h_padded + 2;
    guard *h = take_rows(&call->b, n->h, c->rows, R, h_padded, s->h_stride);
    guard_read_only(h);
    s->h = h->data;
    if (c->seed % 2) { /* the product's factor comes by itself; whoever does not blend needs no other h */
        size_t fed_padded = c->brick.options & LW_RESET_BEFORE ? call->padded : R;
        s->fed_stride = fed_padded + 5;
        guard *fed = take_rows(&call->b, n->h, c->rows, R, fed_padded, s->fed_stride);
        guard_read_only(fed);
        s->fed = fed->data;
        s->h = c->brick.kind == LW_GRU ? s->h : NULL;
    }
    s->y_stride = call->padded + 3;
    call->y = take(&call->b, (c->rows - 1) * s->y_stride + call->padded);
    s->y = call->y->data;
    if (c->brick.kind == LW_LSTM) {
        s->c_stride = call->padded + 1;
        call->c = take_rows(&call->b, n->c, c->rows, H, call->padded, s->c_stride);
        s->c = call->c->data;
    }
    if (c->brick.kind == LW_GRU && c->brick.options & LW_RESET_BEFORE) {
        s->c_stride = call->padded + 5;
        s->z_stride = call->padded + 4;
        call->c = take(&call->b, (c->rows - 1) * s->c_stride + call->padded);
        call->z = take(&call->b, (c->rows - 1) * s->z_stride + call->padded);
        s->c = call->c->data;
        s->z = call->z->data;
    }
    if (call->stored) {
        s->gates_stride = call->stored * call->padded + 6;
        call->gates = take(&call->b, (c->rows - 1) * s->gates_stride + call->stored * call->padded);
        s->gates = call->gates->data;
    }
    if (numbers_find(n, "peephole"))
        set_peepholes(call, numbers_find(n, "peephole"), H);
}

static bool call_kernels(struct call *call, const kernel_case *c, const struct numbers *n,
                         const struct lw_kernels *table, char why[WHY_SIZE])
{
    size_t gates = gate_count(&c->brick);
    if (c->brick.kind == LW_GRU && c->brick.options & LW_RESET_BEFORE) {
        const float *x = call->s.x;
        set_matrices(call, c, n, 0, 2, false, table);
        if (!call_in_two(call, c, table->gru_reset, false, why))
            return false;
        call->s.x = x;
        set_matrices(call, c, n, 2, 1, true, table);
        return call_in_two(call, c, table->gru_candidate, true, why);
    }
    set_matrices(call, c, n, 0, gates, c->brick.kind == LW_RNN, table);
    step_kernel kernel = c->brick.kind == LW_LSTM ? table->lstm : c->brick.kind == LW_GRU ? table->gru : table->rnn;
    return call_in_two(call, c, kernel, true, why);
}

bool kernel_case_run(const kernel_case *c, const struct lw_kernels *table, float *result, char why[WHY_SIZE])
{
    struct numbers n = numbers_create(c);
    struct call call = {.b = {.c = c}};
    set_step(&call, c, &n, table->lanes);
    bool good = call_kernels(&call, c, &n, table, why);
    good = good && written_exactly("y", call.y, c->rows, call.padded, call.s.y_stride, why);
    if (call.c)
        good = good && written_exactly("c", call.c, c->rows, call.padded, call.s.c_stride, why);
    if (call.z)
        good = good && written_exactly("z", call.z, c->rows, call.padded, call.s.z_stride, why);
    if (call.gates)
        good = good &&
               written_exactly("gates", call.gates, c->rows, call.stored * call.padded, call.s.gates_stride, why);
    for (size_t r = 0; r < c->rows && good; r++)
        for (size_t k = c->brick.hidden; k < call.padded && good; k++)
            if (!(call.y->data[r * call.s.y_stride + k] == 0.0f)) {
                snprintf(why, WHY_SIZE, "unit %zu beyond H is %g, expected 0", k,
                         (double)call.y->data[r * call.s.y_stride + k]);
                good = false;
            }
    for (size_t k = 0; k < call.b.count; k++)
        if (good && !guard_intact(&call.b.all[k])) {
            snprintf(why, WHY_SIZE, "a canary beside buffer %zu was overwritten", k);
            good = false;
        }
    if (good)
        take_apart(&call, c, result);
    for (size_t k = 0; k < call.b.count; k++)
        guard_destroy(&call.b.all[k]);
    numbers_destroy(&n);
    return good;
}
