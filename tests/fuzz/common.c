/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helpers of the fuzz targets (see fuzz.h). Guards are words in front of and behind the floats, so that an
 * overrun is found without a sanitizer too; with one, the block ends where the floats end but for those words.
 */
#include "fuzz.h"

#include <math.h>
#include <unistd.h>

unsigned take_byte(struct source *source)
{
    if (source->left == 0)
        return 0;
    source->left--;
    return *source->at++;
}

size_t take_below(struct source *source, size_t count)
{
    unsigned value = take_byte(source);
    if (count > 256)
        value = value << 8 | take_byte(source);
    return count ? value % count : 0;
}

size_t take_size(struct source *source, size_t most, int *odd)
{
    static const size_t edges[] = {
        0,           SIZE_MAX,          SIZE_MAX / 2,      (size_t)1 << 63, (size_t)1 << 32,   ((size_t)1 << 32) + 1,
        LW_SIZE_MAX, LW_SIZE_MAX + 1,   LW_LAYERS_MAX + 1, SIZE_MAX / 4,    (size_t)INT32_MAX, SIZE_MAX / 4 + 1,
        (size_t)-2,  (size_t)UINT16_MAX};
    unsigned value = take_byte(source);
    if (value < 0xe0)
        return 1 + value % most;
    *odd = 1;
    return edges[(value - 0xe0) % (sizeof edges / sizeof *edges)];
}

float take_float(struct source *source)
{
    static const float edges[] = {NAN, INFINITY, -INFINITY, 1e-40f, -1e-45f, 3e38f, -3e38f, -0.0f};
    unsigned value = take_byte(source);
    return value < 0xf8 ? (float)((int)value - 124) * 0x1p-5f : edges[value - 0xf8];
}

void take_floats(struct source *source, float *values, size_t count)
{
    for (size_t k = 0; k < count; k++)
        values[k] = take_float(source);
}

#define GUARD 16 /* floats */
#define GUARD_BITS 0x7fa5a5a5u

struct guarded {
    size_t count;
    size_t unused[GUARD - 1];
};

static void guard_fill(float *values)
{
    for (size_t k = 0; k < GUARD; k++)
        memcpy(values + k, &(uint32_t){GUARD_BITS}, sizeof *values);
}

static void guard_look(const float *values)
{
    for (size_t k = 0; k < GUARD; k++)
        MUST(memcmp(values + k, &(uint32_t){GUARD_BITS}, sizeof *values) == 0);
}

float *guard_floats(size_t count)
{
    if (count > SIZE_MAX / 8)
        return NULL;
    struct guarded *block = malloc(sizeof *block + (count + 2 * GUARD) * sizeof(float));
    if (!block)
        return NULL;
    block->count = count;
    float *values = (float *)(block + 1) + GUARD;
    guard_fill(values - GUARD);
    guard_fill(values + count);
    memset(values, 0, count * sizeof *values);
    return values;
}

static struct guarded *guard_block(const float *values)
{
    return (struct guarded *)(uintptr_t)(values - GUARD) - 1;
}

void guard_check(const float *values)
{
    if (!values)
        return;
    guard_look(values - GUARD);
    guard_look(values + guard_block(values)->count);
}

void guard_free(float *values)
{
    if (!values)
        return;
    guard_check(values);
    free(guard_block(values));
}

#define FILES 4
static struct {
    char suffix[32], path[256];
} files[FILES];

static void remove_files(void)
{
    for (size_t i = 0; i < FILES; i++)
        if (files[i].path[0])
            unlink(files[i].path);
}

const char *input_file(const char *suffix, const void *data, size_t size)
{
    size_t i = 0;
    while (i < FILES - 1 && files[i].path[0] && strcmp(files[i].suffix, suffix) != 0)
        i++;
    if (!files[i].path[0]) {
        const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        if (i == 0)
            atexit(remove_files);
        snprintf(files[i].suffix, sizeof files[i].suffix, "%s", suffix);
        snprintf(files[i].path, sizeof files[i].path, "%s/latchwork-fuzz-%ld%s", folder, (long)getpid(), suffix);
    }
    FILE *file = fopen(files[i].path, "wb");
    MUST(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    return files[i].path;
}
