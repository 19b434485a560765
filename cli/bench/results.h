/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as JSON: Google Benchmark's form with fields of our own, as docs/benchmarking.md describes. Everything that
 * shows or compares results reads this form, so that a file and a fresh run are the same to it.
 */
#ifndef CLI_BENCH_RESULTS_H
#define CLI_BENCH_RESULTS_H

#include <jansson.h>
#include <stdio.h>

#define RESULTS_SCHEMA 1

/* {"context": {..., "latchwork": {...}}, "benchmarks": []} of this machine and this library; NULL after a sentence. */
json_t *results_create(void);
/* Reads a file ("-": standard input) and checks it. EXIT_OK, or EXIT_WORK after a sentence: not there, truncated, no
 * results of this form, a newer schema. The caller owns *results. */
int results_load(const char *path, json_t **results);
/* Writes them whole or not at all. */
int results_save(const json_t *results, const char *path);
/* The benchmark of that name, or NULL; borrowed. */
json_t *results_find(const json_t *results, const char *name);

/* As a table for people, as a Markdown table, as CSV. */
void results_write_table(const json_t *results, FILE *out);
void results_write_markdown(const json_t *results, FILE *out);
void results_write_csv(const json_t *results, FILE *out);
/* One self-contained page; EXIT_OK, or EXIT_WORK after a sentence. */
int bench_report_html(const json_t *results, FILE *out);

#endif
