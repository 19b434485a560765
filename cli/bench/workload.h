/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload of the benchmark: what is computed, by which shape. It has three forms that say the same: struct workload
 * (bench/peers/protocol.h), the protocol's JSON, and a text such as "lstm T50 B1 I1024 H1024 L2 bidirectional", which
 * is also its name in results. Used by every file of the benchmark.
 */
#ifndef CLI_BENCH_WORKLOAD_H
#define CLI_BENCH_WORKLOAD_H

#include "../../bench/peers/protocol.h"

#define WORKLOAD_NAME 512

/* The default: an LSTM, one layer, T 16, B 1, forward, seed 1, no dense layer, streams together; I and H are 0. */
struct workload workload_default(void);

/* Words in any order: lstm|gru|rnn, T50, B1, I1024, H1024 (I alone or H alone: both), L2, dense10, bidirectional,
 * ragged (or ragged7: the seed of the lengths), step, streams, singly, train, update, seed5, threads2. Returns EXIT_OK
 * or EXIT_USAGE after a sentence. */
int workload_parse(const char *text, struct workload *w);
/* The shortest such text, without the threads: the same workload has the same name. For a model's workload the words
 * after it. Returns `name`. */
const char *workload_name(const struct workload *w, char name[WORKLOAD_NAME]);

/* The object of the protocol; NULL without memory. */
json_t *workload_json(const struct workload *w);
/* Fields that are left out have their default. EXIT_OK or EXIT_WORK after a sentence that starts with `where`. */
int workload_from_json(const json_t *object, const char *where, struct workload *w);

const char *workload_cell_name(const struct workload *w);
/* Floats that a driver's `output` writes. */
size_t workload_outputs(const struct workload *w);

#endif
