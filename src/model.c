/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds a model from bricks: resolves their defaults, refuses what does not fit, expands them into levels, lays out
 * the packed weights and names the tensors. Called by api.c. Knows cells only through their table.
 */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dispatch.h"

static const struct lw_cell *const cells[] = {&lw_cell_lstm, &lw_cell_gru, &lw_cell_rnn, &lw_cell_dense,
                                              &lw_cell_activation};

static const char *const role_names[LW_ROLES] = {"weight_ih", "weight_hh",       "bias_ih", "bias_hh",
                                                 "weight_hr", "weight_peephole", "weight",  "bias"};

#define NAME_MAX_LENGTH 63

static const struct lw_cell *cell_of(lw_kind kind)
{
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        if (cells[i]->kind == kind)
            return cells[i];
    return NULL;
}

static bool valid_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_MAX_LENGTH)
        return false;
    for (const char *p = name; *p; p++)
        if (*p == '.' || (unsigned char)*p < 0x21 || (unsigned char)*p == 0x7f)
            return false;
    return true;
}

static bool valid_amount(float value)
{
    return isfinite(value) && value >= 0.0f;
}

static lw_status check_size(size_t index, const char *field, size_t value, size_t most)
{
    if (value >= 1 && value <= most)
        return LW_OK;
    return lw_fail(LW_ERR_ARGUMENT, "brick %zu: %s is %zu, expected 1 to %zu", index, field, value, most);
}

static lw_status check_options(size_t index, const struct lw_cell *cell, unsigned options)
{
    unsigned allowed = LW_NO_BIAS;
    const char *names = "LW_NO_BIAS";
    if (cell->kind == LW_LSTM) {
        allowed |= LW_PEEPHOLES | LW_COUPLED;
        names = "LW_NO_BIAS, LW_PEEPHOLES, LW_COUPLED";
    } else if (cell->kind == LW_GRU) {
        allowed |= LW_RESET_BEFORE;
        names = "LW_NO_BIAS, LW_RESET_BEFORE";
    } else if (cell->kind == LW_ACTIVATION) {
        allowed = 0;
        names = "none";
    }
    if (options & ~allowed)
        return lw_fail(LW_ERR_ARGUMENT, "brick %zu (%s): unknown options 0x%x, expected %s", index, cell->name,
                       options & ~allowed, names);
    return LW_OK;
}

/* The default of a kind that has one is resolved by then. */
static lw_status check_function(size_t index, const struct lw_cell *cell, lw_function function)
{
    lw_function first = LW_FUNCTION_DEFAULT, last = LW_FUNCTION_DEFAULT;
    const char *names = "LW_FUNCTION_DEFAULT";
    if (cell->kind == LW_DENSE) {
        first = LW_LINEAR;
        last = LW_SIGMOID;
        names = "LW_LINEAR, LW_RELU, LW_TANH or LW_SIGMOID";
    } else if (cell->kind == LW_ACTIVATION) {
        first = LW_RELU;
        last = LW_SIGMOID;
        names = "LW_RELU, LW_TANH or LW_SIGMOID";
    } else if (cell->kind == LW_RNN) {
        first = LW_RELU;
        last = LW_TANH;
        names = "LW_TANH or LW_RELU";
    }
    if (function < first || function > last)
        return lw_fail(LW_ERR_ARGUMENT, "brick %zu (%s): function is %d, expected %s", index, cell->name, (int)function,
                       names);
    return LW_OK;
}

static lw_status check_recurrent(size_t index, const lw_brick *brick)
{
    lw_status status = check_size(index, "layers", brick->layers, LW_LAYERS_MAX);
    if (status)
        return status;
    if (brick->direction < LW_FORWARD || brick->direction > LW_BIDIRECTIONAL)
        return lw_fail(LW_ERR_ARGUMENT, "brick %zu: direction is %d, expected 0 (forward), 1 (reverse) or 2 (both)",
                       index, (int)brick->direction);
    if (!valid_amount(brick->gate_clip))
        return lw_fail(LW_ERR_ARGUMENT, "brick %zu: gate_clip is %g, expected 0 or a positive number", index,
                       (double)brick->gate_clip);
    if (brick->kind != LW_LSTM && (brick->projection || brick->cell_clip != 0.0f || brick->forget_bias != 0.0f))
        return lw_fail(LW_ERR_ARGUMENT, "brick %zu: projection, cell_clip and forget_bias are for an LSTM", index);
    if (brick->projection >= brick->hidden)
        return lw_fail(LW_ERR_ARGUMENT, "brick %zu: projection is %zu, expected less than hidden (%zu)", index,
                       brick->projection, brick->hidden);
    if (!valid_amount(brick->cell_clip) || !isfinite(brick->forget_bias))
        return lw_fail(LW_ERR_ARGUMENT,
                       "brick %zu: cell_clip is %g and forget_bias %g, expected finite numbers, the "
                       "clip not negative",
                       index, (double)brick->cell_clip, (double)brick->forget_bias);
    return LW_OK;
}

/* Copies and completes brick `index`; *width is the width that reaches it and then the one that leaves it. */
static lw_status resolve(const lw_brick *given, size_t index, size_t *width, lw_brick *brick)
{
    *brick = *given;
    brick->size = sizeof *brick;
    brick->name = NULL; /* set by name_brick, so that freeing is simple */
    const struct lw_cell *cell = cell_of(brick->kind);
    if (!cell)
        return lw_fail(LW_ERR_ARGUMENT,
                       "brick %zu: kind %d, expected LW_LSTM, LW_GRU, LW_RNN, LW_DENSE or "
                       "LW_ACTIVATION",
                       index, (int)brick->kind);
    if (!brick->input)
        brick->input = *width;
    if (!brick->input)
        return lw_fail(LW_ERR_ARGUMENT, "brick 0: input is 0, expected the width of the model's input");
    if (*width && brick->input != *width)
        return lw_fail(LW_ERR_SHAPE, "brick %zu (%s): input is %zu, but the brick before gives %zu", index, cell->name,
                       brick->input, *width);
    lw_status status = check_size(index, "input", brick->input, LW_SIZE_MAX);
    if (brick->kind == LW_ACTIVATION)
        brick->hidden = brick->input;
    if (!status)
        status = check_size(index, "hidden", brick->hidden, LW_SIZE_MAX);
    if (brick->function == LW_FUNCTION_DEFAULT && brick->kind == LW_RNN)
        brick->function = LW_TANH;
    if (brick->function == LW_FUNCTION_DEFAULT && brick->kind == LW_DENSE)
        brick->function = LW_LINEAR;
    if (!status)
        status = check_function(index, cell, brick->function);
    if (!status)
        status = check_options(index, cell, brick->options);
    if (!status && cell->recurrent)
        status = check_recurrent(index, brick);
    if (status)
        return status;
    if (!cell->recurrent) {
        if (brick->direction != LW_FORWARD || brick->layers != 1)
            return lw_fail(LW_ERR_ARGUMENT, "brick %zu (%s): has one layer and no direction", index, cell->name);
        if (brick->projection || brick->cell_clip != 0.0f || brick->gate_clip != 0.0f || brick->forget_bias != 0.0f)
            return lw_fail(LW_ERR_ARGUMENT,
                           "brick %zu (%s): projection, cell_clip, gate_clip and forget_bias are for recurrent bricks",
                           index, cell->name);
        *width = brick->hidden;
        return LW_OK;
    }
    *width = brick->projection ? brick->projection : brick->hidden;
    if (brick->direction == LW_BIDIRECTIONAL)
        *width *= 2;
    return LW_OK;
}

static lw_status name_brick(lw_model *model, size_t index, const char *given)
{
    char automatic[32];
    if (!given) {
        snprintf(automatic, sizeof automatic, "%s%zu", cell_of(model->bricks[index].kind)->name, index);
        given = automatic;
    }
    if (!valid_name(given))
        return lw_fail(LW_ERR_ARGUMENT,
                       "brick %zu: its name must have 1 to %d bytes, none a dot, a space or a control character", index,
                       NAME_MAX_LENGTH);
    for (size_t i = 0; i < index; i++)
        if (strcmp(model->bricks[i].name, given) == 0)
            return lw_fail(LW_ERR_ARGUMENT, "bricks %zu and %zu have the same name \"%s\"", i, index, given);
    model->bricks[index].name = lw_copy_string(given);
    return model->bricks[index].name ? LW_OK : lw_fail_memory(strlen(given) + 1);
}

static struct lw_level make_level(const lw_brick *brick, size_t brick_index, size_t l, size_t input)
{
    return (struct lw_level){.cell = cell_of(brick->kind),
                             .brick = brick,
                             .brick_index = brick_index,
                             .level = l,
                             .input = input,
                             .hidden = brick->hidden,
                             .output = brick->projection ? brick->projection : brick->hidden,
                             .directions = brick->direction == LW_BIDIRECTIONAL ? 2 : 1};
}

/* Refuses a model that no machine could hold before anything is allocated for it. */
static lw_status check_total(const lw_model *model)
{
    size_t levels = 0, floats = 0, bytes;
    for (size_t i = 0; i < model->brick_count; i++) {
        const lw_brick *brick = &model->bricks[i];
        struct lw_level first = make_level(brick, i, 0, brick->input);
        struct lw_level other = make_level(brick, i, 1, lw_level_width(&first));
        bool fits = lw_add(levels, brick->layers, &levels);
        for (int k = 0; k < 2; k++) {
            struct lw_tensor_spec specs[LW_ROLES];
            const struct lw_level *level = k ? &other : &first;
            size_t count = 0, n = level->cell->tensors(level, specs);
            for (size_t t = 0; t < n; t++)
                count += specs[t].shape[0] * specs[t].shape[1];
            fits = fits && lw_mul(count, level->directions * (k ? brick->layers - 1 : 1), &count) &&
                   lw_add(floats, count, &floats);
        }
        if (!fits || !lw_mul(floats, sizeof(float), &bytes))
            return lw_fail(LW_ERR_SHAPE, "the size of the model's weights overflows");
    }
    if (levels > LW_LAYERS_MAX)
        return lw_fail(LW_ERR_ARGUMENT, "the model has %zu layers, expected at most %zu", levels, LW_LAYERS_MAX);
    return LW_OK;
}

static lw_status add_levels(lw_model *model)
{
    size_t count = 0;
    for (size_t i = 0; i < model->brick_count; i++)
        count += model->bricks[i].layers;
    model->levels = lw_alloc_array(count, sizeof *model->levels);
    if (!model->levels)
        return lw_fail_memory(count * sizeof *model->levels);
    model->collapse = count;
    size_t width = model->bricks[0].input, offset = 0;
    model->input = width;
    for (size_t i = 0; i < model->brick_count; i++) {
        const lw_brick *brick = &model->bricks[i];
        for (size_t l = 0; l < brick->layers; l++) {
            struct lw_level *level = &model->levels[model->level_count];
            *level = make_level(brick, i, l, width);
            width = lw_level_width(level);
            if (level->cell->recurrent) {
                level->h_width = lw_round_up(level->output, LW_PAD);
                level->c_width = level->cell->has_memory ? lw_round_up(level->hidden, LW_PAD) : 0;
                for (size_t d = 0; d < level->directions; d++) {
                    level->h_offset[d] = offset;
                    level->c_offset[d] = offset + level->h_width;
                    offset += level->h_width + level->c_width;
                }
                model->has_reverse |= brick->direction != LW_FORWARD;
                model->collapse = model->level_count;
            }
            model->level_count++;
        }
    }
    model->output = width;
    model->state_floats = offset;
    return LW_OK;
}

/* Measures, allocates, lays out again: the second time the pointers are real. */
static lw_status pack(lw_model *model)
{
    for (int pass = 0; pass < 2; pass++) {
        struct lw_layout layout = {.base = model->packed};
        for (size_t i = 0; i < model->level_count; i++)
            for (size_t d = 0; d < model->levels[i].directions; d++)
                model->levels[i].cell->layout(&model->levels[i], &model->levels[i].weights[d], model->kernels->lanes,
                                              &layout);
        if (layout.overflow || layout.used > SIZE_MAX / 2 / sizeof(float))
            return lw_fail(LW_ERR_SHAPE, "the size of the model's weights overflows");
        model->packed_floats = layout.used;
        if (!model->packed)
            model->packed = lw_alloc_array(layout.used, sizeof(float));
        if (!model->packed)
            return lw_fail_memory(layout.used * sizeof(float));
    }
    return LW_OK;
}

static lw_status name_tensor(const struct lw_level *level, struct lw_named_tensor *tensor)
{
    char name[160];
    const char *role = role_names[tensor->spec.role];
    if (level->cell->recurrent)
        snprintf(name, sizeof name, "%s.%s_l%zu%s", level->brick->name, role, level->level,
                 lw_level_reverse(level, tensor->direction) ? "_reverse" : "");
    else
        snprintf(name, sizeof name, "%s.%s", level->brick->name, role);
    tensor->name = lw_copy_string(name);
    return tensor->name ? LW_OK : lw_fail_memory(strlen(name) + 1);
}

static lw_status add_tensors(lw_model *model)
{
    struct lw_tensor_spec specs[LW_ROLES];
    size_t count = 0;
    for (size_t i = 0; i < model->level_count; i++)
        count += model->levels[i].directions * model->levels[i].cell->tensors(&model->levels[i], specs);
    model->tensors = lw_alloc_array(count, sizeof *model->tensors);
    if (!model->tensors)
        return lw_fail_memory(count * sizeof *model->tensors);
    for (size_t i = 0; i < model->level_count; i++) {
        const struct lw_level *level = &model->levels[i];
        for (size_t d = 0; d < level->directions; d++) {
            size_t n = level->cell->tensors(level, specs);
            for (size_t k = 0; k < n; k++) {
                struct lw_named_tensor *tensor = &model->tensors[model->tensor_count];
                *tensor = (struct lw_named_tensor){.level = i, .direction = d, .spec = specs[k]};
                lw_status status = name_tensor(level, tensor);
                if (status)
                    return status;
                model->tensor_count++;
                if (specs[k].rank == 2)
                    model->step_flops += 2 * lw_tensor_count(tensor);
            }
        }
    }
    return LW_OK;
}

lw_status lw_model_build(const lw_brick *bricks, size_t count, lw_isa isa, lw_model **result)
{
    lw_model *model = lw_alloc(sizeof *model);
    if (!model)
        return lw_fail_memory(sizeof *model);
    atomic_init(&model->references, 1);
    model->isa = isa;
    model->kernels = lw_kernels_of(isa);
    model->lanes = model->kernels->lanes;
    model->bricks = lw_alloc_array(count, sizeof *model->bricks);
    lw_status status = model->bricks ? LW_OK : lw_fail_memory(count * sizeof *model->bricks);
    /* The caller's bricks may be of a shorter, older struct: `size` is the distance between them. */
    for (size_t i = 0, width = 0; i < count && !status; i++) {
        const lw_brick *given = (const lw_brick *)((const char *)bricks + i * bricks->size);
        if (given->size != bricks->size)
            status = lw_fail(LW_ERR_ARGUMENT, "brick %zu: size is %zu, expected %zu as in brick 0", i, given->size,
                             bricks->size);
        else
            status = resolve(given, i, &width, &model->bricks[i]);
        model->brick_count = i + 1;
        if (!status)
            status = name_brick(model, i, given->name);
    }
    if (!status)
        status = check_total(model);
    if (!status)
        status = add_levels(model);
    if (!status)
        status = pack(model);
    if (!status)
        status = add_tensors(model);
    if (status) {
        lw_model_release(model);
        return status;
    }
    *result = model;
    return LW_OK;
}

void lw_model_hold(const lw_model *model)
{
    lw_model *held = (lw_model *)model; /* counting references does not change what a reader sees */
    atomic_store(&held->frozen, true);
    atomic_fetch_add(&held->references, 1);
}

void lw_model_release(lw_model *model)
{
    if (!model || atomic_fetch_sub(&model->references, 1) != 1)
        return;
    for (size_t i = 0; i < model->tensor_count; i++)
        lw_free(model->tensors[i].name);
    for (size_t i = 0; i < model->brick_count; i++)
        lw_free((char *)model->bricks[i].name);
    lw_free(model->tensors);
    lw_free(model->levels);
    lw_free(model->bricks);
    lw_free(model->packed);
    lw_free(model);
}

void lw_model_describe(const lw_model *model, size_t index, lw_layer *layer)
{
    const struct lw_level *level = &model->levels[index];
    *layer = (lw_layer){.size = sizeof *layer,
                        .brick = level->brick_index,
                        .kind = level->brick->kind,
                        .direction = level->brick->direction,
                        .input = level->input,
                        .hidden = level->hidden,
                        .output = level->output,
                        .signals = level->cell->signal_count};
    for (size_t i = 0; i < model->tensor_count; i++) {
        const struct lw_named_tensor *tensor = &model->tensors[i];
        if (tensor->level != index)
            continue;
        layer->parameters += lw_tensor_count(tensor);
        layer->flops += tensor->spec.rank == 2 ? 2 * lw_tensor_count(tensor) : 0;
    }
}

size_t lw_model_rows(const lw_model *model, const struct lw_named_tensor *tensor, const struct lw_weights *weights,
                     size_t row, float **place, size_t *stride)
{
    const struct lw_level *level = &model->levels[tensor->level];
    size_t count = 1;
    *stride = 1;
    *place = level->cell->row(level, weights, model->lanes, tensor->spec.role, row, stride);
    for (; count < model->lanes && row + count < tensor->spec.shape[0]; count++) {
        size_t other = *stride;
        if (level->cell->row(level, weights, model->lanes, tensor->spec.role, row + count, &other) != *place + count ||
            other != *stride)
            break;
    }
    return count;
}

void lw_model_read_tensor(const lw_model *model, const struct lw_named_tensor *tensor, float *values)
{
    const struct lw_weights *weights = &model->levels[tensor->level].weights[tensor->direction];
    const size_t columns = tensor->spec.shape[1];
    for (size_t row = 0, count, stride; row < tensor->spec.shape[0]; row += count) {
        float *place;
        count = lw_model_rows(model, tensor, weights, row, &place, &stride);
        lw_rows_unpack(place, stride, values + row * columns, columns, count, false);
    }
}

void lw_model_write_tensor(lw_model *model, const struct lw_named_tensor *tensor, const float *values)
{
    const struct lw_weights *weights = &model->levels[tensor->level].weights[tensor->direction];
    const size_t columns = tensor->spec.shape[1];
    for (size_t row = 0, count, stride; row < tensor->spec.shape[0]; row += count) {
        float *place;
        count = lw_model_rows(model, tensor, weights, row, &place, &stride);
        lw_rows_pack(place, stride, values + row * columns, columns, count);
    }
}
