/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The synthetic memory tasks. Each asks at the end for what was shown at the start, so that a network solves it only if
 * its gradient reaches that far back.
 *   latch   one bit as +-1 in channel 0 at the first step, noise of 0 to 0.1 in channel 1 afterwards; the bit is asked
 *           for at the last step
 *   adding  numbers of 0 to 1 in channel 0, two of them marked in channel 1; their sum is asked for at the last step
 *           (Hochreiter and Schmidhuber 1997)
 *   copy    up to ten symbols of eight at the start; a go sign, and then they are asked for in order (the same authors)
 */
#include "train_random.h"
#include "train_task.h"

#include "report.h"

#include <math.h>
#include <string.h>

#define SYMBOLS 8
#define RECALL 10
#define CHECK_ROWS 256 /* sequences that are looked at while learning */
#define FINAL_ROWS 1024

struct memory {
    uint64_t seed;
    size_t recall; /* copy: symbols of a sequence */
};

/* One shared set of numbers serves all three; a task is open at most once at a time. */
static struct memory memory;

static int open_memory(struct task *task, const struct settings *settings, size_t least)
{
    if (task->steps < least)
        return misuse("--length: %s needs at least %zu steps, got %zu", task->kind->name, least, task->steps);
    memory = (struct memory){.seed = settings->seed};
    task->data = &memory;
    task->check_batches = (CHECK_ROWS + task->batch - 1) / task->batch;
    task->final_batches = (FINAL_ROWS + task->batch - 1) / task->batch;
    task->output_kind = LW_OUTPUT_LAST;
    return EXIT_OK;
}

static int open_latch(struct task *task, const struct settings *settings)
{
    task->input = 2;
    task->output = 1;
    task->loss = LW_BINARY_CROSS_ENTROPY;
    return open_memory(task, settings, 2);
}

static void fill_latch(const struct task *task, enum part part, uint64_t index, struct batch *batch)
{
    const struct memory *m = task->data;
    memset(batch->input, 0, task->steps * task->batch * task->input * sizeof(float));
    for (size_t b = 0; b < task->batch; b++) {
        uint64_t sequence = index * task->batch + b;
        int bit = (int)random_below(m->seed, part, sequence, 0, 2);
        batch->input[b * 2] = bit ? 1.0f : -1.0f;
        batch->target[b] = (float)bit;
        for (size_t t = 1; t < task->steps; t++)
            batch->input[(t * task->batch + b) * 2 + 1] = 0.1f * random_unit(m->seed, part, sequence, t);
    }
}

static int open_adding(struct task *task, const struct settings *settings)
{
    task->input = 2;
    task->output = 1;
    task->loss = LW_SQUARED_ERROR;
    task->baseline = 1.0 / 6.0; /* the variance of the sum of two such numbers: always answering 1 */
    return open_memory(task, settings, 2);
}

static void fill_adding(const struct task *task, enum part part, uint64_t index, struct batch *batch)
{
    const struct memory *m = task->data;
    const size_t half = task->steps / 2;
    for (size_t b = 0; b < task->batch; b++) {
        uint64_t sequence = index * task->batch + b;
        size_t first = (size_t)random_below(m->seed, part, sequence, 0, half);
        size_t second = half + (size_t)random_below(m->seed, part, sequence, 1, task->steps - half);
        batch->target[b] = 0.0f;
        for (size_t t = 0; t < task->steps; t++) {
            float *x = batch->input + (t * task->batch + b) * 2;
            x[0] = random_unit(m->seed, part, sequence, t + 2);
            x[1] = t == first || t == second ? 1.0f : 0.0f;
            batch->target[b] += x[0] * x[1];
        }
    }
}

/* Within 4 % of the range of the answers, the criterion of the task's authors. */
static size_t correct_adding(const struct task *task, const struct batch *batch, const float *output)
{
    size_t right = 0;
    for (size_t b = 0; b < task->batch; b++)
        right += fabsf(output[b] - batch->target[b]) < 0.08f;
    return right;
}

static int open_copy(struct task *task, const struct settings *settings)
{
    task->input = SYMBOLS + 2; /* the symbols, the blank, the go sign */
    task->output = SYMBOLS;
    task->loss = LW_CROSS_ENTROPY;
    int status = open_memory(task, settings, 3);
    memory.recall = task->steps / 3 < RECALL ? task->steps / 3 : RECALL;
    task->output_kind = LW_OUTPUT_SEQUENCE;
    return status;
}

static void fill_copy(const struct task *task, enum part part, uint64_t index, struct batch *batch)
{
    const struct memory *m = task->data;
    const size_t ask = task->steps - m->recall;
    memset(batch->input, 0, task->steps * task->batch * task->input * sizeof(float));
    memset(batch->mask, 0, ask * task->batch);
    memset(batch->classes, 0, task->steps * task->batch * sizeof(int32_t));
    for (size_t b = 0; b < task->batch; b++)
        for (size_t t = 0; t < task->steps; t++) {
            size_t shown = SYMBOLS + (t == ask);
            if (t < m->recall) {
                shown = (size_t)random_below(m->seed, part, index * task->batch + b, t, SYMBOLS);
                batch->classes[(ask + t) * task->batch + b] = (int32_t)shown;
            }
            batch->input[(t * task->batch + b) * task->input + shown] = 1.0f;
        }
}

/* Sure of itself too: answers on the right side of the middle by a hair would be forgotten by the next update. */
static int solved_latch(const struct measure *measure)
{
    return measure->accuracy >= 0.99 && measure->loss <= 0.1;
}

static int solved_by_accuracy(const struct measure *measure)
{
    return measure->accuracy >= 0.99;
}

static int solved_by_error(const struct measure *measure)
{
    return measure->loss <= 0.01;
}

#define SHARED_DEFAULTS .layers = 1, .batch = 32, .clip = "1", .plain_rate = "0.001"

static const char *const memory_options[] = {"length", "chrono", NULL};

const struct task_kind task_latch = {
    .name = "latch",
    .rule = "99 % of fresh sequences are right and the mean loss is at most 0.1",
    .memory = 1,
    .options = memory_options,
    .defaults = {.hidden = 64, .length = 1000, .updates = 1000, .every = 10, .rate = "0.02", SHARED_DEFAULTS},
    .open = open_latch,
    .fill = fill_latch,
    .solved = solved_latch,
};

const struct task_kind task_adding = {
    .name = "adding",
    .rule = "the mean squared error over fresh sequences is at most 0.01",
    .memory = 1,
    .options = memory_options,
    .defaults = {.hidden = 64, .length = 100, .updates = 5000, .every = 50, .rate = "0.01", SHARED_DEFAULTS},
    .open = open_adding,
    .fill = fill_adding,
    .correct = correct_adding,
    .solved = solved_by_error,
};

const struct task_kind task_copy = {
    .name = "copy",
    .rule = "99 % of the symbols of fresh sequences are right",
    .memory = 1,
    .options = memory_options,
    .defaults = {.hidden = 128, .length = 100, .updates = 5000, .every = 50, .rate = "0.01", SHARED_DEFAULTS},
    .open = open_copy,
    .fill = fill_copy,
    .solved = solved_by_accuracy,
};
