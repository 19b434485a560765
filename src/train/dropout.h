/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dropout masks from counters: whether an element stays depends on (seed, stream, index) and the probability alone,
 * so a mask is the same for any number of threads, however it is cut, and need not be kept: the way back makes it
 * again. Kept elements are scaled by 1 / (1 - p), so that the expectation stays (Srivastava et al. 2014).
 */
#ifndef LW_TRAIN_DROPOUT_H
#define LW_TRAIN_DROPOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "random.h"

struct lw_dropout {
    uint64_t seed, stream;
    uint32_t threshold; /* of 2^24: below it an element is dropped */
    float scale;
};

/* `probability` of dropping, in [0, 1); it is rounded to a multiple of 2^-24, the scale with it. */
static inline struct lw_dropout lw_dropout_of(uint64_t seed, uint64_t stream, double probability)
{
    uint32_t threshold = (uint32_t)(probability * 0x1p24 + 0.5);
    threshold = threshold > 0xffffffu ? 0xffffffu : threshold;
    return (struct lw_dropout){seed, stream, threshold, (float)(1.0 / (1.0 - (double)threshold * 0x1p-24))};
}

static inline bool lw_dropout_keeps(const struct lw_dropout *dropout, uint64_t index)
{
    return lw_random_bits(dropout->seed, dropout->stream, index) >> 40 >= dropout->threshold;
}

/* mask[k] = scale or 0 for the elements first to first + count - 1. */
static inline void lw_dropout_mask(const struct lw_dropout *dropout, uint64_t first, size_t count, float *mask)
{
    for (size_t k = 0; k < count; k++)
        mask[k] = lw_dropout_keeps(dropout, first + k) ? dropout->scale : 0.0f;
}

#endif
