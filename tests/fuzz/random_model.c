/* SPDX-License-Identifier: Apache-2.0 */
/* Bricks drawn from the input (see random_model.h). A model without anything odd must be created; any other one must be
 * created or refused with a sentence, and a refusal must leave the result alone. */
#include "random_model.h"

static lw_function draw_function(struct source *source, lw_kind kind)
{
    static const lw_function fit[][4] = {[LW_RNN] = {LW_FUNCTION_DEFAULT, LW_RELU, LW_TANH, LW_TANH},
                                         [LW_DENSE] = {LW_FUNCTION_DEFAULT, LW_LINEAR, LW_RELU, LW_SIGMOID},
                                         [LW_ACTIVATION] = {LW_RELU, LW_TANH, LW_SIGMOID, LW_RELU}};
    return kind == LW_RNN || kind == LW_DENSE || kind == LW_ACTIVATION ? fit[kind][take_below(source, 4)]
                                                                       : LW_FUNCTION_DEFAULT;
}

static unsigned draw_options(struct source *source, lw_kind kind)
{
    unsigned bits = take_byte(source);
    switch (kind) {
    case LW_LSTM:
        return bits & (LW_NO_BIAS | LW_PEEPHOLES | LW_COUPLED);
    case LW_GRU:
        return bits & (LW_NO_BIAS | LW_RESET_BEFORE);
    case LW_RNN:
    case LW_DENSE:
        return bits & LW_NO_BIAS;
    default:
        return 0;
    }
}

static void draw_brick(struct source *source, size_t index, lw_brick *brick)
{
    int unused;
    lw_kind kind = (lw_kind)(1 + take_below(source, 5));
    *brick = (lw_brick)LW_BRICK_INIT(kind);
    brick->input = index == 0 ? 1 + take_below(source, 40) : 0;
    brick->hidden = kind == LW_ACTIVATION ? 0 : 1 + take_below(source, 40);
    brick->function = draw_function(source, kind);
    brick->options = draw_options(source, kind);
    if (kind != LW_LSTM && kind != LW_GRU && kind != LW_RNN)
        return;
    brick->layers = 1 + take_below(source, 3);
    brick->direction = (lw_direction)take_below(source, 3);
    brick->gate_clip = take_below(source, 4) == 1 ? 0.5f : 0.0f;
    if (kind != LW_LSTM)
        return;
    brick->cell_clip = take_below(source, 4) == 1 ? 0.25f : 0.0f;
    brick->forget_bias = take_below(source, 4) == 1 ? 1.0f : 0.0f;
    unused = take_below(source, 3) == 1;
    brick->projection = unused && brick->hidden > 1 ? 1 + take_below(source, brick->hidden - 1) : 0;
}

/* Spoils one field. */
static void draw_oddity(struct source *source, lw_brick *brick, int *odd)
{
    static const char longest[] = "0123456789012345678901234567890123456789012345678901234567890123";
    static const char *const names[] = {"", "a.b", "same", "\n", "\xff", longest};
    int number = (int)take_byte(source) - 128;
    *odd = 1;
    switch (take_below(source, 12)) {
    case 0:
        brick->kind = (lw_kind)number;
        break;
    case 1:
        brick->input = take_size(source, 64, odd);
        break;
    case 2:
        brick->hidden = take_size(source, 64, odd);
        break;
    case 3:
        brick->layers = take_size(source, 64, odd);
        break;
    case 4:
        brick->direction = (lw_direction)number;
        break;
    case 5:
        brick->function = (lw_function)number;
        break;
    case 6:
        brick->options = (unsigned)number;
        break;
    case 7:
        brick->projection = take_size(source, 64, odd);
        break;
    case 8:
        brick->cell_clip = take_float(source);
        break;
    case 9:
        brick->gate_clip = take_float(source);
        break;
    case 10:
        brick->name = names[take_below(source, sizeof names / sizeof *names)];
        break;
    default:
        brick->size = (size_t)(number + 128);
    }
}

void draw_bricks(struct source *source, int strict, struct random_model *drawn)
{
    drawn->odd = 0;
    drawn->count = 1 + take_below(source, MODEL_BRICKS);
    for (size_t i = 0; i < drawn->count; i++) {
        draw_brick(source, i, &drawn->bricks[i]);
        if (!strict && take_below(source, 8) == 7)
            draw_oddity(source, &drawn->bricks[i], &drawn->odd);
    }
}

lw_model *create_model(struct source *source, const struct random_model *drawn)
{
    static lw_model *const nowhere = (lw_model *)&nowhere;
    lw_model_options options = LW_MODEL_OPTIONS_INIT;
    lw_model *model = nowhere;
    const lw_isa isa = (lw_isa)take_below(source, LW_ISA_COUNT + 4);
    options.isa = lw_isa_supported(isa) ? (int)isa : -1;
    lw_status status = lw_model_create(drawn->bricks, drawn->count, &options, &model);
    if (status) {
        MUST(drawn->odd && model == nowhere && lw_error()[0]);
        return NULL;
    }
    if (lw_model_bytes(model) / sizeof(float) > MODEL_FLOATS || lw_model_layer_count(model) > 64) {
        lw_model_destroy(model);
        return NULL;
    }
    MUST(lw_model_initialise(model, take_byte(source)) == LW_OK);
    return model;
}
