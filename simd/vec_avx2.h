/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary on AVX2 with FMA: eight lanes, sixteen registers. A tile of 4 x 3 holds twelve accumulators and three
 * broadcasts, and takes the weights one vector at a time; one more live register spills. */
#ifndef LW_VEC_AVX2_H
#define LW_VEC_AVX2_H

#include <immintrin.h>

#define LW_LANES 8
#define LW_ROWS_4 3
#define LW_ROWS_3 4
#define LW_ROWS_2 6
#define LW_ROWS_1 8

typedef __m256 lw_vec;
typedef __m256 lw_mask;

LW_INLINE lw_vec v_load(const float *p) { return _mm256_loadu_ps(p); }
LW_INLINE void v_store(float *p, lw_vec a) { _mm256_storeu_ps(p, a); }
LW_INLINE lw_vec v_set(float s) { return _mm256_set1_ps(s); }
LW_INLINE lw_vec v_broadcast(const float *p) { return _mm256_broadcast_ss(p); }
LW_INLINE lw_vec v_add(lw_vec a, lw_vec b) { return _mm256_add_ps(a, b); }
LW_INLINE lw_vec v_sub(lw_vec a, lw_vec b) { return _mm256_sub_ps(a, b); }
LW_INLINE lw_vec v_mul(lw_vec a, lw_vec b) { return _mm256_mul_ps(a, b); }
LW_INLINE lw_vec v_div(lw_vec a, lw_vec b) { return _mm256_div_ps(a, b); }
LW_INLINE lw_vec v_fma(lw_vec a, lw_vec b, lw_vec c) { return _mm256_fmadd_ps(a, b, c); }
LW_INLINE lw_vec v_max(lw_vec a, lw_vec b) { return _mm256_max_ps(a, b); }
LW_INLINE lw_vec v_min(lw_vec a, lw_vec b) { return _mm256_min_ps(a, b); }
LW_INLINE lw_vec v_abs(lw_vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
LW_INLINE lw_vec v_nabs(lw_vec a) { return _mm256_or_ps(_mm256_set1_ps(-0.0f), a); }
LW_INLINE lw_vec v_neg(lw_vec a) { return _mm256_xor_ps(_mm256_set1_ps(-0.0f), a); }
LW_INLINE lw_vec v_copysign(lw_vec a, lw_vec s)
{
    return _mm256_or_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0f), s));
}
LW_INLINE lw_mask v_less(lw_vec a, lw_vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
LW_INLINE lw_vec v_select(lw_mask m, lw_vec a, lw_vec b) { return _mm256_blendv_ps(b, a, m); }
LW_INLINE lw_vec v_pow2(lw_vec t)
{
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(n, _mm256_set1_epi32(0x3f800000)));
}

#endif
