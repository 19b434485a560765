/* SPDX-License-Identifier: Apache-2.0 */
/* The program of the benchmarks: registers all groups of cases and hands over to Google Benchmark. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCALAR_MOST_FLOPS 2e8

size_t bench_isas(struct bench_isa isas[LW_ISA_COUNT])
{
    const struct lw_kernels *tables[LW_ISA_COUNT] = {[LW_ISA_SCALAR] = &lw_kernels_scalar};
#ifdef LW_HAVE_AVX2
    tables[LW_ISA_AVX2] = &lw_kernels_avx2;
#endif
#ifdef LW_HAVE_AVX512
    tables[LW_ISA_AVX512] = &lw_kernels_avx512;
#endif
#ifdef LW_HAVE_NEON
    tables[LW_ISA_NEON] = &lw_kernels_neon;
#endif
    size_t count = 0;
    for (int isa = 0; isa < LW_ISA_COUNT; isa++)
        if (tables[isa] && lw_isa_supported((lw_isa)isa))
            isas[count++] = (struct bench_isa){(lw_isa)isa, lw_isa_name((lw_isa)isa), tables[isa]};
    return count;
}

size_t bench_threads(size_t threads[2])
{
    threads[0] = 1;
    threads[1] = limits_cpus();
    return threads[1] > 1 ? 2 : 1;
}

float *bench_floats(size_t count, float least, float most)
{
    const size_t bytes = (count * sizeof(float) + 63) / 64 * 64;
    float *values = count > SIZE_MAX / 8 ? NULL : aligned_alloc(64, bytes ? bytes : 64);
    if (!values) {
        fprintf(stderr, "latchwork_bench: no memory for %zu numbers\n", count);
        exit(1);
    }
    unsigned long long x = 88172645463325252ull; /* xorshift64; any seed but 0 */
    for (size_t i = 0; i < count; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        values[i] = least + (most - least) * (float)(x >> 40) * 0x1p-24f;
    }
    return values;
}

void bench_flops(bench *b, double flops, lw_isa isa, size_t threads)
{
    const double peak = limits_peak(isa, threads), time = bench_seconds(b);
    bench_rate(b, "flop", flops);
    if (peak > 0.0 && time > 0.0)
        bench_counter(b, "peak%", 100.0 * flops / time / peak);
}

int bench_worth_it(lw_isa isa, double flops)
{
    const char *all = getenv("LW_BENCH_ALL");
    return isa != LW_ISA_SCALAR || flops <= SCALAR_MOST_FLOPS || (all && strcmp(all, "0"));
}

/* The limits stand above the table, so that its shares can be read. */
static void show_limits(void)
{
    struct bench_isa isas[LW_ISA_COUNT];
    size_t threads[2];
    const size_t isa_count = bench_isas(isas), thread_count = bench_threads(threads);
    lw_machine machine = {.size = sizeof machine};
    if (!lw_machine_query(&machine) && machine.cpu_name[0])
        bench_context("cpu", "%s", machine.cpu_name);
    for (size_t t = 0; t < thread_count; t++) {
        char key[64];
        for (size_t i = 0; i < isa_count; i++) {
            snprintf(key, sizeof key, "peak %s, %zu threads", isas[i].name, threads[t]);
            bench_context(key, "%.1f GFLOP/s", limits_peak(isas[i].isa, threads[t]) * 1e-9);
        }
        for (int level = 0; level < LEVEL_COUNT; level++) {
            snprintf(key, sizeof key, "read %s, %zu threads", limits_name((enum limit_level)level), threads[t]);
            bench_context(key, "%.1f GB/s", limits_read((enum limit_level)level, threads[t]) * 1e-9);
        }
    }
    if (!bench_worth_it(LW_ISA_SCALAR, 1e300))
        bench_context("scalar cases", "up to %.1f GFLOP a pass; LW_BENCH_ALL=1 runs all", SCALAR_MOST_FLOPS * 1e-9);
}

int main(int argc, char **argv)
{
    bench_machine_register();
    bench_activations_register();
    bench_kernels_register();
    bench_cells_register();
    return bench_run(argc, argv, show_limits);
}
