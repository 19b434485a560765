/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers for the tests: number k of a stream is a hash of (seed, k), so that a failing case is made
 * again from its seed alone, on any machine. The hash is SplitMix64 (Steele, Lea and Flood 2014).
 * Floats lie on a grid of 2^-23 of their range's unit, hence are exact in f32 and the same everywhere.
 */
#ifndef LW_TESTS_RANDOM_H
#define LW_TESTS_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct rng {
    uint64_t seed;
    uint64_t counter;
} rng;

static inline uint64_t rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t rng_next(rng *r)
{
    r->counter++;
    return rng_mix(rng_mix(r->seed) + r->counter * 0x9e3779b97f4a7c15u);
}

/* Uniform in [low, high], both included. */
static inline size_t rng_range(rng *r, size_t low, size_t high)
{
    return low + (size_t)(rng_next(r) % (uint64_t)(high - low + 1));
}

/* True once in `n` calls. */
static inline int rng_one_in(rng *r, size_t n)
{
    return rng_range(r, 1, n) == 1;
}

/* Uniform in [-scale, scale). */
static inline float rng_float(rng *r, float scale)
{
    int32_t grid = (int32_t)(rng_next(r) >> 40) - (1 << 23);
    return (float)grid * 0x1p-23f * scale;
}

static inline void rng_fill(rng *r, float *values, size_t count, float scale)
{
    for (size_t k = 0; k < count; k++)
        values[k] = rng_float(r, scale);
}

/* FNV-1a over the bytes: what `--hashes` prints, so that two machines can be compared. */
static inline uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *p = bytes;
    for (size_t k = 0; k < count; k++)
        hash = (hash ^ p[k]) * 0x100000001b3u;
    return hash;
}
#define HASH_INIT 0xcbf29ce484222325u

#endif
