/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening models and inputs for the commands that run them (see work.h).
 */
#include "work.h"

#include "arguments.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int find_isa(const char *name, int *isa)
{
    lw_isa found;
    *isa = -1;
    if (!name)
        return EXIT_OK;
    if (lw_isa_find(name, &found) != LW_OK) {
        const char *names[LW_ISA_COUNT];
        char out[NEAREST_SIZE];
        for (int i = 0; i < LW_ISA_COUNT; i++)
            names[i] = lw_isa_name((lw_isa)i);
        return misuse("--isa: there is no instruction set '%s'%s", name, nearest(name, names, LW_ISA_COUNT, out));
    }
    if (!lw_isa_supported(found)) {
        char text[128] = "";
        for (int i = 0; i < LW_ISA_COUNT; i++)
            if (lw_isa_supported((lw_isa)i)) {
                strcat(text, *text ? ", " : "");
                strcat(text, lw_isa_name((lw_isa)i));
            }
        return fail("--isa %s: %s; this machine runs %s", name,
                    lw_isa_built(found) ? "this CPU does not support it" : "it is not in this build", text);
    }
    *isa = (int)found;
    return EXIT_OK;
}

static int read_layers(struct work *work)
{
    size_t count = lw_model_layer_count(work->model);
    for (size_t i = 0; i < count; i++) {
        lw_layer layer = {.size = sizeof layer};
        if (lw_model_layer(work->model, i, &layer) != LW_OK)
            return fail_library(work->path);
        if (layer.kind == LW_LSTM || layer.kind == LW_GRU || layer.kind == LW_RNN) {
            work->recurrent = 1;
            work->reverse |= layer.direction != LW_FORWARD;
        }
        if (__builtin_add_overflow(work->flops, layer.flops, &work->flops))
            work->flops = (size_t)-1;
    }
    return EXIT_OK;
}

int work_open(struct work *work, const char *path, const char *isa, size_t threads)
{
    *work = (struct work){.path = path};
    lw_model_options options = LW_MODEL_OPTIONS_INIT;
    int status = find_isa(isa, &options.isa);
    if (status != EXIT_OK)
        return status;
    if (lw_model_load(path, &options, &work->model) != LW_OK)
        return fail_library(path);
    lw_machine machine = {.size = sizeof machine};
    lw_context_options context = LW_CONTEXT_OPTIONS_INIT;
    context.threads = threads == OPTION_UNSET ? 0 : threads;
    if (lw_context_create(work->model, &context, &work->context) != LW_OK)
        status = fail_library(path);
    else
        status = read_layers(work);
    work->threads = context.threads;
    if (work->threads == 0 && lw_machine_query(&machine) == LW_OK)
        work->threads = machine.cpus;
    if (status != EXIT_OK)
        work_close(work);
    return status;
}

void work_close(struct work *work)
{
    lw_context_destroy(work->context);
    lw_model_destroy(work->model);
    work->context = NULL;
    work->model = NULL;
}

size_t work_chunk(const struct work *work, size_t batch)
{
    /* 2e8 flops are some 2 to 200 ms on anything from two cores with AVX2 to a scalar one. */
    double step = (double)work->flops * (double)batch;
    double steps = step > 0 ? 2e8 / step : 1e6;
    return steps < 16 ? 16 : steps > 1e6 ? 1000000 : (size_t)steps;
}

int parse_shape(const char *text, size_t shape[3], size_t *rank)
{
    const char *s = text;
    for (*rank = 0; *rank < 3;) {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(s, &end, 10);
        if (*s < '0' || *s > '9' || errno || value > (size_t)-1)
            break;
        shape[(*rank)++] = (size_t)value;
        if (*end == '\0' && *rank >= 2)
            return EXIT_OK;
        if (*end != ',')
            break;
        s = end + 1;
    }
    return misuse("--shape: expected T,I or T,B,I (whole numbers), got '%s'", text);
}

static int check_shape(const struct sequence *sequence, const char *path, int batch_first, const struct work *work)
{
    const struct array *array = &sequence->array;
    size_t width = lw_model_input_size(work->model);
    const char *three = batch_first ? "(B, T, I)" : "(T, B, I)";
    char text[SHAPE_TEXT];
    shape_text(array->shape, array->rank, text);
    if (array->rank != 2 && array->rank != 3)
        return fail("%s: has the shape %s; expected (T, I) or %s with I = %zu", path, text, three, width);
    if (array->shape[array->rank - 1] != width)
        return fail("%s: has the shape %s, so that I = %zu; the model takes I = %zu", path, text,
                    array->shape[array->rank - 1], width);
    if (sequence->batch == 0)
        return fail("%s: has the shape %s; expected at least one batch row", path, text);
    if (sequence->batch > LW_SIZE_MAX)
        return fail("%s: has %zu batch rows; at most %zu are possible", path, sequence->batch, LW_SIZE_MAX);
    return EXIT_OK;
}

int sequence_load(struct sequence *sequence, const char *path, const char *shape, int batch_first,
                  const struct work *work)
{
    size_t given[3];
    struct array_hint hint = {.width = lw_model_input_size(work->model)};
    *sequence = (struct sequence){0};
    if (shape) {
        int status = parse_shape(shape, given, &hint.rank);
        if (status != EXIT_OK)
            return status;
        hint.shape = given;
    }
    int status = array_load(path, &hint, &sequence->array);
    if (status != EXIT_OK)
        return status;
    const struct array *array = &sequence->array;
    size_t width = hint.width;
    sequence->steps = array->shape[batch_first && array->rank == 3];
    sequence->batch = array->rank == 3 ? array->shape[!batch_first] : 1;
    status = check_shape(sequence, path, batch_first, work);
    if (status != EXIT_OK) {
        array_free(&sequence->array);
        return status;
    }
    int rows_outside = batch_first && array->rank == 3;
    sequence->step_stride = rows_outside ? width : product(sequence->batch, width);
    sequence->row_stride = rows_outside ? product(sequence->steps, width) : width;
    return EXIT_OK;
}

const char *kind_name(lw_kind kind)
{
    switch (kind) {
    case LW_LSTM:
        return "lstm";
    case LW_GRU:
        return "gru";
    case LW_RNN:
        return "rnn";
    case LW_DENSE:
        return "dense";
    case LW_ACTIVATION:
        return "activation";
    }
    return "unknown";
}

const char *direction_name(lw_direction direction)
{
    switch (direction) {
    case LW_FORWARD:
        return "forward";
    case LW_REVERSE:
        return "reverse";
    case LW_BIDIRECTIONAL:
        return "bidirectional";
    }
    return "unknown";
}

json_t *json_text(const char *text)
{
    char *copy = clean_copy(text);
    json_t *string = json_string(copy);
    free(copy);
    return string;
}

int json_print(json_t *root)
{
    int bad = !root || json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0;
    json_decref(root);
    if (bad)
        return fail("the JSON text could not be written");
    putchar('\n');
    return EXIT_OK;
}
