/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of texts that is filled cell by cell and then written for a terminal or as Markdown. Used by what shows
 * results. Without memory a cell stays empty.
 */
#ifndef CLI_BENCH_TABLE_H
#define CLI_BENCH_TABLE_H

#include <stddef.h>
#include <stdio.h>

struct table {
    size_t columns, left; /* the first `left` columns are texts, the others numbers */
    char **cells;         /* the heads, then row by row */
    size_t count, room;
};

/* Adds the next cell. The first `columns` cells are the heads. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts more text behind the last cell. */
void table_more(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_write_text(const struct table *table, FILE *out);
void table_write_markdown(const struct table *table, FILE *out);
void table_free(struct table *table);

#endif
