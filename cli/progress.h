/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A progress bar on stderr for work that takes over a second; silent when stderr is no terminal.
 * Used by `run`, `gates` and `train`. One bar at a time.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stddef.h>

/* `total` 0: the end is not known, the time that has passed is shown. `what` must outlive the bar. */
void progress_begin(const char *what, size_t total);
void progress_set(size_t done);
/* A few words that stand behind the bar from now on. */
void progress_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Wipes the bar. */
void progress_end(void);

/* Seconds of a clock that never goes back. */
double clock_seconds(void);

#endif
