/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the page of results. Each reads the JSON alone, takes nothing in it for granted, and writes nothing when
 * it has nothing to show. A workload has the same number and colour everywhere on the page.
 */
#ifndef CLI_BENCH_REPORT_HTML_H
#define CLI_BENCH_REPORT_HTML_H

#include <jansson.h>
#include <stdio.h>

/* Of the page's palette: by the suite, 0 to 7. */
int report_colour(const json_t *benchmark);
/* A field when it is above 0, else NAN: what can stand on a logarithmic scale. */
double positive_of(const json_t *object, const char *name);
/* FLOP/s as "12.3 GFLOP/s". */
const char *report_speed(double flops, char text[32]);
/* The mark "5" in its colour, and the name behind it. */
void report_key(const json_t *benchmark, size_t index, FILE *out);

void report_summary(const json_t *results, FILE *out);
void report_roofline(const json_t *results, FILE *out);
void report_peers(const json_t *results, FILE *out);
void report_latency(const json_t *results, FILE *out);
void report_scaling(const json_t *results, FILE *out);

#define EACH_MEASURED(results_, index_, benchmark_) \
    json_array_foreach(json_object_get(results_, "benchmarks"), index_, benchmark_) if (!is_failed(benchmark_))

#endif
