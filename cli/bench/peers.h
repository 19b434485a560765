/* SPDX-License-Identifier: Apache-2.0 */
/* The other engines of a run: which there are, where their drivers lie, what they say of themselves. Called by
 * cmd_bench.c. */
#ifndef CLI_BENCH_PEERS_H
#define CLI_BENCH_PEERS_H

#include "../arguments.h"
#include "driver.h"

#define PEERS_MAX 32

struct peers {
    struct peer {
        char *name;
        struct driver *driver;  /* NULL where it cannot even be tried */
        struct trouble missing; /* DRIVER_OK: it is there */
    } list[PEERS_MAX];
    size_t count;
};

/* `names`: "torch,onednn" or "all", or NULL; `drivers`: NAME=COMMAND; `pythons`: an interpreter, or PEER=INTERPRETER.
 * EXIT_OK, or EXIT_USAGE after a sentence. */
int peers_open(struct peers *peers, const char *names, const struct texts *drivers, const struct texts *pythons,
               double seconds);
/* Asks each of them who it is and adds an object to the list of engines. */
void peers_introduce(struct peers *peers, json_t *engines);
void peers_close(struct peers *peers);

/* A driver of this program's own: `latchwork bench serve`. NULL after a sentence. */
struct driver *driver_open_own(const char *name, double seconds);
/* Who it is, for the list of engines; the trouble when it is missing. */
json_t *driver_introduction(struct driver *driver, const char *name, struct trouble *trouble);

#endif
