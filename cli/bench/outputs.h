/* SPDX-License-Identifier: Apache-2.0 */
/* The files that results are written to: the options of `bench` and `bench report`. */
#ifndef CLI_BENCH_OUTPUTS_H
#define CLI_BENCH_OUTPUTS_H

#include "../arguments.h"

#include <jansson.h>

struct outputs {
    const char *json, *csv, *markdown, *html, *history; /* paths, "-" for standard output, NULL: not wanted */
};

/* Rows of an option table for the outputs at `field` of `type`. */
#define OUTPUT_OPTION(name_, type, field, help_)                                                                     \
    {                                                                                                                \
        .name = name_, .kind = OPTION_TEXT, .offset = offsetof(type, field), .value = "FILE", .values = VALUES_FILE, \
        .help = help_                                                                                                \
    }
#define OUTPUT_OPTIONS(type, outputs)                                                              \
    OUTPUT_OPTION("json", type, outputs.json, "the results; - is standard output here and below"), \
        OUTPUT_OPTION("csv", type, outputs.csv, "the results as a table for spreadsheets"),        \
        OUTPUT_OPTION("markdown", type, outputs.markdown, "the results as a table for a text"),    \
        OUTPUT_OPTION("html", type, outputs.html, "a report with pictures, one page in itself"),   \
        OUTPUT_OPTION("history", type, outputs.history, "a file of 'bench history': its trends go into the page")

/* Whether they can be written, and take the place of nothing that the command reads (two paths, or NULL), before any
 * work is done. */
int outputs_check(const struct outputs *outputs, const char *first, const char *second);
/* Writes them, and the table to standard output unless one of them goes there. */
int outputs_write(const struct outputs *outputs, const json_t *results);

/* One document in one form, whole or not at all. */
int output_form(const char *path, int (*form)(const json_t *, FILE *), const json_t *document);

#endif
