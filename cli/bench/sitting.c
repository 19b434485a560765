/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turns of a pair; see sitting.h. Where things lie in memory changes the speed of one and the same program by
 * percents, for as long as its process lives (Mytkowicz and others, "Producing wrong data without doing anything
 * obviously wrong!", 2009): hence each pair has fresh processes, and the layout is noise and no bias.
 */
#include "sitting.h"

#include "statistics.h"

#include "../progress.h"
#include "../report.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>

#define TURN_US 20e3      /* of one side, and as long before the first one to warm up */
#define SHORTEST_US 100.0 /* a sample is never taken of less: calls are put together */
enum { TURNS = 4, LEAST_SAMPLES = 3, MOST_SAMPLES = 200, MOST_BLOCKS = 4 };

struct turns {
    struct entry entry;
    double logs;
};

/* More than one thread is told to stay where it is. */
size_t pin_cpus(size_t threads)
{
#ifdef __linux__
    cpu_set_t may, chosen;
    size_t count = 0;
    CPU_ZERO(&chosen);
    if (sched_getaffinity(0, sizeof may, &may))
        return 0;
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0 && count < threads; cpu--)
        if (CPU_ISSET(cpu, &may)) {
            CPU_SET(cpu, &chosen);
            count++;
        }
    if (sched_setaffinity(0, sizeof chosen, &chosen))
        return 0;
    setenv("OMP_PROC_BIND", "true", 0);
    return count;
#else
    (void)threads;
    return 0;
#endif
}

static int take_turn(struct turns *side, double *median)
{
    struct entry *entry = &side->entry;
    const double sample = entry->estimate_us * (double)entry->inner, fit = TURN_US / sample;
    const size_t repeat = fit < LEAST_SAMPLES ? LEAST_SAMPLES : fit > MOST_SAMPLES ? MOST_SAMPLES : (size_t)fit;
    entry->samples.count = 0;
    const int good = entry_run(entry, &entry->samples, repeat, entry->inner, 1);
    driver_pause(entry->driver);
    if (good) {
        *median = median_of(entry->samples.us, entry->samples.count);
        side->logs += log(*median);
    }
    return good;
}

/* Prepared, warm and stopped. */
static int set_up(struct turns *side, size_t threads)
{
    struct entry *entry = &side->entry;
    struct samples trial = {0};
    int good = entry_prepare(entry, threads) && entry_run(entry, &trial, 1, 1, 1);
    if (good) {
        const double calls = TURN_US / trial.us[0];
        trial.count = 0;
        good = entry_run(entry, &trial, 1, calls < 1.0 ? 1 : (size_t)calls, 0);
    }
    if (good) {
        entry->estimate_us = trial.us[0];
        entry->inner = trial.us[0] < SHORTEST_US ? (size_t)(SHORTEST_US / trial.us[0]) + 1 : 1;
    }
    driver_pause(entry->driver);
    free(trial.us);
    return good;
}

static int take_block(struct sitting *s, struct turns sides[2])
{
    static const int orders[2][TURNS] = {{0, 1, 1, 0}, {1, 0, 0, 1}};
    const int *order = orders[random_next(&s->seed) & 1];
    int good = 1;
    for (size_t i = 0; good && i < TURNS; i++)
        good = take_turn(&sides[order[i]], order[i] ? &s->now_us : &s->base_us);
    return good;
}

/* Blocks until they took as long as what came before them, lest most of the time go to setting up. */
static int take_blocks(struct sitting *s, struct turns sides[2], double *log_ratio)
{
    const double begin = clock_seconds();
    size_t blocks = 0;
    for (size_t i = 0; i < 2; i++)
        if (!set_up(&sides[i], s->threads))
            return 0;
    s->set_up_seconds = clock_seconds() - begin;
    do {
        if (!take_block(s, sides))
            return 0;
        blocks++;
    } while (blocks < MOST_BLOCKS && clock_seconds() - begin < 1.5 * s->set_up_seconds);
    /* Two turns of each side in a block. */
    *log_ratio = (sides[1].logs - sides[0].logs) / (double)(2 * blocks);
    return 1;
}

static int start(struct sitting *s, struct side *of, struct turns *side)
{
    side->entry.workload = s->workload;
    side->entry.driver = side_driver(of, NULL, of->name, s->timeout);
    return side->entry.driver || trouble_set(&side->entry.trouble, DRIVER_MISSING, "it cannot be started");
}

static void finish(struct sitting *s, const struct side *of, struct turns *side)
{
    if (side->entry.trouble.kind != DRIVER_OK) {
        s->trouble = side->entry.trouble;
        s->blame = of->name;
    }
    driver_close(side->entry.driver);
    entry_free(&side->entry);
}

int sitting_pair(void *source, enum pairing pairing, double *log_ratio)
{
    struct sitting *s = source;
    struct side *of[2] = {s->base, pairing == PAIR_BASE_BASE ? s->base : s->now};
    struct turns sides[2] = {0};
    const int good = start(s, of[0], &sides[0]) && start(s, of[1], &sides[1]) && take_blocks(s, sides, log_ratio);
    for (size_t i = 0; i < 2; i++)
        finish(s, of[i], &sides[i]);
    if (good && s->tick)
        s->tick();
    return good;
}

int sitting_alone(struct sitting *s, double *log_time)
{
    struct turns side = {0};
    const int good = start(s, s->now, &side) && set_up(&side, s->threads) && take_turn(&side, &s->now_us);
    *log_time = side.logs;
    finish(s, s->now, &side);
    if (good && s->tick)
        s->tick();
    return good;
}
