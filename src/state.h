/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one stream remembers: h, and c of an LSTM, of every level and direction, for each row. One block of floats;
 * the vectors of a level and direction are (batch, padded width), 64-byte aligned.
 */
#ifndef LW_STATE_H
#define LW_STATE_H

#include "model.h"

struct lw_state {
    lw_model *model;
    size_t batch;
    atomic_int busy; /* a call is using it */
    float *vectors;  /* batch * model->state_floats */
};

static inline float *lw_state_h(const struct lw_state *state, const struct lw_level *level, size_t direction)
{
    return state->vectors + state->batch * level->h_offset[direction];
}

static inline float *lw_state_c(const struct lw_state *state, const struct lw_level *level, size_t direction)
{
    return state->vectors + state->batch * level->c_offset[direction];
}

static inline size_t lw_state_vector_bytes(const lw_state *state)
{
    return state->batch * state->model->state_floats * sizeof(float);
}

/* The rows of one vector of a level. */
struct lw_rows {
    float *data;
    size_t width, stride;
};
/* False if the level has none such. */
bool lw_state_rows(const lw_state *state, size_t level, lw_direction direction, lw_memory memory, struct lw_rows *rows);
/* Copies `count` rows to `out`, or from `in`: the other one is NULL. */
void lw_rows_copy(const struct lw_rows *rows, size_t count, float *out, const float *in);

lw_status lw_state_build(const lw_model *model, size_t batch, lw_state **state);
void lw_state_free(lw_state *state);
void lw_state_clear(lw_state *state);
size_t lw_state_saved_bytes(const lw_state *state);
void lw_state_write(const lw_state *state, unsigned char *bytes);
lw_status lw_state_read(lw_state *state, const unsigned char *bytes);

#endif
