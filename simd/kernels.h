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
    const float *fed; /* (rows, R), what takes its place in the product; NULL: h itself */
    size_t fed_stride;
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
    /* What the gates let through, for probes and for training; NULL: not wanted. For each vector of L hidden units
     * LSTM (5, L): i, f, g, o, c. GRU (4, L): r, z, n and what r multiplies. RNN: nothing. */
    float *gates;
    size_t gates_stride; /* floats from row to row */
};

/*
 * One time step of the way back, of one layer and direction. Rows of argument gradients d hold the gates one after the
 * other, H floats each, without padding, so that their order does not depend on the instruction set; kernels may read,
 * but not write, up to L - 1 floats behind them.
 *   LSTM i, f, g, o (coupled i, g, o). GRU n, r, z and, with reset after, n as the state sees it. RNN one.
 */
struct lw_back {
    size_t rows, hidden;
    const float *gates; /* of this step, as the forward kernel stored them */
    size_t gates_stride;
    const float *c_before; /* LSTM: the cell before the step; vector u of a row at [u * c_unit] */
    size_t c_stride, c_unit;
    const float *h_before; /* (rows, H) GRU: the state before the step */
    size_t h_stride;
    const float *h;  /* (rows, H) RNN: the state after the step */
    const float *dy; /* (rows, H) of the layer's output; NULL: zero */
    size_t dy_stride;
    float *dh; /* (rows, H) of the state after the step; GRU: leaves what goes past the gates */
    size_t dh_stride;
    float *dc; /* (rows, H) LSTM: of the cell, after the step and then before it */
    size_t dc_stride;
    float *d; /* (rows, G * H) */
    size_t d_stride;
    float *aux; /* (rows, H) LSTM with projection: o * tanh(c). GRU, reset before: r * h. NULL: not wanted */
    size_t aux_stride;
    const float *drh; /* (rows, H) GRU, reset before, second kernel: of r * h */
    size_t drh_stride;
    size_t gate_count;     /* LSTM: 4, or 3 when coupled */
    const float *peephole; /* LSTM, as in lw_step */
    size_t peephole_stride;
    float *dpeephole; /* added to, row after row; laid out like peephole */
    float cell_clip, gate_clip;
    enum lw_kernel_function function; /* RNN, dense */
};

/* The factors of a weight's gradient, sum over k of d[k] times x[k]. Row k of either is `step` floats from row k - 1,
 * and may lie before it. */
struct lw_outer {
    size_t count; /* of k */
    const float *d;
    ptrdiff_t d_step;
    size_t offset[4]; /* of each gate of a unit in a row of d */
    size_t gates;     /* columns that make a unit; 1 in wide matrices */
    const float *x;   /* (count, K) */
    ptrdiff_t x_step;
};

struct lw_kernels {
    const char *name;
    size_t lanes;        /* L */
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

    /* The way back. Vectors of units [begin, end); see struct lw_back. */
    void (*lstm_back)(const struct lw_back *b, size_t begin, size_t end);
    void (*gru_back)(const struct lw_back *b, size_t begin, size_t end);
    /* Reset before: the first kernel gives d of n and z, the second one, with drh, that of r, and completes dh. */
    void (*gru_candidate_back)(const struct lw_back *b, size_t begin, size_t end);
    void (*gru_reset_back)(const struct lw_back *b, size_t begin, size_t end);
    void (*rnn_back)(const struct lw_back *b, size_t begin, size_t end);
    /* d = dy times the derivative of the function whose values are h: dense and activation bricks. */
    void (*function_back)(const struct lw_back *b, size_t begin, size_t end);
    /* y (rows, C * L) += x (rows, K) times a wide matrix, whose bias is not used: y takes its place. */
    void (*dense_add)(const struct lw_matrix *m, size_t rows, const float *x, size_t x_stride, float *y,
                      size_t y_stride, size_t begin, size_t end);
    /* Adds sum over k, rising, of d[k] x[k] to dw, laid out like m->w, and of d[k] to dbias, like m->bias. Lanes
     * beyond the last unit get numbers without a meaning. */
    void (*outer)(const struct lw_matrix *m, const struct lw_outer *o, float *dw, float *dbias, size_t begin,
                  size_t end);

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
