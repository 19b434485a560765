/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a run: a line for each update, and one for each validation, as CSV or, in a file named .jsonl, as JSON
 * lines. It grows while the run goes on; a resumed run writes it anew from the checkpoint's history, so that it has no
 * line twice. Used by train_loop.c.
 */
#ifndef CLI_TRAIN_LOG_H
#define CLI_TRAIN_LOG_H

#include "train_trainer.h"

#include <stdio.h>

struct log {
    FILE *stream; /* NULL: no log */
    const char *path;
    int json;
    size_t records, checks; /* written so far */
};

int log_open(struct log *log, const char *path);
/* Writes what the history has beyond what is written. */
int log_write(struct log *log, const struct history *history);
int log_close(struct log *log);

#endif
