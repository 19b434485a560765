/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a comparison found, as JSON, and the forms in which it is told: a table, Markdown, JUnit's XML, annotations for
 * GitHub. Everything that is told is read from the JSON, so that no form knows more than another. Used by gate.c.
 */
#ifndef CLI_BENCH_GATE_REPORT_H
#define CLI_BENCH_GATE_REPORT_H

#include "judge.h"

#include <jansson.h>

struct gate_outputs {
    const char *json, *junit, *markdown; /* paths, NULL: not wanted */
    int github;
};

/* {"gate": {...}, "workloads": []}; `unit` is "time" or "instructions". NULL after a sentence. */
json_t *gate_report_create(const char *base, const char *now, double threshold, const char *unit);

/* Rows. `base` and `now`: microseconds, or instructions, of a call. NULL without memory. */
json_t *gate_row(const char *name, enum verdict verdict, const struct effect *effect, double base, double now);
json_t *gate_row_failed(const char *name, const char *text);
/* A workload that the base does not know: it is told, and is no failure. EXIT_OK, or EXIT_WORK after a sentence. */
int gate_report_leave_out(json_t *report, const char *name, const char *reason);
/* Adds floor, repetition and every pair. */
void gate_row_judgement(json_t *row, const struct judgement *judgement);

size_t gate_report_count(const json_t *report, enum verdict verdict);
int gate_outputs_check(const struct gate_outputs *outputs, const char *const *inputs, size_t input_count);
/* EXIT_OK, or EXIT_WORK after a sentence; all that can be written is. The table goes to standard output unless a file
 * does. */
int gate_outputs_write(const struct gate_outputs *outputs, const json_t *report);

#endif
