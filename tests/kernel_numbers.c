/* SPDX-License-Identifier: Apache-2.0 */
/* Draws the numbers of a kernel case; the reference's list of parameters gives their names, order and sizes. */
#include "kernel_numbers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

static float *draw(rng *r, size_t count, float scale)
{
    float *values = ref_alloc(count, sizeof *values);
    rng_fill(r, values, count, scale);
    return values;
}

struct numbers numbers_create(const kernel_case *c)
{
    struct numbers n = {.ref = ref_create(&c->brick, 1)};
    rng r = {.seed = c->seed};
    float scale = 1.0f / sqrtf((float)c->brick.hidden);
    for (size_t k = 0; k < n.ref->parameter_count; k++)
        n.parameter[k] = draw(&r, n.ref->parameters[k].count, scale);
    n.recurrent = n.ref->layers[0].output;
    n.x = draw(&r, c->rows * c->brick.input, c->scale);
    n.h = draw(&r, c->rows * n.recurrent, c->scale);
    n.c = draw(&r, c->rows * c->brick.hidden, c->scale);
    return n;
}

void numbers_destroy(struct numbers *n)
{
    for (size_t k = 0; k < n->ref->parameter_count; k++)
        free(n->parameter[k]);
    free(n->x);
    free(n->h);
    free(n->c);
    ref_destroy(n->ref);
}

const float *numbers_find(const struct numbers *n, const char *part)
{
    for (size_t k = 0; k < n->ref->parameter_count; k++)
        if (strstr(n->ref->parameters[k].name, part))
            return n->parameter[k];
    return NULL;
}

size_t stored_gates(const kernel_case *c)
{
    if (!c->gates)
        return 0;
    return c->brick.kind == LW_LSTM ? 5 : c->brick.kind == LW_GRU ? 4 : 0;
}

size_t compared_gates(const kernel_case *c)
{
    return c->brick.kind == LW_GRU && c->gates ? 3 : stored_gates(c);
}
