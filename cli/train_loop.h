/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The training loop: updates, validations, early stopping, checkpoints, the log and the progress bar, until the run
 * ends or a signal stops it. Used by cmd_train.c and bench/memory.c and, without files, by train_report.c.
 */
#ifndef CLI_TRAIN_LOOP_H
#define CLI_TRAIN_LOOP_H

#include "train_trainer.h"

/* Trains until the end and leaves the trained parameters in the trainer: those that solved the task, else those with
 * the best validation loss. *final is measured over PART_FINAL with them. */
int loop_run(struct trainer *trainer, struct measure *final);

/* Between these two a signal lets loop_run end after the current update, and every later one at once, with 128 + the
 * signal's number; a second signal ends the program. A run with a checkpoint does that by itself. */
void loop_catch_signals(void);
void loop_release_signals(void);

/* Trains a comparison quietly: exactly so many updates, no files, no early end. */
int loop_run_quietly(struct trainer *trainer, uint64_t updates);

#endif
