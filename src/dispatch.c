/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of the build in ascending order, and the choice among them: the last one that the CPU runs and that
 * LW_ISA does not rule out. The scalar table is always there, so there is always an answer.
 */
#include "dispatch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

static const struct {
    lw_isa isa;
    const struct lw_kernels *kernels;
} tables[] = {
    {LW_ISA_SCALAR, &lw_kernels_scalar},
#ifdef LW_HAVE_NEON
    {LW_ISA_NEON, &lw_kernels_neon},
#endif
#ifdef LW_HAVE_AVX2
    {LW_ISA_AVX2, &lw_kernels_avx2},
#endif
#ifdef LW_HAVE_AVX512
    {LW_ISA_AVX512, &lw_kernels_avx512},
#endif
};

#define TABLES (sizeof tables / sizeof *tables)

static atomic_int current = -1; /* a lw_isa, or -1 until it is first asked for */

const struct lw_kernels *lw_kernels_of(lw_isa isa)
{
    for (size_t i = 0; i < TABLES; i++)
        if (tables[i].isa == isa)
            return tables[i].kernels;
    return NULL;
}

bool lw_dispatch_supported(lw_isa isa)
{
    return lw_kernels_of(isa) && lw_cpu_has(isa);
}

lw_isa lw_dispatch_current(void)
{
    int known = atomic_load_explicit(&current, memory_order_relaxed);
    if (known >= 0)
        return (lw_isa)known;
    const char *cap = getenv("LW_ISA");
    lw_isa best = LW_ISA_SCALAR;
    for (size_t i = 0; i < TABLES; i++) {
        if (lw_cpu_has(tables[i].isa))
            best = tables[i].isa;
        if (cap && strcmp(cap, tables[i].kernels->name) == 0)
            break;
    }
    /* Another thread may have come first, with lw_isa_set: its choice stands. */
    int unset = -1;
    atomic_compare_exchange_strong(&current, &unset, (int)best);
    return (lw_isa)atomic_load(&current);
}

void lw_dispatch_set(lw_isa isa)
{
    atomic_store(&current, (int)isa);
}
