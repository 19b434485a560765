/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Masks of dropout and zoneout from counters, as section 9 of latchwork.h defines them: an element depends on its place
 * alone, so a mask is the same for any number of threads, however it is cut, and need not be kept: the way back makes
 * it again. Used by forward.c, walk.c and backward.c around the kernels, which know nothing of it, and by tape.c, which
 * makes room for what they change.
 */
#ifndef LW_REGULARISE_H
#define LW_REGULARISE_H

#include "model.h"

enum lw_mask_kind { LW_MASK_INPUT, LW_MASK_OUTPUT, LW_MASK_RECURRENT, LW_MASK_HIDDEN, LW_MASK_CELL };

/* All masks of one kind at one place. */
struct lw_mask {
    bool used;          /* false: there is none, and nothing below is set */
    bool steady;        /* the same at every step */
    uint32_t threshold; /* of 2^24: below it an element is hit */
    float hit, missed;  /* what the mask is there */
    uint64_t key;
};

/* Of a level and direction. `regularisation` may be NULL. */
struct lw_mask lw_mask_of(const lw_regularisation *regularisation, const lw_model *model, enum lw_mask_kind kind,
                          size_t index, size_t direction);

/* Elements [begin, end) of the mask of a step and row, on the arrays of that row. */
struct lw_mask_row {
    const struct lw_mask *mask;
    size_t step, row, begin, end;
};
void lw_mask_fill(const struct lw_mask_row *m, float *mask);
void lw_mask_times(const struct lw_mask_row *m, float *values);
/* Zoneout: values = d * before + (1 - d) * values. */
void lw_mask_blend(const struct lw_mask_row *m, const float *before, float *values);
/* Its way back: kept = d * gradient, gradient = (1 - d) * gradient. */
void lw_mask_split(const struct lw_mask_row *m, float *gradient, float *kept);

/* The part of a row that thread `part` of `parts` works on, in whole cache lines: up to the row's padding. */
static inline void lw_mask_share(size_t width, size_t part, size_t parts, size_t *begin, size_t *end)
{
    lw_share(lw_ceil_div(width, LW_PAD), part, parts, begin, end);
    *begin *= LW_PAD;
    *end *= LW_PAD;
}

#endif
