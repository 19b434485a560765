/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a training run is to do: the command line over the configuration file over the task's defaults, in that order.
 * Made by train_settings.c, read by every file of `train`. After settings_read nothing is left open.
 */
#ifndef CLI_TRAIN_SETTINGS_H
#define CLI_TRAIN_SETTINGS_H

#include "arguments.h"

#include <jansson.h>
#include <latchwork.h>

struct task_kind;

struct settings {
    /* As given. */
    const char *config, *data, *labels, *lengths, *cell, *optimiser, *schedule, *initial, *rate, *clip, *out, *log,
        *checkpoint, *report, *dropout, *input_dropout, *recurrent_dropout, *zoneout, *zoneout_cell;
    size_t classes, window, horizon, hidden, layers, length, batch, updates, warm_up, chrono, every, patience, seed,
        threads, sample;
    int resume, json, variational;
    /* What it means. */
    const struct task_kind *task;
    lw_kind cell_kind;
    lw_optimiser_kind optimiser_kind;
    lw_rate_kind rate_kind;
    double rate_value, clip_value;
    lw_regularisation regularisation; /* its update is the trainer's business */
    int regularised;                  /* any rate is above 0 */
    json_t *file;                     /* owns the texts that came from the configuration file */
};

/* Reads everything and checks it; the same results as arguments_parse. settings_free afterwards in any case. */
int settings_read(const struct command *command, int argc, const char **argv, struct settings *settings);
void settings_free(struct settings *settings);

/* The same without a command line: begins with everything left open; then the caller writes what it knows, and
 * settings_complete fills in the task's defaults and checks. Nothing has to be freed where no file was read. */
void settings_begin(struct settings *settings, const struct task_kind *task);
int settings_complete(struct settings *settings);

/* What the bits of a run depend on, as a JSON object; NULL when memory is out. What may differ between a run and its
 * resumption (threads, files, the number of updates under a constant rate) is not in it. */
json_t *settings_identity(const struct settings *settings);

#endif
