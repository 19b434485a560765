/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork inspect MODEL`: the layers of a model with their shapes, parameters, bytes and flops a step, and the
 * tensors in its file that are not of the model.
 */
#include "arguments.h"
#include "report.h"
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
    int json;
};

static const struct option options[] = {
    {.name = "json",
     .letter = 'j',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct arguments, json),
     .help = "print JSON"},
};

static int run(int argc, const char **argv);

const struct command command_inspect = {
    .name = "inspect",
    .operand = "MODEL",
    .summary = "show the layers of a model: shapes, parameters, bytes, flops",
    .details = "MODEL is a safetensors file: Latchwork's own, or a PyTorch state_dict of an LSTM, GRU or RNN.\n"
               "A multiply-add counts as two flops, activations count none. Bytes are those of the f32 parameters.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};

struct view {
    const char *path;
    const lw_model *model;
    const lw_tensors *tensors;
    size_t parameters, flops; /* totals */
};

static const char *after_dot(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* A state_dict may have other prefixes than the model's names, and a cell's tensors lack "_l0". */
static int is_of_model(const struct view *view, const lw_tensor *tensor)
{
    size_t index, count = lw_model_parameter_count(view->model);
    if (lw_model_parameter_find(view->model, tensor->name, &index) == LW_OK)
        return 1;
    if (lw_tensors_metadata(view->tensors, "latchwork"))
        return 0;
    const char *name = after_dot(tensor->name);
    size_t length = strlen(name);
    for (size_t i = 0; i < count; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        if (lw_model_parameter(view->model, i, &parameter) != LW_OK)
            continue;
        const char *other = after_dot(parameter.name);
        if (strncmp(name, other, length) == 0 && (other[length] == '\0' || strcmp(other + length, "_l0") == 0) &&
            parameter.count == tensor->count)
            return 1;
    }
    return 0;
}

static int tensor_at(const struct view *view, size_t index, lw_tensor *tensor)
{
    *tensor = (lw_tensor){.size = sizeof *tensor};
    return lw_tensors_get(view->tensors, index, tensor) == LW_OK ? EXIT_OK : fail_library(view->path);
}

static int layer_at(const struct view *view, size_t index, lw_layer *layer, lw_brick *brick)
{
    *layer = (lw_layer){.size = sizeof *layer};
    *brick = (lw_brick){.size = sizeof *brick};
    if (lw_model_layer(view->model, index, layer) != LW_OK || lw_model_brick(view->model, layer->brick, brick) != LW_OK)
        return fail_library(view->path);
    return EXIT_OK;
}

static int is_recurrent(lw_kind kind)
{
    return kind == LW_LSTM || kind == LW_GRU || kind == LW_RNN;
}

static size_t width(const lw_layer *layer)
{
    return layer->direction == LW_BIDIRECTIONAL ? 2 * layer->output : layer->output;
}

static const char *function_name(lw_function function)
{
    switch (function) {
    case LW_FUNCTION_DEFAULT:
        return "default";
    case LW_LINEAR:
        return "linear";
    case LW_RELU:
        return "relu";
    case LW_TANH:
        return "tanh";
    case LW_SIGMOID:
        return "sigmoid";
    }
    return "unknown";
}

/* What sets the layer apart from the plain one of its kind: "peepholes, clip 3", or "". */
static void describe(const lw_brick *brick, char *out, size_t room)
{
    char clip[32] = "", gate_clip[32] = "", projection[48] = "";
    const char *function = "";
    if (brick->kind == LW_DENSE || brick->kind == LW_ACTIVATION || brick->kind == LW_RNN)
        function = function_name(brick->function);
    if (brick->projection && brick->kind == LW_LSTM)
        snprintf(projection, sizeof projection, ", projection %zu", brick->projection);
    if (brick->cell_clip > 0)
        snprintf(clip, sizeof clip, ", cell clip %g", (double)brick->cell_clip);
    if (brick->gate_clip > 0)
        snprintf(gate_clip, sizeof gate_clip, ", gate clip %g", (double)brick->gate_clip);
    snprintf(out, room, "%s%s%s%s%s%s%s%s%s", *function ? ", " : "", function,
             brick->options & LW_NO_BIAS ? ", no bias" : "", brick->options & LW_PEEPHOLES ? ", peepholes" : "",
             brick->options & LW_COUPLED ? ", coupled" : "", brick->options & LW_RESET_BEFORE ? ", reset before" : "",
             projection, clip, gate_clip);
    if (*out)
        memmove(out, out + 2, strlen(out + 2) + 1);
}

static int print_json(struct view *view)
{
    json_t *layers = json_array(), *others = json_array();
    for (size_t i = 0; i < lw_model_layer_count(view->model); i++) {
        lw_layer layer;
        lw_brick brick;
        char notes[160];
        if (layer_at(view, i, &layer, &brick) != EXIT_OK)
            return EXIT_WORK;
        describe(&brick, notes, sizeof notes);
        json_t *entry = json_pack("{s:I, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "layer", (json_int_t)i, "brick",
                                  json_text(brick.name), "kind", kind_name(layer.kind), "input",
                                  (json_int_t)layer.input, "output", (json_int_t)width(&layer), "parameters",
                                  (json_int_t)layer.parameters, "bytes", (json_int_t)product(layer.parameters, 4),
                                  "flops_per_step", (json_int_t)layer.flops, "options", notes);
        if (is_recurrent(layer.kind)) {
            json_object_set_new(entry, "direction", json_string(direction_name(layer.direction)));
            json_object_set_new(entry, "hidden", json_integer((json_int_t)layer.hidden));
        }
        json_array_append_new(layers, entry);
    }
    for (size_t i = 0; i < lw_tensors_count(view->tensors); i++) {
        lw_tensor tensor;
        if (tensor_at(view, i, &tensor) != EXIT_OK)
            return EXIT_WORK;
        if (is_of_model(view, &tensor))
            continue;
        json_t *shape = json_array();
        for (size_t d = 0; d < tensor.rank; d++)
            json_array_append_new(shape, json_integer((json_int_t)tensor.shape[d]));
        json_array_append_new(others, json_pack("{s:o, s:s, s:o, s:I}", "name", json_text(tensor.name), "type",
                                                tensor.type, "shape", shape, "bytes", (json_int_t)tensor.bytes));
    }
    return json_print(json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "model", json_text(view->path),
                                "input", (json_int_t)lw_model_input_size(view->model), "output",
                                (json_int_t)lw_model_output_size(view->model), "parameters",
                                (json_int_t)view->parameters, "bytes", (json_int_t)product(view->parameters, 4),
                                "packed_bytes", (json_int_t)lw_model_bytes(view->model), "flops_per_step",
                                (json_int_t)view->flops, "layers", layers, "other_tensors", others));
}

static int print_others(struct view *view)
{
    int any = 0;
    for (size_t i = 0; i < lw_tensors_count(view->tensors); i++) {
        lw_tensor tensor;
        char shape[SHAPE_TEXT];
        if (tensor_at(view, i, &tensor) != EXIT_OK)
            return EXIT_WORK;
        if (is_of_model(view, &tensor))
            continue;
        if (!any++)
            printf("\nOther tensors in the file, not of the model:\n");
        char *name = clean_copy(tensor.name);
        printf("  %-36s %-5s %-20s %12zu bytes\n", name, tensor.type, shape_text(tensor.shape, tensor.rank, shape),
               tensor.bytes);
        free(name);
    }
    return EXIT_OK;
}

static int print_text(struct view *view)
{
    char *path = clean_copy(view->path);
    printf("%s: input %zu, output %zu\n\n", path, lw_model_input_size(view->model), lw_model_output_size(view->model));
    free(path);
    printf("%5s  %-14s %-10s %-13s %7s %7s %7s %12s %13s %13s  %s\n", "layer", "brick", "kind", "direction", "input",
           "hidden", "output", "parameters", "bytes", "flops/step", "options");
    for (size_t i = 0; i < lw_model_layer_count(view->model); i++) {
        lw_layer layer;
        lw_brick brick;
        char notes[160], hidden[24] = "-";
        if (layer_at(view, i, &layer, &brick) != EXIT_OK)
            return EXIT_WORK;
        describe(&brick, notes, sizeof notes);
        if (is_recurrent(layer.kind))
            snprintf(hidden, sizeof hidden, "%zu", layer.hidden);
        char *name = clean_copy(brick.name);
        printf("%5zu  %-14s %-10s %-13s %7zu %7s %7zu %12zu %13zu %13zu  %s\n", i, name, kind_name(layer.kind),
               is_recurrent(layer.kind) ? direction_name(layer.direction) : "-", layer.input, hidden, width(&layer),
               layer.parameters, product(layer.parameters, 4), layer.flops, notes);
        free(name);
    }
    printf("%5s  %-14s %-10s %-13s %7zu %7s %7zu %12zu %13zu %13zu\n", "total", "", "", "",
           lw_model_input_size(view->model), "", lw_model_output_size(view->model), view->parameters,
           product(view->parameters, 4), view->flops);
    printf("\nPacked for %s: %zu bytes.\n", lw_isa_name(lw_model_isa(view->model)), lw_model_bytes(view->model));
    return print_others(view);
}

static int run(int argc, const char **argv)
{
    struct arguments arguments = {0};
    const char *path = NULL;
    int status = arguments_parse(&command_inspect, argc, argv, &arguments, &path);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    lw_tensors *tensors = NULL;
    lw_model *model = NULL;
    if (lw_tensors_open(path, &tensors) != LW_OK || lw_model_from_tensors(tensors, NULL, &model) != LW_OK) {
        status = fail_library(path);
    } else {
        struct view view = {.path = path, .model = model, .tensors = tensors};
        for (size_t i = 0; status == EXIT_OK && i < lw_model_layer_count(model); i++) {
            lw_layer layer;
            lw_brick brick;
            status = layer_at(&view, i, &layer, &brick);
            view.parameters += layer.parameters;
            view.flops += layer.flops;
        }
        if (status == EXIT_OK)
            status = arguments.json ? print_json(&view) : print_text(&view);
    }
    lw_model_destroy(model);
    lw_tensors_close(tensors);
    return status;
}
