/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end of the voice activity detector: a short-time Fourier transform, its magnitudes, and four convolutions
 * with ReLU. Called by vad.c.
 *
 * A convolution is a dense layer that looks at one window of its input after the other. So each stage is a Latchwork
 * model of dense bricks whose batch rows are the windows: the same kernels, and the same bits on every machine.
 * Windows of a chunk: 4 of the transform, 4 of conv1 (stride 1), 2 of conv2 (stride 2), 1 of conv3 (stride 2) and
 * conv4; each convolution takes 3 positions, with one position of zeros at both ends.
 */
#include "vad_frontend.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TAPS = 3,
    PAD = 64, /* samples that mirror the end of a chunk */
    FFT = 256,
    HOP = 128,
    FRAMES = 4,
    BINS = FFT / 2 + 1,
    C1 = 128,
    C2 = 64,
    C3 = 64,
    C4 = VAD_FEATURES,
    WINDOW1 = TAPS * BINS,
    WINDOW2 = TAPS * C1,
    WINDOW3 = TAPS * C2,
    WINDOW4 = TAPS * C3,
};

enum { TRANSFORM, CONV1, CONV2, CONV34, STAGES };

/* A dense brick and the tensors frontend.<name>.weight (outputs, columns) and .bias (outputs) that fill it. It takes
 * `width` columns from `first` on: conv4 has one position between zeros, so only its middle tap counts. */
static const struct layer {
    int stage;
    const char *name;
    size_t outputs, columns, first, width;
    lw_function function;
    unsigned options;
} layers[] = {
    {TRANSFORM, "stft", 2 * BINS, FFT, 0, FFT, LW_LINEAR, LW_NO_BIAS},
    {CONV1, "conv1", C1, WINDOW1, 0, WINDOW1, LW_RELU, 0},
    {CONV2, "conv2", C2, WINDOW2, 0, WINDOW2, LW_RELU, 0},
    {CONV34, "conv3", C3, WINDOW3, 0, WINDOW3, LW_RELU, 0},
    {CONV34, "conv4", C4, WINDOW4, C3, C3, LW_RELU, 0},
};
#define LAYER_COUNT (sizeof layers / sizeof layers[0])

static const size_t window_count[STAGES] = {FRAMES, FRAMES, FRAMES / 2, 1};

struct vad_frontend {
    lw_model *models[STAGES];
    lw_context *contexts[STAGES];
    lw_state *states[STAGES];
    float signal[VAD_CONTEXT + VAD_CHUNK + PAD];
    float windows[FRAMES * WINDOW1];      /* the largest stage's input */
    float spectrum[FRAMES * 2 * BINS];    /* of each frame the real parts, then the imaginary parts */
    float magnitude[(FRAMES + 2) * BINS]; /* the first and the last row stay zero */
    float first[(FRAMES + 1) * C1];       /* the first row stays zero; the last windows end before the zeros behind */
    float second[(FRAMES / 2 + 1) * C2];  /* as above */
};

/* Where the sentence of a failure goes. */
typedef struct builder {
    const lw_tensors *tensors;
    char *message;
    size_t bytes;
} builder;

static lw_status fail(const builder *b, lw_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(b->message, b->bytes, format, arguments);
    va_end(arguments);
    return status;
}

/* The library's own sentence, if its call failed. */
static lw_status checked(const builder *b, lw_status status)
{
    return status ? fail(b, status, "%s", lw_error()) : LW_OK;
}

/* Reads frontend.<key> of shape (rows, columns), or (rows) when columns is 0, into new memory. */
static lw_status read_tensor(const builder *b, const char *key, size_t rows, size_t columns, float **values)
{
    char name[64];
    lw_tensor found = {.size = sizeof found};
    size_t index = 0, count = lw_tensors_count(b->tensors);
    snprintf(name, sizeof name, "frontend.%s", key);
    while (index < count && (lw_tensors_get(b->tensors, index, &found) || strcmp(found.name, name) != 0))
        index++;
    if (index == count)
        return fail(b, LW_ERR_NOT_FOUND, "there is no tensor %s: this is no voice activity model", name);
    if (found.rank != (columns ? 2u : 1u) || found.shape[0] != rows || (columns && found.shape[1] != columns))
        return fail(b, LW_ERR_SHAPE,
                    columns ? "tensor %s must have the shape (%zu, %zu)" : "tensor %s must have the shape (%zu)", name,
                    rows, columns);
    *values = malloc(found.count * sizeof **values);
    if (!*values)
        return fail(b, LW_ERR_MEMORY, "no memory for tensor %s", name);
    return checked(b, lw_tensors_read(b->tensors, index, *values, found.count));
}

static lw_status set_parameter(const builder *b, lw_model *model, const char *name, const float *values, size_t count)
{
    size_t index;
    lw_status status = lw_model_parameter_find(model, name, &index);
    return checked(b, status ? status : lw_model_parameter_set(model, index, values, count));
}

static lw_status fill(const builder *b, lw_model *model, const struct layer *layer)
{
    char key[32];
    float *weight = NULL, *bias = NULL;
    snprintf(key, sizeof key, "%s.weight", layer->name);
    lw_status status = read_tensor(b, key, layer->outputs, layer->columns, &weight);
    if (!status) {
        for (size_t o = 0; o < layer->outputs; o++)
            memmove(weight + o * layer->width, weight + o * layer->columns + layer->first,
                    layer->width * sizeof *weight);
        status = set_parameter(b, model, key, weight, layer->outputs * layer->width);
    }
    if (!status && !(layer->options & LW_NO_BIAS)) {
        snprintf(key, sizeof key, "%s.bias", layer->name);
        if (!(status = read_tensor(b, key, layer->outputs, 0, &bias)))
            status = set_parameter(b, model, key, bias, layer->outputs);
    }
    free(weight);
    free(bias);
    return status;
}

static lw_status build_stage(const builder *b, vad_frontend *f, int stage)
{
    lw_brick bricks[LAYER_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < LAYER_COUNT; i++)
        if (layers[i].stage == stage) {
            bricks[count] = (lw_brick)LW_BRICK_INIT(LW_DENSE);
            bricks[count].name = layers[i].name;
            bricks[count].input = layers[i].width;
            bricks[count].hidden = layers[i].outputs;
            bricks[count].function = layers[i].function;
            bricks[count++].options = layers[i].options;
        }
    lw_status status = checked(b, lw_model_create(bricks, count, NULL, &f->models[stage]));
    for (size_t i = 0; i < LAYER_COUNT && !status; i++)
        if (layers[i].stage == stage)
            status = fill(b, f->models[stage], &layers[i]);
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = 1; /* these products are too small to share */
    if (!status)
        status = checked(b, lw_context_create(f->models[stage], &options, &f->contexts[stage]));
    return status ? status : checked(b, lw_state_create(f->models[stage], window_count[stage], &f->states[stage]));
}

lw_status vad_frontend_create(const lw_tensors *tensors, vad_frontend **frontend, char *message, size_t bytes)
{
    const builder b = {tensors, message, bytes};
    vad_frontend *f = calloc(1, sizeof *f);
    if (!f)
        return fail(&b, LW_ERR_MEMORY, "no memory for the front end");
    lw_status status = LW_OK;
    for (int stage = 0; stage < STAGES && !status; stage++)
        status = build_stage(&b, f, stage);
    if (status)
        vad_frontend_destroy(f);
    else
        *frontend = f;
    return status;
}

void vad_frontend_destroy(vad_frontend *f)
{
    for (int stage = 0; f && stage < STAGES; stage++) {
        lw_state_destroy(f->states[stage]);
        lw_context_destroy(f->contexts[stage]);
        lw_model_destroy(f->models[stage]);
    }
    free(f);
}

/* Runs a stage on windows of `from`, `width` floats each and `hop` floats apart. */
static lw_status run_stage(vad_frontend *f, int stage, const float *from, size_t width, size_t hop, float *to)
{
    for (size_t i = 0; i < window_count[stage]; i++)
        memcpy(f->windows + i * width, from + i * hop, width * sizeof *from);
    return lw_step(f->contexts[stage], f->states[stage], f->windows, to);
}

static void magnitudes(vad_frontend *f)
{
    for (size_t t = 0; t < FRAMES; t++) {
        const float *re = f->spectrum + t * 2 * BINS, *im = re + BINS;
        float *to = f->magnitude + (t + 1) * BINS;
        for (size_t k = 0; k < BINS; k++)
            to[k] = sqrtf(re[k] * re[k] + im[k] * im[k]);
    }
}

lw_status vad_frontend_run(vad_frontend *f, const float *samples, float *features)
{
    const size_t count = VAD_CONTEXT + VAD_CHUNK;
    memcpy(f->signal, samples, count * sizeof *samples);
    for (size_t i = 0; i < PAD; i++)
        f->signal[count + i] = samples[count - 2 - i];
    lw_status status = run_stage(f, TRANSFORM, f->signal, FFT, HOP, f->spectrum);
    if (status)
        return status;
    magnitudes(f);
    status = run_stage(f, CONV1, f->magnitude, WINDOW1, BINS, f->first + C1);
    if (!status)
        status = run_stage(f, CONV2, f->first, WINDOW2, 2 * C1, f->second + C2);
    return status ? status : run_stage(f, CONV34, f->second, WINDOW3, 0, features);
}
