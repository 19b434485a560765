/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What denormal inputs cost against usual ones, for each cell and instruction set, the fastest of several rounds of
 * each in turn; more than 1.2 times fails. Called by tools/check-all and not by `make test`, which no time should
 * decide. In the Test Anything Protocol.
 */
#include <latchwork.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "random.h"

#define STEPS 64
#define ROWS 4
#define WIDTH 64
#define ROUNDS 300
#define MOST 1.2

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double timed(lw_context *context, const float *x, float *y)
{
    lw_io io = LW_IO_INIT;
    io.steps = STEPS;
    io.batch = ROWS;
    io.input = x;
    io.output = y;
    double start = seconds();
    if (lw_run(context, NULL, &io))
        abort();
    return seconds() - start;
}

int main(void)
{
    static const char *const names[] = {"lstm", "gru", "rnn"};
    static float usual[STEPS * ROWS * WIDTH], tiny[STEPS * ROWS * WIDTH], y[STEPS * ROWS * WIDTH];
    size_t tests = 0, failures = 0;
    rng_fill(&(rng){.seed = 1}, usual, STEPS * ROWS * WIDTH, 1);
    rng_fill(&(rng){.seed = 1}, tiny, STEPS * ROWS * WIDTH, 0x1p-130f);
    for (int isa = 0; isa < LW_ISA_COUNT; isa++)
        for (int kind = 0; kind < 3 && lw_isa_supported((lw_isa)isa); kind++) {
            lw_brick brick = LW_BRICK_INIT((lw_kind)(LW_LSTM + kind));
            lw_model_options options = LW_MODEL_OPTIONS_INIT;
            lw_context_options one = LW_CONTEXT_OPTIONS_INIT;
            lw_model *model;
            lw_context *context;
            brick.input = brick.hidden = WIDTH;
            options.isa = isa;
            one.threads = 1;
            if (lw_model_create(&brick, 1, &options, &model) || lw_model_initialise(model, 1) ||
                lw_context_create(model, &one, &context)) {
                fprintf(stderr, "%s\n", lw_error());
                return 1;
            }
            double best_usual = 1, best_tiny = 1;
            for (size_t k = 0; k < ROUNDS; k++) {
                double a = timed(context, usual, y), b = timed(context, tiny, y);
                best_usual = a < best_usual ? a : best_usual;
                best_tiny = b < best_tiny ? b : best_tiny;
            }
            bool good = best_tiny <= MOST * best_usual;
            failures += !good;
            printf("%s %zu - %s %s: usual %.1f us, denormal inputs %.1f us, %.2f times of %.1f\n",
                   good ? "ok" : "not ok", ++tests, lw_isa_name((lw_isa)isa), names[kind], 1e6 * best_usual,
                   1e6 * best_tiny, best_tiny / best_usual, MOST);
            lw_context_destroy(context);
            lw_model_destroy(model);
        }
    printf("1..%zu\n", tests);
    return failures ? 1 : 0;
}
