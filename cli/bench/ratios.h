/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much slower or faster: ratios of times with an interval, by bootstrap. Everything is seeded: the same numbers
 * give the same interval. Used by the gate (judge.c) and by the comparison of recorded results.
 */
#ifndef CLI_BENCH_RATIOS_H
#define CLI_BENCH_RATIOS_H

#include <stddef.h>
#include <stdint.h>

/* Times of the new side by those of the base: above 1 is slower. */
struct effect {
    double ratio;     /* NAN: not known */
    double low, high; /* the interval in which it lies with 99 % */
    double spread;    /* standard deviation of the logarithms that it was made of, with outliers drawn in */
    size_t count;     /* of them */
};

enum verdict { VERDICT_SAME, VERDICT_FASTER, VERDICT_SLOWER, VERDICT_NOISY, VERDICT_FAILED };

/* splitmix64 */
uint64_t random_next(uint64_t *state);

/* The mean of the middle half: one in four values may be wild on either side. Sorts in place. */
double middle_mean(double *values, size_t count);
/* From logarithms of ratios, each of one pair. */
struct effect effect_paired(const double *logs, size_t count, uint64_t seed);
/* From logarithms of times of either side, which are not paired. */
struct effect effect_unpaired(const double *base, size_t base_count, const double *now, size_t count, uint64_t seed);
/* Widens the interval by a factor (1.01: by 1 % either way). */
void effect_widen(struct effect *effect, double factor);

/* `threshold`: 0.03 for 3 %. Slower and faster: the interval excludes 1 and the effect exceeds the threshold. Same: the
 * whole interval lies within the threshold. Else it is too noisy to tell. */
enum verdict verdict_of(const struct effect *effect, double threshold);
const char *verdict_word(enum verdict verdict); /* "same", "faster", "slower", "too noisy", "failed" */

#endif
