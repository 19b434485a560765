/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrays of f32 in files: NumPy's .npy, CSV, raw f32 and sound, chosen by the file's extension.
 * Used by `run` and `gates`. Readers take whole files in memory, trust nothing in them, and say what was expected.
 * Every function that can fail prints its sentence and returns EXIT_OK or EXIT_WORK.
 */
#ifndef CLI_ARRAY_H
#define CLI_ARRAY_H

#include <stddef.h>
#include <stdio.h>

#define ARRAY_RANK 8

struct array {
    size_t rank;
    size_t shape[ARRAY_RANK];
    size_t count;       /* product of the shape */
    float *values;      /* row-major, malloc'd */
    size_t sample_rate; /* of a sound, else 0 */
};

/* What the caller knows beforehand. */
struct array_hint {
    size_t width;        /* of the last dimension (I) */
    const size_t *shape; /* of a raw file, or NULL */
    size_t rank;
};

int array_load(const char *path, const struct array_hint *hint, struct array *array);
void array_free(struct array *array);

/* Whether `path` can hold an array of that shape; said before the work, not after it. */
int array_save_check(const char *path, const struct array *shape);
/* Writes it atomically. */
int array_save(const char *path, const struct array *array);

/* Reads `count` whole numbers, each 0 to `most`, from .npy (int32, int64) or CSV. *lengths belongs to the caller. */
int lengths_load(const char *path, size_t count, size_t most, size_t **lengths);

/* One file a format. `bytes` is what the file holds and `path` is for messages only. npy_parse and raw_parse may take
 * over the buffer: *bytes is NULL then. */
int npy_parse(const char *path, void **bytes, size_t size, struct array *array);
int npy_parse_integers(const char *path, const void *bytes, size_t size, size_t *count, long long **values);
void npy_write(FILE *stream, const struct array *array);
int csv_parse(const char *path, const void *bytes, size_t size, struct array *array);
void csv_write(FILE *stream, const struct array *array);
int raw_parse(const char *path, void **bytes, size_t size, const struct array_hint *hint, struct array *array);
int sound_parse(const char *path, const void *bytes, size_t size, const struct array_hint *hint, struct array *array);

#endif
