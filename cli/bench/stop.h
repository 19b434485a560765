/* SPDX-License-Identifier: Apache-2.0 */
/* An end by a signal that keeps what was measured: the signal raises a flag, at which measurements look between their
 * parts and waits for a driver end. Used by run.c and gate.c. */
#ifndef CLI_BENCH_STOP_H
#define CLI_BENCH_STOP_H

#include <signal.h>

/* From here on SIGINT, SIGTERM and SIGHUP raise the flag; a second one ends the program as usual. Returns the flag. */
const volatile sig_atomic_t *stop_begin(void);
/* Gives the signals back to the open output's cleaning (cli/file.h). */
void stop_end(void);
/* The signal that came, or 0. */
int stop_signal(void);

#endif
