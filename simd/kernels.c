/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled once for each row of the table in simd/meson.build, with LW_TABLE naming the table and LW_SIMD_<ISA> the
 * vocabulary. Holds code and one constant table, nothing that runs by itself.
 */
#include "kernels.h"
#include "vec.h"

#include "math_text.h"

#include "affine_text.h"
#include "outer_text.h"
#include "step_text.h"

#include "dense_text.h"
#include "gru_text.h"
#include "lstm_text.h"
#include "rnn_text.h"

/* Enough independent chains to fill two pipes of latency four, few enough to stay in sixteen registers. */
static double kernel_peak(size_t count)
{
    enum { CHAINS = 12 };
    volatile float seed = 0.5f, sink;
    lw_vec acc[CHAINS], a = v_set(seed), b = v_set(seed + 0.25f);
    LW_UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = v_set((float)i);
    for (size_t n = 0; n < count; n++) {
        LW_UNROLL
        for (int i = 0; i < CHAINS; i++)
            acc[i] = v_fma(acc[i], a, b);
    }
    float out[LW_LANES];
    lw_vec sum = acc[0];
    LW_UNROLL
    for (int i = 1; i < CHAINS; i++)
        sum = v_add(sum, acc[i]);
    v_store(out, sum);
    sink = out[0];
    (void)sink;
    return 2.0 * CHAINS * LW_LANES * (double)count;
}

/* Two streams, because one does not keep the prefetchers of the outer levels busy; chains enough that only loads
 * limit. */
static float kernel_read(size_t n, const float *from)
{
    enum { CHAINS = 4 };
    const float *second = from + n / 2;
    lw_vec a[CHAINS], b[CHAINS];
    LW_UNROLL
    for (int i = 0; i < CHAINS; i++)
        a[i] = b[i] = v_set(0.0f);
    for (size_t at = 0; at + CHAINS * LW_LANES <= n / 2; at += CHAINS * LW_LANES) {
        LW_UNROLL
        for (int i = 0; i < CHAINS; i++) {
            a[i] = v_add(a[i], v_load(from + at + i * LW_LANES));
            b[i] = v_add(b[i], v_load(second + at + i * LW_LANES));
        }
    }
    float out[LW_LANES];
    lw_vec sum = v_set(0.0f);
    LW_UNROLL
    for (int i = 0; i < CHAINS; i++)
        sum = v_add(sum, v_add(a[i], b[i]));
    v_store(out, sum);
    return out[0];
}

#define LW_TEXT(x) #x
#define LW_NAME(x) LW_TEXT(x)

const struct lw_kernels LW_TABLE = {
    .name = LW_NAME(LW_ISA_NAME),
    .lanes = LW_LANES,
    .tile_rows = {LW_ROWS_1, LW_ROWS_2, LW_ROWS_3, LW_ROWS_4},
    .affine = kernel_affine,
    .dense = kernel_dense,
    .lstm = kernel_lstm,
    .gru = kernel_gru,
    .gru_reset = kernel_gru_reset,
    .gru_candidate = kernel_gru_candidate,
    .rnn = kernel_rnn,
    .activate = kernel_activate,
    .lstm_back = kernel_lstm_back,
    .gru_back = kernel_gru_back,
    .gru_candidate_back = kernel_gru_candidate_back,
    .gru_reset_back = kernel_gru_reset_back,
    .rnn_back = kernel_rnn_back,
    .function_back = kernel_function_back,
    .dense_add = kernel_dense_add,
    .outer = kernel_outer,
    .peak = kernel_peak,
    .read = kernel_read,
};
