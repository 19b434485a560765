/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models from files and to files: lw_model_load, lw_model_from_tensors, lw_model_save. Uses only the public functions
 * of models and tensors. Before a model takes memory, the file must hold every weight matrix that the architecture
 * calls for, in its shape; so a small file cannot ask for a large model.
 */
#include <stdio.h>
#include <string.h>

#include "io.h"

#define METADATA_KEY "latchwork"
#define NAME_BYTES 160 /* a parameter's name: a brick's name of 63, a role, a layer, a suffix */

/* Writes the name that parameter `name` has in the file to a new string. */
static lw_status file_name(const lw_naming *naming, const char *name, char **result)
{
    const char *dot = strchr(name, '.');
    size_t bytes;
    if (!naming->plain || !dot) {
        *result = lw_copy_string(name);
        return *result ? LW_OK : lw_fail_memory(strlen(name));
    }
    const char *leaf = dot + 1;
    size_t length = strlen(leaf);
    if (naming->cell && length > 3 && strcmp(leaf + length - 3, "_l0") == 0)
        length -= 3;
    if (!lw_add(naming->prefix.length, length + 1, &bytes) || !(*result = lw_alloc(bytes)))
        return lw_fail_memory(length);
    memcpy(*result, naming->prefix.text, naming->prefix.length);
    memcpy(*result + naming->prefix.length, leaf, length);
    return LW_OK;
}

/* Finds the tensor of a parameter; checks its shape and type. */
static lw_status find_tensor(const lw_tensors *tensors, const lw_naming *naming, const char *parameter, size_t rank,
                             const size_t *shape, lw_tensor *tensor)
{
    const char *source = lw_tensors_source(tensors);
    char *name;
    lw_status status = file_name(naming, parameter, &name);
    if (status)
        return status;
    if (lw_tensors_find(tensors, name, tensor))
        status = lw_fail(LW_ERR_FORMAT, "%s: the tensor \"%s\" is missing; one of shape %s is expected", source,
                         lw_quoted(name).text, lw_shape_text(rank, shape).text);
    else if (tensor->rank != rank || memcmp(tensor->shape, shape, rank * sizeof *shape) != 0)
        status = lw_fail(LW_ERR_FORMAT, "%s: tensor \"%s\" has the shape %s; %s is expected", source,
                         lw_quoted(name).text, lw_shape_text(tensor->rank, tensor->shape).text,
                         lw_shape_text(rank, shape).text);
    else if (strcmp(tensor->type, "F32") && strcmp(tensor->type, "F64") && strcmp(tensor->type, "F16") &&
             strcmp(tensor->type, "BF16"))
        status = lw_fail(LW_ERR_UNSUPPORTED, "%s: tensor \"%s\" has the type %s; F32, F64, F16 or BF16 is expected",
                         source, lw_quoted(name).text, tensor->type);
    lw_free(name);
    return status;
}

static lw_status check_matrix(const lw_tensors *tensors, const lw_naming *naming, const char *name, size_t rows,
                              size_t columns)
{
    lw_tensor tensor = {.size = sizeof tensor};
    return find_tensor(tensors, naming, name, 2, (size_t[]){rows, columns}, &tensor);
}

/* The weight matrices of one brick. Sizes are at most LW_SIZE_MAX each, so these products cannot overflow. */
static lw_status check_recurrent(const lw_tensors *tensors, const lw_naming *naming, const lw_brick *brick,
                                 size_t input)
{
    size_t gates = brick->kind == LW_RNN ? 1 : brick->kind == LW_GRU || brick->options & LW_COUPLED ? 3 : 4;
    size_t rows = gates * brick->hidden, state = brick->projection ? brick->projection : brick->hidden;
    bool forward = brick->direction != LW_REVERSE, reverse = brick->direction != LW_FORWARD;
    for (size_t layer = 0; layer < brick->layers; layer++) {
        for (int backwards = !forward; backwards <= reverse; backwards++) {
            const char *suffix = backwards ? "_reverse" : "";
            char name[NAME_BYTES];
            snprintf(name, sizeof name, "%s.weight_ih_l%zu%s", brick->name, layer, suffix);
            lw_status status = check_matrix(tensors, naming, name, rows, input);
            snprintf(name, sizeof name, "%s.weight_hh_l%zu%s", brick->name, layer, suffix);
            if (!status)
                status = check_matrix(tensors, naming, name, rows, state);
            snprintf(name, sizeof name, "%s.weight_hr_l%zu%s", brick->name, layer, suffix);
            if (!status && brick->projection)
                status = check_matrix(tensors, naming, name, state, brick->hidden);
            if (status)
                return status;
        }
        input = forward && reverse ? 2 * state : state;
    }
    return LW_OK;
}

static lw_status check_matrices(const lw_tensors *tensors, const lw_naming *naming, const lw_architecture *architecture)
{
    size_t width = 0;
    for (size_t i = 0; i < architecture->count; i++) {
        const lw_brick *brick = &architecture->bricks[i];
        size_t input = brick->input ? brick->input : width;
        lw_status status = LW_OK;
        if (!input)
            return lw_fail(LW_ERR_FORMAT, "%s: brick 0, \"%s\": the key \"input\" is missing",
                           lw_tensors_source(tensors), lw_quoted(brick->name).text);
        if (brick->kind == LW_ACTIVATION) {
            width = input;
        } else if (brick->kind == LW_DENSE) {
            char name[NAME_BYTES];
            snprintf(name, sizeof name, "%s.weight", brick->name);
            status = check_matrix(tensors, naming, name, brick->hidden, input);
            width = brick->hidden;
        } else {
            status = check_recurrent(tensors, naming, brick, input);
            width = brick->projection ? brick->projection : brick->hidden;
            width *= brick->direction == LW_BIDIRECTIONAL ? 2 : 1;
        }
        if (status)
            return status;
    }
    return LW_OK;
}

/* `values` has room for the largest. */
static lw_status fill_parameter(const lw_tensors *tensors, const lw_naming *naming, lw_model *model, size_t index,
                                float *values)
{
    lw_parameter parameter = {.size = sizeof parameter};
    lw_tensor tensor = {.size = sizeof tensor};
    lw_status status = lw_model_parameter(model, index, &parameter);
    if (!status)
        status = find_tensor(tensors, naming, parameter.name, parameter.rank, parameter.shape, &tensor);
    if (status)
        return status;
    lw_type_read(lw_type_find(tensor.type), tensor.data, values, parameter.count);
    return lw_model_parameter_set(model, index, values, parameter.count);
}

static lw_status fill(const lw_tensors *tensors, const lw_naming *naming, lw_model *model)
{
    const size_t count = lw_model_parameter_count(model);
    size_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        lw_model_parameter(model, i, &parameter);
        largest = lw_max(largest, parameter.count);
    }
    float *values = lw_alloc_array(largest, sizeof *values);
    if (!values)
        return lw_fail_memory(largest * sizeof *values);
    lw_status status = LW_OK;
    for (size_t i = 0; !status && i < count; i++)
        status = fill_parameter(tensors, naming, model, i, values);
    lw_free(values);
    return status;
}

static lw_status build(const lw_tensors *tensors, const lw_naming *naming, const lw_architecture *architecture,
                       const lw_model_options *options, lw_model **model)
{
    lw_model *built = NULL;
    lw_status status = check_matrices(tensors, naming, architecture);
    if (status)
        return status;
    status = lw_model_create(architecture->bricks, architecture->count, options, &built);
    /* The bricks are the file's, so what is wrong with them is the file's fault. */
    if (status)
        return lw_fail_in(lw_tensors_source(tensors),
                          status == LW_ERR_ARGUMENT || status == LW_ERR_SHAPE ? LW_ERR_FORMAT : status);
    status = fill(tensors, naming, built);
    if (status) {
        lw_model_destroy(built);
        return status;
    }
    *model = built;
    return LW_OK;
}

static lw_status check_options(const char *function, const lw_model_options *options)
{
    if (options && (options->size != sizeof *options || options->isa < -1 || options->isa >= LW_ISA_COUNT))
        return lw_fail(LW_ERR_ARGUMENT, "%s: options have size %zu and isa %d; %zu and -1 to %d are expected", function,
                       options->size, options->isa, sizeof *options, LW_ISA_COUNT - 1);
    return LW_OK;
}

lw_status lw_model_from_tensors(const lw_tensors *tensors, const lw_model_options *options, lw_model **model)
{
    if (!tensors || !model)
        return lw_fail(LW_ERR_ARGUMENT, "lw_model_from_tensors: %s is NULL", tensors ? "model" : "tensors");
    lw_status status = check_options("lw_model_from_tensors", options);
    if (status)
        return status;
    const char *source = lw_tensors_source(tensors), *text = lw_tensors_metadata(tensors, METADATA_KEY),
               *format = lw_tensors_metadata(tensors, "format");
    lw_architecture architecture;
    lw_naming naming = {0};
    if (text)
        status = lw_architecture_parse(source, text, &architecture);
    else if (format && strcmp(format, METADATA_KEY) == 0)
        return lw_fail(LW_ERR_FORMAT,
                       "%s: its format is \"" METADATA_KEY "\", but its metadata has no architecture under "
                       "the key \"" METADATA_KEY "\"",
                       source);
    else
        status = lw_state_dict_parse(tensors, &architecture, &naming);
    if (status)
        return status;
    status = build(tensors, &naming, &architecture, options, model);
    lw_architecture_clear(&architecture);
    return status;
}

lw_status lw_model_load(const char *path, const lw_model_options *options, lw_model **model)
{
    if (!path || !model)
        return lw_fail(LW_ERR_ARGUMENT, "lw_model_load: %s is NULL", path ? "model" : "path");
    lw_status status = check_options("lw_model_load", options);
    lw_tensors *tensors = NULL;
    if (!status)
        status = lw_tensors_open(path, &tensors);
    if (status)
        return status;
    status = lw_model_from_tensors(tensors, options, model);
    lw_tensors_close(tensors);
    return status;
}

/* One parameter at a time, so that saving takes little memory. */
typedef struct saving {
    const lw_model *model;
    const lw_tensor *tensors;
    float *values;
} saving;

static lw_status fetch_parameter(void *argument, size_t index, const void **data)
{
    saving *s = argument;
    lw_status status = lw_model_parameter_get(s->model, index, s->values, s->tensors[index].count);
    lw_write_f32((unsigned char *)s->values, s->values, s->tensors[index].count);
    *data = s->values;
    return status;
}

static lw_status describe_parameters(const lw_model *model, lw_tensor *tensors, size_t count, size_t *largest)
{
    for (size_t i = 0; i < count; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        lw_status status = lw_model_parameter(model, i, &parameter);
        if (status)
            return status;
        tensors[i] = (lw_tensor){
            .size = sizeof tensors[i],
            .name = parameter.name,
            .type = "F32",
            .bytes = parameter.count * sizeof(float), /* the model holds as many in memory */
            .rank = parameter.rank,
            .shape = {parameter.shape[0], parameter.rank > 1 ? parameter.shape[1] : 0},
            .count = parameter.count,
        };
        *largest = lw_max(*largest, parameter.count);
    }
    return LW_OK;
}

lw_status lw_model_save(const lw_model *model, const char *path)
{
    if (!model || !path)
        return lw_fail(LW_ERR_ARGUMENT, "lw_model_save: %s is NULL", model ? "path" : "model");
    size_t count = lw_model_parameter_count(model), largest = 0;
    char *text;
    lw_status status = lw_architecture_print(model, &text);
    if (status)
        return status;
    lw_tensor *tensors = lw_alloc_array(count, sizeof *tensors);
    status = tensors ? describe_parameters(model, tensors, count, &largest) : lw_fail_memory(count * sizeof *tensors);
    float *values = status ? NULL : lw_alloc_array(largest, sizeof *values);
    if (!status && !values)
        status = lw_fail_memory(largest * sizeof *values);
    if (!status) {
        const char *const metadata[][2] = {{"format", METADATA_KEY}, {METADATA_KEY, text}};
        saving s = {model, tensors, values};
        status = lw_tensors_write_with(path, tensors, count, metadata, 2, fetch_parameter, &s);
    }
    lw_free(values);
    lw_free(tensors);
    lw_free(text);
    return status;
}
