/* SPDX-License-Identifier: Apache-2.0 */
/* Normal random numbers from counters, in double (Box and Muller 1958). Used by the initialisers. */
#ifndef LW_TRAIN_NORMAL_H
#define LW_TRAIN_NORMAL_H

#include <math.h>

#include "random.h"
#include "real.h"

/* Uniform in [0, 1), 53 bits. */
static inline double lw_random_real(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (double)(lw_random_bits(seed, stream, index) >> 11) * 0x1p-53;
}

/* Mean 0, deviation 1; takes the uniform numbers 2 * index and 2 * index + 1 of the stream. */
static inline double lw_random_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    double radius = sqrt(-2.0 * lw_real_log(1.0 - lw_random_real(seed, stream, 2 * index)));
    return radius * lw_real_cos_turns(lw_random_real(seed, stream, 2 * index + 1));
}

#endif
