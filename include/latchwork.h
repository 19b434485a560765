/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latchwork: recurrent networks (LSTM, GRU, plain RNN) on CPUs.
 *
 * This header is the manual. Read it from the top:
 *   1. The whole idea in one example       7. Reading the gates
 *   2. Errors                              8. Tensor files
 *   3. Instruction sets and the machine    9. Training: gradients by backpropagation through time
 *   4. Models, from bricks                10. Losses and optimisers
 *   5. States and contexts                11. Formulas
 *   6. Running: sequences and steps
 *
 * Dimensions have the same letters everywhere: T time steps, B batch rows, I input width, H hidden units,
 * O output width, L layers, D directions. All numbers are f32. A size is a size_t and counts elements,
 * not bytes, unless its name says "bytes".
 *
 * Structures. One that begins with `size` is initialised before its use, also where the library fills it: by its macro
 * (lw_io io = LW_IO_INIT), or, where it has none, as in lw_layer layer = {.size = sizeof layer}.
 *
 * Threads. A lw_model is immutable as soon as a state, a context or a tape uses it and may be shared by any number of
 * threads. A lw_state belongs to one stream and a lw_context to one thread at a time: using one from two
 * threads at once is answered with LW_ERR_BUSY where it is seen, never with a crash of the library's own making. What
 * only reads a state (lw_state_save, lw_state_get, a copy from it) is not seen: while it moves, old and new are mixed.
 * Functions on different objects may run at the same time. For steps, runs and a tape's runs a thread with a stack of
 * 64 KiB will do, if the library was built with optimisation.
 *
 * The same bits. For one model and one input the results do not depend on the instruction set, the number of
 * threads, the other rows of the batch, or how a sequence is cut into calls. (A NaN stays a NaN at the same
 * places; its payload is not promised.) That holds in the usual floating-point mode, rounding to nearest with
 * denormals. The library never changes the caller's mode: in another one the results are that mode's, on all threads
 * of the call, as near to the exact ones as ever.
 */
#ifndef LATCHWORK_H
#define LATCHWORK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LW_VERSION_MAJOR 0
#define LW_VERSION_MINOR 1
#define LW_VERSION_PATCH 0
#define LW_VERSION_STRING "0.1.0"

#if defined(_WIN32)
#define LW_API
#elif defined(__GNUC__)
#define LW_API __attribute__((visibility("default")))
#else
#define LW_API
#endif

/* The version of the library that is running, "0.1.0". The string is static. */
LW_API const char *lw_version(void);

/* ------------------------------------------------------------------------------------------------------
 * 1. The whole idea in one example
 *
 *     lw_model *model;                                      // weights, shared by everything below
 *     lw_context *context;                                  // threads and workspace
 *     lw_state *state;                                      // what one stream remembers
 *     if (lw_model_load("voice.safetensors", NULL, &model) ||
 *         lw_context_create(model, NULL, &context) ||
 *         lw_state_create(model, 1, &state))
 *         return fprintf(stderr, "%s\n", lw_error()), 1;
 *     while (read_samples(x))                               // x: I floats, y: O floats
 *         if (lw_step(context, state, x, y)) break;         // no allocation, lock or system call in here
 *     lw_state_destroy(state);
 *     lw_context_destroy(context);
 *     lw_model_destroy(model);
 * ------------------------------------------------------------------------------------------------------ */

/* ------------------------------------------------------------------------------------------------------
 * 2. Errors
 *
 * Every function that can fail returns a status. On failure nothing is lost: outputs and objects are as they
 * were before the call, and all of them stay usable. The one exception is an output buffer, which may be
 * partly written when a run is refused because a thread's memory ran out.
 * ------------------------------------------------------------------------------------------------------ */
typedef enum lw_status {
    LW_OK = 0,
    LW_ERR_ARGUMENT = 1,    /* NULL where an object is needed, a value outside its range */
    LW_ERR_SHAPE = 2,       /* sizes that do not fit each other, or whose product overflows */
    LW_ERR_MEMORY = 3,      /* an allocation failed */
    LW_ERR_FILE = 4,        /* the file cannot be opened, read or written */
    LW_ERR_FORMAT = 5,      /* the file's content breaks the rules of its format */
    LW_ERR_UNSUPPORTED = 6, /* well formed, but this build or this CPU cannot do it */
    LW_ERR_BUSY = 7,        /* the object is in use: by another thread, or a model that is frozen */
    LW_ERR_NOT_FOUND = 8,   /* no parameter, tensor or layer of that name */
} lw_status;

/* "LW_ERR_SHAPE" and so on; "unknown status" for a number that is none. The string is static. */
LW_API const char *lw_status_name(lw_status status);

/* The sentence of the last failure in this thread: what was wrong and what was expected. Never NULL; empty
 * when nothing failed yet. It stays valid until the next failure in the same thread. */
LW_API const char *lw_error(void);

/* ------------------------------------------------------------------------------------------------------
 * 3. Instruction sets and the machine
 *
 * Kernels are compiled once for each instruction set; the best one that the CPU and the operating system
 * support is chosen when it is first needed. The environment variable LW_ISA=scalar|avx2|avx512|neon caps the
 * choice. A model is packed for the instruction set that is current when it is created and keeps it.
 * ------------------------------------------------------------------------------------------------------ */
typedef enum lw_isa {
    LW_ISA_SCALAR = 0, /* any CPU; fused multiply-adds by fmaf */
    LW_ISA_NEON = 1,   /* aarch64 */
    LW_ISA_AVX2 = 2,   /* AVX2, FMA and F16C */
    LW_ISA_AVX512 = 3, /* AVX-512 F, BW, DQ and VL */
} lw_isa;
#define LW_ISA_COUNT 4

/* "scalar", "neon", "avx2", "avx512"; "unknown" for a number that is none. The string is static. */
LW_API const char *lw_isa_name(lw_isa isa);
/* Writes the instruction set of that name to *isa. LW_ERR_NOT_FOUND lists the names. */
LW_API lw_status lw_isa_find(const char *name, lw_isa *isa);
/* 1 if kernels for it are in this build, else 0. */
LW_API int lw_isa_built(lw_isa isa);
/* 1 if it is built and this CPU and operating system run it, else 0. */
LW_API int lw_isa_supported(lw_isa isa);
/* The one that the next model will use. */
LW_API lw_isa lw_isa_get(void);
/* Chooses it for models created afterwards, in every thread. LW_ERR_UNSUPPORTED when this CPU cannot run it. */
LW_API lw_status lw_isa_set(lw_isa isa);

/* What the machine can do. `size` is set by the caller to sizeof(lw_machine). Bytes are 0 where unknown. */
typedef struct lw_machine {
    size_t size;
    size_t cpus;       /* CPUs that this process may use */
    size_t l1_bytes;   /* data cache of one core */
    size_t l2_bytes;   /* second level of one core */
    size_t l3_bytes;   /* last level, shared */
    size_t lanes;      /* floats in a vector of the current instruction set */
    char cpu_name[64]; /* as the CPU names itself; empty where it does not */
} lw_machine;
LW_API lw_status lw_machine_query(lw_machine *machine);

/* Measures the peak of f32 fused multiply-adds on `threads` threads (0: all) for the current instruction set,
 * in flop/s (a multiply-add counts two). Takes about 50 ms. 0.0 when not all of the threads could be had. */
LW_API double lw_machine_peak(size_t threads);

/* The limits of the machine for the current instruction set, all `threads` together: multiply-adds, and reading from
 * buffers that fit each level of the memory hierarchy (0 where the level is unknown). `size` is set by the caller. */
typedef struct lw_limits {
    size_t size;
    size_t threads;          /* that ran: fewer than asked for where not all could be had */
    double flops;            /* flop/s */
    double l1, l2, l3, dram; /* byte/s */
} lw_limits;
/* Measures them; takes about a second. `threads` 0: all. */
LW_API lw_status lw_machine_limits(size_t threads, lw_limits *limits);

/* ------------------------------------------------------------------------------------------------------
 * 4. Models, from bricks
 *
 * A model is a list of bricks, each fed by the one before. A recurrent brick stands for `layers` layers of the
 * same kind. Parameters have PyTorch's names and layouts, after the brick's name and a dot:
 *
 *     lstm.weight_ih_l0 (G*H, I)    lstm.weight_hh_l0 (G*H, R)    lstm.bias_ih_l0, lstm.bias_hh_l0 (G*H)
 *     lstm.weight_hr_l0 (P, H)      with a projection             lstm.weight_peephole_l0 (3, H): i, f, o
 *     head.weight (O, I)            head.bias (O)                 of a dense brick
 *
 * with the suffix _reverse for the reverse direction, R the width of the recurrent state (P, or H without a
 * projection), and the gates G in the order i, f, g, o (LSTM), i, g, o (coupled LSTM), r, z, n (GRU).
 * ------------------------------------------------------------------------------------------------------ */
typedef enum lw_kind {
    LW_LSTM = 1,
    LW_GRU = 2,
    LW_RNN = 3,
    LW_DENSE = 4,      /* y = function(W x + b) at each step */
    LW_ACTIVATION = 5, /* y = function(x) at each step; no parameters */
} lw_kind;

typedef enum lw_direction {
    LW_FORWARD = 0,
    LW_REVERSE = 1,       /* walks from the last step to the first */
    LW_BIDIRECTIONAL = 2, /* both, outputs concatenated: forward, reverse */
} lw_direction;

typedef enum lw_function {
    LW_FUNCTION_DEFAULT = 0, /* tanh for an RNN, linear for a dense brick */
    LW_LINEAR = 1,           /* dense only */
    LW_RELU = 2,             /* RNN, dense, activation */
    LW_TANH = 3,             /* RNN, dense, activation */
    LW_SIGMOID = 4,          /* dense, activation */
} lw_function;

#define LW_NO_BIAS 1u      /* recurrent, dense: without biases */
#define LW_PEEPHOLES 2u    /* LSTM: gates i and f also see c(t-1), o sees c(t) */
#define LW_COUPLED 4u      /* LSTM: f = 1 - i, three gates */
#define LW_RESET_BEFORE 8u /* GRU: r is applied to h before the product (ONNX's default), not after it (PyTorch) */

#define LW_SIZE_MAX ((size_t)1 << 24)   /* the largest width and batch that a model may have */
#define LW_LAYERS_MAX ((size_t)1 << 16) /* the most layers, all bricks together */

typedef struct lw_brick {
    size_t size; /* sizeof(lw_brick); LW_BRICK_INIT sets it */
    lw_kind kind;
    const char *name;       /* of its parameters; NULL: kind and position, "lstm0". At most 63 bytes, no dot or space;
                             * for a file it must be UTF-8 */
    size_t input;           /* I; 0: the width of the brick before (the first brick must say it) */
    size_t hidden;          /* H, or O of a dense brick; an activation ignores it */
    size_t layers;          /* recurrent; 1 or more */
    lw_direction direction; /* recurrent */
    lw_function function;   /* RNN, dense, activation */
    unsigned options;       /* LW_NO_BIAS | LW_PEEPHOLES | LW_COUPLED | LW_RESET_BEFORE */
    size_t projection;      /* LSTM: P, smaller than H; 0: none */
    float cell_clip;        /* LSTM: c is clipped to [-clip, clip] after its update; 0: off */
    float gate_clip;        /* recurrent: the argument of every gate's activation is clipped; 0: off */
    float forget_bias;      /* LSTM: what lw_model_initialise puts into the forget gate's bias */
} lw_brick;
#define LW_BRICK_INIT(kind_)                                   \
    {                                                          \
        .size = sizeof(lw_brick), .kind = (kind_), .layers = 1 \
    }

typedef struct lw_model lw_model;
typedef struct lw_context lw_context;
typedef struct lw_state lw_state;
typedef struct lw_tensors lw_tensors;

typedef struct lw_model_options {
    size_t size;
    int isa; /* a lw_isa, or -1: the current one */
} lw_model_options;
#define LW_MODEL_OPTIONS_INIT                       \
    {                                               \
        .size = sizeof(lw_model_options), .isa = -1 \
    }

/* Builds a model of `count` bricks with all parameters zero. The bricks are copied. The caller owns *model.
 * LW_ERR_ARGUMENT names the brick and the field that is out of range, LW_ERR_SHAPE two bricks that do not fit.
 * `options` may be NULL. */
LW_API lw_status lw_model_create(const lw_brick *bricks, size_t count, const lw_model_options *options,
                                 lw_model **model);

/* Loads a safetensors file: Latchwork's own, with the architecture in its metadata, or a plain PyTorch
 * state_dict, whose names and shapes tell it (LSTM, GRU, RNN with tanh, any layers, directions, projection;
 * one module a file, with or without a prefix, or an LSTMCell, GRUCell, RNNCell). Other tensors, such as those of a
 * Linear behind it, are no part of the model, and an RNN is taken for one with tanh: the file does not say. F64, F32,
 * F16 and BF16 are read and become f32. The file is read whole into owned memory and validated before anything is used.
 * LW_ERR_FILE, LW_ERR_FORMAT, LW_ERR_UNSUPPORTED. The caller owns *model. */
LW_API lw_status lw_model_load(const char *path, const lw_model_options *options, lw_model **model);
/* The same from tensors that are already in memory; they may be closed afterwards. */
LW_API lw_status lw_model_from_tensors(const lw_tensors *tensors, const lw_model_options *options, lw_model **model);
/* Writes the model with its architecture: to a new file beside `path`, which then takes its place in one
 * atomic step. On failure the old file is whole; if only the folder's last sync failed, the new one is, and the
 * sentence says so. LW_ERR_UNSUPPORTED for a model of more than 4096 bricks. */
LW_API lw_status lw_model_save(const lw_model *model, const char *path);
/* Gives up the caller's reference (states and contexts hold their own, so the order does not matter).
 * NULL is allowed. */
LW_API void lw_model_destroy(lw_model *model);

/* Fills every parameter anew: weights and biases uniform in [-1/sqrt(H), 1/sqrt(H)] (dense: 1/sqrt(I)), as
 * PyTorch does; then an LSTM's bias_ih of the forget gate is set to forget_bias and its bias_hh to 0 where
 * forget_bias is not 0. The numbers depend on the seed, the parameter's name and the element alone.
 * LW_ERR_BUSY once a state, a context or a tape uses the model. */
LW_API lw_status lw_model_initialise(lw_model *model, uint64_t seed);

LW_API size_t lw_model_input_size(const lw_model *model);  /* I of the first brick; 0 for NULL */
LW_API size_t lw_model_output_size(const lw_model *model); /* O of the last brick; 0 for NULL */
LW_API lw_isa lw_model_isa(const lw_model *model);         /* LW_ISA_SCALAR for NULL */
LW_API size_t lw_model_bytes(const lw_model *model);       /* memory that its packed weights take */

LW_API size_t lw_model_brick_count(const lw_model *model);
/* Copies brick `index` with every default resolved; `brick->size` must be set. The name lives with the model. */
LW_API lw_status lw_model_brick(const lw_model *model, size_t index, lw_brick *brick);

/* A layer is one level of the stack: a brick of three layers gives three. */
typedef struct lw_layer {
    size_t size;
    size_t brick; /* index of its brick */
    lw_kind kind;
    lw_direction direction;
    size_t input;      /* I */
    size_t hidden;     /* H */
    size_t output;     /* width of one direction's output: H, P or O */
    size_t parameters; /* numbers in its tensors, all directions */
    size_t flops;      /* of one step of one row, a multiply-add counted as two, activations as none */
    size_t signals;    /* what a probe can record: see lw_layer_signal */
} lw_layer;
LW_API size_t lw_model_layer_count(const lw_model *model);
LW_API lw_status lw_model_layer(const lw_model *model, size_t index, lw_layer *layer);

typedef struct lw_parameter {
    size_t size;
    const char *name; /* lives with the model */
    size_t rank;      /* 1 or 2 */
    size_t shape[2];
    size_t count; /* product of the shape */
} lw_parameter;
LW_API size_t lw_model_parameter_count(const lw_model *model);
LW_API lw_status lw_model_parameter(const lw_model *model, size_t index, lw_parameter *parameter);
/* Index of the parameter of that name, or LW_ERR_NOT_FOUND. */
LW_API lw_status lw_model_parameter_find(const lw_model *model, const char *name, size_t *index);
/* Copies parameter `index` out of the packed weights (row-major; exactly what was set), or into them. `count`
 * must be the parameter's. Setting is LW_ERR_BUSY once a state, a context or a tape uses the model, for good. */
LW_API lw_status lw_model_parameter_get(const lw_model *model, size_t index, float *values, size_t count);
LW_API lw_status lw_model_parameter_set(lw_model *model, size_t index, const float *values, size_t count);

/* ------------------------------------------------------------------------------------------------------
 * 5. States and contexts
 * ------------------------------------------------------------------------------------------------------ */

/* A state of `batch` rows (0 is allowed), all zero: h (and c) of every layer and direction. The caller owns *state. */
LW_API lw_status lw_state_create(const lw_model *model, size_t batch, lw_state **state);
LW_API void lw_state_destroy(lw_state *state);
LW_API size_t lw_state_batch(const lw_state *state);
LW_API lw_status lw_state_reset(lw_state *state); /* back to zero */
/* Copies all vectors; both must have the same model and batch. */
LW_API lw_status lw_state_copy(lw_state *to, const lw_state *from);

/* Save to and restore from bytes (little endian, the same on every machine and instruction set). Restoring
 * checks that the bytes came from a state of the same shape; otherwise LW_ERR_FORMAT or LW_ERR_SHAPE, and the
 * state is as before. `bytes` must be at least (save), exactly (restore) lw_state_bytes(state). */
LW_API size_t lw_state_bytes(const lw_state *state);
LW_API lw_status lw_state_save(const lw_state *state, void *buffer, size_t bytes);
LW_API lw_status lw_state_restore(lw_state *state, const void *buffer, size_t bytes);

typedef enum lw_memory {
    LW_HIDDEN = 0, /* h, (B, output) */
    LW_CELL = 1,   /* c, (B, H); LSTM only */
} lw_memory;
/* Reads or writes one vector set of a layer, (B, width) row-major. `direction` is LW_FORWARD or LW_REVERSE and
 * must exist in the layer. `count` must be B * width. */
LW_API lw_status lw_state_get(const lw_state *state, size_t layer, lw_direction direction, lw_memory memory,
                              float *values, size_t count);
LW_API lw_status lw_state_set(lw_state *state, size_t layer, lw_direction direction, lw_memory memory,
                              const float *values, size_t count);

/* The caller's own pool: runs task(argument, 0) to task(argument, count - 1) and returns when all have ended.
 * The tasks wait for each other, so all of them must run at the same time; count never exceeds the context's
 * `threads`. */
typedef void (*lw_parallel)(void *pool, size_t count, void (*task)(void *argument, size_t index), void *argument);

#define LW_THREADS_MAX ((size_t)256) /* the most threads that a context or a tape may be given */

typedef struct lw_context_options {
    size_t size;
    size_t threads;       /* at most; 0: as many as the process may use (OMP_NUM_THREADS is honoured) */
    lw_parallel parallel; /* NULL: OpenMP */
    void *pool;           /* handed to `parallel` */
} lw_context_options;
#define LW_CONTEXT_OPTIONS_INIT            \
    {                                      \
        .size = sizeof(lw_context_options) \
    }

/* Threads and workspace for running `model`. A model without reverse layers needs the same workspace for any
 * T and B, all of it allocated here; one with reverse layers keeps what the layers between them hand on, which
 * grows with T and B (lw_context_reserve does that beforehand). `options` may be NULL. The caller owns *context. */
LW_API lw_status lw_context_create(const lw_model *model, const lw_context_options *options, lw_context **context);
LW_API void lw_context_destroy(lw_context *context);
/* Bytes of workspace that a run of T steps and B rows needs. 0 for NULL or where the size overflows. */
LW_API size_t lw_context_workspace_bytes(const lw_context *context, size_t steps, size_t batch);
/* Makes sure that no later run of up to that many steps and rows allocates. */
LW_API lw_status lw_context_reserve(lw_context *context, size_t steps, size_t batch);

/* ------------------------------------------------------------------------------------------------------
 * 6. Running: sequences and steps
 * ------------------------------------------------------------------------------------------------------ */

typedef enum lw_output {
    LW_OUTPUT_SEQUENCE = 0, /* (T, B, O) */
    /* (B, O): the last recurrent layer gives its final hidden state (each direction its own: the reverse one
     * after step 0), and the bricks behind it run once, on that. Without a recurrent layer: the last step. */
    LW_OUTPUT_LAST = 1,
} lw_output;

/* What a probe records: for one layer and direction, the chosen units' signals at each step. */
typedef struct lw_probe {
    size_t size;
    size_t layer;
    lw_direction direction; /* LW_FORWARD or LW_REVERSE; LW_ERR_NOT_FOUND where the layer has none */
    const size_t *units;    /* NULL: the first unit_count units */
    size_t unit_count;
    float *values;   /* (T, B, signals, unit_count); steps beyond a row's length are zero */
    size_t capacity; /* floats that fit into values: at least that product */
} lw_probe;
#define LW_PROBE_INIT            \
    {                            \
        .size = sizeof(lw_probe) \
    }

typedef struct lw_io {
    size_t size;
    size_t steps;              /* T; 0 is allowed: nothing moves */
    size_t batch;              /* B; must be the state's; 0 is allowed */
    const float *input;        /* (T, B, I) */
    size_t input_step_stride;  /* floats from step to step and from row to row; 0 and 0: dense, time first, */
    size_t input_row_stride;   /* that is B*I and I. Batch first is I and T*I. */
    float *output;             /* (T, B, O), or (B, O) for LW_OUTPUT_LAST; NULL: not wanted (the state moves) */
    size_t output_step_stride; /* as above with O; ignored for LW_OUTPUT_LAST */
    size_t output_row_stride;
    const size_t *lengths; /* (B), each 0 to T: steps of each row; NULL: all T. Outputs beyond are zero */
    lw_output output_kind;
    const lw_probe *probes; /* NULL: none */
    size_t probe_count;
} lw_io;
#define LW_IO_INIT            \
    {                         \
        .size = sizeof(lw_io) \
    }

/* Runs T steps of B rows. The state holds the initial values and receives the final ones (those after each
 * row's last step); NULL: starts from zero and the final values are dropped. Input, output and probes must not
 * overlap. A sequence may be cut into calls anywhere with the same bits, if the model has no reverse layer; a
 * reverse layer treats each call as a sequence of its own. Runs on as many threads as pay. */
LW_API lw_status lw_run(lw_context *context, lw_state *state, const lw_io *io);

/* One step for every row of the state, on the calling thread: x (B, I), y (B, O), dense. The same bits as lw_run with
 * one step, so that a reverse layer sees this step alone: a bidirectional model is no model for streams. No
 * allocation, lock or system call (with reverse layers and more than 8 rows: after lw_context_reserve). y may be NULL.
 * For a large model whose step is to be shared among threads, call lw_run with one step. */
LW_API lw_status lw_step(lw_context *context, lw_state *state, const float *x, float *y);

/* One step for `count` streams at once (0: nothing moves), each with a state of one row: x (count, I), y (count, O),
 * dense. The streams may come and go from call to call; each result has the bits that it would have alone. The states
 * must differ from each other. Runs on as many threads as pay, which a context of one thread forbids. No allocation
 * for a model without reverse layers, and on one thread no lock or system call either. */
LW_API lw_status lw_step_many(lw_context *context, lw_state *const *states, size_t count, const float *x, float *y);

/*
 * Tuning: what a run of that shape does, and why. The prediction rests on a small cost model; given `limits` (measured
 * by lw_machine_limits on as many threads as the context has) it is made from this machine's own figures.
 */
typedef struct lw_choice {
    const char *name;   /* "one thread", "rows", "units", "wavefront"; static */
    size_t threads;     /* 0: not possible for this shape */
    double seconds;     /* predicted for the whole call */
    const char *reason; /* why it was chosen, or refused; static */
} lw_choice;

typedef struct lw_explanation {
    size_t size;
    lw_isa isa;
    size_t lanes;                           /* floats in a vector */
    size_t tile_rows;                       /* rows of the register tile of the widest layer */
    size_t tile_vectors;                    /* weight vectors of it */
    size_t threads, teams, members, stages; /* teams deal rows; members share units; stages are a wavefront's */
    size_t block_rows;                      /* rows that a team walks together */
    size_t segment_steps;                   /* steps that a layer walks before the next layer does */
    size_t merged_rows;                     /* steps x rows of the input part that become one product; 1: none */
    double flops;                           /* of the call */
    double weight_bytes;                    /* of all packed weights */
    double traffic_bytes;                   /* recurrent weights read in the call */
    double seconds;                         /* predicted for the call */
    const char *bound;                      /* "arithmetic", "L1", "L2", "L3", "memory", "overhead"; static */
    double share;                           /* of the predicted time that its bound takes */
    size_t workspace_bytes, state_bytes;
    lw_choice choices[4]; /* the chosen one first */
} lw_explanation;

/* Explains lw_run with `steps` and `batch` on this context. Runs nothing. `limits` may be NULL. */
LW_API lw_status lw_explain(const lw_context *context, size_t steps, size_t batch, const lw_limits *limits,
                            lw_explanation *explanation);

/* ------------------------------------------------------------------------------------------------------
 * 7. Reading the gates
 *
 * A probe (lw_io.probes) records what every gate let through, without changing the result. The signals are
 *     LSTM  input, forget, output, candidate, cell, hidden      (after their activations; hidden is o * tanh(c),
 *                                                                before a projection)
 *     GRU   reset, update, candidate, hidden
 *     RNN   hidden
 * ------------------------------------------------------------------------------------------------------ */

/* Name of signal `index` of a layer, or NULL when there is none. The string is static. */
LW_API const char *lw_layer_signal(const lw_model *model, size_t layer, size_t index);

/* ------------------------------------------------------------------------------------------------------
 * 8. Tensor files (safetensors)
 *
 * Owned memory, validated whole before the first tensor can be seen.
 * ------------------------------------------------------------------------------------------------------ */
typedef struct lw_tensor {
    size_t size;
    const char *name; /* these three live with the file */
    const char *type; /* "F32", "F16", "BF16", "F64", "I64", ... */
    const void *data; /* little endian, row-major, at least 1-byte aligned */
    size_t bytes;
    size_t rank; /* at most 8 */
    size_t shape[8];
    size_t count; /* product of the shape; 1 for rank 0 */
} lw_tensor;
#define LW_TENSOR_INIT            \
    {                             \
        .size = sizeof(lw_tensor) \
    }

LW_API lw_status lw_tensors_open(const char *path, lw_tensors **tensors);
LW_API lw_status lw_tensors_parse(const void *bytes, size_t count, lw_tensors **tensors); /* copies them */
LW_API void lw_tensors_close(lw_tensors *tensors);
LW_API size_t lw_tensors_count(const lw_tensors *tensors);
LW_API lw_status lw_tensors_get(const lw_tensors *tensors, size_t index, lw_tensor *tensor);
LW_API lw_status lw_tensors_find(const lw_tensors *tensors, const char *name, lw_tensor *tensor);
/* Copies a tensor of a floating-point type (F64, F32, F16, BF16, F8_E5M2, F8_E4M3) as f32. What lies beyond the range
 * of f32 becomes an infinity. `count` must be the tensor's. */
LW_API lw_status lw_tensors_read(const lw_tensors *tensors, size_t index, float *values, size_t count);
/* Value of a key of the file's metadata, or NULL. Lives with the file. */
LW_API const char *lw_tensors_metadata(const lw_tensors *tensors, const char *key);
/* Writes tensors (their name, type, data, bytes, rank and shape are used) and `metadata_count` pairs of key and
 * value to `path`, in one atomic step. `metadata` may be NULL when the count is 0. */
LW_API lw_status lw_tensors_write(const char *path, const lw_tensor *tensors, size_t count,
                                  const char *const (*metadata)[2], size_t metadata_count);

/* ------------------------------------------------------------------------------------------------------
 * 9. Training: gradients by backpropagation through time
 *
 * A tape runs a model forward, keeps what the way back needs, and gives the gradient of a loss with respect to every
 * parameter, the input and the initial states. The parameters are the caller's: one pointer for each parameter of the
 * model, in its order and its layout, handed over anew at each forward run, so that an optimiser may change them in
 * between. The model tells the architecture alone, and is immutable from then on: a second model of the same bricks
 * takes what was learnt (lw_model_parameter_set) and is saved or run.
 *
 *     lw_tape_forward(tape, parameters, state, &io);      // io.output is y
 *     ... loss and its gradient dy from y ...
 *     lw_gradients g = LW_GRADIENTS_INIT;
 *     g.output = dy;
 *     g.parameters = dparameters;
 *     lw_tape_backward(tape, &g);
 *
 * Without regularisation the outputs have the same bits as those of lw_run with the same parameters, and the gradients
 * do not depend on the number of threads or the instruction set: every sum has a fixed order. A gate's argument at or
 * beyond gate_clip passes no gradient; a cell beyond cell_clip passes none.
 * ------------------------------------------------------------------------------------------------------ */
typedef struct lw_tape lw_tape;

/* A tape for the architecture of `model`, which it holds. One thread at a time. `options` may be NULL. */
LW_API lw_status lw_tape_create(const lw_model *model, const lw_context_options *options, lw_tape **tape);
LW_API void lw_tape_destroy(lw_tape *tape);
/* Bytes that a tape holds for T steps and B rows: for each layer and direction 5 * T * B * H floats of an LSTM (4 of a
 * GRU, none of an RNN) beside its input and output, and, once, what the way back through the widest layer takes: the
 * gradients of its input and output, and its gates' of some 256 steps x rows (of one step where B is larger). 0 where
 * the size overflows. */
LW_API size_t lw_tape_bytes(const lw_tape *tape, size_t steps, size_t batch);

/* Memory for time: with `steps` above 0 a forward run keeps its input and the states at every `steps`-th step alone,
 * and lw_tape_backward runs each segment forward once more before it goes back through it. The gradients have the same
 * bits; of the activations only a segment's are held, so that segments of about sqrt(T) steps need memory of that
 * order. With regularisation each segment is recorded on the way forward too. For models without reverse layers
 * (LW_ERR_UNSUPPORTED otherwise). 0: off, as after lw_tape_create. Forgets the last run. */
LW_API lw_status lw_tape_set_segment(lw_tape *tape, size_t steps);

/*
 * Regularisation: numbers drawn anew for each update, by which a network learns not to lean on single units. It is a
 * matter of tapes alone: lw_run and lw_step apply none of it, and at rates of 0 a tape's bits are lw_run's.
 *
 * Dropout of an activation sets it to 0 at its rate p and multiplies it by 1 / (1 - p) otherwise, so that its
 * expectation stays (Srivastava et al. 2014). Of recurrent layers what is dropped is what they hand on, not their
 * state, and of a bidirectional one the joined output. With d the mask of zoneout, 1 at its rate and else 0, and h', c'
 * what section 11 gives:
 *     recurrent dropout   m * h takes the place of h wherever a matrix is applied to it (R h, R_n (r * h)), the same m
 *                         at each step; a GRU's z * h is of h itself (Gal and Ghahramani 2016)
 *     zoneout             h(t) = d * h(t-1) + (1 - d) * h',  c(t) = d * c(t-1) + (1 - d) * c', h' from c' (Krueger et
 *                         al. 2017)
 *
 * A network that learnt with zoneout runs afterwards as section 11 says, and so moves a little faster than while it
 * learnt; its authors take the expectation then, which a tape with LW_EXPECTED computes.
 *
 * Masks are functions of a counter: the same for any number of threads, any instruction set, any segments and any other
 * rows of the batch, and there to be made again elsewhere. With g = 0x9e3779b97f4a7c15, mix the finaliser of SplitMix64
 * (Steele, Lea and Flood 2014) and m(k, v) = mix(k + g (v + 1)), all modulo 2^64, units 2j and 2j + 1 of a row share
 *     m(m(m(m(m(mix(seed + g), update), 16 layer + 8 direction + kind), step), row), j)
 * of which the even unit takes bits 40 to 63 and the odd one bits 8 to 31, as a number below 2^24; it is dropped, or
 * zoned out, when that is less than the threshold: the rate times 2^24, rounded, at most 2^24 - 1. The threshold over
 * 2^24 is also the p of 1 / (1 - p) and the d of LW_EXPECTED; both factors are rounded to float. `kind` is 0 for the
 * input (layer 0), 1 for an output, 2 for recurrent dropout, 3 for zoneout of h, 4 of c; `direction` 1 for kinds 2 to 4
 * of the reverse half of a bidirectional layer, else 0; `step` the time, from 0, but 0 where a mask is the same at each
 * step and for LW_OUTPUT_LAST's only output; `row` the caller's.
 */
#define LW_VARIATIONAL 1u /* `input`, `between`, `output`: one mask for all steps of a row (Gal and Ghahramani 2016) */
#define LW_EXPECTED 2u    /* draw nothing: no dropout, and zoneout with d its rate. For measuring; no way back */

typedef struct lw_regularisation {
    size_t size;
    uint64_t seed;
    uint64_t update;  /* to be counted up by the caller: other masks for each forward run */
    unsigned options; /* LW_VARIATIONAL | LW_EXPECTED */
    /* Rates, each in [0, 1); 0: none. One that finds nothing of its kind in the model has no effect. */
    double input;     /* dropout of the model's input */
    double between;   /* of the output of each recurrent layer but the last */
    double output;    /* of the output of the last recurrent layer */
    double recurrent; /* of the h that is fed back */
    double zoneout_hidden;
    double zoneout_cell; /* LSTM */
} lw_regularisation;
#define LW_REGULARISATION_INIT            \
    {                                     \
        .size = sizeof(lw_regularisation) \
    }

/* For the forward runs from now on; NULL: none, as after lw_tape_create. Copied. Forgets the last run. LW_ERR_ARGUMENT
 * names a rate outside [0, 1). Recurrent dropout, zoneout of c and dropout of outputs keep what they changed: T * B
 * times the width of that for each layer and direction, which lw_tape_bytes then counts. */
LW_API lw_status lw_tape_set_regularisation(lw_tape *tape, const lw_regularisation *regularisation);

/* Runs forward as lw_run does, probes excepted, and keeps what lw_tape_backward needs. `parameters` has a pointer for
 * each parameter of the model (an array of float * needs a cast in C); NULL: those of the last forward run, unchanged.
 * The state holds the initial values and receives the final ones; NULL: zero. The input may change afterwards: the tape
 * has copied it. */
LW_API lw_status lw_tape_forward(lw_tape *tape, const float *const *parameters, lw_state *state, const lw_io *io);

typedef enum lw_store {
    LW_OVERWRITE = 0,
    LW_ACCUMULATE = 1, /* add to what is there */
} lw_store;

typedef struct lw_gradients {
    size_t size;
    /* In: of the loss with respect to the outputs, shape and strides as io.output had them in the forward run, and to
     * the final states (its h and c vectors). NULL: zero. Gradients of outputs beyond a row's length are ignored. */
    const float *output;
    size_t output_step_stride, output_row_stride;
    const lw_state *final_state;
    /* Out: each may be NULL, and so may single pointers of `parameters`. `store` is about the parameters. */
    float *const *parameters;
    lw_store store;
    float *input; /* (T, B, I); zero beyond a row's length */
    size_t input_step_stride, input_row_stride;
    lw_state *initial_state;
} lw_gradients;
#define LW_GRADIENTS_INIT            \
    {                                \
        .size = sizeof(lw_gradients) \
    }

/* Walks back through the last forward run. LW_ERR_ARGUMENT without one, or where two of the arrays overlap, each taken
 * from its first float to its last; LW_ERR_UNSUPPORTED after a run with LW_EXPECTED. May be called again, with other
 * gradients. */
LW_API lw_status lw_tape_backward(lw_tape *tape, const lw_gradients *gradients);

/* ------------------------------------------------------------------------------------------------------
 * 10. Losses and optimisers
 *
 * What stands around a tape in a training loop: a loss gives dy from y, an optimiser changes the parameters, a schedule
 * says how far, and an initialiser gives the first values. All of it works on plain arrays of the caller, so each part
 * may be replaced by the caller's own.
 *
 *     for (uint64_t n = 0; n < updates; n++) {
 *         lw_tape_forward(tape, parameters, NULL, &io);                  // y
 *         lw_loss_evaluate(&loss, &score);                               // dy from y; score.loss
 *         lw_tape_backward(tape, &gradients);                            // dparameters from dy
 *         lw_learning_rate_at(&schedule, n, &rate);
 *         lw_optimiser_step(optimiser, parameters, dparameters, rate, NULL);
 *     }
 *
 * The same bits: every sum has a fixed order (eight partial sums in double, element k in number k modulo 8, added
 * pairwise) and exponentials and logarithms are the library's own, so results depend neither on the machine nor on the
 * number of threads. A NaN or an infinity in the numbers is no error: it propagates as the formulas say.
 * ------------------------------------------------------------------------------------------------------ */
typedef enum lw_loss_kind {
    LW_SQUARED_ERROR = 1,        /* (y - t)^2 of each element */
    LW_CROSS_ENTROPY = 2,        /* -log softmax(y)[class] of each row; y are logits */
    LW_BINARY_CROSS_ENTROPY = 3, /* -t log s(y) - (1 - t) log(1 - s(y)) of each element; y are logits, t in [0, 1] */
} lw_loss_kind;

/* A loss over T steps of B rows of O outputs. A row counts if its step is below its length, its mask is not 0 and its
 * class is not `ignore`. Strides are floats (or classes) from step to step and from row to row; 0 and 0: dense, time
 * first, as in lw_io. Outputs of LW_OUTPUT_LAST are one step. */
typedef struct lw_loss {
    size_t size;
    lw_loss_kind kind;
    size_t steps, batch, width; /* T, B, O */
    const float *output;        /* y (T, B, O) */
    size_t output_step_stride, output_row_stride;
    const float *target;                          /* t (T, B, O); squared error and binary cross-entropy, else NULL */
    const int32_t *classes;                       /* (T, B), each 0 to O-1 or `ignore`; cross-entropy, else NULL */
    size_t target_step_stride, target_row_stride; /* of whichever of the two it is */
    int32_t ignore;                               /* cross-entropy */
    const size_t *lengths;                        /* (B), each 0 to T; NULL: all T */
    const unsigned char *mask;                    /* (T, B), dense; 0: the row does not count; NULL: all count */
    double divisor;  /* of the sum; 0: the number counted, hence the mean. For a batch that is cut into parts */
    float *gradient; /* dy (T, B, O), zero where a row does not count; NULL: not wanted. Overlaps nothing else */
    size_t gradient_step_stride, gradient_row_stride;
} lw_loss;
#define LW_LOSS_INIT(kind_)                                      \
    {                                                            \
        .size = sizeof(lw_loss), .kind = (kind_), .ignore = -100 \
    }

typedef struct lw_score {
    size_t size;
    double loss;    /* sum / divisor; 0 when nothing counts */
    size_t counted; /* rows of a cross-entropy, else elements */
    size_t correct; /* of those: the class has the largest logit (the first of equals), or (y > 0) == (t > 0.5). A NaN
                     * is never correct. 0 for a squared error */
} lw_score;
#define LW_SCORE_INIT            \
    {                            \
        .size = sizeof(lw_score) \
    }

/* Computes the loss, its gradient dy and how many were right, in double; dy is rounded to f32. Stable for any finite
 * logits: softmax by the largest logit, softplus by |y|. An infinity: for a cross-entropy -inf is probability zero, and
 * +inf, or -inf in all of a row, gives NaN; for a binary cross-entropy the loss of an infinite logit is infinite where
 * it is wrong and NaN where it is right, as 0 * infinity is, while its gradient is finite. LW_ERR_ARGUMENT names a
 * class outside its range by step and row, LW_ERR_SHAPE a length, or strides that make rows of dy overlap; then dy is
 * untouched. Allocates nothing; any thread, as long as the arrays are its own. Formulas: Bishop 2006, chapter 4; as
 * PyTorch's mse_loss, cross_entropy and binary_cross_entropy_with_logits with reduction "mean". */
LW_API lw_status lw_loss_evaluate(const lw_loss *loss, lw_score *score);

typedef enum lw_optimiser_kind {
    LW_SGD = 1,     /* with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013) */
    LW_RMSPROP = 2, /* Tieleman and Hinton 2012 */
    LW_ADAM = 3,    /* Kingma and Ba 2015 */
    LW_ADAMW = 4,   /* Loshchilov and Hutter 2019: decay apart from the gradient */
} lw_optimiser_kind;

#define LW_NESTEROV 1u /* SGD: needs a momentum */

/* The defaults are PyTorch's. Fields of other kinds are ignored. */
typedef struct lw_optimiser_options {
    size_t size;
    lw_optimiser_kind kind;
    unsigned options; /* LW_NESTEROV */
    double momentum;  /* SGD, RMSprop: [0, 1); 0: none */
    double alpha;     /* RMSprop: decay of the mean square, [0, 1) */
    double beta1;     /* Adam, AdamW: decay of the mean, [0, 1) */
    double beta2;     /* Adam, AdamW: decay of the mean square, [0, 1) */
    double epsilon;   /* RMSprop, Adam, AdamW: added to the root, > 0 */
    double decay; /* weight decay, >= 0: times the parameter, added to the gradient; AdamW: times the rate, taken off
                        * the parameter */
    double clip_norm;  /* all gradients together are scaled down to this norm; 0: off */
    double clip_value; /* then each element is clipped to [-clip, clip]; 0: off */
} lw_optimiser_options;
#define LW_OPTIMISER_OPTIONS_INIT(kind_)                                                                    \
    {                                                                                                       \
        .size = sizeof(lw_optimiser_options), .kind = (kind_), .alpha = 0.99, .beta1 = 0.9, .beta2 = 0.999, \
        .epsilon = 1e-8, .decay = (kind_) == LW_ADAMW ? 0.01 : 0.0                                          \
    }

typedef struct lw_optimiser lw_optimiser;

/* An optimiser of `tensors` parameter tensors, `counts` floats each (1 or more); its moments are zero. It allocates
 * here and never later. Keeps no pointer of the caller's. The caller owns *optimiser. One thread at a time:
 * LW_ERR_BUSY where a second one is seen. */
LW_API lw_status lw_optimiser_create(const lw_optimiser_options *options, const size_t *counts, size_t tensors,
                                     lw_optimiser **optimiser);
LW_API void lw_optimiser_destroy(lw_optimiser *optimiser); /* NULL is allowed */

/* One update, in one pass over memory (one more over the gradients if their norm is wanted). With g the clipped
 * gradient of parameter p, r the rate, n the number of this tensor's updates, this one included, and g = g + decay * p
 * first but for AdamW:
 *     SGD      m = momentum * m + g                          p = p - r * m    (Nesterov: p - r * (g + momentum * m))
 *     RMSprop  v = alpha * v + (1 - alpha) * g^2             d = g / (sqrt(v) + epsilon)
 *              m = momentum * m + d                          p = p - r * m
 *     Adam     m = m + (1 - beta1) * (g - m)                 v = beta2 * v + (1 - beta2) * g^2
 *              p = p - r / (1 - beta1^n) * m / (sqrt(v) / sqrt(1 - beta2^n) + epsilon)
 *     AdamW    p = p - r * decay * p, then as Adam
 * and clipping by norm multiplies every gradient by min(1, clip_norm / (norm + 1e-6)): PyTorch's formulas
 * (torch.optim, clip_grad_norm_, clip_grad_value_), in f32 as there. A tensor whose gradient is NULL stays as it is.
 * `rate` must be finite and not negative. `norm` (may be NULL) receives the norm of all gradients before clipping. On
 * failure no parameter has changed. */
LW_API lw_status lw_optimiser_step(lw_optimiser *optimiser, float *const *parameters, const float *const *gradients,
                                   double rate, double *norm);
/* The norm of all gradients, for a look at it before the step: not finite when one of them is not. */
LW_API lw_status lw_optimiser_norm(const lw_optimiser *optimiser, const float *const *gradients, double *norm);
/* Updates made so far, those before a saved state included; 0 for NULL. */
LW_API uint64_t lw_optimiser_updates(const lw_optimiser *optimiser);

/* Save to and restore from bytes (little endian, the same on every machine): moments and numbers of updates, not the
 * options. A restored optimiser goes on with the same bits. Restoring checks everything first: LW_ERR_FORMAT when the
 * bytes are no such state or hold what no run leaves (there is no checksum), LW_ERR_SHAPE when it is that of another
 * kind or of other tensors; then the optimiser is as before. `bytes` must be at least (save), exactly (restore)
 * lw_optimiser_bytes(optimiser). */
LW_API size_t lw_optimiser_bytes(const lw_optimiser *optimiser); /* 0 for NULL */
LW_API lw_status lw_optimiser_save(lw_optimiser *optimiser, void *buffer, size_t bytes);
LW_API lw_status lw_optimiser_restore(lw_optimiser *optimiser, const void *buffer, size_t bytes);

typedef enum lw_rate_kind {
    LW_RATE_CONSTANT = 0,
    LW_RATE_STEP = 1,   /* times gamma every `every` updates */
    LW_RATE_COSINE = 2, /* half a cosine down to the floor in `updates` updates (Loshchilov and Hutter 2017) */
} lw_rate_kind;

/* The rate of update n, counted from 0. While n < warm_up it is rate * (n + 1) / (warm_up + 1); then, with
 * k = n - warm_up, rate; or rate * gamma^floor(k / every); or floor + (rate - floor) * (1 + cos(pi k / updates)) / 2
 * for k < updates and the floor from there on. */
typedef struct lw_learning_rate {
    size_t size;
    lw_rate_kind kind;
    double rate; /* finite, not negative */
    uint64_t warm_up;
    uint64_t every;   /* step: 1 or more */
    double gamma;     /* step: in [0, 1] */
    uint64_t updates; /* cosine: 1 or more */
    double floor;     /* cosine: 0 to rate */
} lw_learning_rate;
#define LW_LEARNING_RATE_INIT(rate_)                                                              \
    {                                                                                             \
        .size = sizeof(lw_learning_rate), .rate = (rate_), .every = 1, .gamma = 1.0, .updates = 1 \
    }

/* Writes the rate of that update to *rate: a pure function, any thread. LW_ERR_ARGUMENT names a field out of range. */
LW_API lw_status lw_learning_rate_at(const lw_learning_rate *schedule, uint64_t update, double *rate);

typedef enum lw_initial {
    LW_INITIAL_UNIFORM = 0,        /* as lw_model_initialise */
    LW_INITIAL_ZERO = 1,           /* biases and peepholes only */
    LW_INITIAL_XAVIER_UNIFORM = 2, /* in +- sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010); weights only */
    LW_INITIAL_XAVIER_NORMAL = 3,  /* deviation sqrt(2 / (inputs + outputs)); weights only */
    LW_INITIAL_ORTHOGONAL = 4, /* rows or columns, whichever are fewer, orthonormal (Saxe et al. 2014); weights only */
} lw_initial;

typedef struct lw_initialise_options {
    size_t size;
    uint64_t seed;
    lw_initial input;     /* weights on inputs, projections, dense weights */
    lw_initial recurrent; /* weights on h */
    lw_initial bias;      /* biases and peepholes: uniform or zero */
    /* Chrono initialisation (Tallec and Ollivier 2018) for dependencies of up to this many steps, 2 or more; 0: off. An
     * LSTM's forget biases become log u and its input biases -log u, a GRU's update biases log u, with u uniform in
     * [1, chrono - 1] for each unit, in bias_ih; bias_hh of those gates is 0. It replaces a brick's forget_bias. */
    size_t chrono;
} lw_initialise_options;
#define LW_INITIALISE_OPTIONS_INIT            \
    {                                         \
        .size = sizeof(lw_initialise_options) \
    }

/* Fills every parameter anew. Each gate's matrix is treated by itself: (H, I) and (H, R), not (G*H, I). With the
 * default options the same bits as lw_model_initialise. The numbers depend on the options, the parameter's name and
 * the element alone. An orthogonal matrix is a product of reflections (Stewart 1980), uniform over all such matrices.
 * LW_ERR_ARGUMENT for a rule that does not fit, or chrono on a brick without biases; LW_ERR_BUSY once a state, a
 * context or a tape uses the model; the model is then as it was. */
LW_API lw_status lw_model_initialise_with(lw_model *model, const lw_initialise_options *options);

/* ------------------------------------------------------------------------------------------------------
 * 11. Formulas
 *
 * x is the step's input, h the hidden state before it, s the logistic function, * the element-wise product.
 *
 * LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber and Cummins 2000; peepholes: Gers and
 * Schmidhuber 2000; projection: Sak, Senior and Beaufays 2014)
 *     i  = s(W_i x + b_i + R_i h + d_i  [+ p_i * c])          g = tanh(W_g x + b_g + R_g h + d_g)
 *     f  = s(W_f x + b_f + R_f h + d_f  [+ p_f * c])          coupled: f = 1 - i
 *     c' = f * c + i * g
 *     o  = s(W_o x + b_o + R_o h + d_o  [+ p_o * c'])         h' = o * tanh(c')   [then h' = P h']
 * GRU (Cho et al. 2014)
 *     r = s(W_r x + b_r + R_r h + d_r)                        z = s(W_z x + b_z + R_z h + d_z)
 *     n = tanh(W_n x + b_n + r * (R_n h + d_n))               reset before: tanh(W_n x + b_n + R_n (r * h) + d_n)
 *     h' = (1 - z) * n + z * h
 * RNN (Elman 1990)
 *     h' = tanh(W x + b + R h + d), or ReLU
 *
 * Each gate is (b + sum over x in order) + (d + sum over h in order), every term a fused multiply-add: that
 * order, not the hardware, fixes the bits.
 * ------------------------------------------------------------------------------------------------------ */

#ifdef __cplusplus
}
#endif
#endif
