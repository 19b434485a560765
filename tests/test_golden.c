/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden files: models with inputs and outputs as PyTorch and ONNX Runtime computed them (golden/ has the script).
 * A file is a Latchwork model or a plain state_dict, with tensors of the example beside the parameters: golden.input,
 * golden.output, golden.lengths, golden.h0.<layer>[_reverse], and likewise c0, hn, cn. Every number must agree to
 * PyTorch's own tolerance, rtol 1.3e-6 and atol 1e-5, on every instruction set.
 */
#include "every_isa.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILES 4096
#define RTOL 1.3e-6
#define ATOL 1e-5

static size_t list_files(char *paths[MAX_FILES])
{
    const char *root = getenv("LW_SOURCE_ROOT");
    char folder[2048];
    snprintf(folder, sizeof folder, "%s/tests/golden", root ? root : ".");
    DIR *d = opendir(folder);
    size_t count = 0;
    for (struct dirent *e; d && (e = readdir(d)) != NULL && count < MAX_FILES;) {
        size_t length = strlen(e->d_name);
        if (length < 12 || strcmp(e->d_name + length - 12, ".safetensors"))
            continue;
        paths[count] = malloc(strlen(folder) + length + 2);
        sprintf(paths[count++], "%s/%s", folder, e->d_name);
    }
    if (d)
        closedir(d);
    return count;
}

/* The floats of a tensor, or NULL when the file has none of that name. */
static float *read_tensor(const lw_tensors *file, const char *name, lw_tensor *info)
{
    *info = (lw_tensor){.size = sizeof *info};
    for (size_t k = 0; k < lw_tensors_count(file); k++) {
        cr_assert_eq(lw_tensors_get(file, k, info), LW_OK, "%s", lw_error());
        if (strcmp(info->name, name))
            continue;
        float *values = malloc((info->count ? info->count : 1) * sizeof *values);
        cr_assert_eq(lw_tensors_read(file, k, values, info->count), LW_OK, "%s", lw_error());
        return values;
    }
    return NULL;
}

static void expect_close(const char *path, const char *what, const float *got, const float *want, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        double error = fabs((double)got[k] - (double)want[k]);
        cr_assert(error <= ATOL + RTOL * fabs((double)want[k]), "%s: %s[%zu] is %.9g, expected %.9g", path, what, k,
                  (double)got[k], (double)want[k]);
    }
}

/* Sets (compare = 0) or compares every memory that the file has a tensor of. Returns how many there were. */
static size_t exchange(const char *path, const lw_tensors *file, lw_state *state, const lw_model *model,
                       const char *letters, int comparing)
{
    size_t found = 0;
    for (size_t layer = 0; layer < lw_model_layer_count(model); layer++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                char name[64];
                snprintf(name, sizeof name, "golden.%c%c.%zu%s", "hc"[m], letters[0], layer, d ? "_reverse" : "");
                lw_tensor info;
                float *values = read_tensor(file, name, &info);
                if (!values)
                    continue;
                found++;
                if (comparing) {
                    float *got = malloc(info.count * sizeof *got);
                    cr_assert_eq(lw_state_get(state, layer, (lw_direction)d, (lw_memory)m, got, info.count), LW_OK,
                                 "%s: %s: %s", path, name, lw_error());
                    expect_close(path, name, got, values, info.count);
                    free(got);
                } else {
                    cr_assert_eq(lw_state_set(state, layer, (lw_direction)d, (lw_memory)m, values, info.count), LW_OK,
                                 "%s: %s: %s", path, name, lw_error());
                }
                free(values);
            }
    return found;
}

static size_t *read_lengths(const lw_tensors *file, size_t batch)
{
    lw_tensor info = {.size = sizeof info};
    if (lw_tensors_find(file, "golden.lengths", &info))
        return NULL;
    cr_assert_str_eq(info.type, "I64");
    cr_assert_eq(info.count, batch);
    size_t *lengths = malloc(batch * sizeof *lengths);
    for (size_t b = 0; b < batch; b++) {
        int64_t value;
        memcpy(&value, (const char *)info.data + b * sizeof value, sizeof value);
        lengths[b] = (size_t)value;
    }
    return lengths;
}

static void check_file(const char *path, lw_isa isa)
{
    lw_tensors *file;
    lw_model *model;
    lw_context *context;
    lw_state *state;
    lw_model_options options = LW_MODEL_OPTIONS_INIT;
    options.isa = (int)isa;
    cr_assert_eq(lw_tensors_open(path, &file), LW_OK, "%s: %s", path, lw_error());
    cr_assert_eq(lw_model_load(path, &options, &model), LW_OK, "%s: %s", path, lw_error());
    cr_assert_eq(lw_context_create(model, NULL, &context), LW_OK, "%s", lw_error());
    lw_tensor in, out;
    float *input = read_tensor(file, "golden.input", &in), *output = read_tensor(file, "golden.output", &out);
    cr_assert(input && output, "%s has no example", path);
    cr_assert_eq(in.rank, 3, "%s: golden.input must be (T, B, I)", path);
    cr_assert_eq(in.shape[2], lw_model_input_size(model), "%s", path);
    lw_io io = LW_IO_INIT;
    io.steps = in.shape[0];
    io.batch = in.shape[1];
    io.input = input;
    io.output_kind = out.rank == 2 ? LW_OUTPUT_LAST : LW_OUTPUT_SEQUENCE;
    cr_assert_eq(out.count, (out.rank == 2 ? 1 : io.steps) * io.batch * lw_model_output_size(model), "%s", path);
    size_t *lengths = read_lengths(file, io.batch);
    io.lengths = lengths;
    cr_assert_eq(lw_state_create(model, io.batch, &state), LW_OK, "%s", lw_error());
    exchange(path, file, state, model, "0", 0);
    float *got = malloc(out.count * sizeof *got);
    io.output = got;
    cr_assert_eq(lw_run(context, state, &io), LW_OK, "%s: %s", path, lw_error());
    expect_close(path, "output", got, output, out.count);
    exchange(path, file, state, model, "n", 1);
    free(got);
    free(input);
    free(output);
    free(lengths);
    lw_state_destroy(state);
    lw_context_destroy(context);
    lw_model_destroy(model);
    lw_tensors_close(file);
}

ParameterizedTestParameters(golden, files)
{
    return every_isa(1);
}

ParameterizedTest(struct parameter *p, golden, files)
{
    static char *paths[MAX_FILES];
    size_t count = list_files(paths);
    cr_assert_gt(count, 0, "no golden files: LW_SOURCE_ROOT must name the source tree");
    for (size_t k = 0; k < count; k++) {
        check_file(paths[k], p->isa);
        free(paths[k]);
    }
}

Test(golden, no_file_is_harmless)
{
    lw_tensors_close(NULL);
    cr_assert_eq(lw_tensors_count(NULL), 0);
    cr_assert_null(lw_tensors_metadata(NULL, "format"));
}
