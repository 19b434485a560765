/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers for the training tasks, by counter: number `index` of item `item` of a stream is a pure function of
 * the seed. Data therefore depends on the position alone, and a resumed run sees what an uninterrupted one would have.
 * The mixing is SplitMix64's finaliser (Steele, Lea and Flood 2014).
 */
#ifndef CLI_TRAIN_RANDOM_H
#define CLI_TRAIN_RANDOM_H

#include <stdint.h>

static inline uint64_t random_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t item, uint64_t index)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    uint64_t z = random_mix(seed + golden);
    z = random_mix(z + golden * (stream + 1));
    z = random_mix(z + golden * (item + 1));
    return random_mix(z + golden * (index + 1));
}

/* In [0, 1), a multiple of 2^-24. */
static inline float random_unit(uint64_t seed, uint64_t stream, uint64_t item, uint64_t index)
{
    return (float)(random_bits(seed, stream, item, index) >> 40) * 0x1p-24f;
}

/* Below `count`, which is at least 1; the bias is below count / 2^64. */
static inline uint64_t random_below(uint64_t seed, uint64_t stream, uint64_t item, uint64_t index, uint64_t count)
{
    return random_bits(seed, stream, item, index) % count;
}

/* Where `place` goes in a permutation of 0 to count-1 that belongs to the seed, the stream and the item: a Feistel
 * network of four rounds over the next even number of bits, walked until it lands inside (Black and Rogaway 2002). */
static inline uint64_t random_shuffle(uint64_t seed, uint64_t stream, uint64_t item, uint64_t count, uint64_t place)
{
    unsigned half = 1;
    while (half < 32 && count > (uint64_t)1 << (2 * half))
        half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = place >> half, right = place & mask;
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t next = left ^ (random_bits(seed, stream, item, round << 32 | right) & mask);
            left = right;
            right = next;
        }
        place = left << half | right;
    } while (place >= count);
    return place;
}

#endif
