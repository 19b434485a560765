/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's own limits as cases: the peak of fused multiply-adds, and the bandwidth of reading each level of memory,
 * for each instruction set and for 1 and all threads. What the shares of all other cases are shares of.
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

static struct machine_case *remembered(struct machine_case what)
{
    struct machine_case *copy = malloc(sizeof *copy);
    if (!copy) {
        fprintf(stderr, "latchwork_bench: no memory for a case\n");
        exit(1);
    }
    *copy = what;
    return copy;
}

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
    const limits_reader read = limits_reader_of(c->isa.isa);
    const size_t bytes = limits_bytes(c->level, c->threads);
    if (!read || !bytes) {
        bench_fail(b, "the size of %s is not known, or no larger than the level's before it", limits_name(c->level));
        return;
    }
    float *values = aligned_alloc(64, bytes);
    if (!values) {
        bench_fail(b, "no memory for %zu bytes", bytes);
        return;
    }
    memset(values, 0, bytes);
    float sum = 0.0f;
    while (bench_loop(b, 1)) {
        sum += read(values, bytes / sizeof(float));
        bench_keep(&sum);
    }
    bench_rate(b, "bytes", (double)bytes);
    free(values);
}

void bench_machine_register(void)
{
    struct bench_isa isas[LW_ISA_COUNT];
    size_t threads[2];
    const size_t isa_count = bench_isas(isas), thread_count = bench_threads(threads);
    char name[128];
    for (size_t i = 0; i < isa_count; i++)
        for (size_t t = 0; t < thread_count; t++) {
            struct machine_case what = {isas[i], LEVEL_L1, threads[t]};
            snprintf(name, sizeof name, "machine/peak/%s", isas[i].name);
            bench_register(name, case_peak, remembered(what), threads[t], BENCH_MICROSECONDS);
            for (int level = 0; level < LEVEL_COUNT; level++) {
                what.level = (enum limit_level)level;
                snprintf(name, sizeof name, "machine/read_%s/%s", limits_name(what.level), isas[i].name);
                bench_register(name, case_read, remembered(what), threads[t], BENCH_MICROSECONDS);
            }
        }
}
