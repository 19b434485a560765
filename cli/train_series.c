/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task `series`: a table of numbers, one step a line, and the next `horizon` lines are forecast from the `window`
 * lines before them. Every column is normalised by its mean and deviation over the training part, so that validation
 * never leaks into training. The last fifth of the lines is for validation: only its numbers are forecast there.
 * Held to persistence (the last line, repeated) and to a linear autoregression over the same windows.
 */
#include "train_random.h"
#include "train_task.h"

#include "array.h"
#include "report.h"
#include "train_autoregression.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct series {
    struct array array; /* (lines, columns), normalised */
    size_t lines, columns, window, horizon;
    size_t train_lines;
    size_t train_count, check_count; /* windows */
    uint64_t seed;
    float *mean, *deviation; /* (columns) */
};

static int check_numbers(const struct series *series, const char *path)
{
    char text[SHAPE_TEXT];
    const struct array *array = &series->array;
    if (array->rank != 2 || array->shape[1] == 0)
        return fail("%s: has the shape %s; expected lines of columns, (T, I)", path,
                    shape_text(array->shape, array->rank, text));
    for (size_t i = 0; i < array->count; i++)
        if (!isfinite(array->values[i]))
            return fail("%s: line %zu, column %zu: expected a finite number, got %g", path, i / array->shape[1] + 1,
                        i % array->shape[1] + 1, (double)array->values[i]);
    return EXIT_OK;
}

static int normalise(struct series *series)
{
    size_t columns = series->columns;
    series->mean = allocate(columns, sizeof(float));
    series->deviation = allocate(columns, sizeof(float));
    if (!series->mean || !series->deviation)
        return fail("out of memory");
    for (size_t c = 0; c < columns; c++) {
        double sum = 0, squares = 0;
        for (size_t t = 0; t < series->train_lines; t++)
            sum += (double)series->array.values[t * columns + c];
        double mean = sum / (double)series->train_lines;
        for (size_t t = 0; t < series->train_lines; t++) {
            double d = (double)series->array.values[t * columns + c] - mean;
            squares += d * d;
        }
        double deviation = sqrt(squares / (double)series->train_lines);
        series->mean[c] = (float)mean;
        series->deviation[c] = deviation > 1e-30 ? (float)deviation : 1.0f; /* a constant column stays one */
        for (size_t t = 0; t < series->lines; t++) {
            float *x = &series->array.values[t * columns + c];
            *x = (*x - series->mean[c]) / series->deviation[c];
        }
    }
    return EXIT_OK;
}

/* First line of validation window k: its first forecast line lies behind the training part. */
static size_t check_start(const struct series *series, size_t k)
{
    return series->train_lines - series->window + k;
}

static double persistence(const struct series *series)
{
    double sum = 0;
    size_t columns = series->columns;
    for (size_t k = 0; k < series->check_count; k++) {
        const float *next = series->array.values + (check_start(series, k) + series->window) * columns;
        for (size_t i = 0; i < series->horizon * columns; i++) {
            double d = (double)next[i] - (double)(next - columns)[i % columns];
            sum += d * d;
        }
    }
    return sum / (double)(series->check_count * series->horizon * columns);
}

static void close_series(struct task *task)
{
    struct series *series = task->data;
    if (!series)
        return;
    array_free(&series->array);
    free(series->mean);
    free(series->deviation);
    free(series);
}

static int split(struct task *task, struct series *series, const char *path)
{
    size_t need = series->window + series->horizon;
    series->train_lines = series->lines - series->lines / 5;
    if (need < series->window || series->train_lines < need || series->lines - series->train_lines < series->horizon)
        return fail("%s: has %zu lines; a window of %zu and a horizon of %zu need %zu in the first four fifths and %zu "
                    "in the last",
                    path, series->lines, series->window, series->horizon, need, series->horizon);
    series->train_count = series->train_lines - need + 1;
    series->check_count = series->lines - series->train_lines - series->horizon + 1;
    task->final_batches = (series->check_count + task->batch - 1) / task->batch;
    task->check_batches = task->final_batches < 64 ? task->final_batches : 64;
    task->input = series->columns;
    task->output = product(series->horizon, series->columns);
    task->loss = LW_SQUARED_ERROR;
    task->output_kind = LW_OUTPUT_LAST;
    return EXIT_OK;
}

static int open_series(struct task *task, const struct settings *settings)
{
    struct series *series = calloc(1, sizeof *series);
    struct array_hint hint = {.width = 1};
    if (!series)
        return fail("out of memory");
    task->data = series;
    int status = array_load(settings->data, &hint, &series->array);
    if (status == EXIT_OK)
        status = check_numbers(series, settings->data);
    if (status != EXIT_OK)
        return status;
    task->digest = digest_bytes(task->digest, series->array.values, series->array.count * sizeof(float));
    series->lines = series->array.shape[0];
    series->columns = series->array.shape[1];
    series->window = task->steps;
    series->horizon = settings->horizon;
    series->seed = settings->seed;
    status = split(task, series, settings->data);
    if (status == EXIT_OK)
        status = normalise(series);
    if (status != EXIT_OK)
        return status;
    const float *check = series->array.values + check_start(series, 0) * series->columns;
    task->baseline = persistence(series);
    task->linear = autoregression_loss(series->array.values, series->train_count, check, series->check_count,
                                       series->columns, series->window, series->horizon);
    return EXIT_OK;
}

static void fill_series(const struct task *task, enum part part, uint64_t index, struct batch *batch)
{
    const struct series *series = task->data;
    const size_t columns = series->columns;
    for (size_t b = 0; b < task->batch; b++) {
        uint64_t k = index * task->batch + b;
        size_t start;
        if (part == PART_TRAIN) {
            uint64_t epoch = k / series->train_count, place = k % series->train_count;
            start = (size_t)random_shuffle(series->seed, part, epoch, series->train_count, place);
        } else {
            batch->mask[b] = k < series->check_count;
            start = check_start(series, k < series->check_count ? (size_t)k : 0);
        }
        const float *from = series->array.values + start * columns;
        for (size_t t = 0; t < task->steps; t++)
            memcpy(batch->input + (t * task->batch + b) * columns, from + t * columns, columns * sizeof(float));
        memcpy(batch->target + b * task->output, from + task->steps * columns, task->output * sizeof(float));
    }
}

static size_t series_extras(const struct task *task, lw_tensor tensors[4])
{
    const struct series *series = task->data;
    const char *const names[] = {"series.mean", "series.deviation"};
    const float *const values[] = {series->mean, series->deviation};
    for (size_t i = 0; i < 2; i++)
        tensors[i] = (lw_tensor){.size = sizeof(lw_tensor),
                                 .name = names[i],
                                 .type = "F32",
                                 .data = values[i],
                                 .bytes = series->columns * sizeof(float),
                                 .rank = 1,
                                 .shape = {series->columns},
                                 .count = series->columns};
    return 2;
}

static const char *const series_options[] = {"data", "window", "horizon", NULL};

const struct task_kind task_series = {
    .name = "series",
    .options = series_options,
    .defaults = {.hidden = 32,
                 .layers = 1,
                 .length = 48,
                 .batch = 32,
                 .updates = 2000,
                 .every = 50,
                 .patience = 10,
                 .rate = "0.003",
                 .clip = "1"},
    .open = open_series,
    .fill = fill_series,
    .extras = series_extras,
    .close = close_series,
};
