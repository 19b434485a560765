/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading results to show them: fields, times as texts, and the tables before they are written. In results_show.c, for
 * the page of report_html.c. A field that is not there, or is of another type, is NAN or "".
 */
#ifndef CLI_BENCH_SHOW_H
#define CLI_BENCH_SHOW_H

#include "table.h"

#include <jansson.h>

double number_of(const json_t *object, const char *name);
const char *text_of(const json_t *object, const char *name);
/* Microseconds with a fitting unit; "-" for NAN. */
const char *time_text(double us, char out[32]);
/* The object "latchwork" of the context. */
const json_t *own_context(const json_t *results);
/* Whether a benchmark has no times. */
int is_failed(const json_t *benchmark);
/* What a peer's status means, for people. */
const char *status_word(const char *status);

/* They fill a table that the caller frees; the ones with an answer tell whether there is anything in it. */
void results_fill_main(const json_t *results, struct table *table);
int results_fill_latency(const json_t *results, struct table *table);
int results_fill_peers(const json_t *results, int markdown, struct table *table);
/* A line for everything that could not be measured. */
void results_write_troubles(const json_t *results, const char *bullet, FILE *out);

#endif
