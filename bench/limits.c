/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps what the library measures of the machine, and sizes buffers by its caches; see limits.h. */
#include "limits.h"

enum { MOST_THREADS = 256 };

const char *limits_name(enum limit_level level)
{
    static const char *const names[LEVEL_COUNT] = {"L1", "L2", "L3", "DRAM"};
    return names[level];
}

static lw_machine machine_facts(void)
{
    lw_machine machine = {.size = sizeof machine};
    if (lw_machine_query(&machine))
        machine.cpus = 1;
    return machine;
}

size_t limits_cpus(void)
{
    const size_t cpus = machine_facts().cpus;
    return cpus ? cpus : 1;
}

size_t limits_bytes(enum limit_level level, size_t threads)
{
    const lw_machine machine = machine_facts();
    size_t bytes = 0;
    switch (level) {
    case LEVEL_L1:
        bytes = machine.l1_bytes / 2;
        break;
    case LEVEL_L2:
        bytes = machine.l2_bytes / 2;
        break;
    case LEVEL_L3: /* the threads' parts together are half of it */
        bytes = machine.l3_bytes / 2 / threads;
        bytes = bytes >= 2 * machine.l2_bytes ? bytes : 0;
        break;
    default: /* far more than any cache, even one that the machine keeps to itself */
        bytes = (machine.l3_bytes > (32u << 20) ? 8 * machine.l3_bytes : (size_t)256 << 20) / threads;
        break;
    }
    return bytes / 1024 * 1024;
}

/* The cases of a process run one after another, so these need no lock. */
static const lw_limits *known_limits(size_t threads)
{
    static lw_limits known[MOST_THREADS + 1];
    if (!threads || threads > MOST_THREADS)
        return NULL;
    lw_limits *limits = &known[threads];
    if (!limits->size) {
        limits->size = sizeof *limits;
        if (lw_machine_limits(threads, limits) || limits->threads != threads)
            *limits = (lw_limits){.size = sizeof *limits};
    }
    return limits;
}

double limits_read(enum limit_level level, size_t threads)
{
    const lw_limits *limits = known_limits(threads);
    if (!limits)
        return 0.0;
    const double rates[LEVEL_COUNT] = {limits->l1, limits->l2, limits->l3, limits->dram};
    return rates[level];
}

double limits_peak(lw_isa isa, size_t threads)
{
    static double known[LW_ISA_COUNT][MOST_THREADS + 1];
    const lw_isa current = lw_isa_get();
    if (isa == current) {
        const lw_limits *limits = known_limits(threads);
        return limits ? limits->flops : 0.0;
    }
    if (!threads || threads > MOST_THREADS || lw_isa_set(isa))
        return 0.0;
    if (known[isa][threads] == 0.0)
        known[isa][threads] = lw_machine_peak(threads);
    lw_isa_set(current);
    return known[isa][threads];
}

enum limit_level limits_holding(size_t bytes, size_t threads)
{
    const lw_machine machine = machine_facts();
    const size_t part = bytes / (threads ? threads : 1);
    if (part <= machine.l1_bytes)
        return LEVEL_L1;
    if (part <= machine.l2_bytes)
        return LEVEL_L2;
    return bytes <= machine.l3_bytes ? LEVEL_L3 : LEVEL_DRAM;
}
