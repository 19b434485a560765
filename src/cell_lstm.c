/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LSTM: gates i, f, g, o side by side in one gated matrix for the input and one for the state (i, g, o when coupled);
 * with a projection, a second phase multiplies o * tanh(c), which waits in step.z.
 */
#include "cell.h"

static const char *const signals[] = {"input", "forget", "output", "candidate", "cell", "hidden"};
enum { SIGNAL_HIDDEN = 5, GATE_VECTORS = 5, PEEPHOLES = 3 };

static size_t gates_of(const struct lw_level *level)
{
    return level->brick->options & LW_COUPLED ? 3 : 4;
}

static size_t tensors(const struct lw_level *level, struct lw_tensor_spec specs[LW_ROLES])
{
    size_t n = 0, rows = gates_of(level) * level->hidden;
    specs[n++] = (struct lw_tensor_spec){LW_WEIGHT_IH, 2, {rows, level->input}};
    specs[n++] = (struct lw_tensor_spec){LW_WEIGHT_HH, 2, {rows, level->output}};
    if (!(level->brick->options & LW_NO_BIAS)) {
        specs[n++] = (struct lw_tensor_spec){LW_BIAS_IH, 1, {rows, 1}};
        specs[n++] = (struct lw_tensor_spec){LW_BIAS_HH, 1, {rows, 1}};
    }
    if (level->brick->projection)
        specs[n++] = (struct lw_tensor_spec){LW_WEIGHT_HR, 2, {level->output, level->hidden}};
    if (level->brick->options & LW_PEEPHOLES)
        specs[n++] = (struct lw_tensor_spec){LW_WEIGHT_PEEPHOLE, 2, {PEEPHOLES, level->hidden}};
    return n;
}

static void layout(const struct lw_level *level, struct lw_weights *weights, size_t lanes, struct lw_layout *layout)
{
    size_t gates = gates_of(level), vectors = lw_ceil_div(level->hidden, lanes);
    struct lw_step *step = &weights->step;
    lw_layout_matrix(layout, &step->input, lanes, gates * vectors, gates, level->input);
    lw_layout_matrix(layout, &step->recurrent, lanes, gates * vectors, gates, level->output);
    if (level->brick->projection)
        lw_layout_matrix(layout, &weights->projection, lanes, lw_ceil_div(level->output, lanes), LW_WIDE,
                         level->hidden);
    if (level->brick->options & LW_PEEPHOLES)
        step->peephole = lw_layout_take(layout, PEEPHOLES, vectors * lanes);
    step->peephole_stride = vectors * lanes;
    step->cell_clip = level->brick->cell_clip;
    step->gate_clip = level->brick->gate_clip;
}

static float *row(const struct lw_level *level, const struct lw_weights *weights, size_t lanes,
                  enum lw_tensor_role role, size_t row, size_t *stride)
{
    size_t gates = gates_of(level), gate = row / level->hidden, unit = row % level->hidden;
    switch (role) {
    case LW_WEIGHT_IH:
        return lw_matrix_row(&weights->step.input, lanes, gates, gate, unit, stride);
    case LW_WEIGHT_HH:
        return lw_matrix_row(&weights->step.recurrent, lanes, gates, gate, unit, stride);
    case LW_BIAS_IH:
        return lw_matrix_bias(&weights->step.input, lanes, gates, gate, unit);
    case LW_BIAS_HH:
        return lw_matrix_bias(&weights->step.recurrent, lanes, gates, gate, unit);
    case LW_WEIGHT_PEEPHOLE:
        return (float *)weights->step.peephole + row * weights->step.peephole_stride;
    default:
        return lw_matrix_row(&weights->projection, lanes, 1, 0, row, stride);
    }
}

static size_t merged(const struct lw_level *level, size_t lanes)
{
    return gates_of(level) * lw_round_up(level->hidden, lanes);
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
    return level->brick->projection ? 2 : 1;
}

static void step(const struct lw_kernels *kernels, const struct lw_weights *weights, const struct lw_step *step,
                 size_t phase, size_t part, size_t parts)
{
    size_t begin, end;
    if (phase == 1) {
        lw_share(lw_matrix_panels(&weights->projection), part, parts, &begin, &end);
        kernels->dense(&weights->projection, LW_K_LINEAR, step->rows, step->z, step->z_stride, step->y, step->y_stride,
                       begin, end);
        return;
    }
    lw_share(lw_matrix_panels(&step->recurrent), part, parts, &begin, &end);
    if (weights->projection.w) {
        struct lw_step wide = *step;
        wide.y = step->z;
        wide.y_stride = step->z_stride;
        kernels->lstm(&wide, begin, end);
    } else {
        kernels->lstm(step, begin, end);
    }
}

static float signal(const struct lw_level *level, const struct lw_step *step, size_t lanes, size_t signal, size_t row,
                    size_t unit)
{
    static const size_t stored[] = {0, 1, 3, 2, 4}; /* the kernel stores i, f, g, o, c */
    if (signal == SIGNAL_HIDDEN)
        return level->brick->projection ? step->z[row * step->z_stride + unit] : step->y[row * step->y_stride + unit];
    return step
        ->gates[row * step->gates_stride + (unit / lanes * GATE_VECTORS + stored[signal]) * lanes + unit % lanes];
}

static void back_layout(const struct lw_level *level, struct lw_back_weights *weights, size_t lanes,
                        struct lw_layout *layout)
{
    size_t depth = gates_of(level) * level->hidden;
    lw_layout_transposed(layout, &weights->input, lanes, level->input, depth);
    lw_layout_transposed(layout, &weights->recurrent, lanes, level->output, depth);
    if (level->brick->projection)
        lw_layout_transposed(layout, &weights->projection, lanes, level->hidden, level->output);
}

static const struct lw_matrix *back_row(const struct lw_level *level, const struct lw_back_weights *weights,
                                        enum lw_tensor_role role, size_t row, size_t *k)
{
    (void)level;
    *k = row;
    return role == LW_WEIGHT_IH   ? &weights->input
           : role == LW_WEIGHT_HH ? &weights->recurrent
           : role == LW_WEIGHT_HR ? &weights->projection
                                  : NULL;
}

static size_t back_phases(const struct lw_level *level)
{
    return level->brick->projection ? 4 : 2;
}

/* Without a projection: the gates, then dh of the step before. With one, first through it: the sum of what comes from
 * the layer above and from the step behind, then the product. */
static void back(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_back_weights *weights,
                 const struct lw_back_step *step, size_t phase, size_t part, size_t parts)
{
    struct lw_back b = step->back;
    size_t begin, end;
    if (!level->brick->projection)
        phase += 2;
    if (phase == 0) {
        lw_share(level->output, part, parts, &begin, &end);
        for (size_t row = 0; row < b.rows; row++)
            for (size_t i = begin; i < end; i++)
                step->projected[row * step->projected_stride + i] = b.dh[row * b.dh_stride + i] +
                                                                    (b.dy ? b.dy[row * b.dy_stride + i] : 0.0f);
    } else if (phase == 1) {
        lw_share(lw_matrix_panels(&weights->projection), part, parts, &begin, &end);
        kernels->dense(&weights->projection, LW_K_LINEAR, b.rows, step->projected, step->projected_stride, step->wide,
                       step->wide_stride, begin, end);
    } else if (phase == 2) {
        if (level->brick->projection) {
            b.dy = NULL;
            b.dh = step->wide;
            b.dh_stride = step->wide_stride;
        }
        lw_share(lw_ceil_div(level->hidden, kernels->lanes), part, parts, &begin, &end);
        kernels->lstm_back(&b, begin, end);
    } else {
        lw_share(lw_matrix_panels(&weights->recurrent), part, parts, &begin, &end);
        kernels->dense(&weights->recurrent, LW_K_LINEAR, b.rows, b.d, b.d_stride, b.dh, b.dh_stride, begin, end);
    }
}

static void back_sum(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_weights *gradients,
                     const struct lw_back_sum *sum, size_t part, size_t parts)
{
    size_t H = level->hidden;
    struct lw_outer outer = {sum->count,      sum->d, sum->d_step, {0, H, 2 * H, 3 * H},
                             gates_of(level), sum->x, sum->x_step};
    lw_matrix_sum(kernels, &gradients->step.input, &outer, part, parts);
    outer.x = sum->h;
    outer.x_step = sum->h_step;
    lw_matrix_sum(kernels, &gradients->step.recurrent, &outer, part, parts);
    if (level->brick->projection) {
        outer = (struct lw_outer){sum->count, sum->projected, sum->projected_step, {0}, 1, sum->aux, sum->aux_step};
        lw_matrix_sum(kernels, &gradients->projection, &outer, part, parts);
    }
}

static void keep_memory(const struct lw_level *level, size_t lanes, const float *c, float *gates)
{
    for (size_t unit = 0; unit < level->hidden; unit++)
        gates[(unit / lanes * GATE_VECTORS + 4) * lanes + unit % lanes] = c[unit];
}

const struct lw_cell lw_cell_lstm = {
    .kind = LW_LSTM,
    .name = "lstm",
    .recurrent = true,
    .has_memory = true,
    .signals = signals,
    .signal_count = sizeof signals / sizeof *signals,
    .gate_vectors = GATE_VECTORS,
    .tensors = tensors,
    .layout = layout,
    .row = row,
    .merged = merged,
    .input = input,
    .phases = phases,
    .step = step,
    .signal = signal,
    .back_gates = gates_of,
    .back_layout = back_layout,
    .back_row = back_row,
    .back_phases = back_phases,
    .back = back,
    .back_sum = back_sum,
    .keep_memory = keep_memory,
};
