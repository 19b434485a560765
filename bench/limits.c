/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the machine's limits; see limits.h. The best of many short passes counts: others on the machine disturb a
 * pass, but never speed it up. All threads start a pass together, so their rates add up.
 */
#define _GNU_SOURCE
#include "limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_THREADS = 256, PASSES = 15 };
#define PASS_SECONDS 2e-3

float bench_read_scalar(const float *values, size_t count);
float bench_read_avx2(const float *values, size_t count);
float bench_read_avx512(const float *values, size_t count);
float bench_read_neon(const float *values, size_t count);

const char *limits_name(enum limit_level level)
{
    static const char *const names[LEVEL_COUNT] = {"L1", "L2", "L3", "DRAM"};
    return names[level];
}

limits_reader limits_reader_of(lw_isa isa)
{
    switch (isa) {
    case LW_ISA_SCALAR:
        return bench_read_scalar;
#ifdef LW_HAVE_AVX2
    case LW_ISA_AVX2:
        return bench_read_avx2;
#endif
#ifdef LW_HAVE_AVX512
    case LW_ISA_AVX512:
        return bench_read_avx512;
#endif
#ifdef LW_HAVE_NEON
    case LW_ISA_NEON:
        return bench_read_neon;
#endif
    default:
        return NULL;
    }
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
    const size_t block = LIMITS_BLOCK * sizeof(float);
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
    return bytes / block * block;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What the threads of one measurement share. `gate` is held until all of them are there or `abandoned` is set. */
struct race {
    limits_reader read;
    size_t bytes; /* of each thread */
    pthread_mutex_t gate;
    pthread_barrier_t start;
    int abandoned;
};

struct pass {
    struct race *race;
    double rate; /* 0: no memory */
};

static void *reads(void *argument)
{
    struct pass *pass = argument;
    struct race *race = pass->race;
    pthread_mutex_lock(&race->gate);
    const int abandoned = race->abandoned;
    pthread_mutex_unlock(&race->gate);
    if (abandoned)
        return NULL;
    const size_t count = race->bytes / sizeof(float);
    float *values = aligned_alloc(64, race->bytes);
    volatile float sink = 0.0f;
    size_t rounds = 1;
    if (values) {
        memset(values, 0, race->bytes); /* every page its own, not the kernel's shared page of zeros */
        double took = 0.0;
        while (took < PASS_SECONDS) {
            rounds = took > 0.0 ? rounds * 2 : 1;
            const double begin = seconds();
            for (size_t i = 0; i < rounds; i++)
                sink += race->read(values, count);
            took = seconds() - begin;
        }
    }
    for (int i = 0; i < PASSES; i++) {
        pthread_barrier_wait(&race->start);
        const double begin = seconds();
        for (size_t k = 0; values && k < rounds; k++)
            sink += race->read(values, count);
        const double rate = values ? (double)race->bytes * (double)rounds / (seconds() - begin) : 0.0;
        pass->rate = rate > pass->rate ? rate : pass->rate;
    }
    free(values);
    return NULL;
}

static double measure_read(enum limit_level level, size_t threads)
{
    struct race race = {.read = limits_reader_of(lw_isa_get()), .bytes = limits_bytes(level, threads)};
    struct pass passes[MOST_THREADS];
    pthread_t ids[MOST_THREADS];
    if (!race.read || !race.bytes || pthread_barrier_init(&race.start, NULL, (unsigned)threads))
        return 0.0;
    pthread_mutex_init(&race.gate, NULL);
    pthread_mutex_lock(&race.gate);
    size_t made = 0;
    for (; made < threads; made++) {
        passes[made] = (struct pass){.race = &race};
        if (pthread_create(&ids[made], NULL, reads, &passes[made]))
            break;
    }
    race.abandoned = made < threads;
    pthread_mutex_unlock(&race.gate);
    double sum = 0.0;
    int known = !race.abandoned;
    for (size_t i = 0; i < made; i++) {
        pthread_join(ids[i], NULL);
        sum += passes[i].rate;
        known = known && passes[i].rate > 0.0;
    }
    pthread_mutex_destroy(&race.gate);
    pthread_barrier_destroy(&race.start);
    return known ? sum : 0.0;
}

/* The cases of a process run one after another, so these need no lock. -1: not measured yet. */
double limits_read(enum limit_level level, size_t threads)
{
    static double known[LEVEL_COUNT][MOST_THREADS + 1];
    if (!threads || threads > MOST_THREADS)
        return 0.0;
    double *value = &known[level][threads];
    if (*value == 0.0) {
        *value = measure_read(level, threads);
        if (*value == 0.0)
            *value = -1.0;
    }
    return *value > 0.0 ? *value : 0.0;
}

double limits_peak(lw_isa isa, size_t threads)
{
    static double known[LW_ISA_COUNT][MOST_THREADS + 1];
    if (!threads || threads > MOST_THREADS)
        return 0.0;
    double *value = &known[isa][threads];
    if (*value == 0.0) {
        const lw_isa before = lw_isa_get();
        *value = lw_isa_set(isa) ? 0.0 : lw_machine_peak(threads);
        if (*value <= 0.0)
            *value = -1.0;
        lw_isa_set(before);
    }
    return *value > 0.0 ? *value : 0.0;
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
