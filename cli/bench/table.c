/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of texts; see table.h. Widths count characters, not bytes. */
#include "table.h"

#include "../report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { CELL = 512 };

static void put(struct table *table, char *text)
{
    if (table->count == table->room) {
        const size_t room = table->room ? 2 * table->room : 64;
        char **cells = realloc(table->cells, room * sizeof *cells);
        if (!cells) {
            free(text);
            return;
        }
        table->cells = cells;
        table->room = room;
    }
    table->cells[table->count++] = text;
}

void table_cell(struct table *table, const char *format, ...)
{
    char text[CELL];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    put(table, clean_copy(text));
}

void table_more(struct table *table, const char *format, ...)
{
    char text[2 * CELL];
    va_list list;
    if (!table->count)
        return;
    const int used = snprintf(text, CELL, "%s", table->cells[table->count - 1]);
    va_start(list, format);
    vsnprintf(text + (used < CELL ? used : CELL - 1), CELL, format, list);
    va_end(list);
    free(table->cells[table->count - 1]);
    table->cells[table->count - 1] = clean_copy(text);
}

static const char *cell_at(const struct table *table, size_t row, size_t column)
{
    const size_t at = row * table->columns + column;
    return at < table->count ? table->cells[at] : "";
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

static size_t rows_of(const struct table *table)
{
    return (table->count + table->columns - 1) / table->columns;
}

void table_write_text(const struct table *table, FILE *out)
{
    for (size_t row = 0; row < rows_of(table); row++) {
        for (size_t column = 0; column < table->columns; column++) {
            const char *text = cell_at(table, row, column);
            const int left = column < table->left, last = column + 1 == table->columns;
            size_t width = 0;
            for (size_t r = 0; r < rows_of(table); r++) {
                const size_t w = characters(cell_at(table, r, column));
                width = w > width ? w : width;
            }
            const int pad = (int)(width - characters(text));
            fprintf(out, "%*s%s%*s%s", left ? 0 : pad, "", text, left && !last ? pad : 0, "", last ? "\n" : "  ");
        }
    }
}

static void write_escaped(const char *text, FILE *out)
{
    for (; *text; text++)
        if (*text == '|')
            fputs("\\|", out);
        else
            fputc(*text, out);
}

void table_write_markdown(const struct table *table, FILE *out)
{
    for (size_t row = 0; row < rows_of(table); row++) {
        for (size_t column = 0; column < table->columns; column++) {
            fputs("| ", out);
            write_escaped(cell_at(table, row, column), out);
            fputs(" ", out);
        }
        fputs("|\n", out);
        for (size_t column = 0; row == 0 && column < table->columns; column++)
            fputs(column < table->left ? "|---" : "|---:", out);
        if (row == 0)
            fputs("|\n", out);
    }
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){0};
}
