/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp, sigmoid and tanh on vectors, and the same over arrays. Used by every cell's gates.
 *
 * All three rest on e^r - 1 = r + r^2 q(r) for |r| <= ln(2)/2, q a minimax polynomial of degree 5 (relative error
 * below 2^-31, found by reweighted least squares with the coefficients rounded one after the other), and on
 * 2^n by the exponent field. Adding 1.5 * 2^23 rounds to the nearest integer n and leaves it in the low bits.
 *
 * Error bounds, over all floats, in ulp of the correctly rounded result: exp 1, sigmoid 2, tanh 1.5.
 * All are monotone, and tanh(-x) = -tanh(x) exactly. A NaN stays one.
 */
#define LW_LOG2E 1.44269502f
#define LW_LN2_HIGH 0.693359375f     /* eleven bits, so that n * LW_LN2_HIGH is exact */
#define LW_LN2_LOW (-2.12194442e-4f) /* ln(2) - LW_LN2_HIGH */
#define LW_ROUND 12582912.0f         /* 1.5 * 2^23 */

/* e^z = 2^n (1 + *p), *t = n + LW_ROUND; for |z| below 2^15 or NaN. */
LW_INLINE void v_exp_parts(lw_vec z, lw_vec *t, lw_vec *p)
{
    *t = v_fma(z, v_set(LW_LOG2E), v_set(LW_ROUND));
    lw_vec n = v_sub(*t, v_set(LW_ROUND));
    lw_vec r = v_fma(n, v_set(-LW_LN2_HIGH), z);
    r = v_fma(n, v_set(-LW_LN2_LOW), r);
    lw_vec q = v_set(0.000199442671f);
    q = v_fma(q, r, v_set(0.00139326742f));
    q = v_fma(q, r, v_set(0.00833320804f));
    q = v_fma(q, r, v_set(0.0416664891f));
    q = v_fma(q, r, v_set(0.166666672f));
    q = v_fma(q, r, v_set(0.5f));
    *p = v_fma(v_mul(r, r), q, r);
}

/* e^x. Two scalings, because 2^n alone leaves the range of a float at both ends: the last one rounds, once. */
LW_INLINE lw_vec v_exp(lw_vec x)
{
    lw_vec z = v_min(v_set(89.0f), v_max(v_set(-105.0f), x)), t, p;
    v_exp_parts(z, &t, &p);
    lw_vec n = v_sub(t, v_set(LW_ROUND));
    lw_vec half = v_add(v_mul(n, v_set(0.5f)), v_set(LW_ROUND));
    lw_vec rest = v_add(v_sub(n, v_sub(half, v_set(LW_ROUND))), v_set(LW_ROUND));
    lw_vec scaled = v_fma(p, v_pow2(half), v_pow2(half));
    return v_mul(scaled, v_pow2(rest));
}

/* 1 / (1 + e^-x). Every operation is monotone, so the result is. The sum and its 1 are made 64 binades lower, and the
 * division brings them back: below -88, where e^-x leaves the range of a float, the result still comes out right. */
LW_INLINE lw_vec v_sigmoid(lw_vec x)
{
    lw_vec z = v_min(v_set(104.0f), v_max(v_set(-30.0f), v_neg(x))), t, p;
    v_exp_parts(z, &t, &p);
    lw_vec s = v_pow2(v_sub(t, v_set(64.0f))), one = v_set(0x1p-64f);
    lw_vec sum = v_add(v_fma(s, p, v_min(s, one)), v_max(s, one)); /* the smaller one first: less is rounded off */
    return v_div(one, sum);
}

/* Below LW_TANH_SMALL an odd polynomial, x + x^3 P(x^2) with a relative error below 2^-28; above it 1 - 2 / (1 + e^2x),
 * where the quotient is less than a half, so that its roundings count for little; then the sign of x. */
#define LW_TANH_SMALL 0.6f
LW_INLINE lw_vec v_tanh(lw_vec x)
{
    lw_vec a = v_abs(x), square = v_mul(x, x), t, p;
    v_exp_parts(v_min(v_set(20.0f), v_add(a, a)), &t, &p);
    lw_vec s = v_pow2(t);
    lw_vec large = v_sub(v_set(1.0f), v_div(v_set(2.0f), v_fma(s, p, v_add(s, v_set(1.0f)))));
    lw_vec poly = v_set(-0.0059008915f);
    poly = v_fma(poly, square, v_set(0.0208009239f));
    poly = v_fma(poly, square, v_set(-0.0537852906f));
    poly = v_fma(poly, square, v_set(0.133319408f));
    poly = v_fma(poly, square, v_set(-0.333332986f));
    lw_vec small = v_fma(v_mul(a, square), poly, a);
    return v_copysign(v_select(v_less(a, v_set(LW_TANH_SMALL)), small, large), x);
}

/* max(x, 0); a NaN stays one. */
LW_INLINE lw_vec v_relu(lw_vec x)
{
    return v_max(v_set(0.0f), x);
}

/* to[i] = function(from[i]), i < n; reads and writes exactly n floats; to may be from. */
#define LW_ARRAY_KERNEL(name, function)                      \
    static void name(size_t n, const float *from, float *to) \
    {                                                        \
        size_t i = 0;                                        \
        for (; i + LW_LANES <= n; i += LW_LANES)             \
            v_store(to + i, function(v_load(from + i)));     \
        if (i < n) {                                         \
            float rest[LW_LANES] = {0};                      \
            memcpy(rest, from + i, (n - i) * sizeof(float)); \
            v_store(rest, function(v_load(rest)));           \
            memcpy(to + i, rest, (n - i) * sizeof(float));   \
        }                                                    \
    }

LW_ARRAY_KERNEL(kernel_exp, v_exp)
LW_ARRAY_KERNEL(kernel_sigmoid, v_sigmoid)
LW_ARRAY_KERNEL(kernel_tanh, v_tanh)
LW_ARRAY_KERNEL(kernel_relu, v_relu)
