/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google Benchmark for C: the cases are written in C, and this is all that they see of it. Called by the bench_*.c
 * and main.c. A case is a function that sets up, loops while bench_loop says so, and sets its counters:
 *
 *     static void case_sum(bench *b, void *argument)
 *     {
 *         while (bench_loop(b, 100))
 *             for (int i = 0; i < 100; i++)
 *                 sum(argument);
 *         bench_rate(b, "bytes", sum_bytes);
 *     }
 *
 * What a case sets after its loop appears beside its time, on the console and in --benchmark_out.
 */
#ifndef LW_BENCH_SHIM_H
#define LW_BENCH_SHIM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bench bench;
typedef void (*bench_function)(bench *b, void *argument);

enum bench_unit { BENCH_NANOSECONDS, BENCH_MICROSECONDS, BENCH_MILLISECONDS };

/* Registers a case. With `threads` above 1 the function runs in that many threads at once, each with a `bench` of its
 * own; the loops start together. The name is copied; the argument must live until bench_run returns. Times are the
 * wall's. */
void bench_register(const char *name, bench_function function, void *argument, size_t threads, enum bench_unit unit);

/* True while the case shall go on: the caller then does `batch` iterations. Small work needs a batch, or the call
 * itself is measured. */
int bench_loop(bench *b, size_t batch);
/* Seconds of one iteration, once the loop has ended. */
double bench_seconds(const bench *b);
/* The compiler must take everything that `value` points to as read and written. */
void bench_keep(const void *value);

/* After the loop: a figure as it is; and `amount` of something per iteration, shown by the second (threads are added
 * up). */
void bench_counter(bench *b, const char *name, double value);
void bench_rate(bench *b, const char *name, double amount);
/* Words beside the case's time. */
void bench_label(bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Ends the case as failed, with the reason. Called instead of the loop, or in it before returning. */
void bench_fail(bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A fact of the whole run, shown above the table. */
void bench_context(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Takes Google Benchmark's arguments (--help lists them) and, unless only the list of cases was asked for, first calls
 * `before`; then runs the registered cases. Returns the exit status: 0, or 1 for arguments that nobody knows, for a
 * filter that no case matches, and when a case failed. */
int bench_run(int argc, char **argv, void (*before)(void));

#ifdef __cplusplus
}
#endif
#endif
