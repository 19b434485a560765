/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for the compiler's header in a build with -Dsimde=enabled, for the kernels of AVX-512 alone: SIMDe makes
 * the intrinsics of simd/vec_avx512.h functions of the same meaning in AVX2 and FMA, or in NEON. Included by that
 * header; SIMDe includes this one again and then gets what the compiler has.
 */
#ifndef LW_SIMDE_IMMINTRIN_H
#define LW_SIMDE_IMMINTRIN_H

#ifdef __x86_64__
#include_next <immintrin.h>
#endif

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#ifndef __x86_64__
typedef simde__mmask16 __mmask16; /* SIMDe before 0.8 leaves this name to the compiler */
#endif

#endif
