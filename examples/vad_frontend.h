/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The convolutional half of the voice activity detector: a chunk of sound in, the 128 features that the LSTM reads out.
 * Called by vad.c. After vad_frontend_create nothing here allocates. One thread at a time.
 */
#ifndef VAD_FRONTEND_H
#define VAD_FRONTEND_H

#include <latchwork.h>

enum {
    VAD_RATE = 16000,   /* samples a second */
    VAD_CHUNK = 512,    /* new samples a step, 32 ms */
    VAD_CONTEXT = 64,   /* samples of the chunk before, in front of them */
    VAD_FEATURES = 128, /* what one chunk becomes */
};

typedef struct vad_frontend vad_frontend;

/* Reads the tensors frontend.* of a model file; they may be closed afterwards. The caller owns *frontend. On failure
 * `message`, of `bytes` bytes, holds the sentence. */
lw_status vad_frontend_create(const lw_tensors *tensors, vad_frontend **frontend, char *message, size_t bytes);
void vad_frontend_destroy(vad_frontend *frontend);

/* samples (VAD_CONTEXT + VAD_CHUNK), from -1 to 1; features (VAD_FEATURES) */
lw_status vad_frontend_run(vad_frontend *frontend, const float *samples, float *features);

#endif
