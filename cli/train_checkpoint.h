/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a training run: the checkpoint, from which a run goes on with the same bits, and the trained model. Both are
 * safetensors files and are there whole or not at all. Used by train_loop.c and cmd_train.c.
 */
#ifndef CLI_TRAIN_CHECKPOINT_H
#define CLI_TRAIN_CHECKPOINT_H

#include "train_trainer.h"

int checkpoint_save(const struct trainer *trainer, const char *path);
/* Refuses a checkpoint of other settings or data by naming what differs; the trainer is then no longer of use. */
int checkpoint_restore(struct trainer *trainer, const char *path);

/* The model with the trained parameters, the task's own tensors beside them. */
int model_save(const struct trainer *trainer, const char *path);

#endif
