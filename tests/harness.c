/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the scenarios that talks to the library: two models from the same numbers, states, runs through
 * any layout, and the check against the reference. Called by the tests through scenario.h.
 */
#include "scenario.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 0x7fc0dead /* bits between the rows of a padded buffer */

static bool refused(const char *what, char why[WHY_SIZE])
{
    snprintf(why, WHY_SIZE, "%s: %s", what, lw_error());
    return false;
}

/* The library's list of parameters must be the reference's: names, ranks, shapes. Both get the same numbers. */
static bool fill_parameters(harness *h, rng *r, char why[WHY_SIZE])
{
    size_t count = lw_model_parameter_count(h->model);
    if (count != h->ref->parameter_count) {
        snprintf(why, WHY_SIZE, "the model has %zu parameters, expected %zu", count, h->ref->parameter_count);
        return false;
    }
    for (size_t k = 0; k < count; k++) {
        lw_parameter p = {.size = sizeof p};
        if (lw_model_parameter(h->model, k, &p))
            return refused("lw_model_parameter", why);
        ref_parameter *q = ref_find(h->ref, p.name);
        if (!q || q->rank != p.rank || q->count != p.count || q->shape[0] != p.shape[0] ||
            (q->rank == 2 && q->shape[1] != p.shape[1])) {
            snprintf(why, WHY_SIZE, "parameter %s (%zu, %zu) is not one of the reference", p.name, p.shape[0],
                     p.shape[1]);
            return false;
        }
        float scale = h->s.weight_scale / (float)sqrt((double)q->fan);
        float *values = ref_alloc(q->count, sizeof *values);
        rng_fill(r, values, q->count, scale);
        for (size_t e = 0; e < q->count; e++)
            q->values[e] = (double)values[e];
        lw_status status = lw_model_parameter_set(h->model, k, values, q->count);
        free(values);
        if (status)
            return refused("lw_model_parameter_set", why);
    }
    return true;
}

static void fill_memory(harness *h, rng *r)
{
    h->memory = ref_alloc(h->ref->layer_count, sizeof *h->memory);
    for (size_t l = 0; l < h->ref->layer_count && h->s.start; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                const ref_layer *layer = &h->ref->layers[l];
                size_t count = ref_memory_width(layer, (lw_memory)m) * h->s.batch;
                if (!count || !ref_has_direction(layer, (lw_direction)d))
                    continue;
                h->memory[l][d][m] = ref_alloc(count, sizeof(float));
                rng_fill(r, h->memory[l][d][m], count, 1);
            }
}

bool harness_create(harness *h, const scenario *s, lw_isa isa, char why[WHY_SIZE])
{
    *h = (harness){.s = *s, .isa = isa};
    rng r = {.seed = s->seed};
    lw_model_options options = LW_MODEL_OPTIONS_INIT;
    options.isa = (int)isa;
    h->ref = ref_create(s->bricks, s->brick_count);
    h->ref->regularisation = s->regularisation;
    if (lw_model_create(s->bricks, s->brick_count, &options, &h->model))
        return refused("lw_model_create", why);
    if (!fill_parameters(h, &r, why))
        return false;
    lw_context_options context = LW_CONTEXT_OPTIONS_INIT;
    context.threads = s->threads;
    if (lw_context_create(h->model, &context, &h->context))
        return refused("lw_context_create", why);
    h->input_size = ref_input_size(h->ref);
    h->output_size = ref_output_size(h->ref);
    if (lw_model_input_size(h->model) != h->input_size || lw_model_output_size(h->model) != h->output_size) {
        snprintf(why, WHY_SIZE, "the model maps %zu to %zu, expected %zu to %zu", lw_model_input_size(h->model),
                 lw_model_output_size(h->model), h->input_size, h->output_size);
        return false;
    }
    size_t count = s->steps * s->batch * h->input_size;
    h->input = ref_alloc(count, sizeof *h->input);
    rng_fill(&r, h->input, count, s->input_scale);
    if (s->ragged) {
        h->lengths = ref_alloc(s->batch, sizeof *h->lengths);
        for (size_t b = 0; b < s->batch; b++)
            h->lengths[b] = rng_range(&r, 0, s->steps);
    }
    fill_memory(h, &r);
    return true;
}

void harness_destroy(harness *h)
{
    for (size_t l = 0; h->memory && l < h->ref->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++)
                free(h->memory[l][d][m]);
    free(h->memory);
    free(h->input);
    free(h->lengths);
    lw_context_destroy(h->context);
    lw_model_destroy(h->model);
    ref_destroy(h->ref);
    *h = (harness){0};
}

lw_state *harness_state(const harness *h, char why[WHY_SIZE])
{
    lw_state *state = NULL;
    if (lw_state_create(h->model, h->s.batch, &state)) {
        refused("lw_state_create", why);
        return NULL;
    }
    for (size_t l = 0; l < h->ref->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                size_t count = ref_memory_width(&h->ref->layers[l], (lw_memory)m) * h->s.batch;
                if (h->memory[l][d][m] &&
                    lw_state_set(state, l, (lw_direction)d, (lw_memory)m, h->memory[l][d][m], count)) {
                    refused("lw_state_set", why);
                    lw_state_destroy(state);
                    return NULL;
                }
            }
    return state;
}

ref_state *harness_ref_state(const harness *h)
{
    ref_state *state = ref_state_create(h->ref, h->s.batch);
    for (size_t l = 0; l < h->ref->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                size_t count = ref_memory_width(&h->ref->layers[l], (lw_memory)m) * h->s.batch;
                for (size_t k = 0; h->memory[l][d][m] && k < count; k++)
                    state->memory[l][d][m][k] = (double)h->memory[l][d][m][k];
            }
    return state;
}

ref_trace *harness_reference(const harness *h, ref_state *state)
{
    size_t count = h->s.steps * h->s.batch * h->input_size;
    double *input = ref_alloc(count, sizeof *input);
    for (size_t k = 0; k < count; k++)
        input[k] = (double)h->input[k];
    ref_trace *trace = ref_run(h->ref, state, h->s.steps, h->s.batch, input, h->lengths);
    free(input);
    return trace;
}

size_t harness_output_count(const harness *h)
{
    size_t steps = h->s.output_kind == LW_OUTPUT_LAST ? 1 : h->s.steps;
    return steps * h->s.batch * h->output_size;
}

static void fill_bits(float *values, size_t count, uint32_t bits)
{
    for (size_t k = 0; k < count; k++)
        memcpy(values + k, &bits, sizeof bits);
}

bool harness_run(const harness *h, lw_state *state, const lw_probe *probes, size_t probe_count, float *output,
                 char why[WHY_SIZE])
{
    const scenario *s = &h->s;
    size_t T = s->steps, B = s->batch, I = h->input_size, O = h->output_size;
    lw_io io = LW_IO_INIT;
    io.steps = T;
    io.batch = B;
    io.lengths = h->lengths;
    io.output_kind = s->output_kind;
    io.probes = probes;
    io.probe_count = probe_count;
    size_t in_count = layout_floats(s->input_layout, T, B, I, &io.input_step_stride, &io.input_row_stride);
    float *in = ref_alloc(in_count, sizeof *in);
    fill_bits(in, in_count, GAP);
    for (size_t t = 0; t < T; t++)
        for (size_t b = 0; b < B; b++)
            memcpy(in + layout_at(s->input_layout, T, B, I, t, b), h->input + (t * B + b) * I, I * sizeof *in);
    io.input = in;
    if (s->output_kind == LW_OUTPUT_LAST) {
        io.output = output;
        lw_status status = lw_run(h->context, state, &io);
        free(in);
        return status ? refused("lw_run", why) : true;
    }
    size_t out_count = layout_floats(s->output_layout, T, B, O, &io.output_step_stride, &io.output_row_stride);
    float *out = ref_alloc(out_count, sizeof *out);
    fill_bits(out, out_count, GAP);
    io.output = out;
    lw_status status = lw_run(h->context, state, &io);
    for (size_t t = 0; t < T && !status; t++)
        for (size_t b = 0; b < B; b++) {
            float *row = out + layout_at(s->output_layout, T, B, O, t, b);
            memcpy(output + (t * B + b) * O, row, O * sizeof *row);
            fill_bits(row, O, GAP);
        }
    bool whole = true;
    for (size_t k = 0; k < out_count && !status; k++) {
        uint32_t bits;
        memcpy(&bits, out + k, sizeof bits);
        whole = whole && bits == GAP;
    }
    free(in);
    free(out);
    if (status)
        return refused("lw_run", why);
    if (!whole)
        snprintf(why, WHY_SIZE, "lw_run wrote between the rows of a padded output");
    return whole;
}

static bool check_memories(const harness *h, const lw_state *state, const ref_state *want, double tolerance,
                           char why[WHY_SIZE])
{
    bool good = true;
    for (size_t l = 0; l < h->ref->layer_count && good; l++)
        for (int d = 0; d < 2 && good; d++)
            for (int m = 0; m < 2 && good; m++) {
                size_t count = ref_memory_width(&h->ref->layers[l], (lw_memory)m) * h->s.batch;
                if (!want->memory[l][d][m])
                    continue;
                float *got = ref_alloc(count, sizeof *got);
                char what[64];
                snprintf(what, sizeof what, "memory %d of layer %zu, direction %d", m, l, d);
                if (lw_state_get(state, l, (lw_direction)d, (lw_memory)m, got, count))
                    good = refused("lw_state_get", why);
                else
                    good = compare(what, got, want->memory[l][d][m], count, tolerance, why);
                free(got);
            }
    return good;
}

static size_t beyond;

size_t harness_beyond_float(void)
{
    return beyond;
}

/* Whether a layer of the reference gave a number that f32 has not, as an unbounded cell may over many steps: then there
 * is an infinity in its place, and nothing to compare behind it. */
static bool leaves_float(const harness *h, const ref_trace *trace)
{
    for (size_t l = 0; l < trace->layer_count; l++) {
        const ref_layer *layer = &h->ref->layers[l];
        const int directions = ref_has_direction(layer, LW_FORWARD) + ref_has_direction(layer, LW_REVERSE);
        const size_t count = trace->steps * trace->batch * (size_t)directions * ref_memory_width(layer, LW_HIDDEN);
        for (size_t k = 0; k < count; k++)
            if (fabs(trace->layers[l].output[k]) > (double)FLT_MAX)
                return true;
    }
    return false;
}

bool harness_check(const scenario *s, lw_isa isa, char why[WHY_SIZE])
{
    harness h;
    lw_state *state = NULL;
    bool good = harness_create(&h, s, isa, why) && (state = harness_state(&h, why)) != NULL;
    if (good) {
        ref_state *want = harness_ref_state(&h);
        ref_trace *trace = harness_reference(&h, want);
        double tolerance = harness_tolerance(&h);
        size_t count = harness_output_count(&h);
        float *output = ref_alloc(count, sizeof *output);
        const bool comparable = !leaves_float(&h, trace);
        beyond += !comparable;
        good = harness_run(&h, state, NULL, 0, output, why);
        if (good && comparable)
            good = compare("output", output, s->output_kind == LW_OUTPUT_LAST ? trace->last : trace->output, count,
                           tolerance, why) &&
                   check_memories(&h, state, want, tolerance, why);
        free(output);
        ref_trace_destroy(trace);
        ref_state_destroy(want);
    }
    lw_state_destroy(state);
    harness_destroy(&h);
    return good;
}
