/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes: what they record agrees with the reference's signals at every step, beyond a row's length it is zero, the
 * chosen units are the right ones, and a run with probes has the bits of one without.
 */
#include "every_isa.h"
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES 30

static char why[WHY_SIZE];

/* A probe for each layer and direction of the reference, each with every other unit in falling order, or all. */
static size_t probes_create(const harness *h, lw_probe probes[32], rng *r)
{
    size_t count = 0;
    for (size_t l = 0; l < h->ref->layer_count; l++)
        for (int d = 0; d < 2; d++) {
            const ref_layer *layer = &h->ref->layers[l];
            if (!layer->signals || !ref_has_direction(layer, (lw_direction)d))
                continue;
            lw_probe *p = &probes[count++];
            *p = (lw_probe)LW_PROBE_INIT;
            p->layer = l;
            p->direction = (lw_direction)d;
            p->unit_count = layer->brick.hidden;
            if (rng_one_in(r, 2)) {
                p->unit_count = (layer->brick.hidden + 1) / 2;
                size_t *units = ref_alloc(p->unit_count, sizeof *units);
                for (size_t k = 0; k < p->unit_count; k++)
                    units[k] = layer->brick.hidden - 1 - 2 * k;
                p->units = units;
            }
            p->capacity = h->s.steps * h->s.batch * layer->signals * p->unit_count;
            p->values = ref_alloc(p->capacity + 1, sizeof *p->values);
            memset(p->values, 0xff, (p->capacity + 1) * sizeof *p->values);
        }
    return count;
}

static void check_probe(const harness *h, const lw_probe *p, const ref_trace *trace)
{
    const ref_layer *layer = &h->ref->layers[p->layer];
    size_t H = layer->brick.hidden, U = p->unit_count, groups = h->s.steps * h->s.batch * layer->signals;
    double *want = ref_alloc(p->capacity, sizeof *want);
    for (size_t g = 0; g < groups; g++)
        for (size_t k = 0; k < U; k++)
            want[g * U + k] = trace->layers[p->layer].signals[p->direction][g * H + (p->units ? p->units[k] : k)];
    cr_assert(compare("probe", p->values, want, p->capacity, harness_tolerance(h), why),
              "layer %zu direction %d: %s: %s", p->layer, p->direction, scenario_text(&h->s), why);
    uint32_t after;
    memcpy(&after, p->values + p->capacity, sizeof after);
    cr_assert_eq(after, UINT32_MAX, "the probe wrote beyond its capacity");
    free(want);
}

ParameterizedTestParameters(probe, values_and_bits)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, probe, values_and_bits)
{
    size_t seen = 0;
    for (uint64_t seed = 0; seed < CASES; seed++) {
        scenario s;
        scenario_random(&s, cell_kind(p->kind), seed);
        harness h;
        cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
        ref_state *want = harness_ref_state(&h);
        ref_trace *trace = harness_reference(&h, want);
        lw_state *plain = harness_state(&h, why), *probed = harness_state(&h, why);
        size_t count = harness_output_count(&h), bytes = lw_state_bytes(plain);
        float *a = ref_alloc(count, sizeof *a), *b = ref_alloc(count, sizeof *b);
        char *plain_bytes = malloc(bytes), *probed_bytes = malloc(bytes);
        rng r = {.seed = seed};
        lw_probe probes[32];
        size_t probe_count = probes_create(&h, probes, &r);
        cr_assert(harness_run(&h, plain, NULL, 0, a, why), "%s: %s", scenario_text(&s), why);
        cr_assert(harness_run(&h, probed, probes, probe_count, b, why), "%s: %s", scenario_text(&s), why);
        cr_assert(memcmp(a, b, count * sizeof *a) == 0, "the probe changed the output: %s", scenario_text(&s));
        cr_assert_eq(lw_state_save(plain, plain_bytes, bytes), LW_OK);
        cr_assert_eq(lw_state_save(probed, probed_bytes, bytes), LW_OK);
        cr_assert(memcmp(plain_bytes, probed_bytes, bytes) == 0, "the probe changed the state");
        for (size_t k = 0; k < probe_count; k++) {
            check_probe(&h, &probes[k], trace);
            free((void *)probes[k].units);
            free(probes[k].values);
        }
        seen += probe_count;
        free(plain_bytes);
        free(probed_bytes);
        free(a);
        free(b);
        lw_state_destroy(plain);
        lw_state_destroy(probed);
        ref_trace_destroy(trace);
        ref_state_destroy(want);
        harness_destroy(&h);
    }
    cr_assert_geq(seen, CASES);
}

/* The hidden signal of the last layer is the output itself, to the bit, where no projection follows. */
ParameterizedTestParameters(probe, hidden_is_output)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, probe, hidden_is_output)
{
    scenario s = SCENARIO_INIT;
    s.bricks[0] = (lw_brick)LW_BRICK_INIT(cell_kind(p->kind));
    s.bricks[0].input = 4;
    s.bricks[0].hidden = 37;
    s.brick_count = 1;
    s.steps = 9;
    s.batch = 3;
    harness h;
    cr_assert(harness_create(&h, &s, p->isa, why), "%s", why);
    float output[9 * 3 * 37], values[9 * 3 * 6 * 37];
    size_t signals = h.ref->layers[0].signals;
    lw_probe probe = LW_PROBE_INIT;
    probe.unit_count = 37;
    probe.values = values;
    probe.capacity = sizeof values / sizeof *values;
    cr_assert(harness_run(&h, NULL, &probe, 1, output, why), "%s", why);
    for (size_t at = 0; at < 9 * 3; at++)
        cr_assert(memcmp(output + at * 37, values + (at * signals + signals - 1) * 37, 37 * sizeof(float)) == 0);
    harness_destroy(&h);
}

/* The names in the order that the header gives. */
Test(probe, names)
{
    static const char *const names[3][7] = {
        {"input", "forget", "output", "candidate", "cell", "hidden", NULL},
        {"reset", "update", "candidate", "hidden", NULL},
        {"hidden", NULL},
    };
    lw_brick bricks[4] = {LW_BRICK_INIT(LW_LSTM), LW_BRICK_INIT(LW_GRU), LW_BRICK_INIT(LW_RNN),
                          LW_BRICK_INIT(LW_DENSE)};
    for (size_t k = 0; k < 4; k++)
        bricks[k].input = bricks[k].hidden = 3;
    lw_model *model;
    cr_assert_eq(lw_model_create(bricks, 4, NULL, &model), LW_OK, "%s", lw_error());
    for (size_t layer = 0; layer < 3; layer++) {
        lw_layer info = {.size = sizeof info};
        cr_assert_eq(lw_model_layer(model, layer, &info), LW_OK);
        size_t count = 0;
        for (; names[layer][count]; count++)
            cr_assert_str_eq(lw_layer_signal(model, layer, count), names[layer][count]);
        cr_assert_null(lw_layer_signal(model, layer, count));
        cr_assert_eq(info.signals, count);
    }
    cr_assert_null(lw_layer_signal(model, 3, 0), "a dense layer has no signals");
    cr_assert_null(lw_layer_signal(model, 4, 0));
    cr_assert_null(lw_layer_signal(NULL, 0, 0));
    lw_model_destroy(model);
}
