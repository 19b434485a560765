/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp, sigmoid, tanh and ReLU on every instruction set of this CPU: bounds in ulp over a stride of all floats, order,
 * range, symmetry, special values, arrays of every length and offset. math_walk goes over all 2^32 floats.
 */
#include <math.h>

#include "every_table.h"
#include "math_case.h"
#include "random.h"

ParameterizedTestParameters(math, bounds)
{
    return every_table(MATH_FUNCTION_COUNT);
}

/* Blocks of 64 neighbours, every 401st: ten million floats. */
ParameterizedTest(struct parameter *p, math, bounds)
{
    const math_function *f = &math_functions[p->kind];
    char why[WHY_SIZE];
    double worst = 0;
    uint64_t hash = HASH_INIT;
    cr_assert(math_strided_check(f, table_of(p), 64, 401, &worst, &hash, why), "%s", why);
    if (f->ulp > 0)
        cr_expect_gt(worst, 0.5, "an error of %g ulp is too good for a function of this kind", worst);
}

/* The places where a result changes its shape: around zero, the ends of the range, the multiples of ln(2) / 2. */
ParameterizedTestParameters(math, edges)
{
    return every_table(MATH_FUNCTION_COUNT);
}

ParameterizedTest(struct parameter *p, math, edges)
{
    const math_function *f = &math_functions[p->kind];
    char why[WHY_SIZE];
    double worst = 0;
    for (int k = -310; k <= 310; k++) {
        float at = (float)(k * 0.34657359027997264);
        uint32_t first = math_index(at) - MATH_BLOCK / 2;
        cr_assert(math_block_check(f, table_of(p), first, MATH_BLOCK, &worst, NULL, why), "%s", why);
        cr_assert(math_bits_check(f, table_of(p), first, MATH_BLOCK, why), "%s", why);
    }
    for (uint32_t first = 0; first < MATH_FLOATS - MATH_BLOCK; first += 0x00800000u / 2)
        cr_assert(math_block_check(f, table_of(p), first, MATH_BLOCK, &worst, NULL, why), "%s", why);
}

ParameterizedTestParameters(math, special_values)
{
    return every_table(MATH_FUNCTION_COUNT);
}

ParameterizedTest(struct parameter *p, math, special_values)
{
    char why[WHY_SIZE];
    cr_assert(math_special_check(&math_functions[p->kind], table_of(p), why), "%s", why);
}

ParameterizedTestParameters(math, arrays)
{
    return every_table(LW_K_EXP + 1);
}

ParameterizedTest(struct parameter *p, math, arrays)
{
    char why[WHY_SIZE];
    cr_assert(math_array_check((enum lw_kernel_function)p->kind, table_of(p), why), "%s", why);
}

Test(math, row_of_floats)
{
    cr_assert_eq(math_float(0), -INFINITY);
    cr_assert_eq(math_float(MATH_FLOATS - 1), INFINITY);
    for (uint64_t k = 1; k < MATH_FLOATS; k += 65537) {
        cr_assert_eq(math_index(math_float((uint32_t)k)), k);
        cr_assert_geq(math_float((uint32_t)k), math_float((uint32_t)k - 1));
    }
}
