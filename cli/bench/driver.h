/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver process (bench/peers/PROTOCOL.md), seen from the side that asks: starts it, asks it, stops and continues it
 * between its turns, and turns everything that can go wrong with it into a trouble with a kind and a sentence. Used by
 * the measurement beside peers and by the gate. After a crash, a time-out or rubbish the process is ended; the next
 * question starts it anew.
 */
#ifndef CLI_BENCH_DRIVER_H
#define CLI_BENCH_DRIVER_H

#include <jansson.h>
#include <signal.h>

enum driver_status {
    DRIVER_OK,
    DRIVER_MISSING,     /* the engine is not there, or the command cannot be started */
    DRIVER_UNSUPPORTED, /* it does not offer this */
    DRIVER_ERROR,       /* it says that it failed */
    DRIVER_CRASHED,     /* it ended */
    DRIVER_TIMEOUT,     /* no answer in time */
    DRIVER_RUBBISH,     /* an answer that is none */
    DRIVER_DIFFERS,     /* it computes something else; set by who compares */
    DRIVER_STOPPED,     /* the caller's flag was raised by a signal */
};

struct trouble {
    enum driver_status kind;
    char text[400];
};

struct driver;

/* "ok", "missing", "unsupported", "error", "crashed", "timeout", "rubbish", "differs", "stopped"; static. */
const char *driver_status_word(enum driver_status kind);
/* Fills in a trouble; returns 0. */
int trouble_set(struct trouble *trouble, enum driver_status kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Nothing is started yet. argv is copied. `seconds`: the longest wait for an answer. NULL without memory. */
struct driver *driver_open(const char *name, const char *const *argv, double seconds);
/* The same from a command line, split as a shell does (quotes and backslashes; nothing is expanded). NULL after
 * filling in *trouble. */
struct driver *driver_open_command(const char *name, const char *command, double seconds, struct trouble *trouble);
const char *driver_name(const struct driver *driver);
/* Sends the command, which it releases, and waits for the answer, which the caller owns. NULL with a trouble. Continues
 * a paused driver first. */
json_t *driver_ask(struct driver *driver, json_t *command, struct trouble *trouble);
/* Stops the process and all that it started (SIGSTOP) until it is asked again. */
void driver_pause(struct driver *driver);
void driver_resume(struct driver *driver);
/* Ends the process; the next question starts a new one. */
void driver_end(struct driver *driver);
/* Ends its input, at which a driver ends by itself; 0 when it has not done so after its longest wait, and is ended. */
int driver_finish(struct driver *driver);
void driver_close(struct driver *driver); /* NULL is allowed */
/* Once the flag is raised by a signal's handler, every wait for an answer ends with DRIVER_STOPPED. NULL: no flag. */
void driver_stop_when(const volatile sig_atomic_t *flag);
/* The process, or 0 when none runs. */
int driver_process(const struct driver *driver);

#endif
