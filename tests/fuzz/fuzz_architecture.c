/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the input is the JSON text of an architecture, in the metadata of a file that holds the tensors of the
 * bricks that the seeds name. So a change of the text alone may still give a model.
 */
#include "fuzz.h"

#include <stdarg.h>

/* Name, rows and columns (0: a vector) of every tensor there is. */
static const struct entry {
    const char *name;
    size_t rows, columns;
} entries[] = {
    {"a.weight_ih_l0", 12, 2},
    {"a.weight_hh_l0", 12, 3},
    {"a.bias_ih_l0", 12, 0},
    {"a.bias_hh_l0", 12, 0},
    {"a.weight_ih_l1", 12, 3},
    {"a.weight_hh_l1", 12, 3},
    {"a.bias_ih_l1", 12, 0},
    {"a.bias_hh_l1", 12, 0},
    {"b.weight_ih_l0", 6, 3},
    {"b.weight_hh_l0", 6, 2},
    {"b.bias_ih_l0", 6, 0},
    {"b.bias_hh_l0", 6, 0},
    {"b.weight_ih_l0_reverse", 6, 3},
    {"b.weight_hh_l0_reverse", 6, 2},
    {"b.bias_ih_l0_reverse", 6, 0},
    {"b.bias_hh_l0_reverse", 6, 0},
    {"c.weight_ih_l0", 3, 2},
    {"c.weight_hh_l0", 3, 3},
    {"c.bias_ih_l0", 3, 0},
    {"c.bias_hh_l0", 3, 0},
    {"d.weight", 1, 3},
    {"d.bias", 1, 0},
    {"e.weight_ih_l0", 9, 2},
    {"e.weight_hh_l0", 9, 3},
    {"e.weight_peephole_l0", 3, 3},
    {"e.weight_ih_l0_reverse", 9, 2},
    {"e.weight_hh_l0_reverse", 9, 3},
    {"e.weight_peephole_l0_reverse", 3, 3},
    {"f.weight_ih_l0", 12, 2},
    {"f.weight_hh_l0", 12, 2},
    {"f.weight_hr_l0", 2, 3},
    {"f.bias_ih_l0", 12, 0},
    {"f.bias_hh_l0", 12, 0},
};

struct text {
    char *at;
    size_t used, room;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text->at + text->used, text->room - text->used, format, arguments);
    va_end(arguments);
    MUST(n >= 0 && text->used + (size_t)n < text->room);
    text->used += (size_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text text = {.room = 8 + 8192 + 6 * size + 4096, .used = 8};
    text.at = malloc(text.room);
    MUST(text.at);
    add(&text, "{\"__metadata__\":{\"format\":\"latchwork\",\"latchwork\":\"");
    for (size_t i = 0; i < size; i++)
        if (data[i] < 0x20 || data[i] == '"' || data[i] == '\\')
            add(&text, "\\u%04x", data[i]);
        else
            add(&text, "%c", data[i]);
    add(&text, "\"}");
    size_t offset = 0;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        const struct entry *e = &entries[i];
        size_t bytes = e->rows * (e->columns ? e->columns : 1) * 4;
        char shape[48];
        snprintf(shape, sizeof shape, e->columns ? "%zu,%zu" : "%zu", e->rows, e->columns);
        add(&text, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", e->name, shape, offset,
            offset + bytes);
        offset += bytes;
    }
    add(&text, "}");
    uint64_t length = text.used - 8;
    for (size_t i = 0; i < 8; i++)
        text.at[i] = (char)(length >> (8 * i));
    char *file = malloc(text.used + offset);
    MUST(file);
    memcpy(file, text.at, text.used);
    memset(file + text.used, 0x3d, offset);

    lw_tensors *tensors = NULL;
    lw_model *model = NULL;
    lw_status status = lw_tensors_parse(file, text.used + offset, &tensors);
    if (!status)
        status = lw_model_from_tensors(tensors, NULL, &model);
    lw_tensors_close(tensors);
    MUST(status == LW_OK || status == LW_ERR_FORMAT || status == LW_ERR_UNSUPPORTED || status == LW_ERR_MEMORY);
    if (!status)
        use_model(model, size % 4 == 0);
    lw_model_destroy(model);
    free(file);
    free(text.at);
    return 0;
}
