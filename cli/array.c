/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the format by the file's extension and hands over to array_npy.c, array_csv.c, array_raw.c or array_sound.c
 * (see array.h). Standard input and output speak .npy.
 */
#include "array.h"

#include "file.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum format { FORMAT_NONE, FORMAT_NPY, FORMAT_CSV, FORMAT_RAW, FORMAT_SOUND };

static const struct {
    const char *extension;
    enum format format;
} formats[] = {
    {".npy", FORMAT_NPY},   {".csv", FORMAT_CSV},    {".f32", FORMAT_RAW},   {".raw", FORMAT_RAW},
    {".wav", FORMAT_SOUND}, {".flac", FORMAT_SOUND}, {".ogg", FORMAT_SOUND}, {".aiff", FORMAT_SOUND},
    {".aif", FORMAT_SOUND}, {".au", FORMAT_SOUND},
};

static enum format format_of(const char *path)
{
    if (strcmp(path, "-") == 0)
        return FORMAT_NPY;
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    if (!dot || (slash && dot < slash))
        return FORMAT_NONE;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcasecmp(dot, formats[i].extension) == 0)
            return formats[i].format;
    return FORMAT_NONE;
}

int array_load(const char *path, const struct array_hint *hint, struct array *array)
{
    *array = (struct array){0};
    enum format format = format_of(path);
    if (format == FORMAT_NONE)
        return fail("%s: unknown kind of file; expected .npy, .csv, .f32, .raw or a sound (.wav, .flac)", path);
    if (hint->shape && format != FORMAT_RAW)
        return fail("%s: --shape is for raw files (.f32, .raw); this one knows its shape", path);
    void *bytes = NULL;
    size_t size = 0;
    int status = file_read(path, &bytes, &size);
    if (status != EXIT_OK)
        return status;
    switch (format) {
    case FORMAT_NPY:
        status = npy_parse(path, &bytes, size, array);
        break;
    case FORMAT_CSV:
        status = csv_parse(path, bytes, size, array);
        break;
    case FORMAT_RAW:
        status = raw_parse(path, &bytes, size, hint, array);
        break;
    default:
        status = sound_parse(path, bytes, size, hint, array);
        break;
    }
    free(bytes);
    if (status != EXIT_OK)
        array_free(array);
    return status;
}

void array_free(struct array *array)
{
    free(array->values);
    *array = (struct array){0};
}

int array_save_check(const char *path, const struct array *shape)
{
    char text[SHAPE_TEXT];
    enum format format = format_of(path);
    if (format == FORMAT_NONE || format == FORMAT_SOUND)
        return fail("%s: unknown kind of output file; expected .npy, .csv, .f32 or .raw", path);
    if (format == FORMAT_CSV && shape->rank > 2)
        return fail("%s: a CSV file holds two dimensions, the output has the shape %s; write a .npy", path,
                    shape_text(shape->shape, shape->rank, text));
    return output_check(path);
}

int array_save(const char *path, const struct array *array)
{
    struct output output;
    int status = output_open(&output, path);
    if (status != EXIT_OK)
        return status;
    enum format format = format_of(path);
    if (format == FORMAT_NPY)
        npy_write(output.stream, array);
    else if (format == FORMAT_CSV)
        csv_write(output.stream, array);
    else
        fwrite(array->values, sizeof(float), array->count, output.stream);
    return output_commit(&output);
}

/* Whole numbers in text, between commas, spaces and line ends. */
static int parse_text_lengths(const char *path, const char *text, size_t size, size_t *count, long long **values)
{
    size_t capacity = 0, used = 0, line = 1;
    long long *list = NULL;
    size_t i = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (i < size) {
        if (strchr(" \t\r\n,", text[i]) && text[i]) {
            line += text[i++] == '\n';
            continue;
        }
        char word[24];
        size_t n = 0;
        while (i < size && text[i] && !strchr(" \t\r\n,", text[i]) && n + 1 < sizeof word)
            word[n++] = text[i++];
        word[n] = '\0';
        char *end;
        errno = 0;
        long long value = strtoll(word, &end, 10);
        if (n == 0 || *end || errno) {
            free(list);
            return fail("%s: line %zu: expected a whole number, got '%s'", path, line, word);
        }
        if (used == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            long long *larger = realloc(list, capacity * sizeof *list);
            if (!larger) {
                free(list);
                return fail("%s: out of memory", path);
            }
            list = larger;
        }
        list[used++] = value;
    }
    *count = used;
    *values = list;
    return EXIT_OK;
}

int lengths_load(const char *path, size_t count, size_t most, size_t **lengths)
{
    enum format format = format_of(path);
    if (format != FORMAT_NPY && format != FORMAT_CSV)
        return fail("%s: unknown kind of file for lengths; expected .npy (int32 or int64) or .csv", path);
    void *bytes;
    size_t size, found = 0;
    long long *values = NULL;
    int status = file_read(path, &bytes, &size);
    if (status != EXIT_OK)
        return status;
    if (format == FORMAT_NPY)
        status = npy_parse_integers(path, bytes, size, &found, &values);
    else
        status = parse_text_lengths(path, bytes, size, &found, &values);
    free(bytes);
    if (status == EXIT_OK && found != count)
        status = fail("%s: expected %zu lengths, one for each batch row, got %zu", path, count, found);
    size_t *list = status == EXIT_OK ? allocate(count, sizeof *list) : NULL;
    if (status == EXIT_OK && !list)
        status = fail("%s: out of memory", path);
    for (size_t i = 0; status == EXIT_OK && i < count; i++) {
        if (values[i] < 0 || (unsigned long long)values[i] > most)
            status = fail("%s: the length of row %zu is %lld; expected 0 to %zu, the steps of the input", path, i,
                          values[i], most);
        else
            list[i] = (size_t)values[i];
    }
    free(values);
    if (status != EXIT_OK)
        free(list);
    else
        *lengths = list;
    return status;
}
