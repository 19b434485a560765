/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary for any CPU: a vector of one float, fmaf for the fused multiply-add. Defines what the others match. */
#ifndef LW_VEC_SCALAR_H
#define LW_VEC_SCALAR_H

#define LW_LANES 1
#define LW_ROWS_4 3
#define LW_ROWS_3 4
#define LW_ROWS_2 4
#define LW_ROWS_1 8

typedef float lw_vec;
typedef int lw_mask;

LW_INLINE uint32_t v_bits(float a)
{
    uint32_t u;
    memcpy(&u, &a, sizeof u);
    return u;
}

LW_INLINE float v_from_bits(uint32_t u)
{
    float a;
    memcpy(&a, &u, sizeof a);
    return a;
}

LW_INLINE lw_vec v_load(const float *p) { return *p; }
LW_INLINE void v_store(float *p, lw_vec a) { *p = a; }
LW_INLINE lw_vec v_set(float s) { return s; }
LW_INLINE lw_vec v_broadcast(const float *p) { return *p; }
LW_INLINE lw_vec v_add(lw_vec a, lw_vec b) { return a + b; }
LW_INLINE lw_vec v_sub(lw_vec a, lw_vec b) { return a - b; }
LW_INLINE lw_vec v_mul(lw_vec a, lw_vec b) { return a * b; }
LW_INLINE lw_vec v_div(lw_vec a, lw_vec b) { return a / b; }
LW_INLINE lw_vec v_fma(lw_vec a, lw_vec b, lw_vec c) { return fmaf(a, b, c); }
LW_INLINE lw_vec v_max(lw_vec a, lw_vec b) { return a > b ? a : b; }
LW_INLINE lw_vec v_min(lw_vec a, lw_vec b) { return a < b ? a : b; }
LW_INLINE lw_vec v_abs(lw_vec a) { return v_from_bits(v_bits(a) & 0x7fffffffu); }
LW_INLINE lw_vec v_nabs(lw_vec a) { return v_from_bits(v_bits(a) | 0x80000000u); }
LW_INLINE lw_vec v_neg(lw_vec a) { return v_from_bits(v_bits(a) ^ 0x80000000u); }
LW_INLINE lw_vec v_copysign(lw_vec a, lw_vec s) { return v_from_bits(v_bits(a) | (v_bits(s) & 0x80000000u)); }
LW_INLINE lw_mask v_less(lw_vec a, lw_vec b) { return a < b; }
LW_INLINE lw_vec v_select(lw_mask m, lw_vec a, lw_vec b) { return m ? a : b; }
LW_INLINE lw_vec v_pow2(lw_vec t) { return v_from_bits((v_bits(t) << 23) + 0x3f800000u); }

#endif
