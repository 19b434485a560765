/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of the tests over the public header: every instruction set that this CPU runs, times a number of kinds.
 * The memory is Criterion's own, because the cases run in processes of their own. */
#ifndef LW_TESTS_EVERY_ISA_H
#define LW_TESTS_EVERY_ISA_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <latchwork.h>

struct parameter {
    lw_isa isa;
    size_t kind;
};

static inline size_t supported_isas(lw_isa isas[LW_ISA_COUNT])
{
    size_t count = 0;
    for (int k = 0; k < LW_ISA_COUNT; k++)
        if (lw_isa_supported((lw_isa)k))
            isas[count++] = (lw_isa)k;
    return count;
}

static inline struct criterion_test_params every_isa(size_t kinds)
{
    lw_isa isas[LW_ISA_COUNT];
    size_t count = supported_isas(isas);
    struct parameter *p = cr_malloc(count * kinds * sizeof *p);
    for (size_t k = 0; k < count * kinds; k++)
        p[k] = (struct parameter){isas[k % count], k / count};
    return cr_make_param_array(struct parameter, p, count * kinds, NULL);
}

/* Recurrent kinds: a parameter's kind 0, 1, 2. */
#define CELL_KINDS 3
static inline lw_kind cell_kind(size_t kind)
{
    return (lw_kind)(LW_LSTM + (int)kind);
}

#endif
