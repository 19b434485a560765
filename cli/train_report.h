/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTML report of a training run: one file that needs nothing else. Used by cmd_train.c.
 */
#ifndef CLI_TRAIN_REPORT_H
#define CLI_TRAIN_REPORT_H

#include "train_trainer.h"

int report_write(struct trainer *trainer, const struct measure *final, const char *path);

#endif
