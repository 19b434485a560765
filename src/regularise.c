/* SPDX-License-Identifier: Apache-2.0 */
/* Draws masks and applies them to a row (see regularise.h). Plain C: the passes cost little beside the products. */
#include "regularise.h"

#include <string.h>

#include "random.h"

#define PIECE ((size_t)64) /* elements drawn at once, even */

static double rate_of(const lw_regularisation *r, const lw_model *model, enum lw_mask_kind kind, size_t index)
{
    switch (kind) {
    case LW_MASK_INPUT:
        return r->input;
    case LW_MASK_OUTPUT:
        return index == model->collapse ? r->output : r->between;
    case LW_MASK_RECURRENT:
        return r->recurrent;
    case LW_MASK_HIDDEN:
        return r->zoneout_hidden;
    default:
        return model->levels[index].c_width ? r->zoneout_cell : 0.0;
    }
}

struct lw_mask lw_mask_of(const lw_regularisation *r, const lw_model *model, enum lw_mask_kind kind, size_t index,
                          size_t direction)
{
    struct lw_mask mask = {0};
    const bool zoneout = kind >= LW_MASK_HIDDEN, expected = r && r->options & LW_EXPECTED;
    uint32_t threshold = r ? (uint32_t)(rate_of(r, model, kind, index) * 0x1p24 + 0.5) : 0;
    threshold = threshold > 0xffffffu ? 0xffffffu : threshold;
    if (threshold == 0 || (expected && !zoneout))
        return mask;
    const double rate = (double)threshold * 0x1p-24;
    mask.used = true;
    mask.threshold = threshold;
    mask.steady = kind == LW_MASK_RECURRENT || (kind <= LW_MASK_OUTPUT && r->options & LW_VARIATIONAL);
    mask.hit = zoneout ? 1.0f : 0.0f;
    mask.missed = zoneout ? 0.0f : (float)(1.0 / (1.0 - rate));
    if (expected)
        mask.hit = mask.missed = (float)rate;
    mask.key = lw_random_next(lw_random_mix(r->seed + LW_RANDOM_STEP), r->update);
    mask.key = lw_random_next(mask.key, 16 * (uint64_t)index + 8 * direction + kind);
    return mask;
}

/* Elements first to first + count - 1, first even, into room for an even number. Without a branch, which nothing could
 * foretell. */
static void draw(const struct lw_mask *mask, uint64_t key, size_t first, size_t count, float *out)
{
    const uint32_t threshold = mask->threshold;
    uint32_t hit, missed;
    memcpy(&hit, &mask->hit, sizeof hit);
    memcpy(&missed, &mask->missed, sizeof missed);
    const uint32_t other = hit ^ missed;
    for (size_t i = 0; i < count; i += 2) {
        const uint64_t bits = lw_random_next(key, (first + i) / 2);
        const uint32_t even = (uint32_t)(bits >> 40), odd = (uint32_t)bits >> 8;
        const uint32_t pair[2] = {missed ^ (other & (0 - (uint32_t)(even < threshold))),
                                  missed ^ (other & (0 - (uint32_t)(odd < threshold)))};
        memcpy(out + i, pair, sizeof pair);
    }
}

static uint64_t key_of(const struct lw_mask_row *m)
{
    return lw_random_next(lw_random_next(m->mask->key, m->mask->steady ? 0 : m->step), m->row);
}

void lw_mask_fill(const struct lw_mask_row *m, float *mask)
{
    const uint64_t key = key_of(m);
    float d[PIECE];
    for (size_t first = m->begin, count; first < m->end; first += count) {
        count = lw_min(PIECE, m->end - first);
        draw(m->mask, key, first, count, d);
        memcpy(mask + first, d, count * sizeof *d);
    }
}

void lw_mask_times(const struct lw_mask_row *m, float *values)
{
    const uint64_t key = key_of(m);
    float d[PIECE];
    for (size_t first = m->begin, count; first < m->end; first += count) {
        count = lw_min(PIECE, m->end - first);
        draw(m->mask, key, first, count, d);
        for (size_t i = 0; i < count; i++)
            values[first + i] *= d[i];
    }
}

/* What is zoned out is taken as it is, and so is what is not: an infinity does not spread over the mask. */
static void choose(size_t count, const float *d, const float *before, float *values)
{
    for (size_t i = 0; i < count; i++) {
        const float old = before[i], now = values[i];
        values[i] = d[i] == 0.0f ? now : old;
    }
}

static void weigh(size_t count, float d, const float *before, float *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = d * before[i] + (1.0f - d) * values[i];
}

void lw_mask_blend(const struct lw_mask_row *m, const float *before, float *values)
{
    const uint64_t key = key_of(m);
    float d[PIECE];
    for (size_t first = m->begin, count; first < m->end; first += count) {
        count = lw_min(PIECE, m->end - first);
        draw(m->mask, key, first, count, d);
        if (m->mask->hit == m->mask->missed)
            weigh(count, m->mask->hit, before + first, values + first);
        else
            choose(count, d, before + first, values + first);
    }
}

void lw_mask_split(const struct lw_mask_row *m, float *gradient, float *kept)
{
    const uint64_t key = key_of(m);
    float d[PIECE];
    for (size_t first = m->begin, count; first < m->end; first += count) {
        count = lw_min(PIECE, m->end - first);
        draw(m->mask, key, first, count, d);
        for (size_t i = 0; i < count; i++) {
            kept[first + i] = d[i] * gradient[first + i];
            gradient[first + i] *= 1.0f - d[i];
        }
    }
}
