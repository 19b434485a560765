/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRU in both forms. Reset after: gates r, z, n in one gated matrix. Reset before: r and z in a gated matrix, then, as
 * a second phase, n in a wide one, because R_n multiplies r * h and so needs r of every unit.
 */
#include "cell.h"

static const char *const signals[] = {"reset", "update", "candidate", "hidden"};
enum { SIGNAL_HIDDEN = 3, GATES = 3, CANDIDATE = 2 };

static bool reset_before(const struct lw_level *level)
{
    return level->brick->options & LW_RESET_BEFORE;
}

static size_t tensors(const struct lw_level *level, struct lw_tensor_spec specs[LW_ROLES])
{
    size_t n = 0, rows = GATES * level->hidden;
    specs[n++] = (struct lw_tensor_spec){LW_WEIGHT_IH, 2, {rows, level->input}};
    specs[n++] = (struct lw_tensor_spec){LW_WEIGHT_HH, 2, {rows, level->hidden}};
    if (!(level->brick->options & LW_NO_BIAS)) {
        specs[n++] = (struct lw_tensor_spec){LW_BIAS_IH, 1, {rows, 1}};
        specs[n++] = (struct lw_tensor_spec){LW_BIAS_HH, 1, {rows, 1}};
    }
    return n;
}

static void layout(const struct lw_level *level, struct lw_weights *weights, size_t lanes, struct lw_layout *layout)
{
    size_t vectors = lw_ceil_div(level->hidden, lanes), gates = reset_before(level) ? 2 : GATES;
    struct lw_step *step = &weights->step;
    lw_layout_matrix(layout, &step->input, lanes, gates * vectors, gates, level->input);
    lw_layout_matrix(layout, &step->recurrent, lanes, gates * vectors, gates, level->hidden);
    if (reset_before(level)) {
        lw_layout_matrix(layout, &weights->second_input, lanes, vectors, LW_WIDE, level->input);
        lw_layout_matrix(layout, &weights->second_recurrent, lanes, vectors, LW_WIDE, level->hidden);
    }
    step->gate_clip = level->brick->gate_clip;
}

static float *row(const struct lw_level *level, const struct lw_weights *weights, size_t lanes,
                  enum lw_tensor_role role, size_t row, size_t *stride)
{
    size_t gate = row / level->hidden, unit = row % level->hidden, gates = GATES;
    bool of_input = role == LW_WEIGHT_IH || role == LW_BIAS_IH;
    const struct lw_matrix *matrix = of_input ? &weights->step.input : &weights->step.recurrent;
    if (reset_before(level)) {
        gates = 2;
        if (gate == CANDIDATE) {
            matrix = of_input ? &weights->second_input : &weights->second_recurrent;
            gates = 1;
            gate = 0;
        }
    }
    if (role == LW_WEIGHT_IH || role == LW_WEIGHT_HH)
        return lw_matrix_row(matrix, lanes, gates, gate, unit, stride);
    return lw_matrix_bias(matrix, lanes, gates, gate, unit);
}

static size_t merged(const struct lw_level *level, size_t lanes)
{
    return GATES * lw_round_up(level->hidden, lanes);
}

/* The candidate's part lies behind those of r and z. */
static float *second_merged(const struct lw_weights *weights, size_t lanes, size_t rows, const float *merged)
{
    return (float *)merged + weights->step.input.columns * lanes * rows;
}

static void input(const struct lw_kernels *kernels, const struct lw_weights *weights, size_t rows, const float *x,
                  size_t x_stride, float *merged, size_t part, size_t parts)
{
    size_t begin, end;
    lw_share(lw_matrix_panels(&weights->step.input), part, parts, &begin, &end);
    kernels->affine(&weights->step.input, rows, x, x_stride, merged, begin, end);
    if (weights->second_input.w) {
        lw_share(lw_matrix_panels(&weights->second_input), part, parts, &begin, &end);
        kernels->affine(&weights->second_input, rows, x, x_stride, second_merged(weights, kernels->lanes, rows, merged),
                        begin, end);
    }
}

static size_t phases(const struct lw_level *level)
{
    return reset_before(level) ? 2 : 1;
}

static void step(const struct lw_kernels *kernels, const struct lw_weights *weights, const struct lw_step *step,
                 size_t phase, size_t part, size_t parts)
{
    size_t begin, end;
    if (phase == 1) {
        struct lw_step candidate = *step;
        candidate.input = weights->second_input;
        candidate.recurrent = weights->second_recurrent;
        if (step->merged)
            candidate.merged = second_merged(weights, kernels->lanes, step->merged_rows, step->merged);
        lw_share(lw_matrix_panels(&candidate.recurrent), part, parts, &begin, &end);
        kernels->gru_candidate(&candidate, begin, end);
        return;
    }
    lw_share(lw_matrix_panels(&step->recurrent), part, parts, &begin, &end);
    if (weights->second_input.w)
        kernels->gru_reset(step, begin, end);
    else
        kernels->gru(step, begin, end);
}

static float signal(const struct lw_level *level, const struct lw_step *step, size_t lanes, size_t signal, size_t row,
                    size_t unit)
{
    (void)level;
    if (signal == SIGNAL_HIDDEN)
        return step->y[row * step->y_stride + unit];
    return step->gates[row * step->gates_stride + (unit / lanes * GATES + signal) * lanes + unit % lanes];
}

const struct lw_cell lw_cell_gru = {
    .kind = LW_GRU,
    .name = "gru",
    .recurrent = true,
    .signals = signals,
    .signal_count = sizeof signals / sizeof *signals,
    .gate_vectors = GATES,
    .tensors = tensors,
    .layout = layout,
    .row = row,
    .merged = merged,
    .input = input,
    .phases = phases,
    .step = step,
    .signal = signal,
};
