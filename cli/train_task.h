/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A training task: where batches come from, what the network's last brick gives, and when the task is solved. One
 * table entry and one file a kind (train_memory.c, train_series.c, train_classify.c, train_text.c); the trainer knows
 * none of them by name. Batches are pure functions of their number, so that data needs no place in a checkpoint.
 */
#ifndef CLI_TRAIN_TASK_H
#define CLI_TRAIN_TASK_H

#include "train_settings.h"

#include <stdint.h>

/* Which data: to learn from; the small set that is looked at while learning; the large one for the last word. Sets of
 * the memory tasks have no sequence in common; those of the other tasks are the whole validation split and, where that
 * is large, its beginning. */
enum part { PART_TRAIN, PART_CHECK, PART_FINAL };

/* One batch; time first. S is T, or 1 where only the last step counts. */
struct batch {
    float *input;        /* (T, B, I) */
    float *target;       /* (S, B, O), or NULL */
    int32_t *classes;    /* (S, B), or NULL */
    size_t *lengths;     /* (B) steps of each row, or NULL: all T */
    unsigned char *mask; /* (S, B): 0 where nothing counts; full of 1 when fill is called */
    int restart;         /* carried state: begin from zero. 0 when fill is called */
};

struct measure {
    double loss;
    double accuracy; /* not a number where the task has none */
    size_t counted;
};

struct task {
    const struct task_kind *kind;
    size_t steps, batch, input, output; /* T, B, I, O */
    lw_loss_kind loss;
    lw_output output_kind;
    int ragged;                          /* batches have lengths */
    int carried;                         /* the state goes from each batch to the next: truncated BPTT */
    size_t check_batches, final_batches; /* of PART_CHECK and PART_FINAL */
    double baseline;                     /* loss of the forecast that every model must beat; not a number: none */
    double linear;                       /* series: loss of a linear autoregression; not a number: none */
    uint64_t digest;                     /* of the data that came from files */
    void *data;
};

struct defaults {
    size_t hidden, layers, length, batch, updates, every, patience;
    const char *rate, *clip;
    const char *plain_rate; /* of a plain RNN, which a large rate throws into saturation; NULL: as `rate` */
};

struct task_kind {
    const char *name;
    const char *rule;           /* when it counts as solved, for help; NULL: never */
    int memory;                 /* synthetic: no data file, chrono initialisation, a picture of the gradient */
    const char *const *options; /* names that only some kinds know and this one does, NULL-terminated */
    struct defaults defaults;
    int (*open)(struct task *task, const struct settings *settings);
    void (*fill)(const struct task *task, enum part part, uint64_t index, struct batch *batch);
    /* Rows of a batch that are right, where the loss cannot tell; NULL: the loss tells. */
    size_t (*correct)(const struct task *task, const struct batch *batch, const float *output);
    int (*solved)(const struct measure *measure); /* NULL: never */
    /* Numbers that a user of the model needs, as tensors and pairs of metadata; returns how many of each. */
    size_t (*extras)(const struct task *task, lw_tensor tensors[4]);
    void (*close)(struct task *task);
};

extern const struct task_kind task_latch, task_adding, task_copy, task_series, task_classify, task_text;
extern const struct task_kind *const task_kinds[]; /* NULL-terminated */
extern const char *const task_names[];             /* the same, for help and completion */

int task_open(struct task *task, const struct settings *settings);
void task_close(struct task *task);

/* FNV-1a (64 bits) over bytes, from a digest before it or DIGEST_START. */
#define DIGEST_START 0xcbf29ce484222325u
uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t size);

/* Prints as many characters as wanted into a malloc'd text: a continuation by the trained model. (train_text.c) */
int text_sample(const struct task *task, const lw_model *model, uint64_t seed, size_t count, char **text);

#endif
