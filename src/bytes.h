/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as little-endian bytes, whatever the machine's own order: for what is saved and restored. Each function
 * returns the place behind what it wrote or read. */
#ifndef LW_BYTES_H
#define LW_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline unsigned char *lw_put64(unsigned char *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)(value >> 8 * i);
    return to + 8;
}

static inline uint64_t lw_get64(const unsigned char *from)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value |= (uint64_t)from[i] << 8 * i;
    return value;
}

static inline uint32_t lw_get32(const unsigned char *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static inline unsigned char *lw_put_floats(unsigned char *to, const float *values, size_t count)
{
    for (size_t k = 0; k < count; k++, to += 4) {
        uint32_t bits;
        memcpy(&bits, &values[k], sizeof bits);
        for (int i = 0; i < 4; i++)
            to[i] = (unsigned char)(bits >> 8 * i);
    }
    return to;
}

static inline const unsigned char *lw_get_floats(const unsigned char *from, float *values, size_t count)
{
    for (size_t k = 0; k < count; k++, from += 4) {
        uint32_t bits = lw_get32(from);
        memcpy(&values[k], &bits, sizeof bits);
    }
    return from;
}

#endif
