/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counter-based random numbers: a number depends on its seed, stream and index alone, so results do not depend on the
 * order or the thread that asks. The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
 */
#ifndef LW_RANDOM_H
#define LW_RANDOM_H

#include <stdint.h>

#define LW_RANDOM_STEP UINT64_C(0x9e3779b97f4a7c15) /* 2^64 over the golden ratio */

static inline uint64_t lw_random_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint64_t lw_random_bits(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint64_t key = lw_random_mix(seed + LW_RANDOM_STEP) ^ lw_random_mix(stream + 0x632be59bd9b4e019u);
    return lw_random_mix(key + index * LW_RANDOM_STEP);
}

/* A number further down: of a chain of places, each inside the one before. */
static inline uint64_t lw_random_next(uint64_t key, uint64_t value)
{
    return lw_random_mix(key + LW_RANDOM_STEP * (value + 1));
}

/* Uniform in [0, 1), 24 bits. */
static inline float lw_random_unit(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (float)(lw_random_bits(seed, stream, index) >> 40) * 0x1p-24f;
}

/* A stream for a name: FNV-1a. */
static inline uint64_t lw_random_stream(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

#endif
