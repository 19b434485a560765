/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shape of the reference: bricks become layers, and each layer its parameters, by the names and shapes that
 * section 4 of latchwork.h promises. Also the states. Called by the tests through reference.h.
 */
#include "reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t gate_count(const lw_brick *brick)
{
    switch (brick->kind) {
    case LW_LSTM:
        return brick->options & LW_COUPLED ? 3 : 4;
    case LW_GRU:
        return 3;
    default:
        return 1;
    }
}

static size_t signal_count(lw_kind kind)
{
    return kind == LW_LSTM ? 6 : kind == LW_GRU ? 4 : kind == LW_RNN ? 1 : 0;
}

static int recurrent(lw_kind kind)
{
    return kind == LW_LSTM || kind == LW_GRU || kind == LW_RNN;
}

int ref_has_direction(const ref_layer *layer, lw_direction direction)
{
    return layer->brick.direction == LW_BIDIRECTIONAL || layer->brick.direction == direction;
}

size_t ref_memory_width(const ref_layer *layer, lw_memory memory)
{
    if (!layer->signals || (memory == LW_CELL && layer->brick.kind != LW_LSTM))
        return 0;
    return memory == LW_CELL ? layer->brick.hidden : layer->output;
}

static const double *add_parameter(ref_model *model, const char *brick, const char *parameter, size_t fan, size_t rows,
                                   size_t columns)
{
    size_t index = model->parameter_count++;
    ref_parameter *p = &model->parameters[index];
    snprintf(p->name, sizeof p->name, "%s.%s", brick, parameter);
    p->rank = columns ? 2 : 1;
    p->shape[0] = rows;
    p->shape[1] = columns;
    p->count = rows * (columns ? columns : 1);
    p->fan = fan;
    p->values = ref_alloc(p->count, sizeof(double));
    return p->values;
}

static void add_cell(ref_model *model, ref_layer *layer, const char *name, size_t level, lw_direction direction)
{
    const lw_brick *brick = &layer->brick;
    ref_cell *cell = &layer->cell[direction];
    size_t rows = gate_count(brick) * brick->hidden;
    char suffix[64], text[96];
    snprintf(suffix, sizeof suffix, "_l%zu%s", level, direction == LW_REVERSE ? "_reverse" : "");
#define ADD(field, rows_, columns) \
    (snprintf(text, sizeof text, field "%s", suffix), add_parameter(model, name, text, brick->hidden, rows_, columns))
    cell->weight_ih = ADD("weight_ih", rows, brick->input);
    cell->weight_hh = ADD("weight_hh", rows, layer->output);
    if (!(brick->options & LW_NO_BIAS)) {
        cell->bias_ih = ADD("bias_ih", rows, 0);
        cell->bias_hh = ADD("bias_hh", rows, 0);
    }
    if (brick->projection)
        cell->weight_hr = ADD("weight_hr", brick->projection, brick->hidden);
    if (brick->options & LW_PEEPHOLES)
        cell->peephole = ADD("weight_peephole", 3, brick->hidden);
#undef ADD
}

static void add_dense(ref_model *model, ref_layer *layer, const char *name)
{
    const lw_brick *brick = &layer->brick;
    ref_cell *cell = &layer->cell[LW_FORWARD];
    cell->weight_ih = add_parameter(model, name, "weight", brick->input, brick->hidden, brick->input);
    if (!(brick->options & LW_NO_BIAS))
        cell->bias_ih = add_parameter(model, name, "bias", brick->input, brick->hidden, 0);
}

/* A brick's own copy with the defaults that the header documents; `width` is what comes in. */
static lw_brick resolve(const lw_brick *brick, size_t width)
{
    lw_brick b = *brick;
    if (!b.input)
        b.input = width;
    if (b.kind == LW_ACTIVATION)
        b.hidden = b.input;
    if (b.function == LW_FUNCTION_DEFAULT)
        b.function = b.kind == LW_RNN ? LW_TANH : LW_LINEAR;
    if (!recurrent(b.kind)) {
        b.layers = 1;
        b.direction = LW_FORWARD;
    }
    return b;
}

ref_model *ref_create(const lw_brick *bricks, size_t count)
{
    static const char *const kinds[] = {"", "lstm", "gru", "rnn", "dense", "activation"};
    ref_model *model = ref_alloc(1, sizeof *model);
    size_t layers = 0, width = 0;
    for (size_t k = 0; k < count; k++)
        layers += recurrent(bricks[k].kind) ? bricks[k].layers : 1;
    model->layers = ref_alloc(layers, sizeof *model->layers);
    model->parameters = ref_alloc(layers * 2 * 6, sizeof *model->parameters);
    for (size_t k = 0; k < count; k++) {
        lw_brick brick = resolve(&bricks[k], width);
        char name[80];
        if (brick.name)
            snprintf(name, sizeof name, "%s", brick.name);
        else
            snprintf(name, sizeof name, "%s%zu", kinds[brick.kind], k);
        for (size_t level = 0; level < brick.layers; level++) {
            ref_layer *layer = &model->layers[model->layer_count++];
            layer->brick = brick;
            layer->directions = brick.direction == LW_BIDIRECTIONAL ? 2 : 1;
            layer->output = brick.projection ? brick.projection : brick.hidden;
            layer->signals = signal_count(brick.kind);
            for (int d = 0; d < 2 && recurrent(brick.kind); d++)
                if (ref_has_direction(layer, (lw_direction)d))
                    add_cell(model, layer, name, level, (lw_direction)d);
            if (brick.kind == LW_DENSE)
                add_dense(model, layer, name);
            width = brick.input = layer->directions * layer->output;
        }
    }
    return model;
}

void ref_destroy(ref_model *model)
{
    if (!model)
        return;
    for (size_t k = 0; k < model->parameter_count; k++)
        free(model->parameters[k].values);
    free(model->parameters);
    free(model->layers);
    free(model);
}

ref_parameter *ref_find(ref_model *model, const char *name)
{
    for (size_t k = 0; k < model->parameter_count; k++)
        if (strcmp(model->parameters[k].name, name) == 0)
            return &model->parameters[k];
    return NULL;
}

size_t ref_input_size(const ref_model *model)
{
    return model->layers[0].brick.input;
}

size_t ref_output_size(const ref_model *model)
{
    const ref_layer *last = &model->layers[model->layer_count - 1];
    return last->directions * last->output;
}

ref_state *ref_state_create(const ref_model *model, size_t batch)
{
    ref_state *state = ref_alloc(1, sizeof *state);
    state->batch = batch;
    state->layer_count = model->layer_count;
    state->memory = ref_alloc(model->layer_count, sizeof *state->memory);
    for (size_t l = 0; l < model->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                size_t width = ref_memory_width(&model->layers[l], (lw_memory)m);
                if (width && ref_has_direction(&model->layers[l], (lw_direction)d))
                    state->memory[l][d][m] = ref_alloc(batch * width, sizeof(double));
            }
    return state;
}

void ref_state_destroy(ref_state *state)
{
    if (!state)
        return;
    for (size_t l = 0; l < state->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++)
                free(state->memory[l][d][m]);
    free(state->memory);
    free(state);
}
