/* SPDX-License-Identifier: Apache-2.0 */
/* What `bench gate` and `bench compare` share: their arguments, and the comparison of two sides over a suite. The
 * command lines are in cmd_gate.c, the work in gate.c. */
#ifndef CLI_BENCH_GATE_H
#define CLI_BENCH_GATE_H

#include "../arguments.h"
#include "gate_report.h"
#include "side.h"
#include "suite.h"

#define EXIT_SLOWER 3 /* a workload is slower, and a repetition confirmed it */
#define EXIT_NOISY 4  /* with --strict: a workload is too noisy to tell */

struct gate {
    struct side base, now;
    struct suite suite;
    double threshold, timeout; /* 0.03; seconds for an answer */
    size_t threads, most_pairs, seed;
    int instructions, force, strict;
    const char *filter; /* of recorded benchmarks; the suite is filtered already */
    struct gate_outputs outputs;
};

/* Compares, writes the outputs, and returns the exit code. Closes nothing. */
int gate_run(struct gate *gate);

#endif
