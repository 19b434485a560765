/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workloads that a run measures: the named suites, the shapes of the command line, or a file such as
 * bench/peers/workloads.json, which also says what is to be reached. Used by cmd_bench.c.
 */
#ifndef CLI_BENCH_SUITE_H
#define CLI_BENCH_SUITE_H

#include "workload.h"

/* A change of a workload whose time is compared with the workload's own ("one thread", "padded"). */
struct variant {
    char *name;
    struct workload workload;
    size_t threads;   /* fixed; 0: the better count */
    double ratio;     /* of its time to ours, to be reached; 0: none */
    int other_answer; /* it does not compute the same */
};

struct row {
    char *suite;
    char *label; /* the row's name in a file; NULL elsewhere */
    struct workload workload;
    double ratio; /* best peer / ours, to be reached; 0: none */
    double share; /* of the limit, to be reached; 0: none */
    struct variant *variants;
    size_t variant_count;
};

struct suite {
    struct row *rows;
    size_t count;
    json_t *document; /* of a file, which holds the texts of its workloads */
};

extern const char *const suite_names[]; /* NULL-terminated */
#define SUITE_COUNT 7

/* How much of a suite: a few small shapes, the usual ones, all. */
enum extent { EXTENT_QUICK, EXTENT_USUAL, EXTENT_FULL };

/* Each adds rows, or gives EXIT_USAGE or EXIT_WORK after a sentence. A workload that is there already is not added. */
int suite_add_named(struct suite *suite, const char *name, enum extent extent);
int suite_add_file(struct suite *suite, const char *path);
int suite_add(struct suite *suite, const char *name, const struct workload *w);
/* Keeps the rows whose "suite/name" or label the expression (POSIX extended, any case) is found in. */
int suite_filter(struct suite *suite, const char *expression);
/* Keeps the rows of that cell (NULL: any) and, with `train`, those that train. EXIT_USAGE when none is left. */
int suite_keep(struct suite *suite, const char *cell, int train);
void suite_free(struct suite *suite);

#endif
