/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arithmetic of the reference's way back: one step of each cell, then the walk over rows, directions, layers and
 * time, each in the opposite order of reference.c. Called by the tests through reference_backward.h. The derivatives
 * need what a step computed on the way: activations come from the trace, arguments are computed again.
 */
#include "reference_backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One step of one row: what went in, what came out, and where its gradients go. */
typedef struct step {
    const ref_layer *layer;
    const ref_cell *cell;
    const double *x, *h, *c; /* before the step */
    const double *fed;       /* what the matrices saw of h */
    const double *signals;
    const double *dh, *dc; /* after the step */
    double *dx;            /* added to; */
    double *dx_magnitude;
    double *dh_before, *dc_before; /* these are written, the first without what goes through `fed` */
    double *dfed;
    ref_gradients *out;
    const ref_model *model;
} step;

static ref_gradient gradient_create(size_t count)
{
    return (ref_gradient){count, ref_alloc(count, sizeof(double)), ref_alloc(count, sizeof(double))};
}

static void add(ref_gradient *to, size_t index, double term)
{
    to->values[index] += term;
    to->magnitudes[index] += fabs(term);
}

/* The gradient of the parameter that a cell's pointer stands for. */
static ref_gradient *of(const ref_model *model, ref_gradients *out, const double *values)
{
    for (size_t k = 0; k < model->parameter_count; k++)
        if (model->parameters[k].values == values)
            return &out->parameters[k];
    abort();
}

/* 1 where a clip passes the gradient of `value` on, else 0. */
static double passes(ref_gradients *out, double value, double limit, int at_limit)
{
    double size = fabs(value);
    if (!(limit > 0))
        return 1;
    out->margin = fmin(out->margin, fabs(size - limit));
    if (size < limit || (size == limit && at_limit)) {
        out->unclipped++;
        return 1;
    }
    out->clipped++;
    return 0;
}

static double gate_passes(ref_gradients *out, double argument, double limit)
{
    return passes(out, argument, limit, 0);
}

static double cell_passes(ref_gradients *out, double cell, double limit)
{
    return passes(out, cell, limit, 1);
}

/* Derivative of a brick's function, whose value at `argument` is `value`. */
static double slope(ref_gradients *out, lw_function function, double argument, double value)
{
    switch (function) {
    case LW_RELU:
        if (argument != 0)
            out->margin = fmin(out->margin, fabs(argument));
        return argument > 0 ? 1 : 0;
    case LW_TANH:
        return 1 - value * value;
    case LW_SIGMOID:
        return value * (1 - value);
    default:
        return 1;
    }
}

static double dot(const double *matrix, size_t row, const double *v, size_t width)
{
    double sum = 0;
    for (size_t k = 0; k < width; k++)
        sum += matrix[row * width + k] * v[k];
    return sum;
}

/* Arguments of `rows` stacked gates: those of the input part and those of the recurrent part, each with its bias. */
static void arguments(const step *s, const double *h, size_t rows, double *from_x, double *from_h)
{
    for (size_t j = 0; j < rows; j++) {
        from_x[j] = dot(s->cell->weight_ih, j, s->x, s->layer->brick.input);
        from_h[j] = dot(s->cell->weight_hh, j, h, s->layer->output);
        if (s->cell->bias_ih) {
            from_x[j] += s->cell->bias_ih[j];
            from_h[j] += s->cell->bias_hh[j];
        }
    }
}

/* y = M v: with dy the gradient of y[row], those of row `row` of M, of v (added to, may be NULL) and their bias. */
static void back_row(const step *s, const double *matrix, const double *bias, size_t row, const double *v, size_t width,
                     double dy, double *dv, double *dv_magnitude)
{
    ref_gradient *dmatrix = of(s->model, s->out, matrix);
    for (size_t k = 0; k < width; k++) {
        add(dmatrix, row * width + k, dy * v[k]);
        if (dv)
            dv[k] += dy * matrix[row * width + k];
        if (dv_magnitude)
            dv_magnitude[k] += fabs(dy * matrix[row * width + k]);
    }
    if (bias)
        add(of(s->model, s->out, bias), row, dy);
}

/* The input part of gate row `row`: W, b and x. */
static void back_input(const step *s, size_t row, double da)
{
    back_row(s, s->cell->weight_ih, s->cell->bias_ih, row, s->x, s->layer->brick.input, da, s->dx, s->dx_magnitude);
}

/* The recurrent part: R, d and what R was applied to. */
static void back_recurrent(const step *s, size_t row, double da, const double *h, double *dh)
{
    back_row(s, s->cell->weight_hh, s->cell->bias_hh, row, h, s->layer->output, da, dh, NULL);
}

static void lstm_back(const step *s)
{
    const lw_brick *brick = &s->layer->brick;
    size_t H = brick->hidden, R = s->layer->output;
    int coupled = (brick->options & LW_COUPLED) != 0;
    size_t rows = (coupled ? 3 : 4) * H, row_g = coupled ? H : 2 * H, row_o = row_g + H;
    const double *i = s->signals, *f = i + H, *o = i + 2 * H, *g = i + 3 * H, *c = i + 4 * H, *hidden = i + 5 * H;
    const double *p = s->cell->peephole;
    double *from_x = ref_alloc(4 * rows + H, sizeof(double)), *from_h = from_x + rows;
    double *a = from_x + 2 * rows, *da = from_x + 3 * rows, *dhidden = from_x + 4 * rows;
    arguments(s, s->fed, rows, from_x, from_h);
    for (size_t k = 0; k < rows; k++)
        a[k] = from_x[k] + from_h[k];
    for (size_t r = 0; r < R; r++) {
        if (brick->projection)
            back_row(s, s->cell->weight_hr, NULL, r, hidden, H, s->dh[r], dhidden, NULL);
        else
            dhidden[r] = s->dh[r];
    }
    ref_gradient *dp = p ? of(s->model, s->out, p) : NULL;
    for (size_t j = 0; j < H; j++) {
        double t = tanh(c[j]);
        double dc = s->dc[j] + dhidden[j] * o[j] * (1 - t * t);
        double argument_o = a[row_o + j] + (p ? p[2 * H + j] * c[j] : 0);
        double da_o = dhidden[j] * t * o[j] * (1 - o[j]) * gate_passes(s->out, argument_o, (double)brick->gate_clip);
        if (p) {
            dc += da_o * p[2 * H + j];
            add(dp, 2 * H + j, da_o * c[j]);
        }
        dc *= cell_passes(s->out, f[j] * s->c[j] + i[j] * g[j], (double)brick->cell_clip);
        double df = dc * s->c[j], di = dc * g[j], dg = dc * i[j];
        s->dc_before[j] = dc * f[j];
        if (coupled) {
            di -= df;
        } else {
            double argument_f = a[H + j] + (p ? p[H + j] * s->c[j] : 0);
            double da_f = df * f[j] * (1 - f[j]) * gate_passes(s->out, argument_f, (double)brick->gate_clip);
            da[H + j] = da_f;
            if (p) {
                s->dc_before[j] += da_f * p[H + j];
                add(dp, H + j, da_f * s->c[j]);
            }
        }
        double argument_i = a[j] + (p ? p[j] * s->c[j] : 0);
        double da_i = di * i[j] * (1 - i[j]) * gate_passes(s->out, argument_i, (double)brick->gate_clip);
        if (p) {
            s->dc_before[j] += da_i * p[j];
            add(dp, j, da_i * s->c[j]);
        }
        da[j] = da_i;
        da[row_g + j] = dg * (1 - g[j] * g[j]) * gate_passes(s->out, a[row_g + j], (double)brick->gate_clip);
        da[row_o + j] = da_o;
    }
    for (size_t k = 0; k < rows; k++) {
        back_input(s, k, da[k]);
        back_recurrent(s, k, da[k], s->fed, s->dfed);
    }
    free(from_x);
}

static void gru_back(const step *s)
{
    size_t H = s->layer->brick.hidden;
    int before = (s->layer->brick.options & LW_RESET_BEFORE) != 0;
    double limit = (double)s->layer->brick.gate_clip;
    const double *r = s->signals, *z = r + H, *n = r + 2 * H;
    double *from_x = ref_alloc(11 * H, sizeof(double)), *from_h = from_x + 3 * H;
    double *dr = from_x + 6 * H, *reset_h = from_x + 7 * H, *dreset_h = from_x + 8 * H, *from_reset = from_x + 9 * H;
    arguments(s, s->fed, 3 * H, from_x, from_h);
    for (size_t j = 0; j < H; j++)
        reset_h[j] = r[j] * s->fed[j];
    for (size_t j = 0; j < H; j++) {
        from_reset[j] = dot(s->cell->weight_hh, 2 * H + j, reset_h, H);
        if (s->cell->bias_hh)
            from_reset[j] += s->cell->bias_hh[2 * H + j];
    }
    for (size_t j = 0; j < H; j++) {
        double product = before ? from_reset[j] : r[j] * from_h[2 * H + j];
        double da = s->dh[j] * (1 - z[j]) * (1 - n[j] * n[j]) * gate_passes(s->out, from_x[2 * H + j] + product, limit);
        s->dh_before[j] += s->dh[j] * z[j];
        back_input(s, 2 * H + j, da);
        if (before) {
            back_recurrent(s, 2 * H + j, da, reset_h, dreset_h);
        } else {
            back_recurrent(s, 2 * H + j, da * r[j], s->fed, s->dfed);
            dr[j] = da * from_h[2 * H + j];
        }
    }
    for (size_t j = 0; j < H && before; j++) {
        dr[j] = dreset_h[j] * s->fed[j];
        s->dfed[j] += dreset_h[j] * r[j];
    }
    for (size_t j = 0; j < H; j++) {
        double da_r = dr[j] * r[j] * (1 - r[j]) * gate_passes(s->out, from_x[j] + from_h[j], limit);
        double da_z = s->dh[j] * (s->h[j] - n[j]) * z[j] * (1 - z[j]) *
                      gate_passes(s->out, from_x[H + j] + from_h[H + j], limit);
        back_input(s, j, da_r);
        back_recurrent(s, j, da_r, s->fed, s->dfed);
        back_input(s, H + j, da_z);
        back_recurrent(s, H + j, da_z, s->fed, s->dfed);
    }
    free(from_x);
}

static void rnn_back(const step *s)
{
    size_t H = s->layer->brick.hidden;
    double *from_x = ref_alloc(2 * H, sizeof(double)), *from_h = from_x + H;
    arguments(s, s->fed, H, from_x, from_h);
    for (size_t j = 0; j < H; j++) {
        double a = from_x[j] + from_h[j];
        double da = s->dh[j] * slope(s->out, s->layer->brick.function, a, s->signals[j]) *
                    gate_passes(s->out, a, (double)s->layer->brick.gate_clip);
        back_input(s, j, da);
        back_recurrent(s, j, da, s->fed, s->dfed);
    }
    free(from_x);
}

/* Dense and activation: y is what the step gave. */
static void plain_back(const step *s, const double *y, const double *dy)
{
    const lw_brick *brick = &s->layer->brick;
    for (size_t j = 0; j < s->layer->output; j++) {
        double a;
        if (brick->kind == LW_DENSE) {
            a = dot(s->cell->weight_ih, j, s->x, brick->input);
            a += s->cell->bias_ih ? s->cell->bias_ih[j] : 0;
        } else {
            a = s->x[j];
        }
        double da = dy[j] * slope(s->out, brick->function, a, y[j]);
        if (brick->kind == LW_DENSE)
            back_input(s, j, da);
        else
            s->dx[j] += da, s->dx_magnitude[j] += fabs(da);
    }
}

/* One row of one recurrent layer in one direction: from its last step to its first. `dmemory` comes in as the
 * gradient of the final memories and leaves as that of the initial ones. */
static void walk_back(step s, lw_direction direction, const ref_layer_trace *trace, const double *doutput, size_t batch,
                      size_t row, size_t length, double *dmemory[2], ref_gradient *dinput)
{
    const ref_layer *layer = s.layer;
    size_t R = layer->output, H = layer->brick.hidden, I = layer->brick.input, width = layer->directions * R;
    size_t column = layer->directions == 2 && direction == LW_REVERSE ? R : 0;
    size_t l = (size_t)(layer - s.model->layers);
    double *carried_h = dmemory[LW_HIDDEN] + row * R;
    double *carried_c = dmemory[LW_CELL] ? dmemory[LW_CELL] + row * H : NULL;
    double *dh = ref_alloc(5 * R + 4 * H, sizeof(double)), *dc_before = dh + 2 * R, *dc = dc_before + H;
    double *fed = dc + H, *dfed = fed + R, *kept = dfed + R, *kept_c = kept + R;
    s.cell = &layer->cell[direction];
    s.dh = dh;
    s.dc = dc;
    s.fed = fed;
    s.dfed = dfed;
    s.dh_before = dh + R;
    s.dc_before = dc_before;
    for (size_t k = length; k-- > 0;) {
        size_t t = direction == LW_REVERSE ? length - 1 - k : k, at = t * batch + row;
        for (size_t r = 0; r < R; r++) {
            double d = ref_mask(s.model, REF_ZONEOUT_H, l, direction, t, row, r);
            double whole = carried_h[r] + (doutput ? doutput[at * width + column + r] : 0);
            kept[r] = d * whole;
            dh[r] = (1 - d) * whole;
            fed[r] = trace->h_before[direction][at * R + r] * ref_mask(s.model, REF_RECURRENT, l, direction, t, row, r);
        }
        for (size_t j = 0; j < H && carried_c; j++) {
            double d = ref_mask(s.model, REF_ZONEOUT_C, l, direction, t, row, j);
            kept_c[j] = d * carried_c[j];
            dc[j] = (1 - d) * carried_c[j];
        }
        memset(s.dh_before, 0, R * sizeof(double));
        memset(s.dfed, 0, R * sizeof(double));
        s.x = trace->input + at * I;
        s.h = trace->h_before[direction] + at * R;
        s.c = trace->c_before[direction] + at * H;
        s.signals = trace->signals[direction] + at * layer->signals * H;
        s.dx = dinput->values + at * I;
        s.dx_magnitude = dinput->magnitudes + at * I;
        if (layer->brick.kind == LW_LSTM)
            lstm_back(&s);
        else if (layer->brick.kind == LW_GRU)
            gru_back(&s);
        else
            rnn_back(&s);
        for (size_t r = 0; r < R; r++)
            carried_h[r] = s.dh_before[r] + dfed[r] * ref_mask(s.model, REF_RECURRENT, l, direction, t, row, r) +
                           kept[r];
        for (size_t j = 0; j < H && carried_c; j++)
            carried_c[j] = dc_before[j] + kept_c[j];
    }
    free(dh);
}

/* A layer over all rows and steps; `doutput` NULL: nobody reads the sequence. */
static void layer_back(step s, const ref_layer_trace *trace, const double *doutput, size_t steps, size_t batch,
                       const size_t *lengths, double *(*dmemory)[2], ref_gradient *dinput)
{
    const ref_layer *layer = s.layer;
    size_t l = (size_t)(layer - s.model->layers), width = layer->brick.input;
    for (int d = 0; d < 2 && layer->signals; d++)
        for (size_t b = 0; b < batch && ref_has_direction(layer, (lw_direction)d); b++)
            walk_back(s, (lw_direction)d, trace, doutput, batch, b, lengths ? lengths[b] : steps, dmemory[d], dinput);
    s.cell = &layer->cell[LW_FORWARD];
    for (size_t at = 0; at < steps * batch && !layer->signals && doutput; at++) {
        if (lengths && at / batch >= lengths[at % batch])
            continue;
        s.x = trace->input + at * width;
        s.dx = dinput->values + at * width;
        s.dx_magnitude = dinput->magnitudes + at * width;
        plain_back(&s, trace->output + at * layer->output, doutput + at * layer->output);
    }
    for (size_t k = 0; k < dinput->count; k++) {
        double mask = ref_mask(s.model, l ? REF_OUTPUT : REF_INPUT, l ? l - 1 : 0, LW_FORWARD, k / width / batch,
                               k / width % batch, k % width);
        dinput->values[k] *= mask;
        dinput->magnitudes[k] *= mask;
    }
}

/* LW_OUTPUT_LAST: back through the layers that ran once, behind recurrent layer `last`, into the gradients of its
 * final hidden states. */
static void once_back(step s, size_t last, size_t batch, const ref_state *final, const double *doutput,
                      double *(*dmemory)[2])
{
    const ref_layer *layers = s.model->layers;
    size_t count = s.model->layer_count, R = layers[last].output;
    for (size_t b = 0; b < batch; b++) {
        /* values[l] is what layer `last + l` gave for this row. */
        double **values = ref_alloc(count - last, sizeof *values);
        values[0] = ref_alloc(layers[last].directions * R, sizeof(double));
        for (size_t d = 0, column = 0; d < 2; d++)
            if (ref_has_direction(&layers[last], (lw_direction)d)) {
                memcpy(values[0] + column, final->memory[last][d][LW_HIDDEN] + b * R, R * sizeof(double));
                column += R;
            }
        for (size_t k = 0; k < layers[last].directions * R; k++)
            values[0][k] *= ref_mask(s.model, REF_OUTPUT, last, LW_FORWARD, 0, b, k);
        for (size_t l = last + 1; l < count; l++) {
            /* A run of one step and one row of this layer alone. */
            ref_model one = {.layer_count = 1, .layers = (ref_layer *)&layers[l]};
            ref_state *none = ref_state_create(&one, 1);
            ref_trace *trace = ref_run(&one, none, 1, 1, values[l - last - 1], NULL);
            values[l - last] = ref_alloc(layers[l].output, sizeof(double));
            memcpy(values[l - last], trace->output, layers[l].output * sizeof(double));
            ref_trace_destroy(trace);
            ref_state_destroy(none);
        }
        size_t width = layers[count - 1].directions * layers[count - 1].output;
        ref_gradient dy = gradient_create(width);
        memcpy(dy.values, doutput + b * width, width * sizeof(double));
        for (size_t l = count; l-- > last + 1;) {
            ref_gradient dx = gradient_create(layers[l].brick.input);
            s.layer = &layers[l];
            s.cell = &layers[l].cell[LW_FORWARD];
            s.x = values[l - last - 1];
            s.dx = dx.values;
            s.dx_magnitude = dx.magnitudes;
            plain_back(&s, values[l - last], dy.values);
            free(dy.values);
            free(dy.magnitudes);
            dy = dx;
        }
        for (size_t d = 0, column = 0; d < 2; d++)
            for (size_t r = 0; r < R && ref_has_direction(&layers[last], (lw_direction)d); r++) {
                dmemory[d][LW_HIDDEN][b * R + r] += dy.values[column] *
                                                    ref_mask(s.model, REF_OUTPUT, last, LW_FORWARD, 0, b, column);
                column++;
            }
        free(dy.values);
        free(dy.magnitudes);
        for (size_t l = 0; l < count - last; l++)
            free(values[l]);
        free(values);
    }
}

static ref_state *copy_state(const ref_model *model, size_t batch, const ref_state *from)
{
    ref_state *to = ref_state_create(model, batch);
    for (size_t l = 0; l < model->layer_count && from; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++)
                if (to->memory[l][d][m])
                    memcpy(to->memory[l][d][m], from->memory[l][d][m],
                           batch * ref_memory_width(&model->layers[l], (lw_memory)m) * sizeof(double));
    return to;
}

ref_gradients *ref_backward(const ref_model *model, const ref_trace *trace, const ref_state *final,
                            const size_t *lengths, lw_output kind, const double *doutput, const ref_state *dfinal)
{
    size_t steps = trace->steps, batch = trace->batch, count = model->layer_count;
    ref_gradients *out = ref_alloc(1, sizeof *out);
    out->margin = INFINITY;
    out->parameter_count = model->parameter_count;
    out->parameters = ref_alloc(model->parameter_count, sizeof *out->parameters);
    for (size_t k = 0; k < model->parameter_count; k++)
        out->parameters[k] = gradient_create(model->parameters[k].count);
    out->initial = copy_state(model, batch, dfinal);
    step s = {.model = model, .out = out};

    size_t width = ref_output_size(model);
    ref_gradient dy = gradient_create(steps * batch * width);
    size_t next = count;
    while (kind == LW_OUTPUT_LAST && next > 0 && !model->layers[next - 1].signals)
        next--;
    int sequence = doutput != NULL;
    if (doutput && kind == LW_OUTPUT_LAST && next > 0) {
        once_back(s, next - 1, batch, final, doutput, out->initial->memory[next - 1]);
        sequence = 0;
    } else if (doutput && kind == LW_OUTPUT_LAST) {
        for (size_t b = 0; b < batch; b++) {
            size_t length = lengths ? lengths[b] : steps;
            if (length)
                memcpy(dy.values + ((length - 1) * batch + b) * width, doutput + b * width, width * sizeof(double));
        }
    } else if (doutput) {
        for (size_t k = 0; k < steps * batch * width; k++)
            dy.values[k] = doutput[k] * ref_mask(model, REF_OUTPUT, count - 1, LW_FORWARD, k / width / batch,
                                                 k / width % batch, k % width);
    }
    /* Behind the last recurrent layer nothing but the final states was read. */
    for (size_t l = kind == LW_OUTPUT_LAST && next > 0 ? next : count; l-- > 0;) {
        ref_gradient dx = gradient_create(steps * batch * model->layers[l].brick.input);
        s.layer = &model->layers[l];
        layer_back(s, &trace->layers[l], sequence ? dy.values : NULL, steps, batch, lengths, out->initial->memory[l],
                   &dx);
        free(dy.values);
        free(dy.magnitudes);
        dy = dx;
        sequence = 1;
    }
    out->input = dy;
    return out;
}

void ref_gradients_destroy(ref_gradients *gradients)
{
    if (!gradients)
        return;
    for (size_t k = 0; k < gradients->parameter_count; k++) {
        free(gradients->parameters[k].values);
        free(gradients->parameters[k].magnitudes);
    }
    free(gradients->parameters);
    free(gradients->input.values);
    free(gradients->input.magnitudes);
    ref_state_destroy(gradients->initial);
    free(gradients);
}
