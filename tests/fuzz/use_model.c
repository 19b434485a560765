/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets of the readers do with a model that was read: run, save, load and run it (see fuzz.h). */
#include "fuzz.h"

#include <math.h>

enum { STEPS = 3, ROWS = 2 };

/* The output of a run from zero, or NULL when there is no memory for it. */
static float *run(lw_model *model)
{
    size_t in = lw_model_input_size(model), out = lw_model_output_size(model);
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = 1;
    lw_context *context = NULL;
    float *x = guard_floats(STEPS * ROWS * in), *y = guard_floats(STEPS * ROWS * out);
    lw_io io = LW_IO_INIT;
    io.steps = STEPS;
    io.batch = ROWS;
    io.input = x;
    io.output = y;
    for (size_t k = 0; x && k < STEPS * ROWS * in; k++)
        x[k] = (float)(k % 7) * 0.25f - 0.75f;
    lw_status status = x && y ? lw_context_create(model, &options, &context) : LW_ERR_MEMORY;
    if (!status)
        status = lw_run(context, NULL, &io);
    MUST(status == LW_OK || status == LW_ERR_MEMORY);
    lw_context_destroy(context);
    guard_check(y);
    guard_free(x);
    if (!status)
        return y;
    guard_free(y);
    return NULL;
}

/* A NaN's payload is not promised. */
static void expect_same(const float *a, const float *b, size_t count)
{
    for (size_t k = 0; k < count; k++)
        MUST((isnan(a[k]) && isnan(b[k])) || memcmp(a + k, b + k, sizeof *a) == 0);
}

void use_model(lw_model *model, int save)
{
    size_t in = lw_model_input_size(model), out = lw_model_output_size(model);
    MUST(in > 0 && out > 0 && lw_model_brick_count(model) > 0 && lw_model_layer_count(model) > 0);
    if (lw_model_bytes(model) > (1u << 22))
        return;
    float *first = run(model);
    lw_model *again = NULL;
    if (save && first) {
        const char *path = input_file(".saved", "", 0);
        lw_status status = lw_model_save(model, path);
        /* A name that is no text cannot be saved; nothing that was read from a file has one. */
        MUST(status == LW_OK);
        MUST(lw_model_load(path, NULL, &again) == LW_OK);
        float *second = run(again);
        if (second)
            expect_same(first, second, STEPS * ROWS * out);
        guard_free(second);
        lw_model_destroy(again);
    }
    guard_free(first);
}
