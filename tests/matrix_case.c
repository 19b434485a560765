/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix kernels, affine and dense, against fused multiply-adds made one by one in the order that the
 * contract promises: here the bits themselves are known. See kernel_case.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_case.h"
#include "packing.h"
#include "random.h"
#include "reference.h"

struct matrix_numbers {
    float *w;    /* (groups * units, K) */
    float *bias; /* (groups * units) */
    float *x;    /* (rows, K) */
    float *want; /* (rows, groups * units) */
};

static struct matrix_numbers matrix_numbers_create(const matrix_case *c, const struct packing *p)
{
    size_t outputs = p->groups * p->units;
    struct matrix_numbers n = {
        .w = ref_alloc(outputs * c->depth, sizeof(float)),
        .bias = ref_alloc(outputs, sizeof(float)),
        .x = ref_alloc(c->rows * c->depth, sizeof(float)),
        .want = ref_alloc(c->rows * outputs, sizeof(float)),
    };
    rng r = {.seed = c->seed};
    rng_fill(&r, n.w, outputs * c->depth, 1);
    rng_fill(&r, n.bias, outputs, 1);
    rng_fill(&r, n.x, c->rows * c->depth, 2);
    for (size_t row = 0; row < c->rows; row++)
        for (size_t o = 0; o < outputs; o++) {
            float sum = n.bias[o];
            for (size_t k = 0; k < c->depth; k++)
                sum = fmaf(n.x[row * c->depth + k], n.w[o * c->depth + k], sum);
            n.want[row * outputs + o] = sum;
        }
    return n;
}

static void matrix_numbers_destroy(struct matrix_numbers *n)
{
    free(n->w);
    free(n->bias);
    free(n->x);
    free(n->want);
}

static bool same(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* Of the result in its logical order, which no table's lanes change. */
static uint64_t hash_affine(const matrix_case *c, const struct packing *p, const guard *out)
{
    uint64_t hash = HASH_INIT;
    for (size_t row = 0; row < c->rows; row++)
        for (size_t o = 0; o < p->groups * p->units; o++) {
            size_t unit = o % p->units, vector = unit / p->lanes;
            size_t column = p->wide ? vector : vector * p->groups + o / p->units;
            hash = hash_bytes(hash, out->data + pack_at(p, c->rows, column, row) + unit % p->lanes, sizeof(float));
        }
    return hash;
}

static bool check_affine(const matrix_case *c, const struct packing *p, const struct matrix_numbers *n,
                         const guard *out, char why[WHY_SIZE])
{
    for (size_t column = 0; column < pack_columns(p); column++)
        for (size_t row = 0; row < c->rows; row++)
            for (size_t lane = 0, o; lane < p->lanes; lane++) {
                float got = out->data[pack_at(p, c->rows, column, row) + lane];
                float want = pack_row(p, column, lane, &o) ? n->want[row * p->groups * p->units + o] : 0.0f;
                if (!same(got, want)) {
                    snprintf(why, WHY_SIZE, "affine: row %zu column %zu lane %zu is %a, expected %a", row, column, lane,
                             (double)got, (double)want);
                    return false;
                }
            }
    return true;
}

static bool check_dense(const matrix_case *c, const struct packing *p, const struct matrix_numbers *n, const guard *out,
                        size_t stride, char why[WHY_SIZE])
{
    size_t padded = pack_columns(p) * p->lanes;
    for (size_t row = 0; row < c->rows; row++)
        for (size_t o = 0; o < padded; o++) {
            float got = out->data[row * stride + o];
            float want = o < p->units ? n->want[row * p->units + o] : 0.0f;
            if (!same(got, want)) {
                snprintf(why, WHY_SIZE, "dense: row %zu output %zu is %a, expected %a", row, o, (double)got,
                         (double)want);
                return false;
            }
        }
    if (guard_unwritten(out) != (c->rows ? (c->rows - 1) * (stride - padded) : 0)) {
        snprintf(why, WHY_SIZE, "dense wrote into the gaps between the rows");
        return false;
    }
    return true;
}

/* A function after the product changes each element as `activate` does. */
static bool check_function(const matrix_case *c, const struct packing *p, const struct matrix_numbers *n,
                           const struct lw_kernels *table, enum lw_kernel_function function, const guard *out,
                           size_t stride, char why[WHY_SIZE])
{
    float *want = ref_alloc(p->units, sizeof *want);
    bool good = true;
    for (size_t row = 0; row < c->rows && good; row++) {
        table->activate(function, p->units, n->want + row * p->units, want);
        good = memcmp(want, out->data + row * stride, p->units * sizeof *want) == 0;
    }
    if (!good)
        snprintf(why, WHY_SIZE, "dense with function %d is not the function of the linear result", function);
    free(want);
    return good;
}

bool matrix_case_check(const matrix_case *c, const struct lw_kernels *table, uint64_t *hash, char why[WHY_SIZE])
{
    struct packing p = {table->lanes, c->wide ? 1 : c->width, c->outputs, c->depth, c->wide};
    struct matrix_numbers n = matrix_numbers_create(c, &p);
    size_t columns = pack_columns(&p), stride = columns * p.lanes + 3;
    guard w = guard_create(columns * c->depth * p.lanes, c->side, c->offset);
    guard bias = guard_create(columns * p.lanes, c->side, c->offset);
    guard x = guard_create((c->rows - 1) * (c->depth + 1) + c->depth, c->side, c->offset);
    guard out = guard_create(columns * c->rows * p.lanes, c->side, c->offset);
    guard y = guard_create((c->rows - 1) * stride + columns * p.lanes, c->side, c->offset);
    pack_weights(&p, n.w, w.data);
    pack_bias(&p, n.bias, bias.data);
    for (size_t r = 0; r < c->rows && c->depth; r++)
        memcpy(x.data + r * (c->depth + 1), n.x + r * c->depth, c->depth * sizeof(float));
    guard_read_only(&w);
    guard_read_only(&bias);
    guard_read_only(&x);
    struct lw_matrix m = {w.data, bias.data, columns, pack_width(&p), c->depth};
    size_t panels = lw_matrix_panels(&m), cut = (size_t)(rng_mix(c->seed) % (panels + 1));
    table->affine(&m, c->rows, x.data, c->depth + 1, out.data, 0, cut);
    table->affine(&m, c->rows, x.data, c->depth + 1, out.data, cut, panels);
    char reason[WHY_SIZE];
    bool good = check_affine(c, &p, &n, &out, reason);
    if (good && c->wide) {
        table->dense(&m, LW_K_LINEAR, c->rows, x.data, c->depth + 1, y.data, stride, 0, cut);
        table->dense(&m, LW_K_LINEAR, c->rows, x.data, c->depth + 1, y.data, stride, cut, panels);
        good = check_dense(c, &p, &n, &y, stride, reason);
    }
    for (int f = LW_K_RELU; good && c->wide && f <= LW_K_SIGMOID; f++) {
        guard_clear(&y);
        table->dense(&m, (enum lw_kernel_function)f, c->rows, x.data, c->depth + 1, y.data, stride, 0, panels);
        good = check_function(c, &p, &n, table, (enum lw_kernel_function)f, &y, stride, reason);
    }
    if (good &&
        !(guard_intact(&w) && guard_intact(&bias) && guard_intact(&x) && guard_intact(&out) && guard_intact(&y))) {
        snprintf(reason, sizeof reason, "a canary was overwritten");
        good = false;
    }
    if (!good)
        snprintf(why, WHY_SIZE, "%s: V%zu%s outputs %zu K%zu rows %zu side %d offset %zu: %.200s", table->name,
                 c->width, c->wide ? " wide" : "", c->outputs, c->depth, c->rows, c->side, c->offset, reason);
    if (hash)
        *hash = hash_affine(c, &p, &out);
    guard_destroy(&w);
    guard_destroy(&bias);
    guard_destroy(&x);
    guard_destroy(&out);
    guard_destroy(&y);
    matrix_numbers_destroy(&n);
    return good;
}
