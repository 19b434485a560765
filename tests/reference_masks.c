/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The masks of dropout and zoneout, element by element, written from section 9 of latchwork.h. Called by the reference
 * through reference.h; shares no code with the library.
 */
#include "reference.h"

#include <math.h>
#include <stdint.h>

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t m(uint64_t k, uint64_t v)
{
    return mix(k + UINT64_C(0x9e3779b97f4a7c15) * (v + 1));
}

/* The rate that holds for a layer: `between` or `output` by its place. */
static double rate_of(const ref_model *model, ref_mask_kind kind, size_t layer)
{
    const lw_regularisation *r = model->regularisation;
    size_t last = model->layer_count;
    while (last > 0 && !model->layers[last - 1].signals)
        last--;
    switch (kind) {
    case REF_INPUT:
        return r->input;
    case REF_OUTPUT:
        return !model->layers[layer].signals ? 0 : layer + 1 == last ? r->output : r->between;
    case REF_RECURRENT:
        return r->recurrent;
    case REF_ZONEOUT_H:
        return r->zoneout_hidden;
    default:
        return r->zoneout_cell;
    }
}

double ref_mask(const ref_model *model, ref_mask_kind kind, size_t layer, lw_direction direction, size_t step,
                size_t row, size_t unit)
{
    const lw_regularisation *r = model->regularisation;
    int zoneout = kind == REF_ZONEOUT_H || kind == REF_ZONEOUT_C;
    if (!r)
        return zoneout ? 0 : 1;
    double below = floor(ldexp(rate_of(model, kind, layer), 24) + 0.5), rate = ldexp(below, -24);
    if (r->options & LW_EXPECTED)
        return zoneout ? rate : 1;
    if (kind == REF_RECURRENT || (r->options & LW_VARIATIONAL && !zoneout))
        step = 0;
    uint64_t second = model->layers[layer].directions == 2 && direction == LW_REVERSE && kind >= REF_RECURRENT;
    uint64_t key = m(m(mix(r->seed + UINT64_C(0x9e3779b97f4a7c15)), r->update), 16 * layer + 8 * second + kind);
    uint64_t bits = m(m(m(key, step), row), unit / 2);
    double number = (double)(unit % 2 ? bits >> 8 & 0xffffff : bits >> 40);
    if (zoneout)
        return number < below;
    return number < below ? 0 : 1 / (1 - rate);
}
