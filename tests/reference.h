/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference: every cell, option and direction in double precision, as plain loops written from the formulas
 * of section 11 of latchwork.h. It shares no code with the library, only the public types that describe a model.
 * It has its own list of parameter names and shapes, made from section 4. Speed is no aim; being right by
 * inspection is. A run keeps what every layer computed at every step, in a trace.
 */
#ifndef LW_TESTS_REFERENCE_H
#define LW_TESTS_REFERENCE_H

#include <latchwork.h>

typedef struct ref_parameter {
    char name[192];
    size_t rank;
    size_t shape[2];
    size_t count;
    size_t fan; /* H, or I of a dense brick: PyTorch draws from +-1/sqrt(fan) */
    double *values;
} ref_parameter;

/* One layer in one direction: the pointers are parameters of the model, NULL where the options leave them out. */
typedef struct ref_cell {
    const double *weight_ih; /* (G*H, I), dense: (O, I) */
    const double *weight_hh; /* (G*H, R) */
    const double *bias_ih;   /* (G*H), dense: (O) */
    const double *bias_hh;   /* (G*H) */
    const double *weight_hr; /* (P, H) */
    const double *peephole;  /* (3, H): i, f, o */
} ref_cell;

typedef struct ref_layer {
    lw_brick brick;    /* its brick with the defaults resolved; `input` is this layer's own */
    size_t directions; /* 1 or 2 */
    size_t output;     /* R, or O: width of one direction */
    size_t signals;    /* as lw_layer_signal counts them; 0: not recurrent */
    ref_cell cell[2];  /* by lw_direction: a reverse layer uses cell[LW_REVERSE] alone */
} ref_layer;

typedef struct ref_model {
    size_t layer_count;
    ref_layer *layers;
    size_t parameter_count;
    ref_parameter *parameters;               /* all zero at first */
    const lw_regularisation *regularisation; /* of the runs; the caller's; NULL at first: none */
} ref_model;

ref_model *ref_create(const lw_brick *bricks, size_t count);
void ref_destroy(ref_model *model);
/* NULL when there is none of that name. */
ref_parameter *ref_find(ref_model *model, const char *name);
size_t ref_input_size(const ref_model *model);
size_t ref_output_size(const ref_model *model);

/* Does layer `layer` have that direction? Bidirectional layers have both. */
int ref_has_direction(const ref_layer *layer, lw_direction direction);
/* Width of a memory of the layer: 0 where it has none. */
size_t ref_memory_width(const ref_layer *layer, lw_memory memory);

typedef struct ref_state {
    size_t batch;
    size_t layer_count;
    double *(*memory)[2][2]; /* [layer][direction][lw_memory] -> (B, width), or NULL */
} ref_state;

ref_state *ref_state_create(const ref_model *model, size_t batch); /* zero */
void ref_state_destroy(ref_state *state);

/* What a layer computed. Steps beyond a row's length are zero. */
typedef struct ref_layer_trace {
    double *input;       /* (T, B, I), behind dropout */
    double *output;      /* (T, B, directions * R), before it */
    double *signals[2];  /* by lw_direction: (T, B, signals, H) */
    double *h_before[2]; /* by lw_direction: (T, B, R), the hidden state that the step started from */
    double *c_before[2]; /* by lw_direction: (T, B, H); LSTM */
} ref_layer_trace;

typedef struct ref_trace {
    size_t steps;
    size_t batch;
    size_t layer_count;
    ref_layer_trace *layers;
    double *dropped;
    const double *output; /* (T, B, O): the last layer's, behind its dropout */
    double *last;         /* (B, O): what LW_OUTPUT_LAST gives */
} ref_trace;

/* Runs T steps of B rows; input (T, B, I), lengths (B) or NULL. The state is moved. */
ref_trace *ref_run(const ref_model *model, ref_state *state, size_t steps, size_t batch, const double *input,
                   const size_t *lengths);
void ref_trace_destroy(ref_trace *trace);

/* An element of a mask: what an activation is multiplied with, or d of zoneout. (reference_masks.c) */
typedef enum ref_mask_kind { REF_INPUT, REF_OUTPUT, REF_RECURRENT, REF_ZONEOUT_H, REF_ZONEOUT_C } ref_mask_kind;
double ref_mask(const ref_model *model, ref_mask_kind kind, size_t layer, lw_direction direction, size_t step,
                size_t row, size_t unit);

/* malloc and zero, or the end of the program. */
void *ref_alloc(size_t count, size_t size);

#endif
