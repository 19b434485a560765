/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions exp, sigmoid, tanh and ReLU over arrays: error in ulp, range, order, symmetry, special values, and
 * the same bits as the scalar kernels. All floats but the NaNs stand in one row, from -infinity to +infinity, and a
 * check walks any part of it. Shared by the Criterion tests, the plain runner and the walk over all floats.
 */
#ifndef LW_TESTS_MATH_CASE_H
#define LW_TESTS_MATH_CASE_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel_case.h"

#define MATH_FLOATS (2u * 0x7f800001u) /* floats that are no NaN; -0 stands before +0 */
#define MATH_BLOCK 1024

typedef struct math_function {
    const char *name;
    enum lw_kernel_function function;
    double ulp; /* the bound that math_text.h promises */
} math_function;

static const math_function math_functions[] = {
    {"exp", LW_K_EXP, 1.0}, {"sigmoid", LW_K_SIGMOID, 2.0}, {"tanh", LW_K_TANH, 1.5}, {"relu", LW_K_RELU, 0.0}};
#define MATH_FUNCTION_COUNT (sizeof math_functions / sizeof *math_functions)

/* Float number `index`, and its number. */
float math_float(uint32_t index);
uint32_t math_index(float value);

/* Checks floats [first, first + count), count <= MATH_BLOCK, of `f` on `table`: bound, order also against the float
 * before, range and symmetry. *worst grows to the largest error seen; *hash, unless NULL, goes on over the results. */
bool math_block_check(const math_function *f, const struct lw_kernels *table, uint32_t first, uint32_t count,
                      double *worst, uint64_t *hash, char why[WHY_SIZE]);
/* The same floats: the bits of the scalar table. */
bool math_bits_check(const math_function *f, const struct lw_kernels *table, uint32_t first, uint32_t count,
                     char why[WHY_SIZE]);
/* Both, in blocks of `count` floats, `stride` blocks apart. */
bool math_strided_check(const math_function *f, const struct lw_kernels *table, uint32_t count, uint32_t stride,
                        double *worst, uint64_t *hash, char why[WHY_SIZE]);
/* Zeros, infinities, NaNs of either sign and kind, the smallest and largest numbers. */
bool math_special_check(const math_function *f, const struct lw_kernels *table, char why[WHY_SIZE]);
/* Every length to 67, every offset, both sides, in place and not: exactly n floats, each the same as alone. */
bool math_array_check(enum lw_kernel_function function, const struct lw_kernels *table, char why[WHY_SIZE]);

#endif
