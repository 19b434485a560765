/* SPDX-License-Identifier: Apache-2.0 */
/* Ratios and their intervals; see ratios.h and docs/benchmarking.md, "The gate". */
#include "ratios.h"

#include "../report.h"
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 2000 };
#define OUTSIDE 0.5 /* percent beyond either end of the interval */

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double middle_mean(double *values, size_t count)
{
    const size_t cut = count / 4;
    double sum = 0.0;
    sort_samples(values, count);
    for (size_t i = cut; i < count - cut; i++)
        sum += values[i];
    return count ? sum / (double)(count - 2 * cut) : NAN;
}

/* Values outside the middle half count as its ends; the factor makes it the standard deviation of normal values
 * (Wilcox, Introduction to Robust Estimation and Hypothesis Testing, section 3.3). */
static double spread_of(double *sorted, size_t count)
{
    const size_t cut = count / 4;
    double sum = 0.0, squares = 0.0;
    if (count < 2)
        return NAN;
    for (size_t i = 0; i < count; i++) {
        const size_t at = i < cut ? cut : i >= count - cut ? count - cut - 1 : i;
        sum += sorted[at];
        squares += sorted[at] * sorted[at];
    }
    const double variance = (squares - sum * sum / (double)count) / (double)(count - 1);
    return sqrt(fmax(variance, 0.0)) * (cut ? 1.74 : 1.0);
}

static double resampled(const double *values, double *room, size_t count, uint64_t *state)
{
    for (size_t i = 0; i < count; i++)
        room[i] = values[random_next(state) % count];
    return middle_mean(room, count);
}

/* `base` may be NULL: then the values of `now` are differences already. */
static struct effect effect_of(const double *base, size_t base_count, const double *now, size_t count, uint64_t seed)
{
    struct effect effect = {NAN, NAN, NAN, NAN, count};
    const size_t most = count > base_count ? count : base_count;
    double *room = allocate(most, sizeof *room), *means = allocate(RESAMPLES, sizeof *means);
    if (room && means && count && (!base || base_count)) {
        memcpy(room, now, count * sizeof *room);
        double mean = middle_mean(room, count);
        effect.spread = spread_of(room, count);
        if (base) {
            memcpy(room, base, base_count * sizeof *room);
            mean -= middle_mean(room, base_count);
        }
        for (size_t i = 0; i < RESAMPLES; i++) {
            means[i] = resampled(now, room, count, &seed);
            if (base)
                means[i] -= resampled(base, room, base_count, &seed);
        }
        sort_samples(means, RESAMPLES);
        effect.ratio = exp(mean);
        effect.low = exp(fmin(mean, percentile(means, RESAMPLES, OUTSIDE)));
        effect.high = exp(fmax(mean, percentile(means, RESAMPLES, 100.0 - OUTSIDE)));
    }
    free(room);
    free(means);
    return effect;
}

struct effect effect_paired(const double *logs, size_t count, uint64_t seed)
{
    return effect_of(NULL, 0, logs, count, seed);
}

struct effect effect_unpaired(const double *base, size_t base_count, const double *now, size_t count, uint64_t seed)
{
    return effect_of(base, base_count, now, count, seed);
}

void effect_widen(struct effect *effect, double factor)
{
    effect->low /= factor;
    effect->high *= factor;
}

enum verdict verdict_of(const struct effect *effect, double threshold)
{
    const double above = 1.0 + threshold, below = 1.0 / above;
    if (effect->low > 1.0 && effect->ratio > above)
        return VERDICT_SLOWER;
    if (effect->high < 1.0 && effect->ratio < below)
        return VERDICT_FASTER;
    return effect->low > below && effect->high < above ? VERDICT_SAME : VERDICT_NOISY;
}

const char *verdict_word(enum verdict verdict)
{
    static const char *const words[] = {"same", "faster", "slower", "too noisy", "failed"};
    return words[verdict];
}
