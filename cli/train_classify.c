/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task `classify`: sequences (N, T, I) with one label each, whole numbers from 0 up. A fifth of the sequences,
 * chosen by the seed, is for validation. Numbers are taken as they are: scaling is the data's own business.
 */
#include "train_random.h"
#include "train_task.h"

#include "array.h"
#include "file.h"
#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SPLIT 16 /* a stream of random numbers that no part has */

struct classify {
    struct array array; /* (N, T, I) */
    long long *labels;
    size_t *lengths; /* of each sequence, or NULL: all T */
    size_t count, train_count;
    uint64_t seed;
};

static size_t length_of(const struct classify *classify, size_t sequence)
{
    return classify->lengths ? classify->lengths[sequence] : classify->array.shape[1];
}

static int check_shape(const struct classify *classify, const char *path)
{
    char text[SHAPE_TEXT];
    const struct array *array = &classify->array;
    if (array->rank != 3 || array->count == 0)
        return fail("%s: has the shape %s; expected sequences, (N, T, I), none of them 0", path,
                    shape_text(array->shape, array->rank, text));
    return EXIT_OK;
}

static int check_numbers(const struct classify *classify, const char *path)
{
    const struct array *array = &classify->array;
    size_t steps = array->shape[1], width = array->shape[2];
    for (size_t i = 0; i < array->count; i++) {
        size_t sequence = i / (steps * width), step = i / width % steps;
        if (!isfinite(array->values[i]) && step < length_of(classify, sequence))
            return fail("%s: sequence %zu, step %zu, channel %zu: expected a finite number, got %g", path, sequence,
                        step, i % width, (double)array->values[i]);
    }
    return EXIT_OK;
}

/* A sequence of no steps would have a class, but nothing to tell it by. */
static int load_lengths(struct classify *classify, const char *path)
{
    int status = lengths_load(path, classify->array.shape[0], classify->array.shape[1], &classify->lengths);
    for (size_t i = 0; status == EXIT_OK && i < classify->array.shape[0]; i++)
        if (classify->lengths[i] == 0)
            return fail("%s: sequence %zu has no steps; expected lengths of 1 to %zu", path, i,
                        classify->array.shape[1]);
    return status;
}

/* One whole number a line. */
static int parse_labels(const char *path, const char *text, size_t size, size_t *count, long long **labels)
{
    size_t line = 1, used = 0, room = 1;
    for (size_t i = 0; i < size; i++)
        room += text[i] == '\n';
    long long *list = allocate(room, sizeof *list);
    if (!list)
        return fail("%s: out of memory", path);
    for (size_t start = 0; start < size; line++) {
        size_t end = start, n = 0;
        char word[24] = "", *rest = word;
        while (end < size && text[end] != '\n')
            end++;
        while (start < end && n + 1 < sizeof word && text[start] != '\r')
            word[n++] = text[start++];
        word[n] = '\0';
        errno = 0;
        long long value = strtoll(word, &rest, 10);
        if (n == 0 || *rest || errno || n + 1 == sizeof word) {
            free(list);
            return fail("%s: line %zu, column 1: expected one label, a whole number, got '%s'", path, line, word);
        }
        list[used++] = value;
        start = end + 1;
    }
    *count = used;
    *labels = list;
    return EXIT_OK;
}

static int load_labels(struct classify *classify, const char *path)
{
    const char *dot = strrchr(path, '.');
    int npy = dot && strcasecmp(dot, ".npy") == 0;
    void *bytes;
    size_t size, found = 0;
    if (!npy && !(dot && strcasecmp(dot, ".csv") == 0))
        return fail("%s: unknown kind of file for labels; expected .npy (int32 or int64) or .csv", path);
    int status = file_read(path, &bytes, &size);
    if (status != EXIT_OK)
        return status;
    if (npy)
        status = npy_parse_integers(path, bytes, size, &found, &classify->labels);
    else
        status = parse_labels(path, bytes, size, &found, &classify->labels);
    free(bytes);
    if (status == EXIT_OK && found != classify->count)
        status = fail("%s: has %zu labels; expected %zu, one for each sequence", path, found, classify->count);
    return status;
}

/* Finds the number of classes; every one of them must occur unless --classes says how many there are. */
static int count_classes(const struct classify *classify, const char *path, size_t given, size_t *classes)
{
    long long most = 0;
    for (size_t i = 0; i < classify->count; i++) {
        long long label = classify->labels[i];
        if (label < 0 || (given != OPTION_UNSET && (unsigned long long)label >= given))
            return fail("%s: sequence %zu has the unknown label %lld; expected 0 to %lld", path, i, label,
                        given != OPTION_UNSET ? (long long)given - 1 : (long long)LW_SIZE_MAX - 1);
        most = label > most ? label : most;
    }
    *classes = given;
    if (given != OPTION_UNSET)
        return EXIT_OK;
    *classes = (size_t)most + 1;
    unsigned char *seen = (size_t)most < classify->count ? calloc(*classes, 1) : NULL;
    for (size_t i = 0; seen && i < classify->count; i++)
        seen[classify->labels[i]] = 1;
    size_t gap = 0;
    while (seen && gap < *classes && seen[gap])
        gap++;
    int whole = seen && gap == *classes;
    free(seen);
    if (!whole)
        return fail(
            "%s: the largest label is %lld, but %zu never occurs; number the classes from 0 up without a gap, or "
            "say how many there are with --classes",
            path, most, gap);
    return EXIT_OK;
}

static void close_classify(struct task *task)
{
    struct classify *classify = task->data;
    if (!classify)
        return;
    array_free(&classify->array);
    free(classify->labels);
    free(classify->lengths);
    free(classify);
}

static int open_classify(struct task *task, const struct settings *settings)
{
    struct classify *classify = calloc(1, sizeof *classify);
    struct array_hint hint = {.width = 1};
    if (!classify)
        return fail("out of memory");
    task->data = classify;
    if (!settings->labels)
        return misuse("train classify: --labels FILE is missing; see 'latchwork train --help'");
    int status = array_load(settings->data, &hint, &classify->array);
    if (status == EXIT_OK)
        status = check_shape(classify, settings->data);
    if (status == EXIT_OK && settings->lengths)
        status = load_lengths(classify, settings->lengths);
    if (status == EXIT_OK)
        status = check_numbers(classify, settings->data);
    classify->count = classify->array.shape[0];
    if (status == EXIT_OK)
        status = load_labels(classify, settings->labels);
    if (status == EXIT_OK)
        status = count_classes(classify, settings->labels, settings->classes, &task->output);
    if (status != EXIT_OK)
        return status;
    if (classify->count < 5 || task->output < 2)
        return fail("%s: %zu sequences of %zu classes; expected at least 5 of 2", settings->data, classify->count,
                    task->output);
    classify->train_count = classify->count - classify->count / 5;
    classify->seed = settings->seed;
    task->digest = digest_bytes(task->digest, classify->array.values, classify->array.count * sizeof(float));
    task->digest = digest_bytes(task->digest, classify->labels, classify->count * sizeof(long long));
    if (classify->lengths)
        task->digest = digest_bytes(task->digest, classify->lengths, classify->count * sizeof(size_t));
    task->ragged = classify->lengths != NULL;
    task->steps = classify->array.shape[1];
    task->input = classify->array.shape[2];
    task->loss = LW_CROSS_ENTROPY;
    task->output_kind = LW_OUTPUT_LAST;
    task->final_batches = (classify->count - classify->train_count + task->batch - 1) / task->batch;
    task->check_batches = task->final_batches < 64 ? task->final_batches : 64;
    return EXIT_OK;
}

static void fill_classify(const struct task *task, enum part part, uint64_t index, struct batch *batch)
{
    const struct classify *classify = task->data;
    const size_t width = task->input, check_count = classify->count - classify->train_count;
    for (size_t b = 0; b < task->batch; b++) {
        uint64_t k = index * task->batch + b, place;
        if (part == PART_TRAIN) {
            place = random_shuffle(classify->seed, part, k / classify->train_count, classify->train_count,
                                   k % classify->train_count);
        } else {
            batch->mask[b] = k < check_count;
            place = classify->train_count + (k < check_count ? k : 0);
        }
        size_t which = (size_t)random_shuffle(classify->seed, SPLIT, 0, classify->count, place);
        const float *from = classify->array.values + which * task->steps * width;
        for (size_t t = 0; t < task->steps; t++)
            memcpy(batch->input + (t * task->batch + b) * width, from + t * width, width * sizeof(float));
        batch->classes[b] = (int32_t)classify->labels[which];
        if (batch->lengths)
            batch->lengths[b] = length_of(classify, which);
    }
}

static const char *const classify_options[] = {"data", "labels", "lengths", "classes", NULL};

const struct task_kind task_classify = {
    .name = "classify",
    .options = classify_options,
    .defaults = {.hidden = 64,
                 .layers = 1,
                 .length = 1,
                 .batch = 32,
                 .updates = 2000,
                 .every = 50,
                 .patience = 10,
                 .rate = "0.003",
                 .clip = "1"},
    .open = open_classify,
    .fill = fill_classify,
    .close = close_classify,
};
