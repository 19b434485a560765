/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV: one step a line, numbers between commas, nothing else (no header, no quotes). A refusal names line and column.
 * Numbers have a decimal point whatever the locale says.
 */
#include "array.h"
#include "report.h"

#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_MAX 64

struct reader {
    const char *path, *at, *end;
    size_t line, columns, capacity;
    locale_t locale;
    struct array *array;
};

static int keep(struct reader *reader, float value)
{
    struct array *array = reader->array;
    if (array->count == reader->capacity) {
        size_t larger = reader->capacity ? product(reader->capacity, 2) : 1024;
        float *values = product(larger, sizeof(float)) < SIZE_MAX ? realloc(array->values, larger * sizeof(float))
                                                                  : NULL;
        if (!values)
            return fail("%s: out of memory at line %zu", reader->path, reader->line);
        array->values = values;
        reader->capacity = larger;
    }
    array->values[array->count++] = value;
    return EXIT_OK;
}

/* The number between reader->at and the next comma or line end. */
static int read_field(struct reader *reader, size_t column)
{
    char field[FIELD_MAX + 1];
    size_t n = 0;
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t'))
        reader->at++;
    while (reader->at < reader->end && *reader->at != ',' && *reader->at != '\n' && n < FIELD_MAX)
        field[n++] = *reader->at++;
    while (n > 0 && strchr(" \t\r", field[n - 1]) && field[n - 1])
        n--;
    field[n] = '\0';
    char *end = field;
    float value = n ? strtof_l(field, &end, reader->locale) : 0.0f;
    if (n == 0 || end != field + n || n == FIELD_MAX)
        return fail("%s: line %zu, column %zu: expected a number, got '%s'", reader->path, reader->line, column, field);
    return keep(reader, value);
}

static int read_line(struct reader *reader)
{
    size_t column = 0;
    for (;;) {
        int status = read_field(reader, ++column);
        if (status != EXIT_OK)
            return status;
        if (reader->at == reader->end || *reader->at == '\n')
            break;
        reader->at++;
    }
    if (reader->at < reader->end)
        reader->at++;
    if (reader->columns && column != reader->columns)
        return fail("%s: line %zu has %zu numbers; expected %zu, as the lines before it", reader->path, reader->line,
                    column, reader->columns);
    reader->columns = column;
    return EXIT_OK;
}

/* Whether only white space is left. */
static int at_end(const struct reader *reader)
{
    for (const char *s = reader->at; s < reader->end; s++)
        if (*s != ' ' && *s != '\t' && *s != '\r' && *s != '\n')
            return 0;
    return 1;
}

int csv_parse(const char *path, const void *bytes, size_t size, struct array *array)
{
    struct reader reader = {.path = path, .at = bytes, .line = 1, .array = array};
    reader.end = reader.at + size;
    if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        reader.at += 3;
    if (at_end(&reader))
        return fail("%s: is empty; expected lines of numbers between commas", path);
    reader.locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (!reader.locale)
        return fail("%s: out of memory", path);
    int status = EXIT_OK;
    for (; status == EXIT_OK && !at_end(&reader); reader.line++)
        status = read_line(&reader);
    freelocale(reader.locale);
    array->rank = 2;
    array->shape[0] = reader.line - 1;
    array->shape[1] = reader.columns;
    return status;
}

void csv_write(FILE *stream, const struct array *array)
{
    size_t columns = array->rank == 0 ? 1 : array->shape[array->rank - 1];
    for (size_t i = 0; i < array->count; i++)
        fprintf(stream, "%.9g%c", (double)array->values[i], (i + 1) % columns == 0 ? '\n' : ',');
}
