/* SPDX-License-Identifier: Apache-2.0 */
/* A model whose bricks the input decides, for the targets that go on with it. */
#ifndef LW_TESTS_FUZZ_MODEL_H
#define LW_TESTS_FUZZ_MODEL_H

#include "fuzz.h"

#define MODEL_BRICKS 4
#define MODEL_FLOATS ((size_t)1 << 16) /* packed, of a model that a target goes on with */

/* What was asked for. */
struct random_model {
    lw_brick bricks[MODEL_BRICKS];
    size_t count;
    int odd; /* something was out of the ordinary, so that a refusal is right */
};

/* Draws bricks. With `strict` nothing odd is drawn and every choice fits the others. */
void draw_bricks(struct source *source, int strict, struct random_model *drawn);
/* Creates and initialises it. NULL when it was refused, rightly, or is too large to go on with. */
lw_model *create_model(struct source *source, const struct random_model *drawn);

#endif
