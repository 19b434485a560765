/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second promise: the bits of a result depend on the model and the input alone. Random models, with weights large
 * enough to amplify any difference, against the scalar kernels on one thread: every instruction set, number of threads,
 * the caller's own pool; a row alone or in a batch; ragged rows or each by itself; the floating-point environment.
 */
#include "every_isa.h"
#include "pool.h"
#include "scenario.h"

#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES 24

static char why[WHY_SIZE];

/* Output and final state of one run. */
struct result {
    size_t count;
    float *output;
    size_t bytes;
    char *state;
};

static void result_free(struct result *r)
{
    free(r->output);
    free(r->state);
}

static struct result run(const harness *h)
{
    struct result r = {.count = harness_output_count(h)};
    lw_state *state = harness_state(h, why);
    cr_assert(state, "%s", why);
    r.output = ref_alloc(r.count, sizeof *r.output);
    cr_assert(harness_run(h, state, NULL, 0, r.output, why), "%s: %s", scenario_text(&h->s), why);
    r.bytes = lw_state_bytes(state);
    r.state = malloc(r.bytes);
    cr_assert_eq(lw_state_save(state, r.state, r.bytes), LW_OK);
    lw_state_destroy(state);
    return r;
}

static struct result run_scenario(const scenario *s, lw_isa isa)
{
    harness h;
    cr_assert(harness_create(&h, s, isa, why), "%s: %s", scenario_text(s), why);
    struct result r = run(&h);
    harness_destroy(&h);
    return r;
}

static struct result run_in_pool(const scenario *s, lw_isa isa, pool *own)
{
    harness h;
    cr_assert(harness_create(&h, s, isa, why), "%s: %s", scenario_text(s), why);
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = 3;
    options.parallel = pool_run;
    options.pool = own;
    lw_context_destroy(h.context);
    h.context = NULL;
    cr_assert_eq(lw_context_create(h.model, &options, &h.context), LW_OK, "%s", lw_error());
    struct result r = run(&h);
    harness_destroy(&h);
    return r;
}

static void expect_same(const struct result *a, const struct result *b, const scenario *s, const char *what)
{
    cr_assert_eq(a->bytes, b->bytes);
    for (size_t k = 0; k < a->count; k++)
        cr_assert(memcmp(a->output + k, b->output + k, sizeof(float)) == 0, "%s: output %zu of %zu is %a, not %a: %s",
                  what, k, a->count, (double)b->output[k], (double)a->output[k], scenario_text(s));
    cr_assert(memcmp(a->state, b->state, a->bytes) == 0, "%s: another state: %s", what, scenario_text(s));
}

static void draw(scenario *s, lw_kind kind, uint64_t seed)
{
    scenario_random(s, kind, seed);
    s->weight_scale = seed % 3 == 0 ? 4 : 1;
    for (size_t k = 0; k < s->brick_count; k++)
        if (s->bricks[k].function == LW_RELU)
            s->weight_scale = 1;
}

ParameterizedTestParameters(same_bits, instruction_sets_and_threads)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, same_bits, instruction_sets_and_threads)
{
    static const size_t threads[] = {1, 2, 3, 4, 7};
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        draw(&s, cell_kind(p->kind), seed);
        s.threads = 1;
        struct result want = run_scenario(&s, LW_ISA_SCALAR);
        for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
            s.threads = threads[k];
            struct result got = run_scenario(&s, p->isa);
            expect_same(&want, &got, &s, lw_isa_name(p->isa));
            result_free(&got);
        }
        result_free(&want);
    }
}

/* What the library says that it does with this scenario on four threads. */
static const char *schedule_of(const scenario *s, lw_isa isa)
{
    harness h;
    scenario four = *s;
    four.threads = 4;
    lw_explanation explanation = {.size = sizeof explanation};
    cr_assert(harness_create(&h, &four, isa, why), "%s", why);
    cr_assert_eq(lw_explain(h.context, s->steps, s->batch, NULL, &explanation), LW_OK, "%s", lw_error());
    harness_destroy(&h);
    return explanation.choices[0].name;
}

ParameterizedTestParameters(same_bits, large_enough_for_threads)
{
    return every_isa(CELL_KINDS);
}

/* Sizes for which splitting the work pays, so that the threads really share it: by rows, by units, by directions. */
ParameterizedTest(struct parameter *p, same_bits, large_enough_for_threads)
{
    static const size_t threads[] = {2, 3, 4, 7};
    static const struct {
        size_t steps, batch, hidden, layers;
        lw_direction direction;
    } shapes[] = {{12, 1, 400, 1, LW_FORWARD}, {6, 33, 150, 2, LW_FORWARD}, {10, 5, 131, 2, LW_BIDIRECTIONAL},
                  {5, 2, 300, 3, LW_REVERSE},  {300, 1, 32, 4, LW_FORWARD}, {150, 1, 100, 4, LW_FORWARD},
                  {70, 3, 90, 3, LW_FORWARD},  {20, 64, 100, 1, LW_FORWARD}};
    bool rows = false, units = false, wavefront = false;
    pool own = {0};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        scenario s = SCENARIO_INIT;
        s.bricks[0] = (lw_brick)LW_BRICK_INIT(cell_kind(p->kind));
        s.bricks[0].input = 70;
        s.bricks[0].hidden = shapes[k].hidden;
        s.bricks[0].layers = shapes[k].layers;
        s.bricks[0].direction = shapes[k].direction;
        s.bricks[0].projection = p->kind == 0 && k == 1 ? 65 : 0;
        s.bricks[0].options = p->kind == 1 && k % 2 ? LW_RESET_BEFORE : 0;
        s.brick_count = 1;
        s.steps = shapes[k].steps;
        s.batch = shapes[k].batch;
        s.ragged = k == 2 || k >= 6;
        s.start = true;
        s.seed = k;
        const char *schedule = schedule_of(&s, p->isa);
        rows |= strcmp(schedule, "rows") == 0;
        units |= strcmp(schedule, "units") == 0;
        wavefront |= strcmp(schedule, "wavefront") == 0;
        struct result want = run_scenario(&s, LW_ISA_SCALAR);
        for (size_t n = 0; n < sizeof threads / sizeof *threads; n++) {
            s.threads = threads[n];
            struct result got = run_scenario(&s, p->isa);
            expect_same(&want, &got, &s, lw_isa_name(p->isa));
            result_free(&got);
        }
        struct result got = run_in_pool(&s, p->isa, &own);
        expect_same(&want, &got, &s, "own pool");
        result_free(&got);
        result_free(&want);
    }
    cr_assert(rows && units && wavefront, "not every schedule was run: rows %d, units %d, wavefront %d", rows, units,
              wavefront);
    cr_assert_gt(own.most, 1, "no shape was large enough for a second thread: this test shows nothing");
    cr_assert_leq(own.most, 3);
}

ParameterizedTestParameters(same_bits, own_pool)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, same_bits, own_pool)
{
    pool own = {0};
    for (uint64_t seed = 0; seed < CASES / 2; seed++) {
        scenario s;
        draw(&s, cell_kind(p->kind), seed);
        s.threads = 1;
        struct result want = run_scenario(&s, p->isa), got = run_in_pool(&s, p->isa, &own);
        expect_same(&want, &got, &s, "own pool");
        result_free(&got);
        result_free(&want);
    }
    cr_assert_leq(own.most, 3, "%zu tasks at once, 3 were allowed", own.most);
}

/* A harness for row `b` of another, alone, with `steps` steps. */
static void row_of(harness *one, const harness *h, size_t b, size_t steps)
{
    scenario s = h->s;
    s.batch = 1;
    s.ragged = false;
    cr_assert(harness_create(one, &s, h->isa, why), "%s", why);
    one->s.steps = steps;
    for (size_t t = 0; t < steps; t++)
        memcpy(one->input + t * h->input_size, h->input + (t * h->s.batch + b) * h->input_size,
               h->input_size * sizeof(float));
    for (size_t l = 0; l < h->ref->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                size_t width = ref_memory_width(&h->ref->layers[l], (lw_memory)m);
                if (h->memory[l][d][m])
                    memcpy(one->memory[l][d][m], h->memory[l][d][m] + b * width, width * sizeof(float));
            }
}

ParameterizedTestParameters(same_bits, row_alone)
{
    return every_isa(CELL_KINDS);
}

/* Each row of a batch, ragged or not, has the bits that it has alone with its own length. */
ParameterizedTest(struct parameter *p, same_bits, row_alone)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        draw(&s, cell_kind(p->kind), seed);
        s.ragged = seed % 3 > 0;
        harness h;
        cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
        struct result all = run(&h);
        size_t O = h.output_size, B = s.batch;
        for (size_t b = 0; b < B; b++) {
            size_t steps = h.lengths ? h.lengths[b] : s.steps;
            harness one;
            row_of(&one, &h, b, steps);
            struct result alone = run(&one);
            size_t rows = s.output_kind == LW_OUTPUT_LAST ? 1 : steps;
            for (size_t t = 0; t < rows; t++)
                cr_assert(memcmp(all.output + (t * B + b) * O, alone.output + t * O, O * sizeof(float)) == 0,
                          "row %zu step %zu: %s", b, t, scenario_text(&s));
            for (size_t t = rows; t < s.steps && s.output_kind == LW_OUTPUT_SEQUENCE; t++)
                for (size_t o = 0; o < O; o++)
                    cr_assert(all.output[(t * B + b) * O + o] == 0, "row %zu beyond its length: %s", b,
                              scenario_text(&s));
            result_free(&alone);
            harness_destroy(&one);
        }
        result_free(&all);
        harness_destroy(&h);
    }
}

ParameterizedTestParameters(same_bits, again)
{
    return every_isa(CELL_KINDS);
}

/* The same context used for other shapes in between, and after a reserve: nothing is remembered. */
ParameterizedTest(struct parameter *p, same_bits, again)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        draw(&s, cell_kind(p->kind), seed);
        harness h;
        cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
        struct result first = run(&h);
        for (size_t other = 1; other < 30; other += 7) {
            harness small = h; /* the same model and context with less of the same input */
            small.s.steps = s.steps < other ? s.steps : other;
            small.lengths = NULL;
            struct result ignored = run(&small);
            result_free(&ignored);
        }
        cr_assert_eq(lw_context_reserve(h.context, s.steps + 9, s.batch + 3), LW_OK, "%s", lw_error());
        struct result second = run(&h);
        expect_same(&first, &second, &s, "a second time");
        result_free(&first);
        result_free(&second);
        harness_destroy(&h);
    }
}

/* Exactly what a run leaves of the caller's floating-point environment: rounding mode and traps as before. */
Test(same_bits, floating_point_environment)
{
    scenario s;
    draw(&s, LW_LSTM, 1);
    fesetround(FE_UPWARD);
    fenv_t before, after;
    fegetenv(&before);
    struct result r = run_scenario(&s, lw_isa_get());
    fegetenv(&after);
    cr_assert_eq(fegetround(), FE_UPWARD);
#if defined(__x86_64__)
    cr_assert_eq(before.__mxcsr & 0xffc0u, after.__mxcsr & 0xffc0u, "the control bits of MXCSR changed");
    cr_assert_eq(before.__control_word, after.__control_word);
#endif
    fesetround(FE_TONEAREST);
    result_free(&r);
}

/* Loading the library must not switch the processor to flushing denormals. */
Test(same_bits, denormals_live)
{
    volatile float small = 0x1p-126f;
    cr_assert(small * 0.5f > 0, "denormals are flushed to zero");
}
