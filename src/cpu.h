/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about the CPU and the machine. No decisions: dispatch.c and plan.c take those. */
#ifndef LW_CPU_H
#define LW_CPU_H

#include "core.h"

/* What the CPU has and the operating system saves, in the terms of lw_isa. True for LW_ISA_SCALAR. */
bool lw_cpu_has(lw_isa isa);

struct lw_caches {
    size_t l1, l2, l3; /* bytes; 0 where unknown */
};
struct lw_caches lw_cpu_caches(void);

size_t lw_cpu_count(void); /* CPUs that this process may use, at least 1 */

/* The CPU's own name, or an empty string. */
void lw_cpu_name(char *name, size_t size);

#endif
