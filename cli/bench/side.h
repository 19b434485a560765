/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of a comparison, from a word of the command line: a file of results, a build (its folder or its command), a
 * commit, which is built in a worktree of its own, or any command that speaks the driver protocol. Used by gate.c.
 */
#ifndef CLI_BENCH_SIDE_H
#define CLI_BENCH_SIDE_H

#include "driver.h"

#define EXIT_BASE 5 /* the commit to compare with cannot be built, which is no fault of what is judged */

enum { SIDE_PATH = 4096 };

struct side {
    const char *name;         /* as the user wrote it */
    json_t *results;          /* recorded; NULL: it can be run */
    char program[SIDE_PATH];  /* a latchwork command; "": `command` */
    const char *command;      /* a command line of its own */
    char folder[SIDE_PATH];   /* of what was built for it, "" when nothing was */
    char worktree[SIDE_PATH]; /* of the commit */
};

/* Each returns EXIT_OK, or an exit code after a sentence. `text` must outlive the side. side_close is always due. */
int side_open(struct side *side, const char *text);
/* A commit, or what side_open takes. EXIT_BASE when the commit cannot be built. */
int side_open_base(struct side *side, const char *text);
/* This very program. */
int side_open_own(struct side *side);
/* The working tree in which the command is run, built as side_open_base builds a commit. */
int side_open_tree(struct side *side);
void side_open_command(struct side *side, const char *command);
int side_is_commit(const struct side *side);
void side_close(struct side *side);

/* Its driver, whose command stands behind the words of `prefix` (NULL: none). NULL after a sentence. */
struct driver *side_driver(const struct side *side, const char *const *prefix, const char *name, double seconds);

#endif
