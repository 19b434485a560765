/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract between the library and its arithmetic: one table of kernels for each instruction set. Kernels get
 * pointers and sizes, allocate nothing, keep no state, and give the same bits on every instruction set.
 *
 * Packed weights. L is the number of lanes of the table. A matrix (C vector columns of L outputs, K inputs) is a
 * row of panels; a panel of V columns holds, for k = 0 to K-1, V vectors of L floats. Every panel has the full
 * width, except that the last one may be narrower. Biases and merged input parts have the same order without k.
 *   gated matrices: a panel is L hidden units, its V columns are their gates; C = V * ceil(H / L)
 *   wide matrices:  a column is L outputs, V = LW_WIDE;                        C = ceil(O / L)
 * Units beyond H have zero weights and biases, so their states stay zero.
 *
 * Order of summation (the same bits everywhere): gate = (b + sum_k x_k w_k) + (d + sum_k h_k r_k), k rising, each
 * term a fused multiply-add.
 *
 * Alignment: none is needed; 64 bytes is fastest. Rows of y, c, h that a kernel writes or reads as vectors must have
 * room for ceil(width / L) * L floats; a row that is only multiplied (x, and h as a factor) is read exactly.
 * Every kernel works on panels [begin, end) and touches no output of another panel, so panels may be split
 * over threads. Stack use is below 32 KiB.
 */
#ifndef LW_KERNELS_H
#define LW_KERNELS_H

#include <stddef.h>

#define LW_WIDE 4 /* columns of a panel of a wide matrix */

enum lw_kernel_function { LW_K_LINEAR, LW_K_RELU, LW_K_TANH, LW_K_SIGMOID, LW_K_EXP };

/* A packed matrix with its bias. */
struct lw_matrix {
    const float *w;    /* panels of (K, V, L) */
    const float *bias; /* (C, L) */
    size_t columns;    /* C */
    size_t width;      /* V of a full panel, 1 to 4 */
    size_t depth;      /* K */
};

static inline size_t lw_matrix_panels(const struct lw_matrix *m)
{
    return m->width ? (m->columns + m->width - 1) / m->width : 0;
}

/* One time step of one layer and direction for `rows` rows. Every cell uses the fields that it needs. */
struct lw_step {
    size_t rows;
    /* The input part: merged beforehand by `affine` (merged != NULL), or made here from x and `input`. */
    const float *merged; /* panels of (merged_rows, V, L); this step's rows start at merged_row */
    size_t merged_rows;
    size_t merged_row;
    const float *x; /* (rows, I) */
    size_t x_stride;
    struct lw_matrix input;
    /* The recurrent part. */
    const float *h; /* (rows, R), the state before the step */
    size_t h_stride;
    struct lw_matrix recurrent;
    /* Results. y is never h. */
    float *y; /* (rows, H) the state after the step */
    size_t y_stride;
    float *c; /* (rows, H) LSTM: read and overwritten. GRU with reset before: r * h */
    size_t c_stride;
    float *z; /* (rows, H) GRU with reset before: the update gate, between its two kernels */
    size_t z_stride;
    /* Options. */
    const float *peephole; /* LSTM: rows i, f, o of ceil(H / L) * L floats; NULL: none */
    size_t peephole_stride;
    float cell_clip;                  /* 0: off */
    float gate_clip;                  /* 0: off */
    enum lw_kernel_function function; /* RNN: LW_K_TANH or LW_K_RELU */
    /* What the gates let through, for probes and for training; NULL: not wanted.
     * LSTM (rows, panels, 5, L): i, f, g, o, c. GRU (rows, panels, 3, L): r, z, n. RNN: nothing. */
    float *gates;
    size_t gates_stride; /* floats from row to row */
};

struct lw_kernels {
    const char *name;
    size_t lanes; /* L */
    size_t tile_rows[4]; /* rows of a register tile of 1 to 4 vectors */

    /* out, panels of (rows, V, L) = bias + x (rows, K) times the matrix. */
    void (*affine)(const struct lw_matrix *m, size_t rows, const float *x, size_t x_stride, float *out, size_t begin,
                   size_t end);
    /* y (rows, C * L) = function(bias + x (rows, K) times a wide matrix); rows of y are y_stride floats apart. */
    void (*dense)(const struct lw_matrix *m, enum lw_kernel_function function, size_t rows, const float *x,
                  size_t x_stride, float *y, size_t y_stride, size_t begin, size_t end);

    void (*lstm)(const struct lw_step *s, size_t begin, size_t end); /* gates i, f, g, o, or i, g, o: V of recurrent */
    void (*gru)(const struct lw_step *s, size_t begin, size_t end);  /* gates r, z, n; reset after */
    /* Reset before: the first kernel has the gates r and z and writes c = r * h and z, all panels of it before the
     * second, whose matrices are wide, multiplies c and writes y. */
    void (*gru_reset)(const struct lw_step *s, size_t begin, size_t end);
    void (*gru_candidate)(const struct lw_step *s, size_t begin, size_t end);
    void (*rnn)(const struct lw_step *s, size_t begin, size_t end); /* wide matrices */

    /* to[i] = function(from[i]), i < n, exactly n floats; to may be from. LW_K_LINEAR copies. */
    void (*activate)(enum lw_kernel_function function, size_t n, const float *from, float *to);

    /* Does `count` rounds of independent fused multiply-adds in registers and returns their number of flops. */
    double (*peak)(size_t count);
    /* Reads n floats, as fast as loads go, and returns a value that depends on all whole blocks of them. */
    float (*read)(size_t n, const float *from);
};

/* A table for each instruction set of the build. */
extern const struct lw_kernels lw_kernels_scalar;
#ifdef LW_HAVE_AVX2
extern const struct lw_kernels lw_kernels_avx2;
#endif
#ifdef LW_HAVE_AVX512
extern const struct lw_kernels lw_kernels_avx512;
#endif
#ifdef LW_HAVE_NEON
extern const struct lw_kernels lw_kernels_neon;
#endif

#endif
