/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's facts for the public call, and its peak of multiply-adds by running them. Called by api.c. */
#define _GNU_SOURCE
#include "machine.h"

#include <time.h>

#include "cpu.h"
#include "dispatch.h"
#include "parallel.h"

void lw_machine_fill(lw_machine *machine)
{
    struct lw_caches caches = lw_cpu_caches();
    machine->cpus = lw_cpu_count();
    machine->l1_bytes = caches.l1;
    machine->l2_bytes = caches.l2;
    machine->l3_bytes = caches.l3;
    machine->lanes = lw_kernels_of(lw_dispatch_current())->lanes;
    lw_cpu_name(machine->cpu_name, sizeof machine->cpu_name);
}

/* All threads do the same at once, again and again; the best run of each thread counts, because others disturb a run
 * but never speed it up. */
struct race {
    const struct lw_kernels *kernels;
    struct lw_barrier start;
    const float *data; /* each thread's own part of it is read; NULL: multiply-adds */
    size_t floats;     /* of a part */
    size_t ran;        /* threads that did it */
    double rates[LW_THREADS_MAX];
};

#define RUNS 40
#define RUN_SECONDS 1e-3
#define FLOATS_IN_BLOCK 128 /* what kernel_read takes whole, on any instruction set */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Does `rounds` rounds and returns the work done: flops, or bytes. */
static double work(const struct race *race, size_t index, size_t rounds)
{
    if (!race->data)
        return race->kernels->peak(rounds);
    volatile float sink = 0.0f;
    for (size_t i = 0; i < rounds; i++)
        sink = race->kernels->read(race->floats, race->data + index * race->floats);
    (void)sink;
    return (double)rounds * (double)race->floats * sizeof(float);
}

static void race_thread(void *argument, size_t index, size_t count)
{
    struct race *race = argument;
    size_t rounds = 1;
    double best = 0.0;
    for (double took = 0.0; took < RUN_SECONDS; rounds *= 2) {
        took = seconds();
        work(race, index, rounds);
        took = seconds() - took;
    }
    rounds = lw_max(1, rounds / 2);
    for (int run = 0; run < RUNS; run++) {
        lw_barrier_wait(&race->start, count);
        double begin = seconds(), done = work(race, index, rounds);
        double rate = done / (seconds() - begin);
        best = rate > best ? rate : best;
    }
    race->rates[index] = best;
    if (index == 0)
        race->ran = count;
}

static double run_race(struct race *race, size_t threads)
{
    for (size_t i = 0; i < LW_THREADS_MAX; i++)
        race->rates[i] = 0.0;
    lw_parallel_run(threads, NULL, NULL, race_thread, race);
    double sum = 0.0;
    for (size_t i = 0; i < race->ran; i++)
        sum += race->rates[i];
    return sum;
}

double lw_machine_measure_peak(size_t threads)
{
    struct race *race = lw_alloc(sizeof *race);
    if (!race)
        return 0.0;
    race->kernels = lw_kernels_of(lw_dispatch_current());
    const size_t wanted = threads ? threads : lw_parallel_threads(0);
    const double rate = run_race(race, lw_parallel_threads(threads));
    const bool all = race->ran == wanted;
    lw_free(race);
    return all ? rate : 0.0;
}

/* Reading parts of `bytes` each. */
static double read_rate(struct race *race, size_t threads, size_t bytes)
{
    race->floats = lw_round_up(lw_max(bytes / sizeof(float), FLOATS_IN_BLOCK), FLOATS_IN_BLOCK);
    return run_race(race, threads);
}

lw_status lw_machine_measure(size_t threads, lw_limits *limits)
{
    const struct lw_caches caches = lw_cpu_caches();
    struct race *race = lw_alloc(sizeof *race);
    if (!race)
        return lw_fail_memory(sizeof *race);
    race->kernels = lw_kernels_of(lw_dispatch_current());
    const double flops = run_race(race, lw_parallel_threads(threads));
    threads = race->ran; /* among them the caches are shared out below */
    const size_t l3_part = lw_max(caches.l3 / 2 / threads, 2 * caches.l2), most = lw_max(64u << 20, 2 * caches.l3);
    const size_t floats = threads * lw_max(most / threads, l3_part) / sizeof(float) + threads * FLOATS_IN_BLOCK;
    float *data = lw_alloc_array(floats, sizeof *data);
    if (!data) {
        lw_free(race);
        return lw_fail_memory(floats * sizeof *data);
    }
    for (size_t i = 0; i < floats; i++)
        data[i] = 1.0f; /* touched, or all of it would be the same page of zeros */
    *limits = (lw_limits){.size = sizeof *limits, .threads = threads, .flops = flops};
    race->data = data;
    limits->l1 = caches.l1 ? read_rate(race, threads, caches.l1 / 2) : 0.0;
    limits->l2 = caches.l2 ? read_rate(race, threads, caches.l2 / 2) : 0.0;
    limits->l3 = caches.l3 ? read_rate(race, threads, l3_part) : 0.0;
    limits->dram = read_rate(race, threads, most / threads);
    lw_free(race);
    lw_free(data);
    return LW_OK;
}
