/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cell: its tensors, how they are packed, and which kernels make a step in which order. forward.c runs any layer
 * through this table and knows no cell by name; a new cell is one more file with one more table.
 */
#ifndef LW_CELL_H
#define LW_CELL_H

#include "core.h"
#include "kernels.h"

#define LW_PAD 16 /* rows of states and activations are multiples of this many floats: the widest vector */

/* The tensors of a layer, by what they mean. */
enum lw_tensor_role {
    LW_WEIGHT_IH,
    LW_WEIGHT_HH,
    LW_BIAS_IH,
    LW_BIAS_HH,
    LW_WEIGHT_HR,
    LW_WEIGHT_PEEPHOLE,
    LW_WEIGHT, /* dense */
    LW_BIAS,
    LW_ROLES
};

struct lw_tensor_spec {
    enum lw_tensor_role role;
    size_t rank;
    size_t shape[2]; /* shape[1] is 1 for rank 1 */
};

/* Packed weights of one direction of one layer. Cells fill what they use. */
struct lw_weights {
    struct lw_step step; /* with the matrices and options that never change; forward.c copies and completes it */
    struct lw_matrix second_input, second_recurrent; /* GRU, reset before: the candidate */
    struct lw_matrix projection;                     /* LSTM */
};

/* Weights of one direction of one layer as the way back wants them: transposed, in wide matrices without biases. */
struct lw_back_weights {
    struct lw_matrix input, recurrent;
    struct lw_matrix candidate;  /* GRU, reset before: the recurrent weights of n */
    struct lw_matrix projection; /* LSTM */
};

/* One step of the way back: what the kernels take, and rows beside it. */
struct lw_back_step {
    struct lw_back back;
    float *projected; /* (rows, P) LSTM with projection: gradient of the projected state, kept for the weights */
    size_t projected_stride;
    float *wide; /* (rows, H) scratch */
    size_t wide_stride;
    float *fed; /* (rows, H) GRU: gradient of what was fed back in the place of h, zero at first; NULL: that was h */
    size_t fed_stride;
};

/* What the gradients of a layer's weights are summed over: the rows of some steps, against the order in which they were
 * walked, so that a sequence may be gone back through a part at a time with the same sums. Row k of each is `step`
 * floats from row k - 1. */
struct lw_back_sum {
    size_t count;
    const float *d, *x, *h, *aux, *projected; /* h: the state before the step */
    ptrdiff_t d_step, x_step, h_step, aux_step, projected_step;
};

/* One level of the stack. */
struct lw_level {
    const struct lw_cell *cell;
    const lw_brick *brick;
    size_t brick_index, level; /* level: 0 to brick->layers - 1 */
    size_t input, hidden;
    size_t output;     /* of one direction */
    size_t directions; /* 1 or 2 */
    struct lw_weights weights[2];
    size_t h_offset[2], c_offset[2]; /* of its vectors in one row of a state, in floats */
    size_t h_width, c_width;         /* padded; c_width is 0 without a cell memory */
};

/* True if direction d (0 or 1) of the level walks from the last step to the first. */
static inline bool lw_level_reverse(const struct lw_level *level, size_t d)
{
    return d == 1 || level->brick->direction == LW_REVERSE;
}

/* The index of a direction in the level; false if the level does not run in it. */
static inline bool lw_level_direction(const struct lw_level *level, lw_direction direction, size_t *d)
{
    if (direction != LW_FORWARD && direction != LW_REVERSE)
        return false;
    for (*d = 0; *d < level->directions; ++*d)
        if ((direction == LW_REVERSE) == lw_level_reverse(level, *d))
            return true;
    return false;
}

/* Hands out packed memory: with base NULL it only measures. Every piece starts on a cache line. */
struct lw_layout {
    float *base;
    size_t used; /* floats */
    bool overflow;
};
const float *lw_layout_take(struct lw_layout *layout, size_t rows, size_t columns);
void lw_layout_matrix(struct lw_layout *layout, struct lw_matrix *matrix, size_t lanes, size_t columns, size_t width,
                      size_t depth);

/* A wide matrix with `outputs` outputs. */
void lw_layout_transposed(struct lw_layout *layout, struct lw_matrix *matrix, size_t lanes, size_t outputs,
                          size_t depth);
/* Writes the weights of input k to all of the `count` outputs of a wide matrix. */
void lw_matrix_set_depth(const struct lw_matrix *matrix, size_t lanes, size_t k, const float *values, size_t count);

/* Where row (gate, unit) of a tensor lies in a packed matrix: its element k is at [k * *stride]. `gates` columns make a
 * unit, 1 in wide matrices. */
float *lw_matrix_row(const struct lw_matrix *matrix, size_t lanes, size_t gates, size_t gate, size_t unit,
                     size_t *stride);
float *lw_matrix_bias(const struct lw_matrix *matrix, size_t lanes, size_t gates, size_t gate, size_t unit);
/* `count` row-major rows whose elements k lie side by side from place[k * stride] on: into the packed matrix; and
 * back. */
void lw_rows_pack(float *place, size_t stride, const float *rows, size_t columns, size_t count);
void lw_rows_unpack(const float *place, size_t stride, float *rows, size_t columns, size_t count, bool add);

/* The part of `count` panels that thread `part` of `parts` works on. */
static inline void lw_share(size_t count, size_t part, size_t parts, size_t *begin, size_t *end)
{
    *begin = count * part / parts;
    *end = count * (part + 1) / parts;
}

/* y = x times the matrix, or y += that; all panels. */
void lw_matrix_times(const struct lw_kernels *kernels, const struct lw_matrix *matrix, size_t rows, const float *x,
                     size_t x_stride, float *y, size_t y_stride, bool add);
/* Adds this thread's share of a matrix's gradient, which is laid out like the matrix. */
void lw_matrix_sum(const struct lw_kernels *kernels, const struct lw_matrix *gradient, const struct lw_outer *outer,
                   size_t part, size_t parts);

struct lw_cell {
    lw_kind kind;
    const char *name; /* "lstm" */
    bool recurrent;
    bool has_memory;            /* a c beside h */
    bool passes_state;          /* h goes on past the matrices too, and its gradient with it */
    const char *const *signals; /* what a probe can record */
    size_t signal_count;
    size_t gate_vectors; /* vectors of gates that its kernels can store for a vector of units */

    /* The tensors of one direction, in the order of their names; returns how many. */
    size_t (*tensors)(const struct lw_level *level, struct lw_tensor_spec specs[LW_ROLES]);
    /* Packs: sets the pointers of the weights and takes their memory. */
    void (*layout)(const struct lw_level *level, struct lw_weights *weights, size_t lanes, struct lw_layout *layout);
    /* Where row `row` of a tensor lies; element k at [k * *stride]. */
    float *(*row)(const struct lw_level *level, const struct lw_weights *weights, size_t lanes,
                  enum lw_tensor_role role, size_t row, size_t *stride);

    /* Floats of the merged input part of one row. */
    size_t (*merged)(const struct lw_level *level, size_t lanes);
    /* Makes this thread's share of the input part of `rows` rows (of one or of many steps). */
    void (*input)(const struct lw_kernels *kernels, const struct lw_weights *weights, size_t rows, const float *x,
                  size_t x_stride, float *merged, size_t part, size_t parts);
    /* A step is `phases` phases; all threads finish one before any begins the next. */
    size_t (*phases)(const struct lw_level *level);
    void (*step)(const struct lw_kernels *kernels, const struct lw_weights *weights, const struct lw_step *step,
                 size_t phase, size_t part, size_t parts);
    /* Value of a signal after the last phase of a step that stored its gates. */
    float (*signal)(const struct lw_level *level, const struct lw_step *step, size_t lanes, size_t signal, size_t row,
                    size_t unit);

    /* The way back. Gates in a row of argument gradients: */
    size_t (*back_gates)(const struct lw_level *level);
    void (*back_layout)(const struct lw_level *level, struct lw_back_weights *weights, size_t lanes,
                        struct lw_layout *layout);
    /* Where a row of a weight tensor lies in the transposed weights: row *k of what it returns. NULL: in none. */
    const struct lw_matrix *(*back_row)(const struct lw_level *level, const struct lw_back_weights *weights,
                                        enum lw_tensor_role role, size_t row, size_t *k);
    size_t (*back_phases)(const struct lw_level *level);
    void (*back)(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_back_weights *weights,
                 const struct lw_back_step *step, size_t phase, size_t part, size_t parts);
    /* Adds this thread's share of the weights' gradients to `gradients`, laid out like the weights. */
    void (*back_sum)(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_weights *gradients,
                     const struct lw_back_sum *sum, size_t part, size_t parts);
    /* Puts the initial cell memory into a row of stored gates, where the first step's successor looks for it. */
    void (*keep_memory)(const struct lw_level *level, size_t lanes, const float *c, float *gates);

    /* Not recurrent: y (rows, output) from x (rows, input), this thread's share. */
    void (*map)(const struct lw_kernels *kernels, const struct lw_level *level, size_t rows, const float *x,
                size_t x_stride, float *y, size_t y_stride, size_t part, size_t parts);
};

extern const struct lw_cell lw_cell_lstm, lw_cell_gru, lw_cell_rnn, lw_cell_dense, lw_cell_activation;

#endif
