/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network that learns: parameters, gradients, tape and optimiser, one update at a time, and a measure over
 * validation data. Used by train_loop.c and, for a second network to compare with, by train_report.c. Everything that a
 * later update depends on is in `progress`, the parameters, the optimiser and the state: a checkpoint holds these.
 */
#ifndef CLI_TRAIN_TRAINER_H
#define CLI_TRAIN_TRAINER_H

#include "train_task.h"

enum ending { ENDING_NONE, ENDING_UPDATES, ENDING_SOLVED, ENDING_PATIENCE };
const char *ending_name(enum ending ending);

/* One row an update: loss, norm of the gradient before clipping, learning rate, seconds since the start. */
#define RECORD_WIDTH 4
/* One row a validation: number of updates, loss, accuracy. */
#define CHECK_WIDTH 3

struct history {
    double *records, *checks;
    size_t record_count, check_count, record_room, check_room;
};

struct progress {
    uint64_t updates;
    double seconds; /* of training and validation, all runs together */
    double best_loss;
    uint64_t best_update, stale; /* stale: validations since the best one */
    enum ending ending;
};

struct trainer {
    const struct settings *settings;
    const struct task *task;
    lw_model *model; /* tells the architecture; its own weights are the initial ones */
    lw_tape *tape;
    lw_optimiser *optimiser;
    lw_state *state;       /* carried from batch to batch, or NULL */
    lw_state *check_state; /* the same over validation batches */
    size_t count;          /* parameter tensors */
    size_t *counts;
    float **parameters, **gradients, **best;
    struct batch batch;
    float *output, *doutput;
    size_t threads, parameter_total;
    double flops; /* of one update */
    struct progress progress;
    struct history history;
};

/* `cell` and `chrono` may differ from the settings'. trainer_close afterwards in any case. */
int trainer_open(struct trainer *trainer, const struct settings *settings, const struct task *task, lw_kind cell,
                 size_t chrono);
void trainer_close(struct trainer *trainer);

/* Learns from the next batch and adds to the history. */
int trainer_update(struct trainer *trainer);
/* Measures the parameters over PART_CHECK or PART_FINAL. Changes nothing that an update depends on. */
int trainer_measure(struct trainer *trainer, enum part part, struct measure *measure);

/* Keeps the parameters as the best so far, or takes those back. */
void trainer_keep_best(struct trainer *trainer);
void trainer_take_best(struct trainer *trainer);

/* A model of its own with the trained parameters; the caller's. */
int trainer_model(const struct trainer *trainer, lw_model **model);

/* Norm of the gradient of the last output with respect to the input of each step, the mean over a batch of PART_FINAL:
 * (T) into norms. */
int trainer_input_gradient(struct trainer *trainer, double *norms);

int history_reserve(struct history *history, size_t records, size_t checks);

/* The library's last sentence. */
int fail_training(void);

#endif
