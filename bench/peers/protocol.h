/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver protocol for engines in C and C++ (PROTOCOL.md): reads the commands, checks the workload, draws the
 * numbers, takes the times and writes the outputs. Called by the drivers' main functions, which fill in struct engine.
 */
#ifndef LW_PEERS_PROTOCOL_H
#define LW_PEERS_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#ifdef __cplusplus
extern "C" {
#endif

enum workload_mode { MODE_SEQUENCE, MODE_STEP, MODE_STREAMS };
enum workload_cell { CELL_LSTM, CELL_GRU, CELL_RNN };
enum workload_train { TRAIN_NONE, TRAIN_GRADIENTS, TRAIN_UPDATE };

enum engine_status { ENGINE_OK, ENGINE_FAILED, ENGINE_UNSUPPORTED };
enum { REASON_BYTES = 512 };

/* The fields of PROTOCOL.md. */
struct workload {
    enum workload_mode mode;
    enum workload_cell cell;
    size_t directions; /* D: 1 or 2 */
    size_t layers, steps, batch, input, hidden, dense, threads;
    uint64_t seed;
    int ragged; /* with lengths, drawn from lengths_seed */
    uint64_t lengths_seed;
    int together;
    enum workload_train train;
    const char *model; /* a file that only Latchwork's own driver reads, or NULL; valid while `prepare` runs */
};

/* Reads a workload; ENGINE_OK, or a sentence in `reason`. */
enum engine_status workload_read(const json_t *object, struct workload *w, char *reason);

/* G: 4, 3 or 1. O: outputs of one row and step. */
size_t workload_gates(const struct workload *w);
size_t workload_width(const struct workload *w);
/* Numbers in all parameters together. */
size_t workload_parameters(const struct workload *w);

/* A tensor of the recipe, `count` floats, for the caller to free; NULL without memory. `fan` is what the scale is the
 * inverse square root of: H, D*H for the head, 1 for the input. */
float *workload_draw(const struct workload *w, const char *name, size_t count, size_t fan);
/* (B) lengths, for the caller to free; NULL without memory. */
size_t *workload_lengths(const struct workload *w);

/* A function that does not return ENGINE_OK writes a sentence to `reason`, which has REASON_BYTES bytes. */
struct engine {
    const char *name;
    const char *(*version)(void);
    const char *(*details)(void);
    /* `input` is (T, B, I) and lives until the next call of prepare has returned. */
    enum engine_status (*prepare)(const struct workload *w, const float *input, char *reason);
    /* One call; `step` is the step whose input it takes, 0 for sequences. */
    enum engine_status (*call)(size_t step, char *reason);
    /* States of zeros, and the parameters as they were drawn, for the next call. */
    enum engine_status (*reset)(char *reason);
    /* Output of the last call: (T, B, O) of a sequence, else (B, O). With `train` the gradients, one parameter after
     * another in the order of PROTOCOL.md (workload_parameters floats), which may be gathered here. */
    const float *(*result)(void);
};

/* Answers commands until the input ends. Returns the exit status. */
int engine_serve(const struct engine *engine);

#ifdef __cplusplus
}
#endif
#endif
