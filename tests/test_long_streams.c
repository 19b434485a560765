/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A million steps: as single steps, as gathered steps, cut into calls of any length, and as one call, always with the
 * same bits; and the memory of the process does not grow by a page while it streams.
 */
#include "every_isa.h"
#include "random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEPS ((size_t)1000000)
#define INPUT 2
#define HIDDEN 5

static void ok(lw_status status)
{
    cr_assert_eq(status, LW_OK, "%s", lw_error());
}

/* Pages of the process that lie in memory; 0 where the system does not say. */
static long resident_pages(void)
{
    long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident;
}

struct stream {
    lw_model *model;
    lw_context *context;
    lw_state *state;
    float *x;
    uint64_t hash; /* of all outputs */
};

static void stream_create(struct stream *s, lw_kind kind, lw_isa isa)
{
    lw_brick brick = LW_BRICK_INIT(kind);
    lw_model_options options = LW_MODEL_OPTIONS_INIT;
    options.isa = (int)isa;
    brick.input = INPUT;
    brick.hidden = HIDDEN;
    ok(lw_model_create(&brick, 1, &options, &s->model));
    ok(lw_model_initialise(s->model, 3));
    ok(lw_context_create(s->model, NULL, &s->context));
    ok(lw_state_create(s->model, 1, &s->state));
    s->x = malloc(STEPS * INPUT * sizeof *s->x);
    cr_assert(s->x);
    rng_fill(&(rng){.seed = 9}, s->x, STEPS * INPUT, 1);
}

static void stream_destroy(struct stream *s)
{
    lw_state_destroy(s->state);
    lw_context_destroy(s->context);
    lw_model_destroy(s->model);
    free(s->x);
}

/* What outputs and final state hash to, and the state back to zero. */
static uint64_t finish(struct stream *s)
{
    char bytes[256];
    cr_assert_leq(lw_state_bytes(s->state), sizeof bytes);
    ok(lw_state_save(s->state, bytes, sizeof bytes));
    uint64_t hash = hash_bytes(s->hash, bytes, lw_state_bytes(s->state));
    ok(lw_state_reset(s->state));
    s->hash = HASH_INIT;
    return hash;
}

enum how { SINGLE, GATHERED, CUT };

static uint64_t walk(struct stream *s, enum how how)
{
    static float y[700 * HIDDEN];
    rng r = {.seed = 4};
    s->hash = HASH_INIT;
    for (size_t t = 0, n = 1; t < STEPS; t += n) {
        if (how == CUT) {
            n = rng_range(&r, 1, 700);
            n = n < STEPS - t ? n : STEPS - t;
            lw_io io = LW_IO_INIT;
            io.steps = n;
            io.batch = 1;
            io.input = s->x + t * INPUT;
            io.output = y;
            ok(lw_run(s->context, s->state, &io));
        } else if (how == SINGLE) {
            ok(lw_step(s->context, s->state, s->x + t * INPUT, y));
        } else {
            ok(lw_step_many(s->context, &s->state, 1, s->x + t * INPUT, y));
        }
        s->hash = hash_bytes(s->hash, y, n * HIDDEN * sizeof *y);
    }
    return finish(s);
}

static uint64_t one_call(struct stream *s)
{
    float *y = malloc(STEPS * HIDDEN * sizeof *y);
    cr_assert(y);
    lw_io io = LW_IO_INIT;
    io.steps = STEPS;
    io.batch = 1;
    io.input = s->x;
    io.output = y;
    ok(lw_run(s->context, s->state, &io));
    s->hash = hash_bytes(HASH_INIT, y, STEPS * HIDDEN * sizeof *y);
    free(y);
    return finish(s);
}

ParameterizedTestParameters(long_streams, a_million_steps)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, long_streams, a_million_steps)
{
    static const char *const names[] = {"lw_step", "lw_step_many", "lw_run in parts"};
    struct stream s;
    stream_create(&s, cell_kind(p->kind), p->isa);
    uint64_t want = one_call(&s);
    for (enum how how = SINGLE; how <= CUT; how++) {
        /* What a first step touches is touched before the count. */
        float y[HIDDEN];
        ok(lw_step(s.context, s.state, s.x, y));
        ok(lw_state_reset(s.state));
        resident_pages();
        long before = resident_pages();
        uint64_t got = walk(&s, how);
        long after = resident_pages();
        cr_expect_eq(got, want, "%s: other bits than in one call", names[how]);
        /* The calls' own code and buffers come in once; anything that grew with the steps would be thousands. */
        cr_expect_leq(after - before, 64, "%s: %ld pages more after a million steps", names[how], after - before);
    }
    stream_destroy(&s);
}
