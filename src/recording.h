/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a forward run leaves behind for the way back: of every level its input, its trail of outputs and its gates, for
 * all steps and rows. Written by forward.c, read by backward.c, owned by a tape. Rows are sorted by falling length.
 *
 * Trails and gates have one slot more than steps, for the initial state: a forward level has it in slot 0 and step t in
 * slot t + 1, a reverse one has step t in slot t and each row's initial state in the slot behind its last step. Slots
 * behind that are zero, so that sums over all steps and rows may include them.
 */
#ifndef LW_RECORDING_H
#define LW_RECORDING_H

#include "context.h"
#include "regularise.h"

/* Of one direction of one level. */
struct lw_record {
    float *trail; /* (steps + 1, rows, trail_stride); a level without memory: (steps, rows) from slot 0 */
    float *gates; /* (steps + 1, rows, gates_stride), or NULL */
    /* With regularisation, at each step: what was fed back in the place of h, rows like the trail's, and its mask
     * (rows); and c before the step, because the gates hold c from before zoneout. Else NULL. */
    float *fed, *fed_mask;
    float *cells; /* (steps, rows, c_width) */
};

struct lw_level_record {
    struct lw_record side[2];
    size_t trail_stride, gates_stride;
    /* (steps or 1, rows, joined_stride) what dropout leaves of the directions side by side; NULL with one direction and
     * no dropout of it. */
    float *joined;
    size_t joined_stride;
    struct view in; /* what the level read */
    struct view out;
};

struct lw_recording {
    size_t steps, batch;
    size_t first_step; /* in the whole run, of which this may be a segment */
    lw_regularisation regularisation;
    lw_output output_kind;
    float *staged; /* (steps, rows, staged_stride) the input */
    size_t staged_stride;
    struct lw_level_record *levels;
    size_t *user_rows, *lengths; /* (rows) */
};

/* Arrays of the way back, for one level at a time; strides are of a row. */
struct lw_back_space {
    float *dy[2]; /* (steps, rows) gradient of a level's output, and of its input */
    size_t rows;  /* of the three that follow: some whole steps, as many as the caches hold well */
    float *d;     /* argument gradients */
    float *aux;
    float *projected;
    float *dh, *dc, *wide;         /* (rows) */
    float *kept, *kept_cell, *fed; /* (rows), of wide_stride: with regularisation, past zoneout and of what was fed */
    size_t dy_stride, d_stride, aux_stride, projected_stride, dh_stride, dc_stride, wide_stride;
};

#endif
