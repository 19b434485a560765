/* SPDX-License-Identifier: Apache-2.0 */
/* Percentiles; see statistics.h. */
#include "statistics.h"

#include "../report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sort_samples(double *samples, size_t count)
{
    if (count)
        qsort(samples, count, sizeof *samples, compare);
}

double percentile(const double *sorted, size_t count, double percent)
{
    if (!count)
        return NAN;
    const double place = percent / 100.0 * (double)(count - 1);
    const size_t below = (size_t)place, above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

double median_of(const double *samples, size_t count)
{
    double *copy = count ? allocate(count, sizeof *copy) : NULL;
    if (!copy)
        return NAN;
    memcpy(copy, samples, count * sizeof *copy);
    sort_samples(copy, count);
    const double median = percentile(copy, count, 50.0);
    free(copy);
    return median;
}
