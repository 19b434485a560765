/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary on NEON (aarch64): four lanes, thirty-two registers, the tiles of AVX-512. Maximum and minimum are
 * selections, because the instructions treat a NaN in another way than the vocabulary says. */
#ifndef LW_VEC_NEON_H
#define LW_VEC_NEON_H

#include <arm_neon.h>

#define LW_LANES 4
#define LW_ROWS_4 6
#define LW_ROWS_3 8
#define LW_ROWS_2 8
#define LW_ROWS_1 8

typedef float32x4_t lw_vec;
typedef uint32x4_t lw_mask;

LW_INLINE lw_vec v_load(const float *p) { return vld1q_f32(p); }
LW_INLINE void v_store(float *p, lw_vec a) { vst1q_f32(p, a); }
LW_INLINE lw_vec v_set(float s) { return vdupq_n_f32(s); }
LW_INLINE lw_vec v_broadcast(const float *p) { return vld1q_dup_f32(p); }
LW_INLINE lw_vec v_add(lw_vec a, lw_vec b) { return vaddq_f32(a, b); }
LW_INLINE lw_vec v_sub(lw_vec a, lw_vec b) { return vsubq_f32(a, b); }
LW_INLINE lw_vec v_mul(lw_vec a, lw_vec b) { return vmulq_f32(a, b); }
LW_INLINE lw_vec v_div(lw_vec a, lw_vec b) { return vdivq_f32(a, b); }
LW_INLINE lw_vec v_fma(lw_vec a, lw_vec b, lw_vec c) { return vfmaq_f32(c, a, b); }
LW_INLINE lw_vec v_max(lw_vec a, lw_vec b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
LW_INLINE lw_vec v_min(lw_vec a, lw_vec b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
LW_INLINE lw_vec v_abs(lw_vec a) { return vabsq_f32(a); }
LW_INLINE lw_vec v_nabs(lw_vec a) { return vnegq_f32(vabsq_f32(a)); }
LW_INLINE lw_vec v_neg(lw_vec a) { return vnegq_f32(a); }
LW_INLINE lw_vec v_copysign(lw_vec a, lw_vec s)
{
    return vbslq_f32(vdupq_n_u32(0x80000000u), s, a);
}
LW_INLINE lw_mask v_less(lw_vec a, lw_vec b) { return vcltq_f32(a, b); }
LW_INLINE lw_vec v_select(lw_mask m, lw_vec a, lw_vec b) { return vbslq_f32(m, a, b); }
LW_INLINE lw_vec v_pow2(lw_vec t)
{
    uint32x4_t n = vshlq_n_u32(vreinterpretq_u32_f32(t), 23);
    return vreinterpretq_f32_u32(vaddq_u32(n, vdupq_n_u32(0x3f800000u)));
}

#endif
