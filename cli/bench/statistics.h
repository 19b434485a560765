/* SPDX-License-Identifier: Apache-2.0 */
/* Percentiles of samples. Used wherever times are summed up. */
#ifndef CLI_BENCH_STATISTICS_H
#define CLI_BENCH_STATISTICS_H

#include <stddef.h>

/* Sorts in place. */
void sort_samples(double *samples, size_t count);
/* The percentile (0 to 100) of sorted samples, linear between neighbours as NumPy's default; NAN of none. */
double percentile(const double *sorted, size_t count, double percent);
/* Median of unsorted samples, which stay as they are; NAN of none or without memory. */
double median_of(const double *samples, size_t count);

#endif
