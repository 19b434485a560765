/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scenarios with gradients: runs of a tape and the comparison with the reference. Called through gradient_case.h.
 *
 * The comparison is by tensor, the norm of the difference relative to the norm of the reference. A tensor of few
 * numbers may be a sum that cancels: it keeps the rounding errors of its terms, so the norm of the sums of their
 * magnitudes, which the reference keeps, gives a floor of some eps. Gradients that vanish over hundreds of steps sink
 * below f32's normal numbers, which is the other floor. A tensor that no term reaches must be zero but for that.
 *
 * Jumps. Where an argument is at the limit of a clip or at a ReLU's zero, within f32's error, the gradients of both
 * sides are right. gradient_settle draws the numbers again until the reference says that no argument is that near, and
 * takes clips and ReLUs out of scenarios that are too large for this.
 */
#include "gradient_case.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 0x7fc0dead          /* bits between the rows of a padded buffer */
#define MARGIN 1e-5             /* of an argument of order 1, beyond what f32 does to it in a few dozen steps */
#define FLOOR (8 * FLT_EPSILON) /* of the sums of magnitudes */

static bool refused(const char *what, char why[WHY_SIZE])
{
    snprintf(why, WHY_SIZE, "%s: %s", what, lw_error());
    return false;
}

static float *random_floats(rng *r, size_t count)
{
    float *values = ref_alloc(count, sizeof *values);
    rng_fill(r, values, count, 1);
    return values;
}

/* Every vector of a state, random. */
static bool random_state(const harness *h, rng *r, lw_state *state)
{
    bool good = true;
    for (size_t l = 0; l < h->ref->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                size_t count = ref_memory_width(&h->ref->layers[l], (lw_memory)m) * h->s.batch;
                if (!count || !ref_has_direction(&h->ref->layers[l], (lw_direction)d))
                    continue;
                float *values = random_floats(r, count);
                good = good && !lw_state_set(state, l, (lw_direction)d, (lw_memory)m, values, count);
                free(values);
            }
    return good;
}

static ref_state *read_state(const harness *h, const lw_state *state)
{
    ref_state *out = ref_state_create(h->ref, h->s.batch);
    for (size_t l = 0; l < h->ref->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2; m++) {
                size_t count = ref_memory_width(&h->ref->layers[l], (lw_memory)m) * h->s.batch;
                if (!out->memory[l][d][m])
                    continue;
                float *values = ref_alloc(count, sizeof *values);
                if (lw_state_get(state, l, (lw_direction)d, (lw_memory)m, values, count))
                    abort();
                for (size_t k = 0; k < count; k++)
                    out->memory[l][d][m][k] = (double)values[k];
                free(values);
            }
    return out;
}

bool gradient_case_create(gradient_case *g, const scenario *s, lw_isa isa, char why[WHY_SIZE])
{
    *g = (gradient_case){0};
    if (!harness_create(&g->h, s, isa, why))
        return false;
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = s->threads;
    if (lw_tape_create(g->h.model, &options, &g->tape))
        return refused("lw_tape_create", why);
    if (s->regularisation && lw_tape_set_regularisation(g->tape, s->regularisation))
        return refused("lw_tape_set_regularisation", why);
    g->count = lw_model_parameter_count(g->h.model);
    g->parameters = ref_alloc(g->count, sizeof *g->parameters);
    g->sizes = ref_alloc(g->count, sizeof *g->sizes);
    g->places = ref_alloc(g->count, sizeof *g->places);
    for (size_t k = 0; k < g->count; k++) {
        lw_parameter p = {.size = sizeof p};
        if (lw_model_parameter(g->h.model, k, &p))
            return refused("lw_model_parameter", why);
        const ref_parameter *q = ref_find(g->h.ref, p.name);
        g->places[k] = (size_t)(q - g->h.ref->parameters);
        g->sizes[k] = q->count;
        g->parameters[k] = ref_alloc(q->count, sizeof(float));
        for (size_t e = 0; e < q->count; e++)
            g->parameters[k][e] = (float)q->values[e];
    }
    rng r = {.seed = rng_mix(s->seed)};
    g->output_count = harness_output_count(&g->h);
    g->doutput = random_floats(&r, g->output_count);
    if (lw_state_create(g->h.model, s->batch, &g->dfinal) || !random_state(&g->h, &r, g->dfinal))
        return refused("lw_state_create", why);
    return true;
}

void gradient_case_destroy(gradient_case *g)
{
    for (size_t k = 0; g->parameters && k < g->count; k++)
        free(g->parameters[k]);
    free(g->parameters);
    free(g->sizes);
    free(g->places);
    free(g->doutput);
    lw_state_destroy(g->dfinal);
    lw_tape_destroy(g->tape);
    if (g->h.ref)
        harness_destroy(&g->h);
    *g = (gradient_case){0};
}

bool gradient_result_create(gradient_result *r, const gradient_case *g, char why[WHY_SIZE])
{
    *r = (gradient_result){.count = g->count};
    r->parameters = ref_alloc(g->count, sizeof *r->parameters);
    r->sizes = ref_alloc(g->count, sizeof *r->sizes);
    for (size_t k = 0; k < g->count; k++) {
        r->sizes[k] = g->sizes[k];
        r->parameters[k] = ref_alloc(g->sizes[k], sizeof(float));
    }
    r->input_count = g->h.s.steps * g->h.s.batch * g->h.input_size;
    r->input = ref_alloc(r->input_count, sizeof(float));
    if (lw_state_create(g->h.model, g->h.s.batch, &r->initial))
        return refused("lw_state_create", why);
    return true;
}

void gradient_result_destroy(gradient_result *r)
{
    for (size_t k = 0; r->parameters && k < r->count; k++)
        free(r->parameters[k]);
    free(r->parameters);
    free(r->sizes);
    free(r->input);
    lw_state_destroy(r->initial);
    *r = (gradient_result){0};
}

/* A buffer of a layout, its gaps marked, with the dense (T, B, width) `values` in place; NULL leaves marks there. */
static float *spread(layout l, const scenario *s, size_t width, const float *values, size_t *step, size_t *row)
{
    size_t count = layout_floats(l, s->steps, s->batch, width, step, row);
    float *buffer = ref_alloc(count, sizeof *buffer);
    uint32_t bits = GAP;
    for (size_t k = 0; k < count; k++)
        memcpy(buffer + k, &bits, sizeof bits);
    for (size_t at = 0; at < s->steps * s->batch && values; at++)
        memcpy(buffer + layout_at(l, s->steps, s->batch, width, at / s->batch, at % s->batch), values + at * width,
               width * sizeof *buffer);
    return buffer;
}

/* Takes the values out again; false when a gap was written or a value was not. Frees the buffer. */
static bool gather(layout l, const scenario *s, size_t width, float *buffer, float *values)
{
    size_t step, row, count = layout_floats(l, s->steps, s->batch, width, &step, &row), marks = 0;
    for (size_t at = 0; at < s->steps * s->batch; at++)
        memcpy(values + at * width, buffer + layout_at(l, s->steps, s->batch, width, at / s->batch, at % s->batch),
               width * sizeof *buffer);
    for (size_t k = 0; k < count; k++) {
        uint32_t bits;
        memcpy(&bits, buffer + k, sizeof bits);
        marks += bits == GAP;
    }
    free(buffer);
    return marks == count - s->steps * s->batch * width;
}

bool gradient_forward(const gradient_case *g, const float *const *parameters, lw_state *state, float *output,
                      char why[WHY_SIZE])
{
    const scenario *s = &g->h.s;
    bool last = s->output_kind == LW_OUTPUT_LAST;
    lw_io io = LW_IO_INIT;
    io.steps = s->steps;
    io.batch = s->batch;
    io.lengths = g->h.lengths;
    io.output_kind = s->output_kind;
    float *in = spread(s->input_layout, s, g->h.input_size, g->h.input, &io.input_step_stride, &io.input_row_stride);
    float *out = NULL;
    io.input = in;
    io.output = output;
    if (!last)
        io.output = out = spread(s->output_layout, s, g->h.output_size, NULL, &io.output_step_stride,
                                 &io.output_row_stride);
    lw_status status = lw_tape_forward(g->tape, parameters, state, &io);
    free(in);
    bool whole = last || gather(s->output_layout, s, g->h.output_size, out, output);
    if (status)
        return refused("lw_tape_forward", why);
    if (!whole)
        snprintf(why, WHY_SIZE, "lw_tape_forward wrote beside its output, or not all of it");
    return whole;
}

bool gradient_backward(const gradient_case *g, lw_store store, gradient_result *r, char why[WHY_SIZE])
{
    const scenario *s = &g->h.s;
    lw_gradients gradients = LW_GRADIENTS_INIT;
    float *dy = NULL;
    gradients.output = g->doutput;
    if (s->output_kind == LW_OUTPUT_SEQUENCE)
        gradients.output = dy = spread(s->output_layout, s, g->h.output_size, g->doutput, &gradients.output_step_stride,
                                       &gradients.output_row_stride);
    gradients.final_state = g->dfinal;
    gradients.parameters = r->parameters;
    gradients.store = store;
    gradients.input = spread(s->input_layout, s, g->h.input_size, NULL, &gradients.input_step_stride,
                             &gradients.input_row_stride);
    gradients.initial_state = r->initial;
    lw_status status = lw_tape_backward(g->tape, &gradients);
    free(dy);
    bool whole = gather(s->input_layout, s, g->h.input_size, gradients.input, r->input);
    if (status)
        return refused("lw_tape_backward", why);
    if (!whole)
        snprintf(why, WHY_SIZE, "lw_tape_backward wrote beside the input's gradient, or not all of it");
    return whole;
}

bool gradient_run(const gradient_case *g, gradient_result *r, float *output, char why[WHY_SIZE])
{
    float *own = output ? NULL : ref_alloc(g->output_count, sizeof *own);
    lw_state *state = harness_state(&g->h, why);
    bool good = state && gradient_forward(g, (const float *const *)g->parameters, state, output ? output : own, why) &&
                gradient_backward(g, LW_OVERWRITE, r, why);
    lw_state_destroy(state);
    free(own);
    return good;
}

static double *doubles(const float *values, size_t count)
{
    double *out = ref_alloc(count, sizeof *out);
    for (size_t k = 0; k < count; k++)
        out[k] = (double)values[k];
    return out;
}

ref_gradients *gradient_reference(const gradient_case *g)
{
    const harness *h = &g->h;
    double *input = doubles(h->input, h->s.steps * h->s.batch * h->input_size);
    double *doutput = doubles(g->doutput, g->output_count);
    ref_state *state = harness_ref_state(h), *dfinal = read_state(h, g->dfinal);
    ref_trace *trace = ref_run(h->ref, state, h->s.steps, h->s.batch, input, h->lengths);
    ref_gradients *out = ref_backward(h->ref, trace, state, h->lengths, h->s.output_kind, doutput, dfinal);
    ref_trace_destroy(trace);
    ref_state_destroy(state);
    ref_state_destroy(dfinal);
    free(input);
    free(doutput);
    return out;
}

static double worst;

double gradient_worst(void)
{
    return worst;
}

static bool near(const char *what, const float *got, const double *want, const double *magnitudes, size_t count,
                 double tolerance, char why[WHY_SIZE])
{
    double distance = 0, norm = 0, floor = 0;
    for (size_t k = 0; k < count; k++) {
        double error = (double)got[k] - want[k];
        distance += error * error;
        norm += want[k] * want[k];
        floor += magnitudes ? magnitudes[k] * magnitudes[k] : 0;
    }
    distance = sqrt(distance);
    norm = sqrt(norm);
    floor = sqrt(floor) * FLOOR + sqrt((double)count) * FLT_MIN;
    if (!(distance <= fmax(tolerance * norm, floor))) {
        snprintf(why, WHY_SIZE, "gradient of %s (%zu numbers): %.3g away of %.6g, relative %.3g, %.3g allowed", what,
                 count, distance, norm, distance / norm, tolerance);
        return false;
    }
    if (distance > floor)
        worst = fmax(worst, distance / norm);
    return true;
}

static double worst_element;

double gradient_worst_element(void)
{
    return worst_element;
}

/* Each number by itself, relative to the largest of the tensor, of the sums that it comes from, and 1. */
static bool near_each(const char *what, const float *got, const double *want, const double *magnitudes, size_t count,
                      double tolerance, char why[WHY_SIZE])
{
    double scale = 1;
    for (size_t k = 0; k < count; k++)
        scale = fmax(scale, fmax(fabs(want[k]), magnitudes ? magnitudes[k] : 0));
    for (size_t k = 0; k < count; k++) {
        double error = fabs((double)got[k] - want[k]) / scale;
        if (!(error <= tolerance)) {
            snprintf(why, WHY_SIZE, "gradient of %s[%zu] of %zu is %.9g, expected %.17g: %.3g off, %.3g allowed", what,
                     k, count, (double)got[k], want[k], error, tolerance);
            return false;
        }
        worst_element = fmax(worst_element, error / tolerance);
    }
    return true;
}

typedef bool comparison(const char *what, const float *got, const double *want, const double *magnitudes, size_t count,
                        double tolerance, char why[WHY_SIZE]);

static bool compare_tensors(const gradient_case *g, const gradient_result *got, const ref_gradients *want,
                            comparison *near_enough, double tolerance, char why[WHY_SIZE])
{
    for (size_t k = 0; k < g->count; k++) {
        const ref_gradient *w = &want->parameters[g->places[k]];
        if (!near_enough(g->h.ref->parameters[g->places[k]].name, got->parameters[k], w->values, w->magnitudes,
                         w->count, tolerance, why))
            return false;
    }
    if (!near_enough("input", got->input, want->input.values, want->input.magnitudes, want->input.count, tolerance,
                     why))
        return false;
    bool good = true;
    for (size_t l = 0; l < g->h.ref->layer_count; l++)
        for (int d = 0; d < 2; d++)
            for (int m = 0; m < 2 && good; m++) {
                size_t count = ref_memory_width(&g->h.ref->layers[l], (lw_memory)m) * g->h.s.batch;
                if (!want->initial->memory[l][d][m])
                    continue;
                float *values = ref_alloc(count, sizeof *values);
                char what[64];
                snprintf(what, sizeof what, "initial memory %d of layer %zu, direction %d", m, l, d);
                if (lw_state_get(got->initial, l, (lw_direction)d, (lw_memory)m, values, count))
                    good = refused("lw_state_get", why);
                else
                    good = near_enough(what, values, want->initial->memory[l][d][m], NULL, count, tolerance, why);
                free(values);
            }
    return good;
}

bool gradient_compare(const gradient_case *g, const gradient_result *got, const ref_gradients *want, double tolerance,
                      char why[WHY_SIZE])
{
    return compare_tensors(g, got, want, near, tolerance, why);
}

bool gradient_compare_elements(const gradient_case *g, const gradient_result *got, const ref_gradients *want,
                               double tolerance, char why[WHY_SIZE])
{
    return compare_tensors(g, got, want, near_each, tolerance, why);
}

static bool same_floats(const char *what, const float *a, const float *b, size_t count, char why[WHY_SIZE])
{
    for (size_t k = 0; k < count; k++)
        if (memcmp(a + k, b + k, sizeof *a)) {
            snprintf(why, WHY_SIZE, "gradient of %s[%zu] of %zu is %a, not %a", what, k, count, (double)b[k],
                     (double)a[k]);
            return false;
        }
    return true;
}

bool gradient_same(const gradient_case *g, const gradient_result *a, const gradient_result *b, char why[WHY_SIZE])
{
    for (size_t k = 0; k < a->count; k++)
        if (!same_floats(g->h.ref->parameters[g->places[k]].name, a->parameters[k], b->parameters[k], a->sizes[k], why))
            return false;
    if (!same_floats("input", a->input, b->input, a->input_count, why))
        return false;
    size_t bytes = lw_state_bytes(a->initial);
    char *one = ref_alloc(bytes, 1), *two = ref_alloc(bytes, 1);
    bool good = !lw_state_save(a->initial, one, bytes) && !lw_state_save(b->initial, two, bytes) &&
                memcmp(one, two, bytes) == 0;
    free(one);
    free(two);
    if (!good)
        snprintf(why, WHY_SIZE, "other gradients of the initial state");
    return good;
}

static double margin_of(const scenario *s)
{
    gradient_case g;
    char why[WHY_SIZE];
    double margin = INFINITY;
    if (gradient_case_create(&g, s, LW_ISA_SCALAR, why)) {
        ref_gradients *r = gradient_reference(&g);
        margin = r->margin;
        ref_gradients_destroy(r);
    }
    gradient_case_destroy(&g);
    return margin;
}

void gradient_settle(scenario *s)
{
    bool jumps = false, large = s->steps * s->batch > 200;
    for (size_t k = 0; k < s->brick_count; k++) {
        const lw_brick *b = &s->bricks[k];
        jumps = jumps || b->gate_clip > 0 || b->cell_clip > 0 || b->function == LW_RELU;
    }
    for (size_t tries = 0; jumps && !large && tries < 20; tries++) {
        jumps = margin_of(s) < MARGIN;
        s->seed = jumps ? rng_mix(s->seed + 1) : s->seed;
    }
    for (size_t k = 0; k < s->brick_count && jumps; k++) {
        lw_brick *b = &s->bricks[k];
        b->gate_clip = b->cell_clip = 0;
        b->function = b->function == LW_RELU ? LW_TANH : b->function;
    }
}
