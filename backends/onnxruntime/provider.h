/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the ONNX Runtime execution provider share. factory.c is the library's face to ONNX Runtime,
 * provider.c chooses and compiles nodes, node.c reads one node, stack.c finds those that run as one, weights.c and
 * share.c turn their weights into a model, kernel.c runs it, status.c writes errors and log lines.
 * The provider sees the engine through <latchwork.h> and ONNX Runtime through its C API alone.
 */
#ifndef LW_ORT_PROVIDER_H
#define LW_ORT_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <latchwork.h>
#include <onnxruntime_c_api.h>

#define EP_NAME "LatchworkExecutionProvider"
#define EP_VENDOR "Latchwork"

/* The first API with plugin providers that compile nodes. It is the one asked for, whatever the headers know. */
#define EP_API_VERSION 23

#if defined(__GNUC__)
#define EP_FORMAT(string, first) __attribute__((format(printf, string, first)))
#else
#define EP_FORMAT(string, first)
#endif

/* Both live as long as ONNX Runtime. */
struct ep_api {
    const OrtApi *ort;
    const OrtEpApi *ep;
};

/* Hands a failure of ONNX Runtime on to its caller. */
#define EP_TRY(call)                 \
    do {                             \
        OrtStatus *status_ = (call); \
        if (status_)                 \
            return status_;          \
    } while (0)

/* ---- status.c ---- */

OrtStatus *ep_fail(const struct ep_api *api, OrtErrorCode code, const char *format, ...) EP_FORMAT(3, 4);
/* The engine's sentence as a status; NULL for LW_OK. */
OrtStatus *ep_check(const struct ep_api *api, lw_status status);
OrtStatus *ep_fail_memory(const struct ep_api *api, size_t bytes);
/* A line of ONNX Runtime's log; nothing is formatted when that level is off. */
void ep_log(const struct ep_api *api, const OrtLogger *logger, OrtLoggingLevel level, const char *format, ...)
    EP_FORMAT(4, 5);

/* ---- node.c ---- */

/* ONNX's places of the inputs and outputs. GRU and RNN have no initial_c, P and Y_c. */
enum { EP_X, EP_W, EP_R, EP_B, EP_LENGTHS, EP_INITIAL_H, EP_INITIAL_C, EP_P, EP_INPUTS };
enum { EP_Y, EP_Y_H, EP_Y_C, EP_OUTPUTS };

/* A node in the engine's words. Values are NULL where the node leaves them out, and live with ONNX Runtime's graph. */
struct ep_node {
    lw_brick brick;    /* one layer */
    size_t directions; /* 1 or 2 */
    bool batch_first;  /* layout 1 */
    char label[96];    /* for people: LSTM node "encoder" */
    const OrtValueInfo *inputs[EP_INPUTS];
    const OrtValueInfo *outputs[EP_OUTPUTS];
};

#define EP_REASON_BYTES 240

/* Whether the node is of this provider's kind (LSTM, GRU or RNN of ONNX's own domain). */
OrtStatus *ep_node_is_recurrent(const struct ep_api *api, const OrtNode *node, bool *recurrent);
/* Reads a recurrent node. `reason` stays empty when the provider can run it; else it says why not. */
OrtStatus *ep_node_read(const struct ep_api *api, const OrtNode *node, struct ep_node *out,
                        char reason[EP_REASON_BYTES]);
const char *ep_input_name(size_t input);

/* ---- stack.c ---- */

#define EP_LAYERS_MAX ((size_t)8)
#define EP_STACK_NODES (3 * EP_LAYERS_MAX)

/* Recurrent nodes that run as one model, each fed by the one before; often a single one. */
struct ep_stack {
    struct ep_node layer[EP_LAYERS_MAX];
    size_t layers;
    const OrtNode *nodes[EP_STACK_NODES]; /* the layers, and what stands between them */
    size_t node_count;
};

/* Makes `node`, which is recurrent and can be run, the last layer of the stack. `node` has been read into `layer`. */
void ep_stack_add(struct ep_stack *stack, const OrtNode *node, const struct ep_node *layer);
/* Adds every layer that can follow. What cannot is no failure: it runs by itself, and the log says why. */
OrtStatus *ep_stack_grow(const struct ep_api *api, const OrtLogger *logger, struct ep_stack *stack);

/* ---- weights.c ---- */

/* ONNX's tensors of one layer; bias and peephole are NULL where it has none. */
struct ep_weights {
    const float *weight;     /* W (D, G*H, I) */
    const float *recurrence; /* R (D, G*H, H) */
    const float *bias;       /* B (D, 2*G*H) */
    const float *peephole;   /* P (D, 3*H) */
};
OrtStatus *ep_weights_read(const struct ep_api *api, const struct ep_node *node, struct ep_weights *weights);
size_t ep_weights_onnx_gates(lw_kind kind); /* G in ONNX's tensors */
uint64_t ep_weights_hash(const struct ep_node *node, const struct ep_weights *weights, uint64_t hash);
/* Sets every parameter that a model has of that layer, in the engine's order of gates. */
lw_status ep_weights_set(const struct ep_node *node, const struct ep_weights *weights, lw_model *model);
/* Makes *equal false unless the model's parameters of that layer are these, bit by bit. */
lw_status ep_weights_equal(const struct ep_node *node, const struct ep_weights *weights, const lw_model *model,
                           bool *equal);

/* ---- share.c ---- */

/* A model with these weights, of each layer: one that this process has already packed (`*shared`), or a new one. */
lw_status ep_model_take(const struct ep_stack *stack, const struct ep_weights *weights, int isa, lw_model **model,
                        bool *shared);
void ep_model_give(lw_model *model); /* NULL is allowed */

/* ---- kernel.c ---- */

struct ep_options {
    size_t threads; /* 0: as many as the process may use */
    int isa;        /* a lw_isa, or -1: the best */
    bool stacks;    /* nodes that feed each other run as one */
};

/* Makes what runs a claimed stack. `stack` and `fused` live only for this call. The caller releases *info. */
OrtStatus *ep_kernel_create(const struct ep_api *api, const OrtLogger *logger, const struct ep_options *options,
                            const struct ep_stack *stack, const OrtNode *fused, OrtNodeComputeInfo **info);
void ep_kernel_release(OrtNodeComputeInfo *info); /* NULL is allowed */

/* ---- provider.c ---- */

OrtStatus *ep_provider_create(const struct ep_api *api, const OrtLogger *logger, const struct ep_options *options,
                              OrtEp **ep);
void ep_provider_release(OrtEp *ep);

#endif
