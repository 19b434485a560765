/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scenario is one model with one request: bricks, T, B, lengths, initial state, layout of the memory, output.
 * Scenarios are drawn at random from a seed or written down by a test; a harness builds the library's model and
 * the reference's from the same numbers, runs both and compares them element by element. Free of any test
 * framework: a mismatch is a sentence in `why`.
 */
#ifndef LW_TESTS_SCENARIO_H
#define LW_TESTS_SCENARIO_H

#include <latchwork.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "random.h"
#include "reference.h"

#define SCENARIO_BRICKS 5

typedef enum layout {
    LAYOUT_DENSE = 0,       /* strides 0 */
    LAYOUT_BATCH_FIRST = 1, /* (B, T, width) */
    LAYOUT_PADDED = 2,      /* gaps between rows and between steps, which nobody may touch */
} layout;
#define LAYOUT_COUNT 3

typedef struct scenario {
    lw_brick bricks[SCENARIO_BRICKS];
    size_t brick_count;
    size_t steps;
    size_t batch;
    bool ragged; /* lengths 0 to T */
    bool start;  /* a random initial state, else zero */
    layout input_layout;
    layout output_layout;
    lw_output output_kind;
    size_t threads;
    float weight_scale; /* times PyTorch's 1/sqrt(H) */
    float input_scale;
    uint64_t seed;                           /* of the numbers */
    const lw_regularisation *regularisation; /* of tapes and the reference; NULL: none */
} scenario;

/* Fields that a test does not care about: one row, dense, sequence output, one thread, scales 1. */
#define SCENARIO_INIT                                                             \
    {                                                                             \
        .steps = 1, .batch = 1, .threads = 1, .weight_scale = 1, .input_scale = 1 \
    }

/* Draws everything from the seed. `kind` is the first recurrent brick's. */
void scenario_random(scenario *s, lw_kind kind, uint64_t seed);
/* One line that names every choice, for a failure's message. */
const char *scenario_text(const scenario *s);

/* Both models and the request's numbers. */
typedef struct harness {
    scenario s;
    lw_isa isa;
    lw_model *model;
    ref_model *ref;
    lw_context *context;
    size_t input_size;
    size_t output_size;
    float *input;           /* (T, B, I), dense */
    size_t *lengths;        /* (B), or NULL */
    float *(*memory)[2][2]; /* the initial state: [layer][direction][lw_memory], NULL: none or zero */
} harness;

#define WHY_SIZE 512

/* False, with a sentence in `why`, when the library refuses or its parameters are not those of the reference. */
bool harness_create(harness *h, const scenario *s, lw_isa isa, char why[WHY_SIZE]);
void harness_destroy(harness *h);
/* A state of the library with the initial values. NULL when the library refuses. */
lw_state *harness_state(const harness *h, char why[WHY_SIZE]);
ref_state *harness_ref_state(const harness *h);
/* Runs the reference on it. */
ref_trace *harness_reference(const harness *h, ref_state *state);

/* Floats that a buffer needs for this layout, and its strides; 0 and 0 for dense. */
size_t layout_floats(layout l, size_t steps, size_t batch, size_t width, size_t *step, size_t *row);
/* Index of element (t, b, 0) in such a buffer. */
size_t layout_at(layout l, size_t steps, size_t batch, size_t width, size_t t, size_t b);

/* Runs the scenario on the library as it stands, into `output` ((T, B, O) dense or (B, O)), by way of the
 * layouts, whose gaps are checked. The state is moved; it may be NULL. */
bool harness_run(const harness *h, lw_state *state, const lw_probe *probes, size_t probe_count, float *output,
                 char why[WHY_SIZE]);
size_t harness_output_count(const harness *h);

/* How far an f32 result of this scenario may be from the reference, relative to the largest magnitude among its
 * like (and to 1 below it). See scenario.c for the derivation. */
double harness_tolerance(const harness *h);
/* Compares `count` numbers; names the first that is further off than `tolerance` allows. */
bool compare(const char *what, const float *got, const double *want, size_t count, double tolerance,
             char why[WHY_SIZE]);
/* All of the above: output at every step, and every memory at the end. */
bool harness_check(const scenario *s, lw_isa isa, char why[WHY_SIZE]);

/* Scenarios of harness_check() in this process that were run and not compared, because a layer of the reference left
 * the range of f32. */
size_t harness_beyond_float(void);
/* Worst error seen by compare() in this process, as a part of the tolerance. */
double compare_worst(void);

#endif
