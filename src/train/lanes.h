/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of every sum in training: eight partial sums in double, element k in number k modulo 8, added pairwise.
 * The number is written here, not taken from the machine, so a wider vector changes no bit.
 */
#ifndef LW_TRAIN_LANES_H
#define LW_TRAIN_LANES_H

#include <stddef.h>

#define LW_LANES 8

static inline double lw_lanes_fold(const double sums[LW_LANES])
{
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

/* Adds `count` values, the first of which goes to lane 0. */
static inline void lw_lanes_add(double sums[LW_LANES], const double *values, size_t count)
{
    size_t k = 0;
    for (; k + LW_LANES <= count; k += LW_LANES)
        for (size_t lane = 0; lane < LW_LANES; lane++)
            sums[lane] += values[k + lane];
    for (size_t lane = 0; k + lane < count; lane++)
        sums[lane] += values[k + lane];
}

#endif
