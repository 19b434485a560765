/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latchwork behind the driver protocol: what `bench serve` prepares and calls. Used by serve.c, which owns the one
 * workload that is prepared, and engine_train.c, the part that trains.
 */
#ifndef CLI_BENCH_ENGINE_H
#define CLI_BENCH_ENGINE_H

#include "workload.h"

#include <latchwork.h>

struct training;

/* The model with the drawn parameters, or the one of the file that the workload names. */
enum engine_status engine_model(const struct workload *w, lw_model **model, char *reason);
/* The library's last sentence. */
enum engine_status engine_failed(char *reason);

/* Forward for training, backward and, with TRAIN_UPDATE, Adam's update. `lengths` may be NULL; it and `input` must live
 * as long as *training. */
enum engine_status training_open(const struct workload *w, lw_model *model, const float *input, const size_t *lengths,
                                 struct training **training, char *reason);
enum engine_status training_call(struct training *training, char *reason);
/* The parameters as they were drawn, and an optimiser that has seen nothing. */
enum engine_status training_reset(struct training *training, char *reason);
/* Gradients, or with TRAIN_UPDATE the parameters, one tensor after another. */
const float *training_result(struct training *training);
void training_close(struct training *training); /* NULL is allowed */

#endif
