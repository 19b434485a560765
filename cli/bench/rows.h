/* SPDX-License-Identifier: Apache-2.0 */
/* What was measured of a workload, as an object of the results (docs/benchmarking.md). Called by cmd_bench.c. */
#ifndef CLI_BENCH_ROWS_H
#define CLI_BENCH_ROWS_H

#include "cost.h"
#include "entry.h"

/* entries[0] is Latchwork, then come the row's variants and the peers. NULL without memory. */
json_t *row_json(const struct row *row, const struct entry *entries, size_t count, const struct cost *cost);
/* Adds what follows from the machine's limits, which are known at the end of a run. */
void row_finish(json_t *benchmark, const struct cost *cost);

#endif
