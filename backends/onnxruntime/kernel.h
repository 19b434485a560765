/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs a claimed stack, shared by kernel.c (making it, running it), worker.c (its workers) and tensors.c (ONNX
 * Runtime's tensors). A kernel does not change after it was made, but for the slots of its pool.
 */
#ifndef LW_ORT_KERNEL_H
#define LW_ORT_KERNEL_H

#include <stdatomic.h>

#include "provider.h"

#define EP_WORKERS_KEPT 32
#define EP_RANK_MAX 4

/* What one call needs for itself: one thread at a time. */
struct ep_worker {
    lw_context *context;
    lw_state *state; /* of the batch that came last, or NULL */
    size_t *lengths;
    size_t length_count;
    float *floats;
    size_t float_count;
};

struct ep_tensor {
    const void *data; /* NULL: absent */
    int64_t shape[EP_RANK_MAX];
    size_t rank;
};

struct ep_layer {
    size_t hidden, directions;
    lw_direction direction[2]; /* of each of ONNX's directions */
    char label[96];
    int inputs[EP_INPUTS];   /* place among the fused node's inputs, or -1 */
    int outputs[EP_OUTPUTS]; /* place among the fused node's outputs, or -1 */
    /* Inputs that the graph holds as constants, copied: ONNX Runtime no longer hands them over. */
    struct ep_tensor constants[EP_INPUTS];
};

/* The layers of one model. X and the lengths are the first one's, Y is the last one's. */
struct ep_kernel {
    OrtNodeComputeInfo info; /* first: it is all that ONNX Runtime hands back */
    const struct ep_api *api;
    lw_model *model;
    size_t threads, input, layers;
    bool batch_first;
    struct ep_layer layer[EP_LAYERS_MAX];
    _Atomic(struct ep_worker *) pool[EP_WORKERS_KEPT];
};

/* One call's sizes and data; NULL is what is absent or not wanted. Of the layers only those of the kernel are set. */
struct ep_call {
    size_t steps, batch;
    const float *x;
    const int32_t *lengths;
    float *y;
    struct {
        const float *initial[2]; /* h and c */
        float *final[2];
    } layer[EP_LAYERS_MAX];
};

static inline const struct ep_layer *ep_first_layer(const struct ep_kernel *kernel)
{
    return &kernel->layer[0];
}

static inline const struct ep_layer *ep_last_layer(const struct ep_kernel *kernel)
{
    return &kernel->layer[kernel->layers - 1];
}

/* ---- worker.c ---- */

lw_status ep_worker_take(struct ep_kernel *kernel, struct ep_worker **worker);
void ep_worker_give(struct ep_kernel *kernel, struct ep_worker *worker); /* NULL is allowed */
void ep_workers_destroy(struct ep_kernel *kernel);
/* A buffer of that many floats, valid until the next call for the same worker. */
lw_status ep_worker_floats(struct ep_worker *worker, size_t count, float **floats);
lw_status ep_worker_lengths(struct ep_worker *worker, size_t count);
/* A zero state of `batch` rows in worker->state. */
lw_status ep_worker_state(const struct ep_kernel *kernel, struct ep_worker *worker, size_t batch);

/* ---- tensors.c ---- */

/* Type and shape of a value are checked against what the input must be; `tensor` borrows the data. */
OrtStatus *ep_tensor_read(const struct ep_api *api, const OrtValue *value, size_t input, const char *label,
                          struct ep_tensor *tensor);
/* Reads and checks every input that moves, and sets the call's sizes and inputs. */
OrtStatus *ep_call_open_inputs(const struct ep_kernel *kernel, const OrtKernelContext *context, struct ep_call *call);
OrtStatus *ep_call_open_outputs(const struct ep_kernel *kernel, OrtKernelContext *context, struct ep_call *call);

#endif
