/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of a kernel as a case: a brick of one layer tells the cell and its options, `rows` the batch. Running
 * a case packs the weights for the table's lanes, puts every buffer between forbidden pages, calls the kernel
 * on two ranges of panels and takes the result apart into plain row-major arrays, which must be the same bits
 * for every table. Shared by the Criterion tests and by the plain runner for other architectures; knows the
 * kernels by simd/kernels.h alone and packs by the words of that contract, not by the library's code.
 */
#ifndef LW_TESTS_KERNEL_CASE_H
#define LW_TESTS_KERNEL_CASE_H

#include <kernels.h>
#include <latchwork.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard.h"

#define WHY_SIZE 512
#define MAX_TABLES 4

/* The tables that this CPU runs; the scalar one is first. Returns their number. */
size_t kernel_tables(const struct lw_kernels *tables[MAX_TABLES]);

typedef struct kernel_case {
    lw_brick brick; /* kind, input, hidden, options, function, projection (then R = P), clips */
    size_t rows;
    bool merged; /* the input part by `affine` beforehand, in a buffer with rows of other steps around it */
    bool gates;  /* ask for the gates too */
    guard_side side;
    size_t offset; /* floats between buffers and pages */
    float scale;   /* of the inputs and states */
    uint64_t seed;
} kernel_case;

/* Floats that the result has: (rows, H), LSTM also c (rows, H), and the gates (rows, 5 or 3, H) if asked. */
size_t kernel_case_count(const kernel_case *c);
/* False with a sentence in `why`: a canary was damaged, an output not written, or one too many. */
bool kernel_case_run(const kernel_case *c, const struct lw_kernels *table, float *result, char why[WHY_SIZE]);
/* The result by the double-precision reference. */
void kernel_case_reference(const kernel_case *c, double *result);
/* How far a result may be from it: the sum of I + R + 2 products, each at most as large as the weights and inputs
 * allow, at half an eps each, and a handful of roundings in the cell. */
double kernel_case_tolerance(const kernel_case *c);
const char *kernel_case_text(const kernel_case *c);

/* Runs the case on a table and compares the result with the reference, and by memcmp with the scalar table's.
 * `hash`, if not NULL, receives the hash of the result's bits. */
bool kernel_case_check(const kernel_case *c, const struct lw_kernels *table, uint64_t *hash, char why[WHY_SIZE]);

/* `affine` and `dense` of one matrix of K inputs and `outputs` columns of units in panels of V vectors, against
 * fused multiply-adds one by one: the bits must be these. */
typedef struct matrix_case {
    size_t width; /* V; LW_WIDE also stands for wide matrices, whose last panel may be narrower */
    bool wide;
    size_t outputs; /* O of a wide matrix, H of a gated one */
    size_t depth;   /* K */
    size_t rows;
    guard_side side;
    size_t offset;
    uint64_t seed;
} matrix_case;
bool matrix_case_check(const matrix_case *c, const struct lw_kernels *table, uint64_t *hash, char why[WHY_SIZE]);

#endif
