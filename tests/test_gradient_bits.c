/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bits of gradients depend on the model and the request alone: not on the instruction set, the number of threads,
 * the runs before, or which other gradients are wanted. And what a tape keeps: the parameters as they were handed over,
 * never older ones; a copy of the input; memory of a size that is known beforehand.
 */
#include "every_isa.h"
#include "gradient_case.h"
#include "pool.h"

#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CASES 16

static char why[WHY_SIZE];

static void create(gradient_case *g, gradient_result *r, const scenario *s, lw_isa isa)
{
    cr_assert(gradient_case_create(g, s, isa, why), "%s: %s", scenario_text(s), why);
    cr_assert(gradient_result_create(r, g, why), "%s", why);
}

static void run(const gradient_case *g, gradient_result *r, float *output)
{
    cr_assert(gradient_run(g, r, output, why), "%s: %s", scenario_text(&g->h.s), why);
}

static void expect_same(const gradient_case *g, const gradient_result *want, const gradient_result *got,
                        const char *what)
{
    cr_assert(gradient_same(g, want, got, why), "%s: %s: %s", what, why, scenario_text(&g->h.s));
}

/* Weights large enough to amplify any difference, where no gradient overflows. */
static void draw(scenario *s, lw_kind kind, uint64_t seed)
{
    scenario_random(s, kind, seed);
    s->weight_scale = seed % 3 == 0 && s->steps < 50 ? 3 : 1;
    for (size_t k = 0; k < s->brick_count; k++)
        if (s->bricks[k].function == LW_RELU)
            s->weight_scale = 1;
}

static void expect_threads_agree(const scenario *first, lw_isa isa)
{
    scenario s = *first;
    gradient_case one;
    gradient_result want;
    s.threads = 1;
    create(&one, &want, &s, LW_ISA_SCALAR);
    run(&one, &want, NULL);
    for (s.threads = 1; s.threads <= 4; s.threads++) {
        gradient_case g;
        gradient_result r;
        create(&g, &r, &s, isa);
        run(&g, &r, NULL);
        expect_same(&one, &want, &r, lw_isa_name(isa));
        gradient_result_destroy(&r);
        gradient_case_destroy(&g);
    }
    gradient_result_destroy(&want);
    gradient_case_destroy(&one);
}

ParameterizedTestParameters(gradient_bits, instruction_sets_and_threads)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, gradient_bits, instruction_sets_and_threads)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        draw(&s, cell_kind(p->kind), 500 + seed);
        expect_threads_agree(&s, p->isa);
    }
}

static const struct {
    size_t steps, batch, input, hidden, layers;
    lw_direction direction;
} large[] = {{12, 1, 70, 300, 1, LW_FORWARD}, {6, 33, 70, 150, 2, LW_FORWARD}, {10, 5, 70, 131, 2, LW_BIDIRECTIONAL},
             {5, 2, 20, 200, 3, LW_REVERSE},  {150, 3, 9, 64, 2, LW_FORWARD},  {20, 64, 40, 100, 1, LW_FORWARD}};

static scenario large_scenario(size_t k, lw_kind kind)
{
    scenario s = SCENARIO_INIT;
    s.bricks[0] = (lw_brick)LW_BRICK_INIT(kind);
    s.bricks[0].input = large[k].input;
    s.bricks[0].hidden = large[k].hidden;
    s.bricks[0].layers = large[k].layers;
    s.bricks[0].direction = large[k].direction;
    s.bricks[0].projection = kind == LW_LSTM && k == 1 ? 65 : 0;
    s.bricks[0].options = kind == LW_GRU && k % 2 ? LW_RESET_BEFORE : kind == LW_LSTM && k % 2 ? LW_PEEPHOLES : 0;
    s.bricks[1] = (lw_brick)LW_BRICK_INIT(LW_DENSE);
    s.bricks[1].hidden = 77;
    s.brick_count = 1 + k % 2;
    s.steps = large[k].steps;
    s.batch = large[k].batch;
    s.ragged = k % 2;
    s.start = true;
    s.seed = k;
    return s;
}

ParameterizedTestParameters(gradient_bits, large_enough_for_threads)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, gradient_bits, large_enough_for_threads)
{
    for (size_t k = 0; k < sizeof large / sizeof *large; k++) {
        scenario s = large_scenario(k, cell_kind(p->kind));
        expect_threads_agree(&s, p->isa);
    }
}

/* A caller's pool that tries to use the tape while it runs. */
struct meddler {
    pool own;
    lw_tape *tape;
    size_t refused;
};

static void meddle(void *p, size_t count, void (*task)(void *argument, size_t index), void *argument)
{
    struct meddler *m = p;
    lw_gradients g = LW_GRADIENTS_INIT;
    lw_io io = LW_IO_INIT;
    m->refused += lw_tape_backward(m->tape, &g) == LW_ERR_BUSY &&
                  lw_tape_forward(m->tape, NULL, NULL, &io) == LW_ERR_BUSY;
    pool_run(&m->own, count, task, argument);
}

ParameterizedTestParameters(gradient_bits, own_pool)
{
    return every_isa(CELL_KINDS);
}

/* The caller's own threads give the same bits; whoever calls in between is told that the tape is in use. */
ParameterizedTest(struct parameter *p, gradient_bits, own_pool)
{
    struct meddler m = {0};
    for (size_t k = 0; k < sizeof large / sizeof *large; k++) {
        scenario s = large_scenario(k, cell_kind(p->kind));
        gradient_case g;
        gradient_result want, got;
        create(&g, &want, &s, p->isa);
        cr_assert(gradient_result_create(&got, &g, why), "%s", why);
        run(&g, &want, NULL);
        lw_tape_destroy(g.tape);
        lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
        options.threads = 3;
        options.parallel = meddle;
        options.pool = &m;
        cr_assert_eq(lw_tape_create(g.h.model, &options, &g.tape), LW_OK, "%s", lw_error());
        m.tape = g.tape;
        run(&g, &got, NULL);
        expect_same(&g, &want, &got, "own pool");
        gradient_result_destroy(&want);
        gradient_result_destroy(&got);
        gradient_case_destroy(&g);
    }
    cr_assert_gt(m.own.most, 1, "no shape was large enough for a second thread: this test shows nothing");
    cr_assert_leq(m.own.most, 3);
    cr_assert_eq(m.refused, m.own.calls, "%zu of %zu calls in between were refused", m.refused, m.own.calls);
}

/* All threads on one CPU miss each other at every barrier, so that the first one goes on alone: the same bits. */
Test(gradient_bits, busy_machine)
{
    cpu_set_t all, one;
    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    for (size_t k = 0; k < sizeof large / sizeof *large; k++) {
        scenario s = large_scenario(k, cell_kind(k % CELL_KINDS));
        gradient_case g;
        gradient_result want, got;
        pool own = {0};
        int cpu = 0;
        create(&g, &want, &s, lw_isa_get());
        cr_assert(gradient_result_create(&got, &g, why), "%s", why);
        run(&g, &want, NULL);
        lw_tape_destroy(g.tape);
        while (!CPU_ISSET(cpu, &all))
            cpu++;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
        lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
        options.threads = 3;
        options.parallel = pool_run;
        options.pool = &own;
        cr_assert_eq(lw_tape_create(g.h.model, &options, &g.tape), LW_OK, "%s", lw_error());
        run(&g, &got, NULL);
        expect_same(&g, &want, &got, "threads of one CPU");
        cr_assert_eq(sched_setaffinity(0, sizeof all, &all), 0);
        gradient_result_destroy(&got);
        gradient_result_destroy(&want);
        gradient_case_destroy(&g);
    }
}

ParameterizedTestParameters(gradient_bits, again)
{
    return every_isa(CELL_KINDS);
}

/* The way back may be walked again, and accumulating is adding; a tape that has seen other shapes in between gives the
 * same; and NULL for the parameters means those that it has. */
ParameterizedTest(struct parameter *p, gradient_bits, again)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        draw(&s, cell_kind(p->kind), 700 + seed);
        gradient_case g;
        gradient_result want, got;
        create(&g, &want, &s, p->isa);
        cr_assert(gradient_result_create(&got, &g, why), "%s", why);
        float *output = ref_alloc(g.output_count, sizeof *output), *second = ref_alloc(g.output_count, sizeof *second);
        run(&g, &want, output);
        cr_assert(gradient_backward(&g, LW_OVERWRITE, &got, why), "%s", why);
        expect_same(&g, &want, &got, "a second way back");
        cr_assert(gradient_backward(&g, LW_ACCUMULATE, &got, why), "%s", why);
        for (size_t k = 0; k < g.count; k++)
            for (size_t e = 0; e < g.sizes[k]; e++)
                got.parameters[k][e] *= 0.5f;
        expect_same(&g, &want, &got, "half of what was accumulated twice");
        scenario whole = g.h.s;
        size_t *lengths = g.h.lengths;
        for (size_t less = 0; less < 30; less += 9) {
            g.h.s.steps = less < whole.steps ? less : whole.steps;
            g.h.lengths = NULL;
            gradient_result ignored;
            cr_assert(gradient_result_create(&ignored, &g, why), "%s", why);
            run(&g, &ignored, NULL);
            gradient_result_destroy(&ignored);
        }
        g.h.s = whole;
        g.h.lengths = lengths;
        lw_state *state = harness_state(&g.h, why);
        cr_assert(gradient_forward(&g, NULL, state, second, why), "%s", why);
        lw_state_destroy(state);
        cr_assert(gradient_backward(&g, LW_OVERWRITE, &got, why), "%s", why);
        expect_same(&g, &want, &got, "after other shapes");
        cr_assert(memcmp(output, second, g.output_count * sizeof *output) == 0,
                  "another output with the same parameters");
        free(output);
        free(second);
        gradient_result_destroy(&want);
        gradient_result_destroy(&got);
        gradient_case_destroy(&g);
    }
}

ParameterizedTestParameters(gradient_bits, wanted_alone)
{
    return every_isa(CELL_KINDS);
}

/* Each gradient asked for alone, and all but it: the others do not change its bits, and nothing else is written. */
ParameterizedTest(struct parameter *p, gradient_bits, wanted_alone)
{
    for (uint64_t seed = 0; seed < 6; seed++) {
        scenario s;
        draw(&s, cell_kind(p->kind), 900 + seed);
        s.input_layout = s.output_layout = LAYOUT_DENSE;
        gradient_case g;
        gradient_result want, got;
        create(&g, &want, &s, p->isa);
        cr_assert(gradient_result_create(&got, &g, why), "%s", why);
        run(&g, &want, NULL);
        float **some = ref_alloc(g.count, sizeof *some);
        for (size_t k = 0; k < g.count + 3; k++)
            for (int alone = 0; alone < 2; alone++) {
                lw_gradients wanted = LW_GRADIENTS_INIT;
                wanted.output = g.doutput;
                wanted.final_state = g.dfinal;
                for (size_t j = 0; j < g.count; j++)
                    some[j] = (j == k) == alone ? got.parameters[j] : NULL;
                wanted.parameters = k == g.count + 2 && alone ? NULL : some;
                wanted.input = (k == g.count) == alone ? got.input : NULL;
                wanted.initial_state = (k == g.count + 1) == alone ? got.initial : NULL;
                for (size_t j = 0; j < g.count; j++)
                    memset(got.parameters[j], 0x55, g.sizes[j] * sizeof(float));
                memset(got.input, 0x55, got.input_count * sizeof(float));
                cr_assert_eq(lw_state_reset(got.initial), LW_OK);
                cr_assert_eq(lw_tape_backward(g.tape, &wanted), LW_OK, "%s", lw_error());
                /* What was not wanted is still marked; it then takes the wanted bits for the comparison. */
                for (size_t j = 0; j < g.count; j++)
                    if (!wanted.parameters || !some[j]) {
                        for (size_t e = 0; e < g.sizes[j] * sizeof(float); e++)
                            cr_assert_eq(((unsigned char *)got.parameters[j])[e], 0x55, "written though not wanted");
                        memcpy(got.parameters[j], want.parameters[j], g.sizes[j] * sizeof(float));
                    }
                if (!wanted.input)
                    memcpy(got.input, want.input, got.input_count * sizeof(float));
                if (!wanted.initial_state)
                    cr_assert_eq(lw_state_copy(got.initial, want.initial), LW_OK);
                expect_same(&g, &want, &got, alone ? "alone" : "all but one");
            }
        free(some);
        gradient_result_destroy(&want);
        gradient_result_destroy(&got);
        gradient_case_destroy(&g);
    }
}

ParameterizedTestParameters(gradient_bits, segments)
{
    return every_isa(CELL_KINDS);
}

/* A run that is kept in segments and made again on the way back, for any stack without reverse layers. */
ParameterizedTest(struct parameter *p, gradient_bits, segments)
{
    size_t several = 0;
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        draw(&s, cell_kind(p->kind), 1300 + seed);
        for (size_t k = 0; k < s.brick_count; k++)
            s.bricks[k].direction = LW_FORWARD;
        gradient_case g;
        gradient_result want, got;
        create(&g, &want, &s, p->isa);
        cr_assert(gradient_result_create(&got, &g, why), "%s", why);
        float *output = ref_alloc(g.output_count, sizeof *output),
              *expected = ref_alloc(g.output_count, sizeof *output);
        run(&g, &want, expected);
        const size_t lengths[] = {1, 2, 7, 64, s.steps ? s.steps : 1, s.steps + 1, SIZE_MAX};
        for (size_t k = s.steps > 100 ? 2 : 0; k < sizeof lengths / sizeof *lengths; k++) {
            cr_assert_eq(lw_tape_set_segment(g.tape, lengths[k]), LW_OK, "%s", lw_error());
            several += lengths[k] < s.steps;
            run(&g, &got, output);
            expect_same(&g, &want, &got, "segments");
            cr_assert(memcmp(output, expected, g.output_count * sizeof *output) == 0, "segments: another output: %s",
                      scenario_text(&s));
        }
        cr_assert_eq(lw_tape_set_segment(g.tape, 0), LW_OK, "%s", lw_error());
        run(&g, &got, output);
        expect_same(&g, &want, &got, "segments off again");
        free(output);
        free(expected);
        gradient_result_destroy(&want);
        gradient_result_destroy(&got);
        gradient_case_destroy(&g);
    }
    cr_assert_gt(several, CASES, "too few runs had more than one segment");
}

/* A gradient that comes in as NULL is zero. */
Test(gradient_bits, zero_and_null)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        draw(&s, cell_kind(seed % CELL_KINDS), 100 + seed);
        s.input_layout = s.output_layout = LAYOUT_DENSE;
        gradient_case g;
        gradient_result want, got;
        create(&g, &want, &s, lw_isa_get());
        cr_assert(gradient_result_create(&got, &g, why), "%s", why);
        run(&g, &want, NULL);
        lw_state *zero;
        cr_assert_eq(lw_state_create(g.h.model, s.batch, &zero), LW_OK);
        float *dy = ref_alloc(g.output_count, sizeof *dy);
        for (int k = 0; k < 4; k++) {
            lw_gradients wanted = LW_GRADIENTS_INIT;
            wanted.parameters = want.parameters;
            wanted.input = want.input;
            wanted.initial_state = want.initial;
            wanted.output = k & 1 ? g.doutput : dy;
            wanted.final_state = k & 2 ? g.dfinal : zero;
            cr_assert_eq(lw_tape_backward(g.tape, &wanted), LW_OK, "%s", lw_error());
            wanted.parameters = got.parameters;
            wanted.input = got.input;
            wanted.initial_state = got.initial;
            wanted.output = k & 1 ? g.doutput : NULL;
            wanted.final_state = k & 2 ? g.dfinal : NULL;
            cr_assert_eq(lw_tape_backward(g.tape, &wanted), LW_OK, "%s", lw_error());
            expect_same(&g, &want, &got, "NULL beside zero");
        }
        free(dy);
        lw_state_destroy(zero);
        gradient_result_destroy(&want);
        gradient_result_destroy(&got);
        gradient_case_destroy(&g);
    }
}

ParameterizedTestParameters(gradient_bits, never_stale)
{
    return every_isa(CELL_KINDS);
}

/* One parameter after the other changes between the calls, as an optimiser's do: each run is that of a tape which never
 * saw others. What the caller does to his memory after the forward run changes nothing. */
ParameterizedTest(struct parameter *p, gradient_bits, never_stale)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        scenario s;
        draw(&s, cell_kind(p->kind), 300 + seed);
        s.steps = s.steps % 20 + 1;
        gradient_case g, fresh;
        gradient_result got, want;
        create(&g, &got, &s, p->isa);
        create(&fresh, &want, &s, p->isa);
        float *output = ref_alloc(g.output_count, sizeof *output),
              *expected = ref_alloc(g.output_count, sizeof *output);
        run(&g, &got, NULL);
        rng r = {.seed = seed};
        for (size_t k = 0; k < g.count; k++) {
            size_t e = rng_range(&r, 0, g.sizes[k] - 1);
            g.parameters[k][e] += 0.125f;
            fresh.parameters[k][e] = g.parameters[k][e];
            lw_tape_destroy(fresh.tape);
            cr_assert_eq(lw_tape_create(fresh.h.model, NULL, &fresh.tape), LW_OK, "%s", lw_error());
            run(&fresh, &want, expected);
            lw_state *state = harness_state(&g.h, why);
            cr_assert(gradient_forward(&g, (const float *const *)g.parameters, state, output, why), "%s", why);
            lw_state_destroy(state);
            for (size_t j = 0; j < g.count; j++)
                memset(g.parameters[j], 0xff, g.sizes[j] * sizeof(float));
            cr_assert(gradient_backward(&g, LW_OVERWRITE, &got, why), "%s", why);
            expect_same(&g, &want, &got, "changed parameters");
            cr_assert(memcmp(output, expected, g.output_count * sizeof *output) == 0, "stale outputs");
            state = harness_state(&g.h, why);
            cr_assert(gradient_forward(&g, NULL, state, output, why), "%s", why);
            lw_state_destroy(state);
            cr_assert(gradient_backward(&g, LW_OVERWRITE, &got, why), "%s", why);
            expect_same(&g, &want, &got, "the parameters of the run before");
            cr_assert(memcmp(output, expected, g.output_count * sizeof *output) == 0, "other outputs");
            for (size_t j = 0; j < g.count; j++)
                memcpy(g.parameters[j], fresh.parameters[j], g.sizes[j] * sizeof(float));
        }
        free(output);
        free(expected);
        gradient_result_destroy(&want);
        gradient_result_destroy(&got);
        gradient_case_destroy(&fresh);
        gradient_case_destroy(&g);
    }
}
