/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vector vocabulary: what a kernel text may say. Included by kernels.c alone, once for each instruction set.
 * A vec_<isa>.h gives the type lw_vec of LW_LANES floats, the mask lw_mask, the operations below, and the tile
 * numbers; everything else is derived here. Each operation is exact or rounded once, so that a kernel text gives
 * the same bits on every instruction set.
 *
 *   v_load(p) v_store(p, a)           unaligned, LW_LANES floats
 *   v_set(s) v_broadcast(p)           one float in every lane, from a value or from memory
 *   v_add v_sub v_mul v_div(a, b)     IEEE, rounded once
 *   v_fma(a, b, c)                    a * b + c, rounded once
 *   v_max(a, b) v_min(a, b)           a if a > b (a < b), else b: a NaN on either side gives b
 *   v_abs(a) v_nabs(a) v_neg(a)       sign bit only: |a|, -|a|, -a
 *   v_copysign(a, s)                  a >= 0 with the sign of s
 *   v_less(a, b)                      mask; false for a NaN
 *   v_select(m, a, b)                 a where the mask is set, else b
 *   v_pow2(t)                         2^n for t = n + 1.5 * 2^23, n in [-126, 127]; see math_text.h
 *
 * Tile numbers: LW_ROWS_4, LW_ROWS_3, LW_ROWS_2, LW_ROWS_1 are the rows that a tile of that many weight vectors
 * holds in registers beside the broadcasts.
 */
#ifndef LW_VEC_H
#define LW_VEC_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LW_INLINE static inline __attribute__((always_inline))

/* Asks for a line of the cache, in the second level; any address is allowed. */
#define LW_LINE 64
LW_INLINE void v_prefetch(const void *p)
{
    __builtin_prefetch(p, 0, 2);
}

/* Loops over registers must vanish, or the accumulators live on the stack. */
#if defined(__clang__)
#define LW_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LW_UNROLL _Pragma("GCC unroll 32")
#endif

#if defined(LW_SIMD_AVX512)
#include "vec_avx512.h"
#elif defined(LW_SIMD_AVX2)
#include "vec_avx2.h"
#elif defined(LW_SIMD_NEON)
#include "vec_neon.h"
#else
#include "vec_scalar.h"
#endif

#define LW_MAX_TILE 32 /* accumulators that a tile may have at most, over all instruction sets */

#endif
