/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dropout, recurrent dropout and zoneout of a tape: every gradient against the reference, whose masks are written from
 * the manual; the same bits for any number of threads, instruction set, segments and other rows; the masks' statistics;
 * rates of zero, expected values, misuse.
 */
#include "every_isa.h"
#include "gradient_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES 30
#define TOLERANCE 2e-5
#define RATES 6

static char why[WHY_SIZE];

static double *rate(lw_regularisation *r, size_t k)
{
    double *const rates[RATES] = {&r->input,     &r->between,        &r->output,
                                  &r->recurrent, &r->zoneout_hidden, &r->zoneout_cell};
    return rates[k];
}

static const char *const names[RATES] = {"input", "between", "output", "recurrent", "zoneout_hidden", "zoneout_cell"};

/* Every rate, none of them a half; or rate `alone` only. */
static lw_regularisation draw(uint64_t seed, size_t alone)
{
    lw_regularisation r = LW_REGULARISATION_INIT;
    for (size_t k = 0; k < RATES; k++)
        *rate(&r, k) = alone == RATES || alone == k ? 0.15 + 0.1 * (double)k : 0;
    r.seed = seed;
    r.update = seed / 3;
    r.options = seed % 2 ? LW_VARIATIONAL : 0;
    return r;
}

static void create(gradient_case *g, gradient_result *r, const scenario *s, lw_isa isa)
{
    cr_assert(gradient_case_create(g, s, isa, why), "%s: %s", scenario_text(s), why);
    cr_assert(gradient_result_create(r, g, why), "%s", why);
}

static void destroy(gradient_case *g, gradient_result *r)
{
    gradient_result_destroy(r);
    gradient_case_destroy(g);
}

static void expect_near(const gradient_case *g, const float *got, const char *what)
{
    const scenario *s = &g->h.s;
    ref_state *state = harness_ref_state(&g->h);
    ref_trace *trace = harness_reference(&g->h, state);
    const double *want = s->output_kind == LW_OUTPUT_LAST ? trace->last : trace->output;
    cr_assert(compare("output", got, want, g->output_count, 4 * harness_tolerance(&g->h), why), "%s: %s: %s", what, why,
              scenario_text(s));
    ref_trace_destroy(trace);
    ref_state_destroy(state);
}

static void check(scenario *s, lw_isa isa, const char *what)
{
    gradient_case g;
    gradient_result r;
    gradient_settle(s);
    create(&g, &r, s, isa);
    float *output = ref_alloc(g.output_count, sizeof *output);
    cr_assert(gradient_run(&g, &r, output, why), "%s: %s: %s", what, why, scenario_text(s));
    expect_near(&g, output, what);
    ref_gradients *want = gradient_reference(&g);
    cr_expect(gradient_compare(&g, &r, want, TOLERANCE, why), "%s: %s: %s", what, why, scenario_text(s));
    ref_gradients_destroy(want);
    free(output);
    destroy(&g, &r);
}

ParameterizedTestParameters(regularisation, random)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, regularisation, random)
{
    for (uint64_t seed = 0; seed < CASES; seed++) {
        lw_regularisation r = draw(seed, RATES);
        scenario s;
        scenario_random(&s, cell_kind(p->kind), 4000 + seed);
        s.regularisation = &r;
        check(&s, p->isa, "all rates");
    }
}

/* Two layers of a cell with options that change with k, at sizes on both sides of a vector's. */
static scenario of_cell(lw_kind kind, unsigned k)
{
    scenario s = SCENARIO_INIT;
    lw_brick *b = &s.bricks[0];
    *b = (lw_brick)LW_BRICK_INIT(kind);
    b->input = 3 + k % 5;
    b->hidden = 7 + k * 5 % 31;
    b->layers = 2;
    b->direction = (lw_direction)(k % 3);
    if (kind == LW_LSTM) {
        b->options = (k & 2 ? LW_PEEPHOLES : 0) | (k & 4 ? LW_COUPLED : 0);
        b->projection = k & 1 ? b->hidden / 2 : 0;
        b->cell_clip = k & 8 ? 0.4f : 0;
    } else if (kind == LW_GRU) {
        b->options = k & 1 ? LW_RESET_BEFORE : 0;
    } else {
        b->function = k & 1 ? LW_RELU : LW_TANH;
    }
    s.bricks[1] = (lw_brick)LW_BRICK_INIT(LW_DENSE);
    s.bricks[1].hidden = 3;
    s.brick_count = 1 + k / 2 % 2;
    s.steps = 4 + k % 4;
    s.batch = 1 + k % 5;
    s.ragged = k % 4 != 0;
    s.start = true;
    s.threads = 1 + k % 3;
    s.output_kind = (lw_output)(k / 3 % 2);
    s.seed = k;
    return s;
}

ParameterizedTestParameters(regularisation, each_alone)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, regularisation, each_alone)
{
    for (size_t alone = 0; alone < RATES; alone++)
        for (unsigned k = 0; k < 16; k++) {
            lw_regularisation r = draw(k, alone);
            scenario s = of_cell(cell_kind(p->kind), k);
            s.regularisation = &r;
            check(&s, p->isa, names[alone]);
        }
}

static void expect_same(const gradient_case *g, const gradient_result *want, const gradient_result *got,
                        const float *wanted, const float *output, const char *what)
{
    cr_assert(gradient_same(g, want, got, why), "%s: %s: %s", what, why, scenario_text(&g->h.s));
    cr_assert(memcmp(wanted, output, g->output_count * sizeof *output) == 0, "%s: other outputs: %s", what,
              scenario_text(&g->h.s));
}

ParameterizedTestParameters(regularisation, same_bits)
{
    return every_isa(CELL_KINDS);
}

/* Beside one scalar thread: 1 to 4 threads, each instruction set; then the run cut into segments. */
ParameterizedTest(struct parameter *p, regularisation, same_bits)
{
    for (unsigned k = 0; k < 12; k++) {
        lw_regularisation r = draw(k, RATES);
        scenario s = of_cell(cell_kind(p->kind), k);
        gradient_case g;
        gradient_result want, got;
        s.regularisation = &r;
        if (k >= 9) { /* wide enough for several threads */
            s.bricks[0].hidden = 131;
            s.bricks[0].projection = 0;
            s.steps = 6;
            s.batch = 33;
        }
        s.threads = 1;
        create(&g, &want, &s, LW_ISA_SCALAR);
        float *wanted = ref_alloc(g.output_count, sizeof *wanted), *output = ref_alloc(g.output_count, sizeof *output);
        cr_assert(gradient_run(&g, &want, wanted, why), "%s", why);
        gradient_case_destroy(&g);
        for (s.threads = 1; s.threads <= 4; s.threads++) {
            create(&g, &got, &s, p->isa);
            cr_assert(gradient_run(&g, &got, output, why), "%s", why);
            expect_same(&g, &want, &got, wanted, output, "threads");
            for (size_t segment = 1; s.bricks[0].direction == LW_FORWARD && segment <= s.steps + 1;
                 segment += segment < 3 ? 1 : 3) {
                cr_assert_eq(lw_tape_set_segment(g.tape, segment), LW_OK);
                cr_assert(gradient_run(&g, &got, output, why), "%s", why);
                expect_same(&g, &want, &got, wanted, output, "segments");
            }
            destroy(&g, &got);
        }
        gradient_result_destroy(&want);
        free(wanted);
        free(output);
    }
}

/* The same row beside other rows, and beside more of them: the same masks, the same bits. */
Test(regularisation, other_rows)
{
    for (unsigned k = 0; k < 24; k++) {
        lw_regularisation r = draw(k, RATES);
        scenario s = of_cell(cell_kind(k % 3), k);
        gradient_case few, many;
        gradient_result ignored, too;
        s.regularisation = &r;
        s.ragged = s.start = false;
        s.batch = 3;
        create(&few, &ignored, &s, lw_isa_get());
        s.batch = 9;
        create(&many, &too, &s, lw_isa_get());
        float *three = ref_alloc(few.output_count, sizeof *three), *nine = ref_alloc(many.output_count, sizeof *nine);
        size_t I = few.h.input_size, O = few.h.output_size;
        for (size_t at = 0; at < s.steps * 3; at++)
            memcpy(many.h.input + (at / 3 * 9 + at % 3) * I, few.h.input + at * I, I * sizeof(float));
        cr_assert(gradient_run(&few, &ignored, three, why) && gradient_run(&many, &too, nine, why), "%s", why);
        for (size_t at = 0; at < (s.output_kind == LW_OUTPUT_LAST ? 1 : s.steps) * 3; at++)
            cr_assert(memcmp(three + at * O, nine + (at / 3 * 9 + at % 3) * O, O * sizeof(float)) == 0,
                      "row %zu has other outputs beside six more: %s", at % 3, scenario_text(&s));
        free(three);
        free(nine);
        destroy(&few, &ignored);
        destroy(&many, &too);
    }
}

/* Rates of zero, or too small to be one of 2^24, are none: same bits, same memory. Another update draws anew. */
Test(regularisation, zero_and_other_updates)
{
    for (unsigned k = 0; k < 12; k++) {
        lw_regularisation r = LW_REGULARISATION_INIT;
        scenario s = of_cell(cell_kind(k % 3), k);
        gradient_case g;
        gradient_result want, got;
        s.ragged = false;
        create(&g, &want, &s, lw_isa_get());
        cr_assert(gradient_result_create(&got, &g, why), "%s", why);
        float *wanted = ref_alloc(g.output_count, sizeof *wanted), *output = ref_alloc(g.output_count, sizeof *output);
        cr_assert(gradient_run(&g, &want, wanted, why), "%s", why);
        size_t bytes = lw_tape_bytes(g.tape, 100, 7);
        r.seed = 5;
        for (int tiny = 0; tiny < 2; tiny++) {
            for (size_t i = 0; i < RATES && tiny; i++)
                *rate(&r, i) = 1e-9;
            cr_assert_eq(lw_tape_set_regularisation(g.tape, &r), LW_OK, "%s", lw_error());
            cr_assert(gradient_run(&g, &got, output, why), "%s", why);
            expect_same(&g, &want, &got, wanted, output, "rates of zero");
        }
        cr_assert_eq(lw_tape_set_regularisation(g.tape, NULL), LW_OK);
        cr_assert_eq(lw_tape_bytes(g.tape, 100, 7), bytes);
        r.zoneout_hidden = 0.5;
        for (r.update = 0; r.update < 3; r.update++) {
            cr_assert_eq(lw_tape_set_regularisation(g.tape, &r), LW_OK, "%s", lw_error());
            cr_assert(gradient_run(&g, &got, output, why), "%s", why);
            cr_assert(memcmp(wanted, output, g.output_count * sizeof *output) != 0, "update %d changes nothing",
                      (int)r.update);
            memcpy(wanted, output, g.output_count * sizeof *output);
        }
        free(wanted);
        free(output);
        gradient_result_destroy(&got);
        destroy(&g, &want);
    }
}

ParameterizedTestParameters(regularisation, expected_values)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, regularisation, expected_values)
{
    for (unsigned k = 0; k < 16; k++) {
        lw_regularisation r = draw(k, RATES);
        scenario s = of_cell(cell_kind(p->kind), k);
        gradient_case g;
        r.options |= LW_EXPECTED;
        s.regularisation = &r;
        cr_assert(gradient_case_create(&g, &s, p->isa, why), "%s", why);
        float *output = ref_alloc(g.output_count, sizeof *output);
        lw_state *state = harness_state(&g.h, why);
        cr_assert(gradient_forward(&g, (const float *const *)g.parameters, state, output, why), "%s", why);
        expect_near(&g, output, "expected values");
        lw_gradients wanted = LW_GRADIENTS_INIT;
        cr_assert_eq(lw_tape_backward(g.tape, &wanted), LW_ERR_UNSUPPORTED);
        cr_assert(strstr(lw_error(), "LW_EXPECTED"), "%s", lw_error());
        lw_state_destroy(state);
        free(output);
        gradient_case_destroy(&g);
    }
}

/* Masks through the library: a ReLU of ones shows what the input's are. */
#define STAT_STEPS 40
#define STAT_ROWS 25
#define STAT_UNITS 51
#define STAT_COUNT (STAT_STEPS * STAT_ROWS * STAT_UNITS)

static void show_masks(lw_tape *tape, const lw_regularisation *r, float *mask)
{
    static float ones[STAT_COUNT];
    lw_io io = LW_IO_INIT;
    for (size_t k = 0; k < STAT_COUNT; k++)
        ones[k] = 1;
    io.steps = STAT_STEPS;
    io.batch = STAT_ROWS;
    io.input = ones;
    io.output = mask;
    cr_assert_eq(lw_tape_set_regularisation(tape, r), LW_OK, "%s", lw_error());
    cr_assert_eq(lw_tape_forward(tape, &(const float *){NULL}, NULL, &io), LW_OK, "%s", lw_error());
}

/* The share of places where both are dropped is p^2, or p where they are the same mask: within six deviations. */
static void expect_together(const char *what, const float *a, const float *b, size_t count, double p)
{
    size_t both = 0;
    for (size_t k = 0; k < count; k++)
        both += a[k] == 0 && b[k] == 0;
    double share = (double)both / (double)count, deviation = sqrt(p * (1 - p) / (double)count);
    cr_assert(fabs(share - p) < 6 * deviation, "%s: %.4f are dropped in both, expected %.4f", what, share, p);
}

Test(regularisation, statistics)
{
    static const double rates[] = {0.001, 0.1, 0.25, 0.5, 0.9, 0.999};
    static float mask[STAT_COUNT], other[STAT_COUNT];
    lw_brick brick = LW_BRICK_INIT(LW_ACTIVATION);
    lw_model *model;
    lw_tape *tape;
    brick.input = STAT_UNITS;
    brick.function = LW_RELU;
    cr_assert_eq(lw_model_create(&brick, 1, NULL, &model), LW_OK, "%s", lw_error());
    cr_assert_eq(lw_tape_create(model, NULL, &tape), LW_OK);
    for (size_t k = 0; k < sizeof rates / sizeof *rates; k++)
        for (unsigned variational = 0; variational < 2; variational++) {
            lw_regularisation r = LW_REGULARISATION_INIT;
            const double p = rates[k];
            const size_t row = STAT_UNITS, step = STAT_ROWS * row;
            const size_t drawn = variational ? step : STAT_COUNT;
            r.input = p;
            r.seed = 11 + k;
            r.options = variational ? LW_VARIATIONAL : 0;
            show_masks(tape, &r, mask);
            for (size_t e = 0; e < STAT_COUNT; e++)
                cr_assert(mask[e] == 0 || fabs((double)mask[e] * (1 - p) - 1) < 1e-4, "an element is %g",
                          (double)mask[e]);
            expect_together("dropped", mask, mask, drawn, p);
            expect_together("units", mask, mask + 1, drawn - 1, p * p);
            expect_together("units", mask, mask + 2, drawn - 2, p * p);
            expect_together("rows", mask, mask + row, drawn - row, p * p);
            if (variational)
                cr_assert(memcmp(mask, mask + step, (STAT_COUNT - step) * sizeof *mask) == 0, "masks change with time");
            else
                expect_together("steps", mask, mask + step, drawn - step, p * p);
            r.update++;
            show_masks(tape, &r, other);
            expect_together("updates", mask, other, drawn, p * p);
            r.update--;
            r.seed++;
            show_masks(tape, &r, other);
            expect_together("seeds", mask, other, drawn, p * p);
        }
    lw_tape_destroy(tape);
    lw_model_destroy(model);
}

/* The masks of every kind, layer and direction have nothing to do with each other. */
Test(regularisation, kinds_differ)
{
    enum { COUNT = 8000 };
    static float masks[24][COUNT];
    lw_regularisation r = draw(3, RATES);
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    size_t used = 0;
    brick.input = brick.hidden = 8;
    brick.layers = 3;
    brick.direction = LW_BIDIRECTIONAL;
    ref_model *model = ref_create(&brick, 1);
    model->regularisation = &r;
    for (size_t k = 0; k < RATES; k++)
        *rate(&r, k) = 0.4;
    r.options = 0;
    for (size_t layer = 0; layer < 3; layer++)
        for (int kind = REF_INPUT; kind <= REF_ZONEOUT_C; kind++)
            for (int d = 0; d <= (kind >= REF_RECURRENT); d++, used++)
                for (size_t e = 0; e < COUNT; e++) {
                    double m = ref_mask(model, (ref_mask_kind)kind, layer, (lw_direction)d, e / 80, e / 8 % 10, e % 8);
                    masks[used][e] = m != (kind >= REF_ZONEOUT_H);
                }
    for (size_t a = 0; a < used; a++)
        for (size_t b = 0; b < a; b++) {
            int steady = a % 8 == 2 || a % 8 == 3 || b % 8 == 2 || b % 8 == 3; /* recurrent: 80 elements alone */
            if (!steady)
                expect_together("kinds", masks[a], masks[b], COUNT, 0.16);
        }
    cr_assert_eq(used, 24);
    ref_destroy(model);
}

Test(regularisation, misuse)
{
    static const double bad[] = {-1e-300, -0.5, 1.0, 1.5, INFINITY, -INFINITY, NAN};
    scenario s = of_cell(LW_LSTM, 4);
    gradient_case g;
    gradient_result want, got;
    create(&g, &want, &s, lw_isa_get());
    cr_assert(gradient_result_create(&got, &g, why), "%s", why);
    cr_assert(gradient_run(&g, &want, NULL, why), "%s", why);
    lw_regularisation r = LW_REGULARISATION_INIT;
    cr_expect_eq(lw_tape_set_regularisation(NULL, &r), LW_ERR_ARGUMENT);
    for (size_t k = 0; k < RATES; k++)
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            r = (lw_regularisation)LW_REGULARISATION_INIT;
            *rate(&r, k) = bad[b];
            cr_expect_eq(lw_tape_set_regularisation(g.tape, &r), LW_ERR_ARGUMENT, "%s %g", names[k], bad[b]);
            cr_expect(strstr(lw_error(), names[k]) && strstr(lw_error(), "less than 1"), "%s", lw_error());
        }
    r = (lw_regularisation)LW_REGULARISATION_INIT;
    r.options = 4;
    cr_expect_eq(lw_tape_set_regularisation(g.tape, &r), LW_ERR_ARGUMENT);
    cr_expect(strstr(lw_error(), "0x4"), "%s", lw_error());
    r.options = 0;
    r.size--;
    cr_expect_eq(lw_tape_set_regularisation(g.tape, &r), LW_ERR_ARGUMENT);
    /* What was refused changed nothing; what was taken forgets the last run. */
    cr_assert(gradient_backward(&g, LW_OVERWRITE, &got, why), "%s", why);
    cr_assert(gradient_same(&g, &want, &got, why), "%s", why);
    cr_expect_eq(lw_tape_set_regularisation(g.tape, NULL), LW_OK);
    cr_expect(!gradient_backward(&g, LW_OVERWRITE, &got, why));
    cr_expect(strstr(why, "no forward run"), "%s", why);
    /* The largest rates there are. */
    for (size_t k = 0; k < RATES; k++) {
        r = (lw_regularisation)LW_REGULARISATION_INIT;
        *rate(&r, k) = nextafter(1, 0);
        cr_expect_eq(lw_tape_set_regularisation(g.tape, &r), LW_OK, "%s", lw_error());
        cr_assert(gradient_run(&g, &got, NULL, why), "%s", why);
    }
    gradient_result_destroy(&got);
    destroy(&g, &want);
}

/* A NaN, an infinity or what an earlier run left behind stays in its row. */
Test(regularisation, strange_numbers_stay_in_their_row)
{
    for (unsigned k = 0; k < 12; k++) {
        lw_regularisation r = draw(k, RATES);
        scenario s = of_cell(cell_kind(k % 3), k);
        gradient_case g;
        gradient_result got;
        s.regularisation = &r;
        s.ragged = true;
        s.start = false;
        s.batch = 4;
        s.output_kind = LW_OUTPUT_SEQUENCE;
        create(&g, &got, &s, lw_isa_get());
        float *clean = ref_alloc(g.output_count, sizeof *clean), *output = ref_alloc(g.output_count, sizeof *output);
        size_t I = g.h.input_size, O = g.h.output_size, *lengths = g.h.lengths;
        cr_assert(gradient_run(&g, &got, clean, why), "%s", why);
        float kept[16];
        memcpy(kept, g.h.input + I, I * sizeof(float));
        g.h.lengths = NULL; /* every slot gets NaNs of row 1 */
        for (size_t i = 0; i < I; i++)
            g.h.input[I + i] = NAN;
        cr_assert(gradient_run(&g, &got, output, why), "%s", why);
        g.h.lengths = lengths;
        cr_assert(gradient_run(&g, &got, output, why), "%s", why);
        for (size_t e = 0; e < g.output_count; e++)
            cr_assert(e / O % 4 == 1 || memcmp(output + e, clean + e, sizeof *output) == 0, "a NaN left its row");
        memcpy(g.h.input + I, kept, I * sizeof(float));
        cr_assert(gradient_run(&g, &got, output, why), "%s", why);
        cr_assert(memcmp(output, clean, g.output_count * sizeof *output) == 0, "the NaN is still there");
        for (size_t p = 0; p < got.count; p++)
            for (size_t e = 0; e < got.sizes[p]; e++)
                cr_assert(isfinite(got.parameters[p][e]), "a gradient kept the NaN of an earlier run");
        free(clean);
        free(output);
        destroy(&g, &got);
    }
}
