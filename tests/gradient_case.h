/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scenario with gradients: the harness of scenario.h, a tape on its model, the caller's parameters, and gradients of
 * outputs and final states drawn from the scenario's seed. Runs the library forward and back through any layout and
 * compares with the reference. Free of any test framework: a mismatch is a sentence in `why`.
 */
#ifndef LW_TESTS_GRADIENT_CASE_H
#define LW_TESTS_GRADIENT_CASE_H

#include "reference_backward.h"
#include "scenario.h"

typedef struct gradient_case {
    harness h;
    lw_tape *tape;
    size_t count;        /* parameters, in the order of the model */
    size_t *sizes;       /* of each */
    size_t *places;      /* of each in the reference's list */
    float **parameters;  /* the harness's */
    size_t output_count; /* (T, B, O) or (B, O) */
    float *doutput;      /* dense */
    lw_state *dfinal;
} gradient_case;

/* What a way back gave. */
typedef struct gradient_result {
    size_t count;
    size_t *sizes;
    float **parameters;
    size_t input_count;
    float *input; /* (T, B, I), dense */
    lw_state *initial;
} gradient_result;

bool gradient_case_create(gradient_case *g, const scenario *s, lw_isa isa, char why[WHY_SIZE]);
void gradient_case_destroy(gradient_case *g);

/* Forward with the case's input and lengths into `output` (dense), through the scenario's layouts. `parameters` NULL:
 * those of the run before. Fails when the gaps of a padded output were written. */
bool gradient_forward(const gradient_case *g, const float *const *parameters, lw_state *state, float *output,
                      char why[WHY_SIZE]);
/* Everything zero; to be filled, or added to. */
bool gradient_result_create(gradient_result *r, const gradient_case *g, char why[WHY_SIZE]);
void gradient_result_destroy(gradient_result *r);
/* Back through the last forward run, through the scenario's layouts. */
bool gradient_backward(const gradient_case *g, lw_store store, gradient_result *r, char why[WHY_SIZE]);

/* The reference's gradients of the same case. */
ref_gradients *gradient_reference(const gradient_case *g);
/* Each tensor's relative L2 distance is at most `tolerance`, see gradient_case.c. */
bool gradient_compare(const gradient_case *g, const gradient_result *got, const ref_gradients *want, double tolerance,
                      char why[WHY_SIZE]);
/* Each element is, relative to the largest of its tensor and of the sums that it comes from, and to 1 below it. */
bool gradient_compare_elements(const gradient_case *g, const gradient_result *got, const ref_gradients *want,
                               double tolerance, char why[WHY_SIZE]);
/* Bit for bit. */
bool gradient_same(const gradient_case *g, const gradient_result *a, const gradient_result *b, char why[WHY_SIZE]);

/* Forward from the initial state and back, once. `output` may be NULL. */
bool gradient_run(const gradient_case *g, gradient_result *r, float *output, char why[WHY_SIZE]);

/* Worst relative distance that gradient_compare has seen in this process. */
double gradient_worst(void);
/* Worst error that gradient_compare_elements has seen in this process, as a part of the tolerance. */
double gradient_worst_element(void);

/* Draws the numbers of the scenario anew until its gradients have no jump so near that f32 could fall on the other
 * side; failing that, takes what jumps out of it. See gradient_case.c. */
void gradient_settle(scenario *s);

#endif
