/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the calls that make_misuse.py writes from the public header: every function with every wrong value of every
 * argument. Each call has objects of its own; a refusal has its status and a sentence and changes none of them. Prints
 * TAP, a line for each call.
 */
#include <latchwork.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum expectation { ANY, ARGUMENT, REFUSED };
enum { IN = 3, HIDDEN = 4, OUT = 2, STEPS = 2, PARAMETERS = 6, BIAS = 4 * HIDDEN, ROOM = 512 };

static lw_model *model, *fresh;
static lw_state *state, *other_state, *states[1];
static lw_context *context;
static lw_tape *tape;
static lw_optimiser *optimiser;
static lw_tensors *tensors;
static lw_io io;
static lw_gradients gradients;
static lw_loss loss;
static lw_tensor tensor;
static const char *const metadata[1][2] = {{"a", "b"}};
static float x[ROOM], y[ROOM], storage[PARAMETERS][ROOM], gradient_storage[PARAMETERS][ROOM];
static const float *parameters[PARAMETERS];
static float *mutable_parameters[PARAMETERS], *gradient_pointers[PARAMETERS];
static size_t counts[PARAMETERS], tensor_index, file_bytes;
static unsigned char buffer[1 << 16], saved_state[1 << 12], saved_optimiser[1 << 16], file[1 << 16];
static char path[64];
static lw_brick bricks[2];

/* What a refused call must leave alone. */
static lw_model *out_model;
static lw_state *out_state;
static lw_context *out_context;
static lw_tape *out_tape;
static lw_optimiser *out_optimiser;
static lw_tensors *out_tensors;
static lw_brick out_brick;
static lw_layer out_layer;
static lw_parameter out_parameter;
static lw_score out_score;
static lw_tensor out_tensor;
static lw_machine out_machine;
static lw_limits out_limits;
static lw_explanation out_explanation;
static lw_isa out_isa;
static size_t out_size;
static double out_double;

static size_t cases, failures;

static void need(lw_status status)
{
    if (status) {
        printf("Bail out! the objects cannot be made: %s\n", lw_error());
        exit(1);
    }
}

static void read_file(void)
{
    FILE *stream = fopen(path, "rb");
    file_bytes = stream ? fread(file, 1, sizeof file, stream) : 0;
    need(file_bytes ? LW_OK : LW_ERR_FILE);
    fclose(stream);
}

static void set_outputs(void)
{
    out_model = NULL;
    out_state = NULL;
    out_context = NULL;
    out_tape = NULL;
    out_optimiser = NULL;
    out_tensors = NULL;
    out_brick = (lw_brick){.size = sizeof out_brick};
    out_layer = (lw_layer){.size = sizeof out_layer};
    out_parameter = (lw_parameter){.size = sizeof out_parameter};
    out_score = (lw_score)LW_SCORE_INIT;
    out_tensor = (lw_tensor)LW_TENSOR_INIT;
    out_machine = (lw_machine){.size = sizeof out_machine};
    out_limits = (lw_limits){.size = sizeof out_limits};
    out_explanation = (lw_explanation){.size = sizeof out_explanation};
    out_isa = LW_ISA_AVX2;
    out_size = 77;
    out_double = 0.5;
}

static void create(void)
{
    lw_optimiser_options rule = LW_OPTIMISER_OPTIONS_INIT(LW_ADAM);
    bricks[0] = (lw_brick)LW_BRICK_INIT(LW_LSTM);
    bricks[0].name = "lstm";
    bricks[0].input = IN;
    bricks[0].hidden = HIDDEN;
    bricks[1] = (lw_brick)LW_BRICK_INIT(LW_DENSE);
    bricks[1].name = "head";
    bricks[1].hidden = OUT;
    need(lw_model_create(bricks, 2, NULL, &model));
    need(lw_model_create(bricks, 2, NULL, &fresh));
    need(lw_model_initialise(model, 1));
    need(lw_model_initialise(fresh, 2));
    for (size_t i = 0; i < PARAMETERS; i++) {
        lw_parameter p = {.size = sizeof p};
        need(lw_model_parameter(model, i, &p));
        counts[i] = p.count;
        need(lw_model_parameter_get(model, i, storage[i], p.count));
        memset(gradient_storage[i], 0, sizeof gradient_storage[i]);
        parameters[i] = gradient_pointers[i] = gradient_storage[i];
        mutable_parameters[i] = storage[i];
    }
    for (size_t k = 0; k < ROOM; k++) {
        x[k] = (float)(k % 5) * 0.25f;
        y[k] = 0.0f;
    }
    need(lw_state_create(model, 1, &state));
    need(lw_state_create(model, 1, &other_state));
    states[0] = state;
    need(lw_context_create(model, NULL, &context));
    io = (lw_io)LW_IO_INIT;
    io.steps = STEPS;
    io.batch = 1;
    io.input = x;
    io.output = y;
    need(lw_run(context, state, &io));
    need(lw_tape_create(model, NULL, &tape));
    need(lw_tape_forward(tape, (const float *const *)mutable_parameters, NULL, &io));
    gradients = (lw_gradients)LW_GRADIENTS_INIT;
    gradients.output = x;
    gradients.parameters = gradient_pointers;
    need(lw_optimiser_create(&rule, counts, PARAMETERS, &optimiser));
    need(lw_model_save(model, path));
    read_file();
    need(lw_tensors_parse(file, file_bytes, &tensors));
    for (tensor_index = 0;; tensor_index++) {
        tensor = (lw_tensor)LW_TENSOR_INIT;
        need(lw_tensors_get(tensors, tensor_index, &tensor));
        if (tensor.count == BIAS)
            break;
    }
    loss = (lw_loss)LW_LOSS_INIT(LW_SQUARED_ERROR);
    loss.steps = STEPS;
    loss.batch = 1;
    loss.width = OUT;
    loss.output = y;
    loss.target = x;
    need(lw_state_save(state, saved_state, sizeof saved_state));
    need(lw_optimiser_save(optimiser, saved_optimiser, sizeof saved_optimiser));
    set_outputs();
}

static void destroy(void)
{
    lw_tensors_close(tensors);
    lw_optimiser_destroy(optimiser);
    lw_tape_destroy(tape);
    lw_context_destroy(context);
    lw_state_destroy(state);
    lw_state_destroy(other_state);
    lw_model_destroy(model);
    lw_model_destroy(fresh);
    lw_model_destroy(out_model);
    lw_state_destroy(out_state);
    lw_context_destroy(out_context);
    lw_tape_destroy(out_tape);
    lw_optimiser_destroy(out_optimiser);
    lw_tensors_close(out_tensors);
}

static unsigned long long hash;

static void add(const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
}

/* Of everything that a call could change: parameters, the state, the optimiser, the file, the outputs. */
static unsigned long long look(void)
{
    static unsigned char bytes[1 << 16];
    float values[ROOM];
    hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < PARAMETERS; i++) {
        need(lw_model_parameter_get(fresh, i, values, counts[i]));
        add(values, counts[i] * sizeof(float));
    }
    need(lw_state_save(state, bytes, sizeof bytes));
    add(bytes, lw_state_bytes(state));
    need(lw_optimiser_save(optimiser, bytes, sizeof bytes));
    add(bytes, lw_optimiser_bytes(optimiser));
    read_file();
    add(file, file_bytes);
    add(storage, sizeof storage);
    add(gradient_storage, sizeof gradient_storage);
    add(y, sizeof y);
    const void *const made[] = {out_model, out_state, out_context, out_tape, out_optimiser, out_tensors};
    add(made, sizeof made);
    add(&out_brick, sizeof out_brick);
    add(&out_layer, sizeof out_layer);
    add(&out_parameter, sizeof out_parameter);
    add(&out_score, sizeof out_score);
    add(&out_tensor, sizeof out_tensor);
    add(&out_machine, sizeof out_machine);
    add(&out_explanation, sizeof out_explanation);
    add(&out_isa, sizeof out_isa);
    add(&out_size, sizeof out_size);
    add(&out_double, sizeof out_double);
    return hash;
}

static void report(const char *name, int good, const char *why)
{
    cases++;
    failures += !good;
    printf("%sok %zu - %s\n", good ? "" : "not ", cases, name);
    if (!good)
        printf("# %s (%s)\n", why, lw_error());
}

static void judge(const char *name, enum expectation expectation, lw_status status, int same)
{
    const char *why = status && !same                                        ? "a refused call changed something"
                      : status && strlen(lw_error()) < 10                    ? "there is no sentence"
                      : expectation == REFUSED && !status                    ? "the call was not refused"
                      : expectation == ARGUMENT && status != LW_ERR_ARGUMENT ? lw_status_name(status)
                      : strncmp(lw_status_name(status), "LW_", 3) != 0       ? "the status is none"
                                                                             : NULL;
    report(name, !why, why ? why : "");
}

/* Some calls are only for objects that nothing uses. */
#define CASE(name, expectation, call)                         \
    do {                                                      \
        create();                                             \
        unsigned long long before_ = look();                  \
        lw_status status_ = (call);                           \
        judge(name, expectation, status_, look() == before_); \
        destroy();                                            \
    } while (0)

/* No status: it must come back, and destroy nothing but what it was given. */
#define PLAIN(name, call)    \
    do {                     \
        create();            \
        (void)(call);        \
        look();              \
        report(name, 1, ""); \
        destroy();           \
    } while (0)

int main(void)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%.32s/latchwork-misuse-%ld", folder ? folder : "/tmp", (long)getpid());
#include "misuse_calls.inc"
    unlink(path);
    printf("1..%zu\n", cases);
    return failures > 0;
}
