/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GRU in both forms. Reset after: gates r, z, n in one gated matrix. Reset before: r and z in a gated matrix, then, as
 * a second phase, n in a wide one, because R_n multiplies r * h and so needs r of every unit.
 */
#include "cell.h"

static const char *const signals[] = {"reset", "update", "candidate", "hidden"};
enum { SIGNAL_HIDDEN = 3, GATES = 3, CANDIDATE = 2, GATE_VECTORS = 4 };

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
    return step->gates[row * step->gates_stride + (unit / lanes * GATE_VECTORS + signal) * lanes + unit % lanes];
}

/* A row of argument gradients holds n, r, z and, with reset after, n as the state sees it. */
static size_t back_gates(const struct lw_level *level)
{
    return reset_before(level) ? GATES : GATES + 1;
}

static void back_layout(const struct lw_level *level, struct lw_back_weights *weights, size_t lanes,
                        struct lw_layout *layout)
{
    size_t H = level->hidden;
    lw_layout_transposed(layout, &weights->input, lanes, level->input, GATES * H);
    lw_layout_transposed(layout, &weights->recurrent, lanes, H, (reset_before(level) ? 2 : GATES) * H);
    if (reset_before(level))
        lw_layout_transposed(layout, &weights->candidate, lanes, H, H);
}

static const struct lw_matrix *back_row(const struct lw_level *level, const struct lw_back_weights *weights,
                                        enum lw_tensor_role role, size_t row, size_t *k)
{
    size_t H = level->hidden, gate = row / H;
    *k = row;
    if (role == LW_WEIGHT_IH) {
        *k = gate == CANDIDATE ? row - CANDIDATE * H : row + H;
        return &weights->input;
    }
    if (role != LW_WEIGHT_HH)
        return NULL;
    if (!reset_before(level) || gate != CANDIDATE)
        return &weights->recurrent;
    *k = row - CANDIDATE * H;
    return &weights->candidate;
}

static size_t back_phases(const struct lw_level *level)
{
    return reset_before(level) ? 4 : 2;
}

/* Reset after: the gates, then dh. Reset before: n and z, the gradient of r * h, r, then dh.
 * What has gone through a matrix is put apart if something else than h was fed back. */
static void back(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_back_weights *weights,
                 const struct lw_back_step *step, size_t phase, size_t part, size_t parts)
{
    struct lw_back b = step->back;
    size_t H = level->hidden, begin, end;
    lw_share(lw_ceil_div(H, kernels->lanes), part, parts, &begin, &end);
    b.drh = step->wide;
    b.drh_stride = step->wide_stride;
    if (step->fed && phase > 0 && phase + 2 >= back_phases(level)) {
        b.dh = step->fed;
        b.dh_stride = step->fed_stride;
    }
    if (phase + 1 == back_phases(level)) {
        lw_share(lw_matrix_panels(&weights->recurrent), part, parts, &begin, &end);
        kernels->dense_add(&weights->recurrent, b.rows, b.d + H, b.d_stride, b.dh, b.dh_stride, begin, end);
    } else if (!reset_before(level)) {
        kernels->gru_back(&b, begin, end);
    } else if (phase == 0) {
        kernels->gru_candidate_back(&b, begin, end);
    } else if (phase == 1) {
        lw_share(lw_matrix_panels(&weights->candidate), part, parts, &begin, &end);
        kernels->dense(&weights->candidate, LW_K_LINEAR, b.rows, b.d, b.d_stride, step->wide, step->wide_stride, begin,
                       end);
    } else {
        kernels->gru_reset_back(&b, begin, end);
    }
}

static void back_sum(const struct lw_kernels *kernels, const struct lw_level *level, const struct lw_weights *gradients,
                     const struct lw_back_sum *sum, size_t part, size_t parts)
{
    size_t H = level->hidden, gates = reset_before(level) ? 2 : GATES;
    struct lw_outer outer = {sum->count, sum->d, sum->d_step, {H, 2 * H, 0}, gates, sum->x, sum->x_step};
    lw_matrix_sum(kernels, &gradients->step.input, &outer, part, parts);
    outer.offset[CANDIDATE] = 3 * H;
    outer.x = sum->h;
    outer.x_step = sum->h_step;
    lw_matrix_sum(kernels, &gradients->step.recurrent, &outer, part, parts);
    if (!reset_before(level))
        return;
    outer = (struct lw_outer){sum->count, sum->d, sum->d_step, {0}, 1, sum->x, sum->x_step};
    lw_matrix_sum(kernels, &gradients->second_input, &outer, part, parts);
    outer.x = sum->aux;
    outer.x_step = sum->aux_step;
    lw_matrix_sum(kernels, &gradients->second_recurrent, &outer, part, parts);
}

const struct lw_cell lw_cell_gru = {
    .kind = LW_GRU,
    .name = "gru",
    .recurrent = true,
    .passes_state = true,
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
    .back_gates = back_gates,
    .back_layout = back_layout,
    .back_row = back_row,
    .back_phases = back_phases,
    .back = back,
    .back_sum = back_sum,
};
