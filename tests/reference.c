/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of the reference: one step of each cell, then the walk over rows, directions, layers and time.
 * Called by the tests through reference.h. Gates are numbered as section 4 of latchwork.h orders them.
 */
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *ref_alloc(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    if (!block) {
        fprintf(stderr, "reference: out of memory\n");
        abort();
    }
    return block;
}

static double logistic(double a)
{
    return 1.0 / (1.0 + exp(-a));
}

/* Written so that a NaN stays one. */
static double clip(double a, double limit)
{
    if (limit > 0 && a > limit)
        return limit;
    if (limit > 0 && a < -limit)
        return -limit;
    return a;
}

static double apply(lw_function function, double a)
{
    switch (function) {
    case LW_RELU:
        return a < 0 ? 0 : a;
    case LW_TANH:
        return tanh(a);
    case LW_SIGMOID:
        return logistic(a);
    default:
        return a;
    }
}

/* bias[row] + sum over k of weight[row][k] * v[k] */
static double affine(const double *weight, const double *bias, size_t row, const double *v, size_t width)
{
    double sum = bias ? bias[row] : 0;
    for (size_t k = 0; k < width; k++)
        sum += weight[row * width + k] * v[k];
    return sum;
}

/* W x + b + R h + d of one row of the stacked gates. */
static double gate_sum(const ref_layer *layer, const ref_cell *cell, size_t row, const double *x, const double *h)
{
    return affine(cell->weight_ih, cell->bias_ih, row, x, layer->brick.input) +
           affine(cell->weight_hh, cell->bias_hh, row, h, layer->output);
}

/* Signals: input, forget, output, candidate, cell, hidden. h and c are replaced. */
static void lstm_step(const ref_layer *layer, const ref_cell *cell, const double *x, double *h, double *c,
                      double *signals)
{
    const lw_brick *brick = &layer->brick;
    size_t H = brick->hidden;
    int coupled = (brick->options & LW_COUPLED) != 0;
    size_t row_f = H, row_g = coupled ? H : 2 * H, row_o = row_g + H;
    const double *p = cell->peephole;
    double *hidden = signals + 5 * H;
    for (size_t j = 0; j < H; j++) {
        double i = gate_sum(layer, cell, j, x, h) + (p ? p[j] * c[j] : 0);
        i = logistic(clip(i, brick->gate_clip));
        double f = 1 - i;
        if (!coupled) {
            f = gate_sum(layer, cell, row_f + j, x, h) + (p ? p[H + j] * c[j] : 0);
            f = logistic(clip(f, brick->gate_clip));
        }
        double g = tanh(clip(gate_sum(layer, cell, row_g + j, x, h), brick->gate_clip));
        c[j] = clip(f * c[j] + i * g, brick->cell_clip);
        double o = gate_sum(layer, cell, row_o + j, x, h) + (p ? p[2 * H + j] * c[j] : 0);
        o = logistic(clip(o, brick->gate_clip));
        hidden[j] = o * tanh(c[j]);
        signals[j] = i;
        signals[H + j] = f;
        signals[2 * H + j] = o;
        signals[3 * H + j] = g;
        signals[4 * H + j] = c[j];
    }
    for (size_t j = 0; j < layer->output; j++)
        h[j] = brick->projection ? affine(cell->weight_hr, NULL, j, hidden, H) : hidden[j];
}

/* Signals: reset, update, candidate, hidden. h is replaced; `fed` is what the matrices see of it. */
static void gru_step(const ref_layer *layer, const ref_cell *cell, const double *x, const double *fed, double *h,
                     double *signals)
{
    const lw_brick *brick = &layer->brick;
    size_t H = brick->hidden;
    double *r = signals, *z = signals + H, *n = signals + 2 * H, *next = signals + 3 * H;
    double *reset_h = ref_alloc(H, sizeof(double));
    for (size_t j = 0; j < H; j++) {
        r[j] = logistic(clip(gate_sum(layer, cell, j, x, fed), brick->gate_clip));
        z[j] = logistic(clip(gate_sum(layer, cell, H + j, x, fed), brick->gate_clip));
        reset_h[j] = r[j] * fed[j];
    }
    for (size_t j = 0; j < H; j++) {
        double from_x = affine(cell->weight_ih, cell->bias_ih, 2 * H + j, x, brick->input);
        double from_h;
        if (brick->options & LW_RESET_BEFORE)
            from_h = affine(cell->weight_hh, cell->bias_hh, 2 * H + j, reset_h, H);
        else
            from_h = r[j] * affine(cell->weight_hh, cell->bias_hh, 2 * H + j, fed, H);
        n[j] = tanh(clip(from_x + from_h, brick->gate_clip));
        next[j] = (1 - z[j]) * n[j] + z[j] * h[j];
    }
    memcpy(h, next, H * sizeof(double));
    free(reset_h);
}

/* Signals: hidden. h is replaced. */
static void rnn_step(const ref_layer *layer, const ref_cell *cell, const double *x, double *h, double *signals)
{
    const lw_brick *brick = &layer->brick;
    for (size_t j = 0; j < brick->hidden; j++)
        signals[j] = apply(brick->function, clip(gate_sum(layer, cell, j, x, h), brick->gate_clip));
    memcpy(h, signals, brick->hidden * sizeof(double));
}

/* Dense and activation: no memory. */
static void plain_step(const ref_layer *layer, const double *x, double *y)
{
    const ref_cell *cell = &layer->cell[LW_FORWARD];
    for (size_t j = 0; j < layer->output; j++) {
        int dense = layer->brick.kind == LW_DENSE;
        double a = dense ? affine(cell->weight_ih, cell->bias_ih, j, x, layer->brick.input) : x[j];
        y[j] = apply(layer->brick.function, a);
    }
}

static double mixed(double d, double before, double after)
{
    return d * before + (1 - d) * after;
}

/* One row of one recurrent layer in one direction, over all its steps. */
static void walk_row(const ref_model *model, size_t l, lw_direction direction, size_t batch, size_t row, size_t length,
                     double *memory[2], ref_layer_trace *trace)
{
    const ref_layer *layer = &model->layers[l];
    size_t R = layer->output, H = layer->brick.hidden, S = layer->signals;
    size_t width = layer->directions * R;
    size_t column = layer->directions == 2 && direction == LW_REVERSE ? R : 0;
    const ref_cell *cell = &layer->cell[direction];
    double *h = memory[LW_HIDDEN] + row * R;
    double *c = memory[LW_CELL] ? memory[LW_CELL] + row * H : NULL;
    double *fed = ref_alloc(R, sizeof *fed);
    for (size_t k = 0; k < length; k++) {
        size_t t = direction == LW_REVERSE ? length - 1 - k : k, at = t * batch + row;
        const double *x = trace->input + at * layer->brick.input;
        double *signals = trace->signals[direction] + at * S * H;
        double *before = trace->h_before[direction] + at * R, *c_before = trace->c_before[direction] + at * H;
        memcpy(before, h, R * sizeof(double));
        for (size_t j = 0; j < R; j++)
            fed[j] = h[j] * ref_mask(model, REF_RECURRENT, l, direction, t, row, j);
        if (layer->brick.kind == LW_LSTM) {
            memcpy(c_before, c, H * sizeof(double));
            lstm_step(layer, cell, x, fed, c, signals);
            memcpy(h, fed, R * sizeof(double));
        } else if (layer->brick.kind == LW_GRU) {
            gru_step(layer, cell, x, fed, h, signals);
        } else {
            rnn_step(layer, cell, x, fed, signals);
            memcpy(h, fed, R * sizeof(double));
        }
        for (size_t j = 0; j < R; j++)
            h[j] = mixed(ref_mask(model, REF_ZONEOUT_H, l, direction, t, row, j), before[j], h[j]);
        for (size_t j = 0; j < H && c; j++)
            c[j] = mixed(ref_mask(model, REF_ZONEOUT_C, l, direction, t, row, j), c_before[j], c[j]);
        memcpy(trace->output + at * width + column, h, R * sizeof(double));
    }
    free(fed);
}

/* Its input is what the layer before gave, or the model's, with dropout. */
static void run_layer(const ref_model *model, size_t l, double *(*memory)[2], size_t steps, size_t batch,
                      const size_t *lengths, const double *input, ref_layer_trace *trace)
{
    const ref_layer *layer = &model->layers[l];
    size_t width = layer->brick.input;
    trace->input = ref_alloc(steps * batch * width, sizeof(double));
    for (size_t k = 0; k < steps * batch * width; k++)
        trace->input[k] = input[k] * ref_mask(model, l ? REF_OUTPUT : REF_INPUT, l ? l - 1 : 0, LW_FORWARD,
                                              k / width / batch, k / width % batch, k % width);
    size_t rows = steps * batch, H = layer->brick.hidden;
    trace->output = ref_alloc(rows * layer->directions * layer->output, sizeof(double));
    for (int d = 0; d < 2 && layer->signals; d++) {
        if (!ref_has_direction(layer, (lw_direction)d))
            continue;
        trace->signals[d] = ref_alloc(rows * layer->signals * H, sizeof(double));
        trace->h_before[d] = ref_alloc(rows * layer->output, sizeof(double));
        trace->c_before[d] = ref_alloc(rows * H, sizeof(double));
        for (size_t b = 0; b < batch; b++)
            walk_row(model, l, (lw_direction)d, batch, b, lengths ? lengths[b] : steps, memory[d], trace);
    }
    for (size_t at = 0; at < rows && !layer->signals; at++)
        if (!lengths || at / batch < lengths[at % batch])
            plain_step(layer, trace->input + at * width, trace->output + at * layer->output);
}

/* LW_OUTPUT_LAST: the final hidden states of the last recurrent layer, then the layers behind it, once. Without
 * a recurrent layer the output of each row's last step, zero for a row that has none. */
static double *last_output(const ref_model *model, const ref_state *state, const ref_trace *trace,
                           const size_t *lengths)
{
    size_t batch = trace->batch, next = model->layer_count;
    while (next > 0 && !model->layers[next - 1].signals)
        next--;
    size_t width = ref_output_size(model);
    double *values;
    if (next == 0) {
        values = ref_alloc(batch * width, sizeof(double));
        for (size_t b = 0; b < batch; b++) {
            size_t length = lengths ? lengths[b] : trace->steps;
            if (length)
                memcpy(values + b * width, trace->output + ((length - 1) * batch + b) * width, width * sizeof(double));
        }
        return values;
    }
    const ref_layer *layer = &model->layers[next - 1];
    size_t R = layer->output;
    width = layer->directions * R;
    values = ref_alloc(batch * width, sizeof(double));
    for (size_t b = 0; b < batch; b++)
        for (size_t d = 0, column = 0; d < 2; d++)
            if (ref_has_direction(layer, (lw_direction)d)) {
                memcpy(values + b * width + column, state->memory[next - 1][d][LW_HIDDEN] + b * R, R * sizeof(double));
                column += R;
            }
    for (size_t k = 0; k < batch * width; k++)
        values[k] *= ref_mask(model, REF_OUTPUT, next - 1, LW_FORWARD, 0, k / width, k % width);
    for (; next < model->layer_count; next++) {
        layer = &model->layers[next];
        double *out = ref_alloc(batch * layer->output, sizeof(double));
        for (size_t b = 0; b < batch; b++)
            plain_step(layer, values + b * layer->brick.input, out + b * layer->output);
        free(values);
        values = out;
    }
    return values;
}

ref_trace *ref_run(const ref_model *model, ref_state *state, size_t steps, size_t batch, const double *input,
                   const size_t *lengths)
{
    ref_trace *trace = ref_alloc(1, sizeof *trace);
    trace->steps = steps;
    trace->batch = batch;
    trace->layer_count = model->layer_count;
    trace->layers = ref_alloc(model->layer_count, sizeof *trace->layers);
    for (size_t l = 0; l < model->layer_count; l++) {
        run_layer(model, l, state->memory[l], steps, batch, lengths, input, &trace->layers[l]);
        input = trace->layers[l].output;
    }
    /* The last layer may be a recurrent one, whose output is dropped, too. */
    size_t width = ref_output_size(model);
    trace->dropped = ref_alloc(steps * batch * width, sizeof(double));
    for (size_t k = 0; k < steps * batch * width; k++)
        trace->dropped[k] = input[k] * ref_mask(model, REF_OUTPUT, model->layer_count - 1, LW_FORWARD,
                                                k / width / batch, k / width % batch, k % width);
    trace->output = trace->dropped;
    trace->last = last_output(model, state, trace, lengths);
    return trace;
}

void ref_trace_destroy(ref_trace *trace)
{
    if (!trace)
        return;
    for (size_t l = 0; l < trace->layer_count; l++) {
        ref_layer_trace *layer = &trace->layers[l];
        free(layer->input);
        free(layer->output);
        for (int d = 0; d < 2; d++) {
            free(layer->signals[d]);
            free(layer->h_before[d]);
            free(layer->c_before[d]);
        }
    }
    free(trace->layers);
    free(trace->last);
    free(trace->dropped);
    free(trace);
}
