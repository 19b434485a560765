/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain runner of the file readers, for architectures where the test framework does not run, above all those that
 * keep the most significant byte first:
 *
 *     files_tap FOLDER [--hashes]
 *
 * Reads every safetensors file of the folder as tensors and, if it is one, as a model, or is told why not; runs the
 * model, saves it and a state of it. With --hashes it prints "hash NAME HEX" over all numbers and bytes, for comparison
 * between machines. In the Test Anything Protocol.
 */
#include <dirent.h>
#include <latchwork.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "random.h"

#define STEPS 6

/* Integers go into a hash byte by byte, and floats as their bits, so that the hash knows no byte order. */
static uint64_t hash_number(uint64_t hash, uint64_t value)
{
    unsigned char bytes[8];
    for (size_t k = 0; k < sizeof bytes; k++)
        bytes[k] = (unsigned char)(value >> 8 * k);
    return hash_bytes(hash, bytes, sizeof bytes);
}

static uint64_t hash_floats(uint64_t hash, const float *values, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        uint32_t bits;
        memcpy(&bits, values + k, sizeof bits);
        hash = hash_number(hash, bits);
    }
    return hash;
}

static float *floats(size_t count)
{
    float *values = calloc(count ? count : 1, sizeof *values);
    if (!values)
        abort();
    return values;
}

static bool hash_tensors(const char *path, uint64_t *hash)
{
    lw_tensors *tensors;
    lw_status status = lw_tensors_open(path, &tensors);
    *hash = hash_number(*hash, status);
    if (status)
        return true;
    for (size_t k = 0; k < lw_tensors_count(tensors); k++) {
        lw_tensor t = LW_TENSOR_INIT;
        if (lw_tensors_get(tensors, k, &t))
            return false;
        *hash = hash_bytes(hash_bytes(*hash, t.name, strlen(t.name)), t.type, strlen(t.type));
        *hash = hash_bytes(*hash, t.data, t.bytes);
        float *values = floats(t.count);
        *hash = hash_number(*hash, lw_tensors_read(tensors, k, values, t.count));
        *hash = hash_floats(*hash, values, t.count);
        free(values);
    }
    lw_tensors_close(tensors);
    return true;
}

static bool hash_file(const char *path, uint64_t *hash)
{
    unsigned char block[4096];
    FILE *file = fopen(path, "rb");
    for (size_t got; file && (got = fread(block, 1, sizeof block, file)) > 0;)
        *hash = hash_bytes(*hash, block, got);
    return file && fclose(file) == 0;
}

/* Runs a few steps; output and the saved state go into the hash. */
static bool hash_run(lw_model *model, uint64_t *hash)
{
    size_t I = lw_model_input_size(model), O = lw_model_output_size(model);
    lw_context *context = NULL;
    lw_state *state = NULL;
    float *x = floats(STEPS * I), *y = floats(STEPS * O);
    lw_io io = LW_IO_INIT;
    rng_fill(&(rng){.seed = 2}, x, STEPS * I, 1);
    io.steps = STEPS;
    io.batch = 1;
    io.input = x;
    io.output = y;
    bool good = !lw_context_create(model, NULL, &context) && !lw_state_create(model, 1, &state) &&
                !lw_run(context, state, &io);
    size_t bytes = lw_state_bytes(state);
    char *saved = calloc(bytes + 1, 1);
    good = good && saved && !lw_state_save(state, saved, bytes) && !lw_state_restore(state, saved, bytes);
    *hash = hash_bytes(hash_floats(*hash, y, STEPS * O), saved, bytes);
    free(saved);
    free(x);
    free(y);
    lw_state_destroy(state);
    lw_context_destroy(context);
    return good;
}

/* False: it is no model, or it cannot do what a model can, and `why` says which. */
static bool hash_model(const char *path, uint64_t *hash, bool *is_model)
{
    lw_model *model;
    lw_status status = lw_model_load(path, NULL, &model);
    *is_model = status == LW_OK;
    *hash = hash_number(*hash, status);
    if (status)
        return true;
    bool good = true;
    for (size_t k = 0; k < lw_model_parameter_count(model) && good; k++) {
        lw_parameter p = {.size = sizeof p};
        good = !lw_model_parameter(model, k, &p);
        float *values = floats(p.count);
        good = good && !lw_model_parameter_get(model, k, values, p.count);
        *hash = hash_floats(*hash, values, p.count);
        free(values);
    }
    char saved[] = "/tmp/files_tap_XXXXXX";
    int handle = mkstemp(saved);
    good = good && handle >= 0 && !lw_model_save(model, saved) && hash_file(saved, hash) && hash_run(model, hash);
    if (handle >= 0) {
        close(handle);
        unlink(saved);
    }
    lw_model_destroy(model);
    return good;
}

static int is_tensor_file(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".safetensors") == 0;
}

int main(int argc, char **argv)
{
    bool hashes = argc == 3 && strcmp(argv[2], "--hashes") == 0;
    struct dirent **entries;
    if (argc < 2 || (argc > 2 && !hashes)) {
        fprintf(stderr, "usage: files_tap FOLDER [--hashes]\n");
        return 2;
    }
    int count = scandir(argv[1], &entries, is_tensor_file, alphasort), models = 0, failures = 0;
    for (int k = 0; k < count; k++) {
        char path[4096];
        uint64_t hash = HASH_INIT;
        bool is_model = false;
        snprintf(path, sizeof path, "%s/%s", argv[1], entries[k]->d_name);
        bool good = hash_tensors(path, &hash) && hash_model(path, &hash, &is_model);
        models += is_model;
        failures += !good;
        printf("%s %d - %s\n", good ? "ok" : "not ok", k + 1, entries[k]->d_name);
        if (!good)
            printf("# %s\n", lw_error());
        if (hashes)
            printf("hash %s %016llx\n", entries[k]->d_name, (unsigned long long)hash);
        free(entries[k]);
    }
    free(count < 0 ? NULL : entries);
    bool enough = count > 0 && models > 0;
    printf("%s %d - %d models among the files\n1..%d\n", enough ? "ok" : "not ok", count < 0 ? 1 : count + 1, models,
           count < 0 ? 1 : count + 1);
    return failures || !enough ? 1 : 0;
}
