/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A short table: how fast LSTM, GRU and RNN layers run here, and which part of this machine's own peak of fused
 * multiply-adds that is. Called by demo.sh. Takes about ten seconds. The weights are drawn, the time does not depend on
 * them. The figure of a row is the median of its runs; activations count as no work.
 */
#include <latchwork.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST_RUNS = 200 };
#define SECONDS_A_ROW 0.4

static const struct shape {
    const char *what;
    size_t steps, batch, input, hidden;
    size_t threads; /* 0: as many as there are */
} shapes[] = {
    {"one step, one stream", 1, 1, 128, 128, 1},
    {"100 steps, one stream", 100, 1, 256, 256, 1},
    {"25 steps, 64 streams", 25, 64, 512, 512, 1},
    {"25 steps, 64 streams", 25, 64, 512, 512, 0},
};

static const struct cell {
    const char *name;
    lw_kind kind;
} cells[] = {{"LSTM", LW_LSTM}, {"GRU", LW_GRU}, {"RNN", LW_RNN}};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one pass, the median of many runs. A run repeats a short pass, so that the clock's own time does not
 * count. Negative after a failure. */
static double measure(lw_context *context, lw_state *state, const lw_io *io)
{
    double runs[MOST_RUNS], begin = now();
    const size_t repeats = io->steps * io->batch == 1 ? 200 : 1;
    size_t count = 0;
    if (lw_run(context, state, io))
        return -1.0;
    do {
        const double start = now();
        for (size_t i = 0; i < repeats; i++)
            if (repeats > 1 ? lw_step(context, state, io->input, io->output) : lw_run(context, state, io))
                return -1.0;
        runs[count++] = (now() - start) / (double)repeats;
    } while (count < MOST_RUNS && (count < 5 || now() - begin < SECONDS_A_ROW));
    qsort(runs, count, sizeof runs[0], compare_doubles);
    return runs[count / 2];
}

static void print_row(const struct cell *cell, const struct shape *shape, size_t threads, double seconds, double flops,
                      double peak)
{
    printf("%-5s %-22s %5zu %8zu %12.1f %10.1f", cell->name, shape->what, shape->hidden, threads, seconds * 1e6,
           flops / seconds * 1e-9);
    if (peak > 0.0)
        printf(" %8.0f %%\n", 100.0 * flops / seconds / peak);
    else
        printf(" %10s\n", "unknown");
}

static int run_row(const struct cell *cell, const struct shape *shape, size_t threads, double peak)
{
    lw_model *model = NULL;
    lw_context *context = NULL;
    lw_state *state = NULL;
    lw_layer layer = {.size = sizeof layer};
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    lw_brick brick = LW_BRICK_INIT(cell->kind);
    brick.input = shape->input;
    brick.hidden = shape->hidden;
    options.threads = threads;
    lw_io io = LW_IO_INIT;
    io.steps = shape->steps;
    io.batch = shape->batch;
    const size_t rows = shape->steps * shape->batch;
    float *input = calloc(rows * shape->input, sizeof *input);
    io.output = calloc(rows * shape->hidden, sizeof *io.output);
    io.input = input;
    for (size_t i = 0; input && i < rows * shape->input; i++)
        input[i] = sinf((float)(i % 8191));
    double seconds = -1.0;
    if (!input || !io.output)
        fprintf(stderr, "throughput: out of memory\n");
    else if (lw_model_create(&brick, 1, NULL, &model) || lw_model_initialise(model, 1) ||
             lw_model_layer(model, 0, &layer) || lw_context_create(model, &options, &context) ||
             lw_state_create(model, shape->batch, &state) || (seconds = measure(context, state, &io)) < 0.0)
        fprintf(stderr, "throughput: %s\n", lw_error());
    else
        print_row(cell, shape, threads, seconds, (double)layer.flops * (double)rows, peak);
    lw_state_destroy(state);
    lw_context_destroy(context);
    lw_model_destroy(model);
    free(io.output);
    free(input);
    return seconds < 0.0;
}

int main(void)
{
    lw_machine machine = {.size = sizeof machine};
    if (lw_machine_query(&machine))
        return fprintf(stderr, "throughput: %s\n", lw_error()), 1;
    const double single = lw_machine_peak(1), all = machine.cpus > 1 ? lw_machine_peak(machine.cpus) : single;
    printf("Instruction set %s; peak of fused multiply-adds measured now: %.0f GFLOP/s on one thread, %.0f on %zu\n",
           lw_isa_name(lw_isa_get()), single * 1e-9, all * 1e-9, machine.cpus);
    printf("%-5s %-22s %5s %8s %12s %10s %10s\n", "cell", "work", "units", "threads", "microseconds", "GFLOP/s",
           "of peak");
    for (size_t c = 0; c < sizeof cells / sizeof cells[0]; c++)
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            const size_t threads = shapes[s].threads ? shapes[s].threads : machine.cpus;
            if (!shapes[s].threads && machine.cpus == 1)
                continue; /* the row above says it */
            if (run_row(&cells[c], &shapes[s], threads, threads == 1 ? single : all))
                return 1;
        }
    return 0;
}
