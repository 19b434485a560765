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

struct race {
    const struct lw_kernels *kernels;
    struct lw_barrier start;
    double rates[LW_MOST_THREADS];
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Runs of about a millisecond, all threads at once; the best one of each counts, because others disturb a run but
 * never speed it up. */
static void race_thread(void *argument, size_t index, size_t count)
{
    struct race *race = argument;
    size_t rounds = 1000;
    double best = 0.0, took = 0.0;
    while (took < 1e-3) {
        rounds *= 2;
        took = seconds();
        race->kernels->peak(rounds);
        took = seconds() - took;
    }
    for (int run = 0; run < 40; run++) {
        lw_barrier_wait(&race->start, count);
        double begin = seconds(), flops = race->kernels->peak(rounds);
        double rate = flops / (seconds() - begin);
        best = rate > best ? rate : best;
    }
    race->rates[index] = best;
}

double lw_machine_measure_peak(size_t threads)
{
    struct race *race = lw_alloc(sizeof *race);
    if (!race)
        return 0.0;
    race->kernels = lw_kernels_of(lw_dispatch_current());
    threads = lw_min(LW_MOST_THREADS, lw_parallel_threads(threads));
    lw_parallel_run(threads, NULL, NULL, race_thread, race);
    double sum = 0.0;
    for (size_t i = 0; i < threads; i++)
        sum += race->rates[i];
    lw_free(race);
    return sum;
}
