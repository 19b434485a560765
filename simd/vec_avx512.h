/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary on AVX-512 (F, BW, DQ, VL): sixteen lanes, thirty-two registers. A tile of 4 x 6 holds twenty-four
 * accumulators and six broadcasts. */
#ifndef LW_VEC_AVX512_H
#define LW_VEC_AVX512_H

#include <immintrin.h>

#define LW_LANES 16
#define LW_ROWS_4 6
#define LW_ROWS_3 8
#define LW_ROWS_2 8
#define LW_ROWS_1 8

typedef __m512 lw_vec;
typedef __mmask16 lw_mask;

LW_INLINE lw_vec v_load(const float *p) { return _mm512_loadu_ps(p); }
LW_INLINE void v_store(float *p, lw_vec a) { _mm512_storeu_ps(p, a); }
LW_INLINE lw_vec v_set(float s) { return _mm512_set1_ps(s); }
LW_INLINE lw_vec v_broadcast(const float *p) { return _mm512_set1_ps(*p); }
LW_INLINE lw_vec v_add(lw_vec a, lw_vec b) { return _mm512_add_ps(a, b); }
LW_INLINE lw_vec v_sub(lw_vec a, lw_vec b) { return _mm512_sub_ps(a, b); }
LW_INLINE lw_vec v_mul(lw_vec a, lw_vec b) { return _mm512_mul_ps(a, b); }
LW_INLINE lw_vec v_div(lw_vec a, lw_vec b) { return _mm512_div_ps(a, b); }
LW_INLINE lw_vec v_fma(lw_vec a, lw_vec b, lw_vec c) { return _mm512_fmadd_ps(a, b, c); }
LW_INLINE lw_vec v_max(lw_vec a, lw_vec b) { return _mm512_max_ps(a, b); }
LW_INLINE lw_vec v_min(lw_vec a, lw_vec b) { return _mm512_min_ps(a, b); }
LW_INLINE lw_vec v_abs(lw_vec a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
LW_INLINE lw_vec v_nabs(lw_vec a) { return _mm512_or_ps(_mm512_set1_ps(-0.0f), a); }
LW_INLINE lw_vec v_neg(lw_vec a) { return _mm512_xor_ps(_mm512_set1_ps(-0.0f), a); }
LW_INLINE lw_vec v_copysign(lw_vec a, lw_vec s)
{
    return _mm512_or_ps(a, _mm512_and_ps(_mm512_set1_ps(-0.0f), s));
}
LW_INLINE lw_mask v_less(lw_vec a, lw_vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
LW_INLINE lw_vec v_select(lw_mask m, lw_vec a, lw_vec b) { return _mm512_mask_blend_ps(m, b, a); }
LW_INLINE lw_vec v_pow2(lw_vec t)
{
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(n, _mm512_set1_epi32(0x3f800000)));
}

#endif
