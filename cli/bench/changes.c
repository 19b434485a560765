/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Change points by E-divisive means (Matteson and James, "A Nonparametric Approach for Multiple Change Point Analysis
 * of Multivariate Data", JASA 109, 2014): a series is cut where the energy distance between its two parts is largest,
 * if shuffled series seldom reach as much; then each part is looked at again.
 */
#include "changes.h"

#include "../report.h"
#include "ratios.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A part shorter than that is no level; shuffles of which at most that share may reach the cut's distance. */
enum { PART_LEAST = 4, SHUFFLES = 199 };
#define CHANCE 0.01

/* The best cut and its distance: n m / (n + m) times (2 mean|x - y| - mean|x - x'| - mean|y - y'|), with the sums
 * carried along as one value after another changes sides. */
static double best_cut(const double *x, size_t count, size_t *cut)
{
    double within_left = 0.0, within_right = 0.0, between = 0.0, best = -INFINITY;
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            within_right += fabs(x[i] - x[j]);
    *cut = 0;
    for (size_t k = 0; k + PART_LEAST < count; k++) {
        double to_left = 0.0, to_right = 0.0;
        for (size_t i = 0; i < k; i++)
            to_left += fabs(x[k] - x[i]);
        for (size_t i = k + 1; i < count; i++)
            to_right += fabs(x[k] - x[i]);
        within_left += to_left;
        within_right -= to_right;
        between += to_right - to_left;
        const double n = (double)(k + 1), m = (double)(count - k - 1);
        if (k + 1 < PART_LEAST)
            continue;
        const double distance = 2.0 * between / (n * m) - 2.0 * within_left / (n * (n - 1.0)) -
                                2.0 * within_right / (m * (m - 1.0));
        if (n * m / (n + m) * distance > best) {
            best = n * m / (n + m) * distance;
            *cut = k + 1;
        }
    }
    return best;
}

static void shuffle(double *x, size_t count, uint64_t *state)
{
    for (size_t i = count; i > 1; i--) {
        const size_t j = random_next(state) % i;
        const double swap = x[i - 1];
        x[i - 1] = x[j];
        x[j] = swap;
    }
}

/* Whether shuffled values seldom reach the distance. */
static int is_rare(double distance, double *room, size_t count, uint64_t *state)
{
    size_t reached = 1, ignored;
    for (size_t i = 0; i < SHUFFLES; i++) {
        shuffle(room, count, state);
        reached += best_cut(room, count, &ignored) >= distance;
        if ((double)reached > CHANCE * (SHUFFLES + 1))
            return 0;
    }
    return 1;
}

/* The part that begins at `begin`; changes are put in order behind those that are there. */
static void divide(const double *values, double *room, size_t begin, size_t end, uint64_t *state,
                   size_t found[CHANGES_MOST], size_t *used)
{
    const size_t count = end - begin;
    size_t cut;
    if (count < 2 * PART_LEAST)
        return;
    const double distance = best_cut(values + begin, count, &cut);
    memcpy(room, values + begin, count * sizeof *room);
    if (!cut || !is_rare(distance, room, count, state))
        return;
    divide(values, room, begin, begin + cut, state, found, used);
    if (*used < CHANGES_MOST)
        found[(*used)++] = begin + cut;
    divide(values, room, begin + cut, end, state, found, used);
}

size_t find_changes(const double *values, size_t count, uint64_t seed, size_t found[CHANGES_MOST])
{
    size_t used = 0;
    double *room = allocate(count, sizeof *room);
    if (room && count)
        divide(values, room, 0, count, &seed, found, &used);
    free(room);
    return used;
}
