/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What threads cost on a busy machine: medians of runs on one thread and on all, first undisturbed, then with a process
 * that spins on every CPU. A run on threads may slow down in proportion; it must not collapse. Run by `make bench`;
 * reads nothing, prints a table.
 */
#include <latchwork.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS 31
#define MOST_CPUS 256

struct shape {
    size_t steps, batch, input, hidden, layers;
};

static const struct shape shapes[] = {
    {160, 1, 40, 256, 3}, {50, 1, 1024, 1024, 1}, {25, 16, 512, 512, 1}, {512, 1, 32, 64, 2}};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void check(lw_status status)
{
    if (status == LW_OK)
        return;
    fprintf(stderr, "busy: %s\n", lw_error());
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_run(const struct shape *shape, size_t threads)
{
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    brick.input = shape->input;
    brick.hidden = shape->hidden;
    brick.layers = shape->layers;
    lw_model *model;
    lw_context *context;
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    check(lw_model_create(&brick, 1, NULL, &model));
    check(lw_model_initialise(model, 1));
    check(lw_context_create(model, &options, &context));
    size_t rows = shape->steps * shape->batch;
    float *x = calloc(rows * shape->input, sizeof *x), *y = calloc(rows * shape->hidden, sizeof *y);
    lw_io io = LW_IO_INIT;
    io.steps = shape->steps;
    io.batch = shape->batch;
    io.input = x;
    io.output = y;
    double times[RUNS];
    for (int run = 0; run < RUNS; run++) {
        times[run] = seconds();
        check(lw_run(context, NULL, &io));
        times[run] = seconds() - times[run];
    }
    qsort(times, RUNS, sizeof *times, ascending);
    free(x);
    free(y);
    lw_context_destroy(context);
    lw_model_destroy(model);
    return times[RUNS / 2];
}

int main(void)
{
    lw_machine machine = {.size = sizeof machine};
    check(lw_machine_query(&machine));
    double times[SHAPES][2][2];
    pid_t spinning[MOST_CPUS];
    size_t cpus = machine.cpus < MOST_CPUS ? machine.cpus : MOST_CPUS;
    for (int busy = 0; busy < 2; busy++) {
        for (size_t i = 0; i < cpus && busy; i++)
            if ((spinning[i] = fork()) == 0)
                for (;;)
                    ;
        for (size_t i = 0; i < SHAPES; i++)
            for (int all = 0; all < 2; all++)
                times[i][busy][all] = median_run(&shapes[i], all ? 0 : 1);
        for (size_t i = 0; i < cpus && busy; i++)
            if (spinning[i] > 0) {
                kill(spinning[i], SIGKILL);
                waitpid(spinning[i], NULL, 0);
            }
    }
    printf("LSTM, medians in ms              undisturbed                busy: a spinning process on each CPU\n");
    printf("shape                            1 thread  all %-3zu          1 thread  all %-3zu   all / 1\n", cpus, cpus);
    for (size_t i = 0; i < SHAPES; i++) {
        const struct shape *s = &shapes[i];
        char name[64];
        snprintf(name, sizeof name, "T%zu B%zu I%zu H%zu L%zu", s->steps, s->batch, s->input, s->hidden, s->layers);
        printf("%-30s %10.2f %8.2f %18.2f %8.2f %9.2f\n", name, times[i][0][0] * 1e3, times[i][0][1] * 1e3,
               times[i][1][0] * 1e3, times[i][1][1] * 1e3, times[i][1][1] / times[i][1][0]);
    }
    return 0;
}
