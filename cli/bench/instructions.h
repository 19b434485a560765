/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions of a call, counted by valgrind's callgrind: the same at every run, hence a gate without noise. It sees
 * one thread and, in version 3.19, no AVX-512. Used by gate.c.
 */
#ifndef CLI_BENCH_INSTRUCTIONS_H
#define CLI_BENCH_INSTRUCTIONS_H

#include "driver.h"
#include "side.h"
#include "workload.h"

/* EXIT_OK, or EXIT_WORK after a sentence: valgrind is not there. Also names an instruction set that it knows. */
int instructions_check(void);
/* Counts both sides, and tells of each function what it changed, the largest change first: a list of {"name", "base",
 * "new"} for the caller to release. Returns 1, or 0 with a trouble of the side `blame`. */
int instructions_count(const struct side *base, const struct side *now, const struct workload *w, double seconds,
                       double counts[2], json_t **functions, const char **blame, struct trouble *trouble);

#endif
