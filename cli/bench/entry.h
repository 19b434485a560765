/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One engine in one workload: what it is asked, what it answered, and what went wrong. Used by measure.c, which lets
 * the entries of a workload take turns, and by rows.c, which writes them down.
 */
#ifndef CLI_BENCH_ENTRY_H
#define CLI_BENCH_ENTRY_H

#include "driver.h"
#include "suite.h"

#include <stdio.h>

#define COUNTS_MAX 16

struct probe {
    size_t threads;
    double median_us, least_us;
};

struct samples {
    double *us;
    size_t count, room;
};

struct entry {
    const char *name;
    struct driver *driver;
    struct workload workload;      /* its threads: the count that it is prepared with */
    const struct variant *variant; /* of Latchwork itself, or NULL */
    struct trouble trouble;        /* DRIVER_OK: none */
    struct probe probes[COUNTS_MAX];
    size_t probe_count;
    double estimate_us;              /* of a call */
    size_t inner;                    /* calls of a sample */
    struct samples samples, singles; /* singles: calls that were timed one by one */
    double cpu_us;                   /* mean of a call, by its CPU time; 0: the driver does not tell */
    size_t calls;
    double peak_bytes; /* 0: not known */
    double difference; /* largest, of the outputs; NAN: not compared */
};

/* Each asks the driver, keeps a trouble in the entry and returns 1 when there is none. */
int entry_prepare(struct entry *entry, size_t threads);
/* Adds `repeat` samples to where they belong. */
int entry_run(struct entry *entry, struct samples *samples, size_t repeat, size_t inner, size_t warmup);
/* The output, of `count` floats, for the caller to free; NULL with a trouble. */
float *entry_output(struct entry *entry, size_t *count);
void entry_memory(struct entry *entry); /* no trouble when it is not told */

void entry_free(struct entry *entry);

#endif
