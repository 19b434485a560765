/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share: the entry point, numbers drawn from the input, memory with guards, a file that holds the
 * input, and a use of whatever model came out of a loader. A target is one function, run by libFuzzer or AFL++
 * (`make fuzz`) or by driver.c, which replays files. A broken expectation aborts, so that every engine sees it.
 */
#ifndef LW_TESTS_FUZZ_H
#define LW_TESTS_FUZZ_H

#include <latchwork.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                           \
    do {                                                                                                          \
        if (!(condition)) {                                                                                       \
            fprintf(stderr, "%s:%d: expected %s (last error: %s)\n", __FILE__, __LINE__, #condition, lw_error()); \
            abort();                                                                                              \
        }                                                                                                         \
    } while (0)

/* The input as a stream of decisions; behind its end everything is zero. */
struct source {
    const uint8_t *at;
    size_t left;
};
unsigned take_byte(struct source *source);
/* From 0 to count - 1. */
size_t take_below(struct source *source, size_t count);
/* A size that is mostly small, and now and then 0, huge, or at the edge of what is allowed; *odd is set for those. */
size_t take_size(struct source *source, size_t most, int *odd);
/* Mostly ordinary; now and then a NaN, an infinity, a denormal or a huge number. */
float take_float(struct source *source);
void take_floats(struct source *source, float *values, size_t count);

/* `count` floats between guards, which guard_check looks at and guard_free takes along. NULL when there is no memory.
 * */
float *guard_floats(size_t count);
void guard_check(const float *values);
void guard_free(float *values);

/* Puts the input into a file whose name ends in `suffix`; one file for each suffix of the process, removed at its
 * end. */
const char *input_file(const char *suffix, const void *data, size_t size);

/* Runs the model for a few steps, saves it, loads it and expects the same bits (use_model.c: with files alone). */
void use_model(lw_model *model, int save);

#endif
