/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating, clearing and serialising a state. Called by api.c. The saved form is the same on every machine:
 * "LWSTATE1", then batch, floats in a row and a hash of the model's shape as 64-bit numbers, then the vectors without
 * padding, all little endian.
 */
#include "state.h"

#include <string.h>

#include "bytes.h"

static const char magic[8] = {'L', 'W', 'S', 'T', 'A', 'T', 'E', '1'};
enum { HEADER_BYTES = 32 };

lw_status lw_state_build(const lw_model *model, size_t batch, lw_state **result)
{
    size_t floats, bytes;
    if (!lw_mul(batch, model->state_floats, &floats) || !lw_mul(floats, sizeof(float), &bytes))
        return lw_fail(LW_ERR_SHAPE, "the size of a state of %zu rows overflows", batch);
    lw_state *state = lw_alloc(sizeof *state);
    float *vectors = lw_alloc(bytes);
    if (!state || !vectors) {
        lw_free(state);
        lw_free(vectors);
        return lw_fail_memory(bytes);
    }
    lw_model_hold(model);
    state->model = (lw_model *)model;
    state->batch = batch;
    state->vectors = vectors;
    *result = state;
    return LW_OK;
}

void lw_state_free(lw_state *state)
{
    if (!state)
        return;
    lw_model_release(state->model);
    lw_free(state->vectors);
    lw_free(state);
}

void lw_state_clear(lw_state *state)
{
    memset(state->vectors, 0, lw_state_vector_bytes(state));
}

bool lw_state_rows(const lw_state *state, size_t index, lw_direction direction, lw_memory memory, struct lw_rows *rows)
{
    const struct lw_level *level = &state->model->levels[index];
    size_t d;
    if (!level->h_width || (memory == LW_CELL && !level->c_width) || !lw_level_direction(level, direction, &d))
        return false;
    *rows = memory == LW_HIDDEN ? (struct lw_rows){lw_state_h(state, level, d), level->output, level->h_width}
                                : (struct lw_rows){lw_state_c(state, level, d), level->hidden, level->c_width};
    return true;
}

void lw_rows_copy(const struct lw_rows *rows, size_t count, float *out, const float *in)
{
    for (size_t row = 0; row < count; row++) {
        float *ours = rows->data + row * rows->stride;
        memcpy(out ? out + row * rows->width : ours, out ? ours : in + row * rows->width, rows->width * sizeof(float));
    }
}

/* Floats of one row without padding. */
static size_t row_floats(const lw_model *model)
{
    size_t count = 0;
    for (size_t i = 0; i < model->level_count; i++) {
        const struct lw_level *level = &model->levels[i];
        if (level->h_width)
            count += level->directions * (level->output + (level->c_width ? level->hidden : 0));
    }
    return count;
}

/* FNV-1a over the widths of every recurrent level. */
static uint64_t shape_hash(const lw_model *model)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < model->level_count; i++) {
        const struct lw_level *level = &model->levels[i];
        const uint64_t facts[] = {(uint64_t)level->cell->kind, level->output, level->hidden, level->directions};
        for (size_t k = 0; level->h_width && k < sizeof facts / sizeof *facts; k++)
            hash = (hash ^ facts[k]) * 0x100000001b3u;
    }
    return hash;
}

size_t lw_state_saved_bytes(const lw_state *state)
{
    return HEADER_BYTES + state->batch * row_floats(state->model) * sizeof(float);
}

static unsigned char *put_rows(unsigned char *to, const float *vectors, size_t rows, size_t width, size_t stride)
{
    for (size_t row = 0; row < rows; row++)
        to = lw_put_floats(to, vectors + row * stride, width);
    return to;
}

static const unsigned char *get_rows(const unsigned char *from, float *vectors, size_t rows, size_t width,
                                     size_t stride)
{
    for (size_t row = 0; row < rows; row++)
        from = lw_get_floats(from, vectors + row * stride, width);
    return from;
}

void lw_state_write(const lw_state *state, unsigned char *bytes)
{
    const lw_model *model = state->model;
    memcpy(bytes, magic, sizeof magic);
    lw_put64(bytes + 8, state->batch);
    lw_put64(bytes + 16, row_floats(model));
    lw_put64(bytes + 24, shape_hash(model));
    unsigned char *to = bytes + HEADER_BYTES;
    for (size_t i = 0; i < model->level_count; i++) {
        const struct lw_level *level = &model->levels[i];
        for (size_t d = 0; level->h_width && d < level->directions; d++) {
            to = put_rows(to, lw_state_h(state, level, d), state->batch, level->output, level->h_width);
            if (level->c_width)
                to = put_rows(to, lw_state_c(state, level, d), state->batch, level->hidden, level->c_width);
        }
    }
}

lw_status lw_state_read(lw_state *state, const unsigned char *bytes)
{
    const lw_model *model = state->model;
    if (memcmp(bytes, magic, sizeof magic) != 0)
        return lw_fail(LW_ERR_FORMAT, "these bytes are no saved state: they do not begin with LWSTATE1");
    if (lw_get64(bytes + 8) != state->batch)
        return lw_fail(LW_ERR_SHAPE, "the saved state has %llu rows, this one %zu",
                       (unsigned long long)lw_get64(bytes + 8), state->batch);
    if (lw_get64(bytes + 16) != row_floats(model) || lw_get64(bytes + 24) != shape_hash(model))
        return lw_fail(LW_ERR_SHAPE, "the saved state is of a model with other layers");
    const unsigned char *from = bytes + HEADER_BYTES;
    for (size_t i = 0; i < model->level_count; i++) {
        const struct lw_level *level = &model->levels[i];
        for (size_t d = 0; level->h_width && d < level->directions; d++) {
            from = get_rows(from, lw_state_h(state, level, d), state->batch, level->output, level->h_width);
            if (level->c_width)
                from = get_rows(from, lw_state_c(state, level, d), state->batch, level->hidden, level->c_width);
        }
    }
    return LW_OK;
}
