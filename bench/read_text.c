/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads memory as fast as one instruction set can: compiled once for each of them (meson.build), with READ_NAME and
 * READ_BYTES. Called by limits.c and bench_machine.c.
 *
 * Eight sums hide the latency of an addition: two loads a cycle at four cycles each.
 */
#include <stddef.h>
#include <string.h>

typedef float vector __attribute__((vector_size(READ_BYTES), may_alias));
enum { LANES = READ_BYTES / sizeof(float), STRIDE = 8 * LANES };

float READ_NAME(const float *values, size_t count);

float READ_NAME(const float *values, size_t count)
{
    vector a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (size_t i = 0; i + STRIDE <= count; i += STRIDE) {
        const vector *v = (const vector *)(values + i);
        a += v[0];
        b += v[1];
        c += v[2];
        d += v[3];
        e += v[4];
        f += v[5];
        g += v[6];
        h += v[7];
    }
    const vector all = ((a + b) + (c + d)) + ((e + f) + (g + h));
    float lanes[LANES], sum = 0.0f;
    memcpy(lanes, &all, sizeof lanes);
    for (size_t i = 0; i < LANES; i++)
        sum += lanes[i];
    return sum;
}
