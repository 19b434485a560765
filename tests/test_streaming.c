/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequence cut into calls anywhere, single steps, many streams in one step, and states that are saved, restored,
 * copied and reset: always the bits of the whole run. Random models without reverse layers, on every instruction set.
 */
#include "every_isa.h"
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES 20

/* A random model that may be cut: no reverse layers, all rows of full length, at least one step. */
static void streamable(scenario *s, lw_kind kind, uint64_t seed)
{
    scenario_random(s, kind, seed);
    for (size_t k = 0; k < s->brick_count; k++)
        s->bricks[k].direction = LW_FORWARD;
    s->steps += 3;
    s->ragged = false;
    s->output_kind = LW_OUTPUT_SEQUENCE;
    s->input_layout = s->output_layout = LAYOUT_DENSE;
}

/* A harness, what the whole sequence gives, and the bytes of the state after it. */
struct whole {
    harness h;
    size_t count; /* floats of the output */
    float *output;
    size_t bytes;
    char *state;
};

static char why[WHY_SIZE];

static char *save(const lw_state *state)
{
    size_t bytes = lw_state_bytes(state);
    char *buffer = malloc(bytes);
    cr_assert_eq(lw_state_save(state, buffer, bytes), LW_OK, "%s", lw_error());
    return buffer;
}

static void whole_create(struct whole *w, lw_kind kind, uint64_t seed, lw_isa isa)
{
    scenario s;
    streamable(&s, kind, seed);
    cr_assert(harness_create(&w->h, &s, isa, why), "%s: %s", scenario_text(&s), why);
    lw_state *state = harness_state(&w->h, why);
    cr_assert(state, "%s", why);
    w->count = harness_output_count(&w->h);
    w->output = ref_alloc(w->count, sizeof *w->output);
    cr_assert(harness_run(&w->h, state, NULL, 0, w->output, why), "%s: %s", scenario_text(&s), why);
    w->bytes = lw_state_bytes(state);
    w->state = save(state);
    lw_state_destroy(state);
}

static void whole_destroy(struct whole *w)
{
    free(w->output);
    free(w->state);
    harness_destroy(&w->h);
}

static void expect_same(const struct whole *w, const float *output, const lw_state *state, const char *what)
{
    char *bytes = save(state);
    cr_assert(memcmp(output, w->output, w->count * sizeof *output) == 0, "%s: other outputs: %s", what,
              scenario_text(&w->h.s));
    cr_assert(memcmp(bytes, w->state, w->bytes) == 0, "%s: another state: %s", what, scenario_text(&w->h.s));
    free(bytes);
}

/* Runs steps [from, to) of the sequence. */
static void run_part(const struct whole *w, lw_state *state, size_t from, size_t to, float *output)
{
    size_t B = w->h.s.batch;
    lw_io io = LW_IO_INIT;
    io.steps = to - from;
    io.batch = B;
    io.input = w->h.input + from * B * w->h.input_size;
    io.output = output + from * B * w->h.output_size;
    cr_assert_eq(lw_run(w->h.context, state, &io), LW_OK, "%s", lw_error());
}

ParameterizedTestParameters(streaming, cuts)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, streaming, cuts)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        struct whole w;
        whole_create(&w, cell_kind(p->kind), seed, p->isa);
        rng r = {.seed = seed};
        float *output = ref_alloc(w.count, sizeof *output);
        for (size_t round = 0; round < 6; round++) {
            lw_state *state = harness_state(&w.h, why);
            size_t T = w.h.s.steps;
            for (size_t from = 0, to; from < T; from = to) {
                /* Every step alone, one cut, parts of up to five and empty ones between them. */
                to = from + rng_range(&r, 0, 5);
                if (round == 0)
                    to = from + 1;
                else if (round == 1)
                    to = from ? T : T / 2;
                to = to > T ? T : to;
                run_part(&w, state, from, to, output);
            }
            expect_same(&w, output, state, "cut into calls");
            memset(output, 0xff, w.count * sizeof *output);
            lw_state_destroy(state);
        }
        free(output);
        whole_destroy(&w);
    }
}

ParameterizedTestParameters(streaming, steps)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, streaming, steps)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        struct whole w;
        whole_create(&w, cell_kind(p->kind), seed, p->isa);
        size_t B = w.h.s.batch;
        float *output = ref_alloc(w.count, sizeof *output);
        lw_state *state = harness_state(&w.h, why);
        for (size_t t = 0; t < w.h.s.steps; t++)
            cr_assert_eq(
                lw_step(w.h.context, state, w.h.input + t * B * w.h.input_size, output + t * B * w.h.output_size),
                LW_OK, "%s", lw_error());
        expect_same(&w, output, state, "lw_step");
        lw_state_destroy(state);
        /* Without an output the state moves all the same. */
        state = harness_state(&w.h, why);
        for (size_t t = 0; t < w.h.s.steps; t++)
            cr_assert_eq(lw_step(w.h.context, state, w.h.input + t * B * w.h.input_size, NULL), LW_OK);
        expect_same(&w, output, state, "lw_step without an output");
        lw_state_destroy(state);
        free(output);
        whole_destroy(&w);
    }
}

ParameterizedTestParameters(streaming, step_many)
{
    return every_isa(CELL_KINDS);
}

/* Each row of the batch as a stream of its own. They come and go: at every step only some move, in any order. */
ParameterizedTest(struct parameter *p, streaming, step_many)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        struct whole w;
        whole_create(&w, cell_kind(p->kind), seed, p->isa);
        size_t B = w.h.s.batch, T = w.h.s.steps, I = w.h.input_size, O = w.h.output_size;
        rng r = {.seed = seed};
        lw_state **streams = ref_alloc(B, sizeof *streams), **moving = ref_alloc(B, sizeof *moving);
        size_t *at = ref_alloc(B, sizeof *at), *who = ref_alloc(B, sizeof *who);
        float *x = ref_alloc(B * I, sizeof *x), *y = ref_alloc(B * O, sizeof *y);
        for (size_t b = 0; b < B; b++) {
            cr_assert_eq(lw_state_create(w.h.model, 1, &streams[b]), LW_OK);
            for (size_t l = 0; l < w.h.ref->layer_count; l++)
                for (int m = 0; m < 2; m++) {
                    size_t width = ref_memory_width(&w.h.ref->layers[l], (lw_memory)m);
                    float *rows = w.h.memory[l][LW_FORWARD][m];
                    if (rows)
                        cr_assert_eq(lw_state_set(streams[b], l, LW_FORWARD, (lw_memory)m, rows + b * width, width),
                                     LW_OK, "%s", lw_error());
                }
        }
        for (size_t done = 0; done < B * T;) {
            size_t count = 0;
            size_t first = rng_range(&r, 0, B - 1);
            for (size_t k = 0; k < B; k++) {
                size_t b = (first + k * (B % 2 ? 2 : 1)) % B;
                if (at[b] == T || rng_one_in(&r, 3))
                    continue;
                who[count] = b;
                moving[count] = streams[b];
                memcpy(x + count * I, w.h.input + (at[b] * B + b) * I, I * sizeof *x);
                count++;
            }
            cr_assert_eq(lw_step_many(w.h.context, moving, count, x, y), LW_OK, "%s", lw_error());
            for (size_t k = 0; k < count; k++) {
                size_t b = who[k];
                cr_assert(memcmp(y + k * O, w.output + (at[b] * B + b) * O, O * sizeof *y) == 0,
                          "stream %zu step %zu: %s", b, at[b], scenario_text(&w.h.s));
                at[b]++;
            }
            done += count;
        }
        for (size_t b = 0; b < B; b++)
            lw_state_destroy(streams[b]);
        free(streams);
        free(moving);
        free(at);
        free(who);
        free(x);
        free(y);
        whole_destroy(&w);
    }
}

ParameterizedTestParameters(streaming, states)
{
    return every_isa(CELL_KINDS);
}

/* In the middle of a sequence: save, go on, go back, and go on again; copy; reset; restore into another model of the
 * scalar instruction set. */
ParameterizedTest(struct parameter *p, streaming, states)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        struct whole w;
        whole_create(&w, cell_kind(p->kind), seed, p->isa);
        size_t T = w.h.s.steps, middle = T / 2;
        float *output = ref_alloc(w.count, sizeof *output), *scratch = ref_alloc(w.count, sizeof *scratch);
        lw_state *state = harness_state(&w.h, why), *other;
        cr_assert_eq(lw_state_create(w.h.model, w.h.s.batch, &other), LW_OK);
        char *zero = save(other);
        run_part(&w, state, 0, middle, output);
        char *saved = save(state);
        cr_assert_eq(lw_state_copy(other, state), LW_OK);
        run_part(&w, state, middle, T, output);
        expect_same(&w, output, state, "after a save");

        run_part(&w, other, middle, T, output);
        expect_same(&w, output, other, "the copy");

        run_part(&w, state, 0, T, scratch);
        cr_assert_eq(lw_state_restore(state, saved, w.bytes), LW_OK, "%s", lw_error());
        run_part(&w, state, middle, T, output);
        expect_same(&w, output, state, "restored");

        cr_assert_eq(lw_state_reset(state), LW_OK);
        char *cleared = save(state);
        cr_assert(memcmp(cleared, zero, w.bytes) == 0, "reset differs from new");

        harness scalar;
        cr_assert(harness_create(&scalar, &w.h.s, LW_ISA_SCALAR, why), "%s", why);
        lw_state *there;
        cr_assert_eq(lw_state_create(scalar.model, w.h.s.batch, &there), LW_OK);
        cr_assert_eq(lw_state_bytes(there), w.bytes);
        cr_assert_eq(lw_state_restore(there, saved, w.bytes), LW_OK, "%s", lw_error());
        lw_context *own = w.h.context;
        w.h.context = scalar.context;
        run_part(&w, there, middle, T, output);
        w.h.context = own;
        expect_same(&w, output, there, "restored on scalar kernels");

        lw_state_destroy(there);
        harness_destroy(&scalar);
        lw_state_destroy(state);
        lw_state_destroy(other);
        free(zero);
        free(saved);
        free(cleared);
        free(output);
        free(scratch);
        whole_destroy(&w);
    }
}

ParameterizedTestParameters(streaming, get_and_set)
{
    return every_isa(CELL_KINDS);
}

/* What is set is got back to the bit, vector set by vector set, reverse layers included. */
ParameterizedTest(struct parameter *p, streaming, get_and_set)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        scenario_random(&s, cell_kind(p->kind), seed);
        s.start = true;
        harness h;
        cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
        lw_state *state = harness_state(&h, why);
        cr_assert(state, "%s", why);
        cr_assert_eq(lw_state_batch(state), s.batch);
        for (size_t l = 0; l < h.ref->layer_count; l++)
            for (int d = 0; d < 2; d++)
                for (int m = 0; m < 2; m++) {
                    size_t count = ref_memory_width(&h.ref->layers[l], (lw_memory)m) * s.batch;
                    if (!h.memory[l][d][m])
                        continue;
                    float *values = ref_alloc(count, sizeof *values);
                    cr_assert_eq(lw_state_get(state, l, (lw_direction)d, (lw_memory)m, values, count), LW_OK);
                    cr_assert(memcmp(values, h.memory[l][d][m], count * sizeof *values) == 0);
                    free(values);
                }
        lw_state_destroy(state);
        harness_destroy(&h);
    }
}
