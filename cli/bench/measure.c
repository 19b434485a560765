/* SPDX-License-Identifier: Apache-2.0 */
/* The turns of a measurement; see measure.h. While one engine works, all others are stopped. */
#include "measure.h"

#include "statistics.h"

#include "../progress.h"
#include "../report.h"

#include <math.h>
#include <stdlib.h>

#define RELATIVE 1e-4 /* PROTOCOL.md: what outputs may differ */
#define ABSOLUTE 1e-5
#define GRADIENT_RELATIVE 1e-3
#define GRADIENT_RMS 1e-4
#define SHORTEST_US 100.0 /* a single sample is never taken of less: calls are put together */
#define GAIN 1.03         /* more threads must be quicker by more than the noise */
enum { LEAST_ROUNDS = 3, SAMPLES_OF_A_TURN = 200, PROBE_SAMPLES = 50 };

static size_t at_least(double value, size_t least, size_t most)
{
    return value <= (double)least ? least : value >= (double)most ? most : (size_t)value;
}

static int stopped(const struct plan *plan)
{
    return plan->stop && *plan->stop;
}

/*
 * A short probe of each thread count; stays prepared with the better one, the smaller one if it is as good. Judged by
 * the least time: of a few samples while another process is busy the median would say that threads are of no use.
 */
static int find_threads(struct entry *entry, const struct plan *plan)
{
    const size_t fixed = entry->variant ? entry->variant->threads : 0, count = fixed ? 1 : plan->count_count;
    double best = INFINITY;
    for (size_t i = 0; i < count && !stopped(plan); i++) {
        struct samples trial = {0};
        const size_t threads = fixed ? fixed : plan->counts[i];
        int good = entry_prepare(entry, threads) && entry_run(entry, &trial, 1, 1, 1);
        if (good) {
            const double call = trial.us[0];
            const size_t inner = at_least(SHORTEST_US / call, 1, 1u << 20);
            trial.count = 0;
            good = entry_run(entry, &trial,
                             at_least(plan->seconds / 40 * 1e6 / (call * (double)inner), 3, PROBE_SAMPLES), inner, 1);
        }
        struct probe probe = {threads, good ? median_of(trial.us, trial.count) : NAN, INFINITY};
        for (size_t sample = 0; sample < trial.count; sample++)
            probe.least_us = fmin(probe.least_us, trial.us[sample]);
        free(trial.us);
        if (!good)
            return 0;
        entry->probes[entry->probe_count++] = probe;
        best = fmin(best, probe.least_us);
    }
    for (size_t i = 0; i < entry->probe_count; i++)
        if (entry->probes[i].least_us <= GAIN * best) {
            entry->estimate_us = entry->probes[i].median_us;
            entry->inner = at_least(SHORTEST_US / entry->estimate_us + 1.0, 1, 1u << 20);
            return entry->workload.threads == entry->probes[i].threads ||
                   entry_prepare(entry, entry->probes[i].threads);
        }
    return 0;
}

static double root_mean_square(const float *values, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return count ? sqrt(sum / (double)count) : 0.0;
}

/* Makes a trouble of outputs that do not agree. */
static void compare(struct entry *entry, const float *expected, const float *values, size_t count)
{
    const int gradients = entry->workload.train == TRAIN_GRADIENTS;
    const double relative = gradients ? GRADIENT_RELATIVE : RELATIVE;
    const double absolute = gradients ? GRADIENT_RMS * root_mean_square(expected, count) : ABSOLUTE;
    size_t wrong = 0, first = 0;
    entry->difference = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double gap = fabs((double)values[i] - (double)expected[i]);
        entry->difference = gap > entry->difference ? gap : entry->difference;
        if (!(gap <= relative * fabs((double)expected[i]) + absolute) && !wrong++)
            first = i;
    }
    if (wrong)
        trouble_set(&entry->trouble, DRIVER_DIFFERS,
                    "%zu of %zu %s differ from Latchwork's; number %zu is %.7g, not %.7g", wrong, count,
                    entry->workload.train == TRAIN_UPDATE ? "parameters"
                    : gradients                           ? "gradients"
                                                          : "outputs",
                    first, (double)values[first], (double)expected[first]);
}

static int works(const struct entry *entry)
{
    return entry->trouble.kind == DRIVER_OK;
}

/* Every engine must have computed the same before its times count. */
static void compare_all(struct entry *entries, size_t count)
{
    size_t expected_count, values_count;
    int wanted = 0;
    for (size_t i = 1; i < count; i++)
        wanted |= works(&entries[i]) && !(entries[i].variant && entries[i].variant->other_answer);
    float *expected = wanted ? entry_output(&entries[0], &expected_count) : NULL;
    driver_pause(entries[0].driver);
    for (size_t i = 1; expected && i < count; i++) {
        if (!works(&entries[i]) || (entries[i].variant && entries[i].variant->other_answer))
            continue;
        float *values = entry_output(&entries[i], &values_count);
        driver_pause(entries[i].driver);
        if (values && values_count != expected_count)
            trouble_set(&entries[i].trouble, DRIVER_DIFFERS, "it has %zu outputs, Latchwork %zu", values_count,
                        expected_count);
        else if (values)
            compare(&entries[i], expected, values, expected_count);
        free(values);
    }
    free(expected);
}

static void take_turn(struct entry *entry, double seconds)
{
    const double sample = entry->estimate_us * (double)entry->inner;
    const size_t repeat = at_least(seconds * 1e6 / sample, 1, SAMPLES_OF_A_TURN);
    entry_run(entry, &entry->samples, repeat, entry->inner, entry->inner < 100 ? entry->inner : 100);
}

/* The latency of each call by itself, for Latchwork's steps. */
static void take_singles(struct entry *entry, const struct plan *plan)
{
    const double most = plan->seconds * 0.5 * 1e6 / entry->estimate_us;
    size_t left = at_least(most, 100, plan->singles);
    while (left && works(entry) && !stopped(plan)) {
        const size_t part = left < 5000 ? left : 5000;
        entry_run(entry, &entry->singles, part, 1, 10);
        left -= part;
    }
}

static void take_rounds(struct entry *entries, size_t count, struct plan *plan)
{
    size_t running = 0;
    double round = 0.0;
    for (size_t i = 0; i < count; i++)
        running += (size_t)works(&entries[i]);
    if (!running)
        return;
    const double slot = plan->seconds / ROUNDS / (double)running;
    /* An engine that needs more than its slot for one call takes two calls, the first of which warms up. */
    for (size_t i = 0; i < count; i++)
        if (works(&entries[i]))
            round += fmax(slot, 2e-6 * entries[i].estimate_us);
    const size_t rounds = at_least(plan->seconds / round, LEAST_ROUNDS, ROUNDS), before = plan->done;
    for (size_t r = 0; r < rounds && !stopped(plan); r++) {
        for (size_t i = 0; i < count && !stopped(plan); i++) {
            if (works(&entries[i])) {
                take_turn(&entries[i], slot);
                driver_pause(entries[i].driver);
            }
        }
        plan->done = before + (r + 1) * ROUNDS * count / rounds;
        progress_set(plan->done);
    }
}

void measure(struct entry *entries, size_t count, struct plan *plan)
{
    const size_t end = plan->done + count * MEASURE_STEPS;
    for (size_t i = 0; i < count && !stopped(plan); i++) {
        if (works(&entries[i]))
            find_threads(&entries[i], plan);
        driver_pause(entries[i].driver);
        progress_set(++plan->done);
    }
    if (!stopped(plan))
        compare_all(entries, count);
    take_rounds(entries, count, plan);
    if (works(&entries[0]) && entries[0].workload.mode != MODE_SEQUENCE && plan->singles && !stopped(plan))
        take_singles(&entries[0], plan);
    if (works(&entries[0]))
        entry_memory(&entries[0]);
    plan->done = end;
    progress_set(end);
}
