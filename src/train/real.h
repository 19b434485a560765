/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exponentials, logarithms and cosines in double for losses, schedules and initialisers. The C library's differ from
 * machine to machine in the last bit; these are additions, multiplications and divisions in a written order, without
 * branches that depend on the value, so that loops over them are vectorised and their bits are the same everywhere.
 * Errors are a few 1e-16 relative, some 1e8 times finer than the f32 that they end in. The series are Taylor's.
 */
#ifndef LW_TRAIN_REAL_H
#define LW_TRAIN_REAL_H

#include <stdint.h>
#include <string.h>

#define LW_LN2_HIGH 0x1.62e42fee00000p-1 /* 33 bits of ln 2, so that its product with an exponent is exact */
#define LW_LN2_LOW 0x1.a39ef35793c76p-33 /* the rest */

/* Nothing below -708, where doubles end; a NaN stays one. Apart from lw_real_exp, in a loop before it: the constant
 * would make a branch of its own out of the whole series. */
static inline double lw_real_not_below(double x)
{
    return x < -708.0 ? -708.0 : x;
}

/* e^x for x in [-708, 0]. A NaN stays one. */
static inline double lw_real_exp(double x)
{
    /* Adding 1.5 * 2^52 rounds to a whole number, which then stands in the low bits of the sum. */
    double shifted = x * 0x1.71547652b82fep0 + 0x1.8p52;
    double whole = shifted - 0x1.8p52;
    double r = (x - whole * LW_LN2_HIGH) - whole * LW_LN2_LOW; /* |r| <= 0.35: 14 terms leave 4e-18 */
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* (artanh(s) - s) / s^3 for |s| <= 1/3, with z = s^2: 1/3 + z/5 + z^2/7 + ...; 17 terms leave 1e-17 of artanh. */
static inline double lw_real_artanh_tail(double z)
{
    double p = 1.0 / 35.0;
    p = p * z + 1.0 / 33.0;
    p = p * z + 1.0 / 31.0;
    p = p * z + 1.0 / 29.0;
    p = p * z + 1.0 / 27.0;
    p = p * z + 1.0 / 25.0;
    p = p * z + 1.0 / 23.0;
    p = p * z + 1.0 / 21.0;
    p = p * z + 1.0 / 19.0;
    p = p * z + 1.0 / 17.0;
    p = p * z + 1.0 / 15.0;
    p = p * z + 1.0 / 13.0;
    p = p * z + 1.0 / 11.0;
    p = p * z + 1.0 / 9.0;
    p = p * z + 1.0 / 7.0;
    p = p * z + 1.0 / 5.0;
    p = p * z + 1.0 / 3.0;
    return p;
}

/* log(1 + y) for y in [0, 1], exact to the last bits for a tiny y too: 2 artanh(y / (2 + y)). */
static inline double lw_real_log1p(double y)
{
    double s = y / (2.0 + y), z = s * s;
    return 2.0 * (s + s * z * lw_real_artanh_tail(z));
}

/* log(x) for a positive normal number; a NaN and +infinity stay what they are. */
static inline double lw_real_log(double x)
{
    if (!(x < 0x1p1023))
        return x;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 0x1.6a09e667f3bcdp0) { /* the root of 2: the fraction is taken from around 1 */
        m *= 0.5;
        exponent++;
    }
    double s = (m - 1.0) / (m + 1.0), z = s * s, k = (double)exponent;
    return k * LW_LN2_HIGH + (2.0 * (s + s * z * lw_real_artanh_tail(z)) + k * LW_LN2_LOW);
}

/* cos(2 pi u) for u in [0, 1]: the nearest quarter turn, then a series of at most pi/4 on either side of it. */
static inline double lw_real_cos_turns(double u)
{
    int quarter = (int)(4.0 * u + 0.5);
    double r = (u - 0.25 * (double)quarter) * 0x1.921fb54442d18p2, z = r * r;
    double cosine = 1.0 / 20922789888000.0;
    cosine = cosine * z - 1.0 / 87178291200.0;
    cosine = cosine * z + 1.0 / 479001600.0;
    cosine = cosine * z - 1.0 / 3628800.0;
    cosine = cosine * z + 1.0 / 40320.0;
    cosine = cosine * z - 1.0 / 720.0;
    cosine = cosine * z + 1.0 / 24.0;
    cosine = cosine * z - 0.5;
    cosine = cosine * z + 1.0;
    double sine = -1.0 / 1307674368000.0;
    sine = sine * z + 1.0 / 6227020800.0;
    sine = sine * z - 1.0 / 39916800.0;
    sine = sine * z + 1.0 / 362880.0;
    sine = sine * z - 1.0 / 5040.0;
    sine = sine * z + 1.0 / 120.0;
    sine = sine * z - 1.0 / 6.0;
    sine = sine * z + 1.0;
    sine *= r;
    switch (quarter & 3) {
    case 0:
        return cosine;
    case 1:
        return -sine;
    case 2:
        return -cosine;
    default:
        return sine;
    }
}

/* x^n by squaring. */
static inline double lw_real_power(double x, uint64_t n)
{
    double result = 1.0;
    for (; n; n >>= 1, x *= x)
        if (n & 1)
            result *= x;
    return result;
}

#endif
