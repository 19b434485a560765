/* SPDX-License-Identifier: Apache-2.0 */
/* The plain RNN, tanh or ReLU: one wide matrix for the input, one for the state, one phase. */
#include "cell.h"

static const char *const signals[] = {"hidden"};

static size_t tensors(const struct lw_level *level, struct lw_tensor_spec specs[LW_ROLES])
{
    size_t n = 0;
    specs[n++] = (struct lw_tensor_spec){LW_WEIGHT_IH, 2, {level->hidden, level->input}};
    specs[n++] = (struct lw_tensor_spec){LW_WEIGHT_HH, 2, {level->hidden, level->hidden}};
    if (!(level->brick->options & LW_NO_BIAS)) {
        specs[n++] = (struct lw_tensor_spec){LW_BIAS_IH, 1, {level->hidden, 1}};
        specs[n++] = (struct lw_tensor_spec){LW_BIAS_HH, 1, {level->hidden, 1}};
    }
    return n;
}

static void layout(const struct lw_level *level, struct lw_weights *weights, size_t lanes, struct lw_layout *layout)
{
    size_t vectors = lw_ceil_div(level->hidden, lanes);
    struct lw_step *step = &weights->step;
    lw_layout_matrix(layout, &step->input, lanes, vectors, LW_WIDE, level->input);
    lw_layout_matrix(layout, &step->recurrent, lanes, vectors, LW_WIDE, level->hidden);
    step->gate_clip = level->brick->gate_clip;
    step->function = level->brick->function == LW_RELU ? LW_K_RELU : LW_K_TANH;
}

static float *row(const struct lw_level *level, const struct lw_weights *weights, size_t lanes,
                  enum lw_tensor_role role, size_t row, size_t *stride)
{
    (void)level;
    bool of_input = role == LW_WEIGHT_IH || role == LW_BIAS_IH;
    const struct lw_matrix *matrix = of_input ? &weights->step.input : &weights->step.recurrent;
    if (role == LW_WEIGHT_IH || role == LW_WEIGHT_HH)
        return lw_matrix_row(matrix, lanes, 1, 0, row, stride);
    return lw_matrix_bias(matrix, lanes, 1, 0, row);
}

static size_t merged(const struct lw_level *level, size_t lanes)
{
    return lw_round_up(level->hidden, lanes);
}

static void input(const struct lw_kernels *kernels, const struct lw_weights *weights, size_t rows, const float *x,
                  size_t x_stride, float *merged, size_t part, size_t parts)
{
    size_t begin, end;
    lw_share(lw_matrix_panels(&weights->step.input), part, parts, &begin, &end);
    kernels->affine(&weights->step.input, rows, x, x_stride, merged, begin, end);
}

static size_t phases(const struct lw_level *level)
{
    (void)level;
    return 1;
}

static void step(const struct lw_kernels *kernels, const struct lw_weights *weights, const struct lw_step *step,
                 size_t phase, size_t part, size_t parts)
{
    (void)weights, (void)phase;
    size_t begin, end;
    lw_share(lw_matrix_panels(&step->recurrent), part, parts, &begin, &end);
    kernels->rnn(step, begin, end);
}

static float signal(const struct lw_level *level, const struct lw_step *step, size_t lanes, size_t signal, size_t row,
                    size_t unit)
{
    (void)level, (void)lanes, (void)signal;
    return step->y[row * step->y_stride + unit];
}

static size_t back_gates(const struct lw_level *level)
{
    (void)level;
    return 1;
}

static void back_layout(const struct lw_level *level, struct lw_back_weights *weights, size_t lanes,
                        struct lw_layout *layout)
{
    lw_layout_transposed(layout, &weights->input, lanes, level->input, level->hidden);
    lw_layout_transposed(layout, &weights->recurrent, lanes, level->hidden, level->hidden);
}

static const struct lw_matrix *back_row(const struct lw_level *level, const struct lw_back_weights *weights,
                                        enum lw_tensor_role role, size_t row, size_t *k)
{
    (void)level;
    *k = row;
    return role == LW_WEIGHT_IH ? &weights->input : role == LW_WEIGHT_HH ? &weights->recurrent : NULL;
}

static size_t back_phases(const struct lw_level *level)
{
    (void)level;
    return 2;
}

static void back(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_back_weights *weights,
                 const struct lw_back_step *step, size_t phase, size_t part, size_t parts)
{
    const struct lw_back *b = &step->back;
    size_t begin, end;
    if (phase == 0) {
        lw_share(lw_ceil_div(level->hidden, kernels->lanes), part, parts, &begin, &end);
        kernels->rnn_back(b, begin, end);
    } else {
        lw_share(lw_matrix_panels(&weights->recurrent), part, parts, &begin, &end);
        kernels->dense(&weights->recurrent, LW_K_LINEAR, b->rows, b->d, b->d_stride, b->dh, b->dh_stride, begin, end);
    }
}

static void back_sum(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_weights *gradients,
                     const struct lw_back_sum *sum, size_t part, size_t parts)
{
    (void)level;
    struct lw_outer outer = {sum->count, sum->d, sum->d_step, {0}, 1, sum->x, sum->x_step};
    lw_matrix_sum(kernels, &gradients->step.input, &outer, part, parts);
    outer.x = sum->h;
    outer.x_step = sum->h_step;
    lw_matrix_sum(kernels, &gradients->step.recurrent, &outer, part, parts);
}

const struct lw_cell lw_cell_rnn = {
    .kind = LW_RNN,
    .name = "rnn",
    .recurrent = true,
    .signals = signals,
    .signal_count = sizeof signals / sizeof *signals,
    .tensors = tensors,
    .layout = layout,
    .row = row,
    .merged = merged,
    .input = input,
    .phases = phases,
    .step = step,
    .signal = signal,
    .back_gates = back_gates,
    .back_layout = back_layout,
    .back_row = back_row,
    .back_phases = back_phases,
    .back = back,
    .back_sum = back_sum,
};
