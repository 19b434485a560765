/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's own limits as cases: the peak of fused multiply-adds, and the bandwidth of reading each level of
 * memory, for each instruction set and for 1 and all threads. Called by main.c.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct machine_case {
    struct bench_isa isa;
    enum limit_level level;
    size_t threads;
};

static void case_peak(bench *b, void *argument)
{
    const struct machine_case *c = argument;
    const size_t count = 1000;
    double flops = 0.0;
    while (bench_loop(b, 1))
        flops = c->isa.kernels->peak(count);
    bench_rate(b, "flop", flops);
}

static void case_read(bench *b, void *argument)
{
    const struct machine_case *c = argument;
    const size_t bytes = limits_bytes(c->level, c->threads);
    float *values = aligned_alloc(64, bytes);
    if (!values) {
        bench_fail(b, "no memory for %zu bytes", bytes);
        return;
    }
    memset(values, 0, bytes);
    float sum = 0.0f;
    while (bench_loop(b, 1)) {
        sum += c->isa.kernels->read(bytes / sizeof(float), values);
        bench_keep(&sum);
    }
    bench_rate(b, "bytes", (double)bytes);
    free(values);
}

void bench_machine_register(void)
{
    static struct machine_case cases[LW_ISA_COUNT * 2 * (1 + LEVEL_COUNT)];
    struct machine_case *next = cases;
    struct bench_isa isas[LW_ISA_COUNT];
    size_t threads[2];
    const size_t isa_count = bench_isas(isas), thread_count = bench_threads(threads);
    char name[128];
    for (size_t i = 0; i < isa_count; i++)
        for (size_t t = 0; t < thread_count; t++) {
            snprintf(name, sizeof name, "machine/peak/%s", isas[i].name);
            *next = (struct machine_case){isas[i], LEVEL_L1, threads[t]};
            bench_register(name, case_peak, next++, threads[t], BENCH_MICROSECONDS);
            for (int level = 0; level < LEVEL_COUNT; level++) {
                if (!limits_bytes((enum limit_level)level, threads[t]))
                    continue; /* a level whose size is not known */
                snprintf(name, sizeof name, "machine/read_%s/%s", limits_name((enum limit_level)level), isas[i].name);
                *next = (struct machine_case){isas[i], (enum limit_level)level, threads[t]};
                bench_register(name, case_read, next++, threads[t], BENCH_MICROSECONDS);
            }
        }
}
