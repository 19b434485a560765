/* SPDX-License-Identifier: Apache-2.0 */
/* Where a series of measurements changes its level, by E-divisive means. Used by history.c. */
#ifndef CLI_BENCH_CHANGES_H
#define CLI_BENCH_CHANGES_H

#include <stddef.h>
#include <stdint.h>

#define CHANGES_MOST 64

/* Writes the numbers of the values that are the first of a new level, in order, and returns how many there are. The
 * same seed gives the same answer. 0 too without memory. */
size_t find_changes(const double *values, size_t count, uint64_t seed, size_t found[CHANGES_MOST]);

#endif
