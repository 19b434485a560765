/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `run` and `gates` share: a loaded model with its context, and an input seen as (T, B, I) with strides.
 * Every function that can fail prints its sentence and returns an exit code.
 */
#ifndef CLI_WORK_H
#define CLI_WORK_H

#include "array.h"

#include <jansson.h>
#include <latchwork.h>

/* The instruction set of that name; NULL: -1, the library's choice. */
int find_isa(const char *name, int *isa);

struct work {
    const char *path; /* of the model */
    lw_model *model;
    lw_context *context;
    size_t threads; /* at most */
    int reverse;    /* some layer walks backwards: a sequence must not be cut */
    int recurrent;  /* some layer has a state */
    size_t flops;   /* of one step of one row */
};

/* `threads` may be OPTION_UNSET. */
int work_open(struct work *work, const char *path, const char *isa, size_t threads);
void work_close(struct work *work);

/* Steps of a call of the library: few enough for progress, many enough to cost nothing. */
size_t work_chunk(const struct work *work, size_t batch);

struct sequence {
    struct array array;
    size_t steps, batch;
    size_t step_stride, row_stride; /* floats */
};

/* "T,I" or "T,B,I" into shape; EXIT_USAGE when it is none. */
int parse_shape(const char *text, size_t shape[3], size_t *rank);
/* Loads the input and checks it against the model. `shape` as in --shape, or NULL. */
int sequence_load(struct sequence *sequence, const char *path, const char *shape, int batch_first,
                  const struct work *work);

const char *kind_name(lw_kind kind);
const char *direction_name(lw_direction direction);

/* A JSON string of a text that may be anything. */
json_t *json_text(const char *text);
/* Prints the document and releases it. */
int json_print(json_t *root);

#endif
