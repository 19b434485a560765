/* SPDX-License-Identifier: Apache-2.0 */
/* A whole run of the benchmark: rows, peers, limits, results. Called by cmd_bench.c. */
#ifndef CLI_BENCH_RUN_H
#define CLI_BENCH_RUN_H

#include "measure.h"
#include "peers.h"
#include "suite.h"

struct run {
    const struct suite *suite;
    struct peers *peers;
    struct plan plan; /* what the command line says of it */
    double timeout;   /* for one answer of a driver */
    char *command;    /* the command line, for the results */
};

/* Measures all rows and writes what it found to *results, which the caller owns, also when a signal ended the run
 * early: then the status is 128 and the signal's number. EXIT_WORK after a sentence when Latchwork itself could not be
 * measured in some row. */
int run_suite(struct run *run, json_t **results);

#endif
