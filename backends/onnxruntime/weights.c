/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX's weights in the engine's order: LSTM gates i, o, f, c become i, f, g, o (i, g, o when coupled), GRU gates
 * z, r, h become r, z, n, and peepholes i, o, f become i, f, o. Called by share.c.
 * Every number is copied, none is changed, so a model can be compared with ONNX's tensors bit by bit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider.h"

#define NAME_BYTES 64

size_t ep_weights_onnx_gates(lw_kind kind)
{
    return kind == LW_LSTM ? 4 : kind == LW_GRU ? 3 : 1;
}

static OrtStatus *read_data(const struct ep_api *api, const struct ep_node *node, size_t input, const float **data)
{
    const OrtValue *value = NULL;
    const void *raw = NULL;
    *data = NULL;
    if (!node->inputs[input])
        return NULL;
    EP_TRY(api->ort->ValueInfo_GetInitializerValue(node->inputs[input], &value));
    if (!value)
        return ep_fail(api, ORT_FAIL, "%s: %s is no longer a constant", node->label, ep_input_name(input));
    EP_TRY(api->ort->GetTensorData(value, &raw));
    *data = raw;
    return NULL;
}

OrtStatus *ep_weights_read(const struct ep_api *api, const struct ep_node *node, struct ep_weights *weights)
{
    EP_TRY(read_data(api, node, EP_W, &weights->weight));
    EP_TRY(read_data(api, node, EP_R, &weights->recurrence));
    EP_TRY(read_data(api, node, EP_B, &weights->bias));
    return read_data(api, node, EP_P, &weights->peephole);
}

/* A hash for finding candidates, not for trusting them: multiply and fold, four bytes at a time. */
static uint64_t mix(uint64_t hash, const void *data, size_t words)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; data && i < words; i++) {
        uint32_t word;
        memcpy(&word, bytes + 4 * i, sizeof word);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u; /* 2^64 over the golden ratio */
        hash ^= hash >> 29;
    }
    return hash;
}

uint64_t ep_weights_hash(const struct ep_node *node, const struct ep_weights *weights, uint64_t hash)
{
    size_t hidden = node->brick.hidden, rows = node->directions * ep_weights_onnx_gates(node->brick.kind) * hidden;
    hash = mix(hash, weights->weight, rows * node->brick.input);
    hash = mix(hash, weights->recurrence, rows * hidden);
    hash = mix(hash, weights->bias, 2 * rows);
    return mix(hash, weights->peephole, node->directions * 3 * hidden);
}

/* For each gate of the engine, its place in ONNX's tensor. */
static const unsigned char *order_of(const lw_brick *brick, bool peephole, size_t *gates)
{
    static const unsigned char lstm[] = {0, 2, 3, 1}, coupled[] = {0, 3, 1}, gru[] = {1, 0, 2}, one[] = {0},
                               peepholes[] = {0, 2, 1};
    bool couples = (brick->options & LW_COUPLED) != 0;
    *gates = peephole || brick->kind == LW_GRU ? 3 : brick->kind == LW_LSTM ? (couples ? 3 : 4) : 1;
    if (peephole)
        return peepholes;
    return brick->kind == LW_LSTM ? (couples ? coupled : lstm) : brick->kind == LW_GRU ? gru : one;
}

/* One parameter, (gates, H, width), out of a tensor whose directions lie `stride` floats apart. */
static lw_status visit(const struct ep_node *node, lw_model *model, const lw_model *other, const char *role,
                       bool reverse, const float *from, size_t width, float *values, float *there, bool *equal)
{
    char name[NAME_BYTES];
    size_t index, gates, block = node->brick.hidden * width;
    const unsigned char *order = order_of(&node->brick, strcmp(role, "weight_peephole") == 0, &gates);
    snprintf(name, sizeof name, "%s.%s_l0%s", node->brick.name, role, reverse ? "_reverse" : "");
    lw_status status = lw_model_parameter_find(model ? model : other, name, &index);
    if (status)
        return status;
    for (size_t g = 0; g < gates; g++)
        memcpy(values + g * block, from + order[g] * block, block * sizeof *values);
    if (model)
        return lw_model_parameter_set(model, index, values, gates * block);
    status = lw_model_parameter_get(other, index, there, gates * block);
    if (!status && memcmp(values, there, gates * block * sizeof *values) != 0)
        *equal = false;
    return status;
}

/* Sets the parameters of `model`, or compares those of `other`. */
static lw_status visit_all(const struct ep_node *node, const struct ep_weights *weights, lw_model *model,
                           const lw_model *other, float *values, float *there, bool *equal)
{
    size_t hidden = node->brick.hidden, input = node->brick.input;
    size_t rows = ep_weights_onnx_gates(node->brick.kind) * hidden;
    for (size_t d = 0; d < node->directions; d++) {
        bool reverse = d == 1 || node->brick.direction == LW_REVERSE;
        const float *bias = weights->bias ? weights->bias + d * 2 * rows : NULL;
        const struct {
            const char *role;
            const float *from;
            size_t width;
        } parts[] = {
            {"weight_ih", weights->weight + d * rows * input, input},
            {"weight_hh", weights->recurrence + d * rows * hidden, hidden},
            {"bias_ih", bias, 1},
            {"bias_hh", bias ? bias + rows : NULL, 1},
            {"weight_peephole", weights->peephole ? weights->peephole + d * 3 * hidden : NULL, 1},
        };
        for (size_t i = 0; i < sizeof parts / sizeof parts[0] && *equal; i++) {
            lw_status status = LW_OK;
            if (parts[i].from)
                status = visit(node, model, other, parts[i].role, reverse, parts[i].from, parts[i].width, values, there,
                               equal);
            if (status)
                return status;
        }
    }
    return LW_OK;
}

static lw_status with_buffers(const struct ep_node *node, const struct ep_weights *weights, lw_model *model,
                              const lw_model *other, bool *equal)
{
    size_t hidden = node->brick.hidden, input = node->brick.input, width = input > hidden ? input : hidden;
    /* No overflow: a tensor of that size is in memory. */
    size_t floats = 4 * hidden * width;
    float *values = malloc((other ? 2 : 1) * floats * sizeof *values);
    if (!values)
        return LW_ERR_MEMORY;
    lw_status status = visit_all(node, weights, model, other, values, other ? values + floats : NULL, equal);
    free(values);
    return status;
}

lw_status ep_weights_set(const struct ep_node *node, const struct ep_weights *weights, lw_model *model)
{
    bool equal = true;
    return with_buffers(node, weights, model, NULL, &equal);
}

lw_status ep_weights_equal(const struct ep_node *node, const struct ep_weights *weights, const lw_model *model,
                           bool *equal)
{
    return with_buffers(node, weights, NULL, model, equal);
}
