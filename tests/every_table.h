/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of the kernel tests: every table of kernels that this CPU runs, times a number of kinds. The memory is
 * Criterion's own, because the cases run in processes of their own. */
#ifndef LW_TESTS_EVERY_TABLE_H
#define LW_TESTS_EVERY_TABLE_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "kernel_case.h"

struct parameter {
    size_t table;
    size_t kind;
};

static inline struct criterion_test_params every_table(size_t kinds)
{
    const struct lw_kernels *tables[MAX_TABLES];
    size_t count = kernel_tables(tables);
    struct parameter *p = cr_malloc(count * kinds * sizeof *p);
    for (size_t k = 0; k < count * kinds; k++)
        p[k] = (struct parameter){k % count, k / count};
    return cr_make_param_array(struct parameter, p, count * kinds, NULL);
}

static inline const struct lw_kernels *table_of(const struct parameter *p)
{
    const struct lw_kernels *tables[MAX_TABLES];
    kernel_tables(tables);
    return tables[p->table];
}

#endif
