/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The saved form of an optimiser: a header of five 64-bit numbers behind the magic word, then size and number of
 * updates of each tensor, then its moments; little endian throughout. Called by api_train.c. Reading checks all of
 * it before the first number is taken over.
 */
#include <string.h>

#include "bytes.h"
#include "train.h"

#define HEADER_BYTES 48
#define TENSOR_BYTES 16

static const char magic[8] = {'L', 'W', 'O', 'P', 'T', 'I', 'M', '1'};

static uint64_t moments(const lw_optimiser *optimiser)
{
    return (optimiser->mean ? 1u : 0u) | (optimiser->square ? 2u : 0u);
}

static size_t moment_count(const lw_optimiser *optimiser)
{
    return (size_t)(optimiser->mean != NULL) + (size_t)(optimiser->square != NULL);
}

size_t lw_optimiser_saved_bytes(const lw_optimiser *optimiser)
{
    return HEADER_BYTES + optimiser->count * TENSOR_BYTES + moment_count(optimiser) * optimiser->floats * sizeof(float);
}

void lw_optimiser_write(const lw_optimiser *optimiser, unsigned char *to)
{
    memcpy(to, magic, sizeof magic);
    to = lw_put64(to + sizeof magic, (uint64_t)optimiser->options.kind);
    to = lw_put64(to, moments(optimiser));
    to = lw_put64(to, optimiser->count);
    to = lw_put64(to, optimiser->floats);
    to = lw_put64(to, optimiser->steps);
    for (size_t i = 0; i < optimiser->count; i++) {
        to = lw_put64(to, optimiser->counts[i]);
        to = lw_put64(to, optimiser->updates[i]);
    }
    for (size_t i = 0; i < optimiser->count; i++) {
        if (optimiser->mean)
            to = lw_put_floats(to, optimiser->mean + optimiser->offsets[i], optimiser->counts[i]);
        if (optimiser->square)
            to = lw_put_floats(to, optimiser->square + optimiser->offsets[i], optimiser->counts[i]);
    }
}

/* A mean square is never negative; a NaN may be there, of a run that met one. */
static lw_status check_squares(const lw_optimiser *optimiser, const unsigned char *from)
{
    for (size_t i = 0; i < optimiser->count; i++) {
        if (optimiser->mean)
            from += optimiser->counts[i] * sizeof(float);
        for (size_t k = 0; k < optimiser->counts[i]; k++, from += 4) {
            uint32_t bits = lw_get32(from);
            if (bits > 0x80000000u && bits <= 0xff800000u)
                return lw_fail(LW_ERR_FORMAT,
                               "the saved optimiser is damaged: mean square %zu of tensor %zu is negative", k, i);
        }
    }
    return LW_OK;
}

static lw_status check(const lw_optimiser *optimiser, const unsigned char *bytes)
{
    if (memcmp(bytes, magic, sizeof magic) != 0)
        return lw_fail(LW_ERR_FORMAT, "these bytes are no saved optimiser: they do not begin with LWOPTIM1");
    const uint64_t kind = lw_get64(bytes + 8), steps = lw_get64(bytes + 40);
    if (kind != (uint64_t)optimiser->options.kind || lw_get64(bytes + 16) != moments(optimiser))
        return lw_fail(LW_ERR_SHAPE, "the saved optimiser is of kind %llu with moments %llu, this one %d with %llu",
                       (unsigned long long)kind, (unsigned long long)lw_get64(bytes + 16), (int)optimiser->options.kind,
                       (unsigned long long)moments(optimiser));
    if (lw_get64(bytes + 24) != optimiser->count || lw_get64(bytes + 32) != optimiser->floats)
        return lw_fail(LW_ERR_SHAPE,
                       "the saved optimiser has %llu tensors of %llu floats together, this one %zu of %zu",
                       (unsigned long long)lw_get64(bytes + 24), (unsigned long long)lw_get64(bytes + 32),
                       optimiser->count, optimiser->floats);
    const unsigned char *from = bytes + HEADER_BYTES;
    for (size_t i = 0; i < optimiser->count; i++, from += TENSOR_BYTES) {
        if (lw_get64(from) != optimiser->counts[i])
            return lw_fail(LW_ERR_SHAPE, "tensor %zu of the saved optimiser has %llu floats, expected %zu", i,
                           (unsigned long long)lw_get64(from), optimiser->counts[i]);
        if (lw_get64(from + 8) > steps)
            return lw_fail(LW_ERR_FORMAT, "the saved optimiser is damaged: tensor %zu has %llu updates of %llu", i,
                           (unsigned long long)lw_get64(from + 8), (unsigned long long)steps);
    }
    return optimiser->square ? check_squares(optimiser, from) : LW_OK;
}

lw_status lw_optimiser_read(lw_optimiser *optimiser, const unsigned char *bytes)
{
    lw_status status = check(optimiser, bytes);
    if (status)
        return status;
    optimiser->steps = lw_get64(bytes + 40);
    const unsigned char *from = bytes + HEADER_BYTES;
    for (size_t i = 0; i < optimiser->count; i++, from += TENSOR_BYTES)
        optimiser->updates[i] = lw_get64(from + 8);
    for (size_t i = 0; i < optimiser->count; i++) {
        if (optimiser->mean)
            from = lw_get_floats(from, optimiser->mean + optimiser->offsets[i], optimiser->counts[i]);
        if (optimiser->square)
            from = lw_get_floats(from, optimiser->square + optimiser->offsets[i], optimiser->counts[i]);
    }
    return LW_OK;
}
