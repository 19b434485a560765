/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history of results: a file with one JSON object a line, each a run. Read, appended to and cut into levels by
 * history.c; drawn by history_html.c.
 */
#ifndef CLI_BENCH_HISTORY_H
#define CLI_BENCH_HISTORY_H

#include "changes.h"

#include <jansson.h>
#include <stdio.h>

/* One workload on one machine, from the oldest run to the newest. */
struct trend {
    const char *name, *machine; /* of the runs' JSON */
    const json_t **runs;
    double *us; /* medians */
    size_t count;
    size_t changes[CHANGES_MOST], change_count; /* numbers of the runs that begin a new level */
};

struct trends {
    struct trend *list;
    size_t count;
};

/* "date, commit" of a run. */
const char *run_text(const json_t *run, char text[200]);
/* The median of the level that the run `at` belongs to. */
double level_at(const struct trend *trend, size_t at);
/* The runs of a file as an array that the caller owns; NULL after a sentence. */
json_t *history_load(const char *path);
/* The part of the page of `results` with the trends of their workloads on their machine; nothing without any. */
int history_section(const json_t *runs, const json_t *results, FILE *out);

/* One trend as a picture, and what changed as paragraphs. */
void history_trend_html(const struct trend *trend, FILE *out);
/* One self-contained page. */
void history_html(const struct trends *trends, FILE *out);

#endif
