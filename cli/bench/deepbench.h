/* SPDX-License-Identifier: Apache-2.0 */
/* The shapes of DeepBench's recurrent layers. Used by suite.c. */
#ifndef CLI_BENCH_DEEPBENCH_H
#define CLI_BENCH_DEEPBENCH_H

#include "suite.h"

/* Adds those of the extent: a call of at most 1.8 GFLOP with 16 rows or more is quick, up to 40 GFLOP usual. */
int deepbench_add(struct suite *suite, enum extent extent);

#endif
