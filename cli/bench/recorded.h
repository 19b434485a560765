/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded results as a side of a comparison: whether they are of the same machine, and what their samples say. Used by
 * gate.c. */
#ifndef CLI_BENCH_RECORDED_H
#define CLI_BENCH_RECORDED_H

#include "ratios.h"

#include <jansson.h>

#define RECORDED_PARTS 20

/* EXIT_OK when both are of one machine: CPU, number of CPUs, instruction set, frequency policy; else EXIT_WORK after a
 * sentence that names the difference. */
int recorded_same_machine(const json_t *base, const char *base_name, const json_t *now, const char *now_name);
/* Logarithms of the medians of the samples' parts, one after another in time, so that a disturbance spoils few of them.
 * Returns how many there are; 0 when the benchmark failed. */
size_t recorded_logs(const json_t *benchmark, double logs[RECORDED_PARTS]);

#endif
