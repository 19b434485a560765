/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions on models, instruction sets and the machine: check, one call, return. No logic. */
#include <string.h>

#include "check.h"
#include "dispatch.h"
#include "initialise.h"
#include "machine.h"
#include "model.h"

const char *lw_version(void)
{
    return LW_VERSION_STRING;
}

static const char *const isa_names[LW_ISA_COUNT] = {"scalar", "neon", "avx2", "avx512"};

static bool valid_isa(lw_isa isa)
{
    return (int)isa >= 0 && (int)isa < LW_ISA_COUNT;
}

const char *lw_isa_name(lw_isa isa)
{
    return valid_isa(isa) ? isa_names[isa] : "unknown";
}

lw_status lw_isa_find(const char *name, lw_isa *isa)
{
    CHECK_POINTER(name);
    CHECK_POINTER(isa);
    for (int i = 0; i < LW_ISA_COUNT; i++)
        if (strcmp(isa_names[i], name) == 0) {
            *isa = (lw_isa)i;
            return LW_OK;
        }
    return lw_fail(LW_ERR_NOT_FOUND, "no instruction set \"%.32s\": expected scalar, neon, avx2 or avx512", name);
}

int lw_isa_built(lw_isa isa)
{
    return lw_kernels_of(isa) != NULL;
}

int lw_isa_supported(lw_isa isa)
{
    return lw_dispatch_supported(isa);
}

lw_isa lw_isa_get(void)
{
    return lw_dispatch_current();
}

static lw_status check_isa(lw_isa isa)
{
    if (!valid_isa(isa))
        return lw_fail(LW_ERR_ARGUMENT, "instruction set %d, expected 0 to %d", (int)isa, LW_ISA_COUNT - 1);
    if (!lw_kernels_of(isa))
        return lw_fail(LW_ERR_UNSUPPORTED, "%s is not in this build", isa_names[isa]);
    if (!lw_dispatch_supported(isa))
        return lw_fail(LW_ERR_UNSUPPORTED, "this CPU or operating system cannot run %s", isa_names[isa]);
    return LW_OK;
}

lw_status lw_isa_set(lw_isa isa)
{
    lw_status status = check_isa(isa);
    if (!status)
        lw_dispatch_set(isa);
    return status;
}

lw_status lw_machine_query(lw_machine *machine)
{
    CHECK_STRUCT(machine, lw_machine);
    lw_machine_fill(machine);
    return LW_OK;
}

double lw_machine_peak(size_t threads)
{
    return lw_machine_measure_peak(threads);
}

lw_status lw_machine_limits(size_t threads, lw_limits *limits)
{
    CHECK_STRUCT(limits, lw_limits);
    return lw_machine_measure(threads, limits);
}

lw_status lw_model_create(const lw_brick *bricks, size_t count, const lw_model_options *options, lw_model **model)
{
    if (count < 1 || count > LW_LAYERS_MAX)
        return lw_fail(LW_ERR_ARGUMENT, "a model of %zu bricks, expected 1 to %zu", count, LW_LAYERS_MAX);
    CHECK_STRUCT(bricks, lw_brick);
    CHECK_POINTER(model);
    if (options)
        CHECK_STRUCT(options, lw_model_options);
    lw_isa isa = options && options->isa != -1 ? (lw_isa)options->isa : lw_dispatch_current();
    lw_status status = check_isa(isa);
    return status ? status : lw_model_build(bricks, count, isa, model);
}

void lw_model_destroy(lw_model *model)
{
    lw_model_release(model);
}

lw_status lw_model_initialise(lw_model *model, uint64_t seed)
{
    CHECK_POINTER(model);
    lw_status status = lw_check_mutable(model, __func__);
    return status ? status : lw_initialise(model, seed);
}

size_t lw_model_input_size(const lw_model *model)
{
    return model ? model->input : 0;
}

size_t lw_model_output_size(const lw_model *model)
{
    return model ? model->output : 0;
}

lw_isa lw_model_isa(const lw_model *model)
{
    return model ? model->isa : LW_ISA_SCALAR;
}

size_t lw_model_bytes(const lw_model *model)
{
    return model ? model->packed_floats * sizeof(float) : 0;
}

size_t lw_model_brick_count(const lw_model *model)
{
    return model ? model->brick_count : 0;
}

static lw_status check_index(const char *what, size_t index, size_t count)
{
    if (index < count)
        return LW_OK;
    return lw_fail(LW_ERR_NOT_FOUND, "no %s %zu: the model has %zu", what, index, count);
}

lw_status lw_model_brick(const lw_model *model, size_t index, lw_brick *brick)
{
    CHECK_POINTER(model);
    CHECK_STRUCT(brick, lw_brick);
    lw_status status = check_index("brick", index, model->brick_count);
    if (!status)
        *brick = model->bricks[index];
    return status;
}

size_t lw_model_layer_count(const lw_model *model)
{
    return model ? model->level_count : 0;
}

lw_status lw_model_layer(const lw_model *model, size_t index, lw_layer *layer)
{
    CHECK_POINTER(model);
    CHECK_STRUCT(layer, lw_layer);
    lw_status status = check_index("layer", index, model->level_count);
    if (!status)
        lw_model_describe(model, index, layer);
    return status;
}

const char *lw_layer_signal(const lw_model *model, size_t layer, size_t index)
{
    if (!model || layer >= model->level_count || index >= model->levels[layer].cell->signal_count)
        return NULL;
    return model->levels[layer].cell->signals[index];
}

size_t lw_model_parameter_count(const lw_model *model)
{
    return model ? model->tensor_count : 0;
}

lw_status lw_model_parameter(const lw_model *model, size_t index, lw_parameter *parameter)
{
    CHECK_POINTER(model);
    CHECK_STRUCT(parameter, lw_parameter);
    lw_status status = check_index("parameter", index, model->tensor_count);
    if (status)
        return status;
    const struct lw_named_tensor *tensor = &model->tensors[index];
    *parameter = (lw_parameter){.size = sizeof *parameter,
                                .name = tensor->name,
                                .rank = tensor->spec.rank,
                                .shape = {tensor->spec.shape[0], tensor->spec.rank == 2 ? tensor->spec.shape[1] : 0},
                                .count = lw_tensor_count(tensor)};
    return LW_OK;
}

lw_status lw_model_parameter_find(const lw_model *model, const char *name, size_t *index)
{
    CHECK_POINTER(model);
    CHECK_POINTER(name);
    CHECK_POINTER(index);
    for (size_t i = 0; i < model->tensor_count; i++)
        if (strcmp(model->tensors[i].name, name) == 0) {
            *index = i;
            return LW_OK;
        }
    return lw_fail(LW_ERR_NOT_FOUND, "the model has no parameter \"%.200s\"", name);
}

static lw_status check_count(const lw_model *model, size_t index, size_t count)
{
    lw_status status = check_index("parameter", index, model->tensor_count);
    if (status)
        return status;
    const struct lw_named_tensor *tensor = &model->tensors[index];
    if (count == lw_tensor_count(tensor))
        return LW_OK;
    return lw_fail(LW_ERR_SHAPE, "%s: %zu values, expected %zu x %zu", tensor->name, count, tensor->spec.shape[0],
                   tensor->spec.shape[1]);
}

lw_status lw_model_parameter_get(const lw_model *model, size_t index, float *values, size_t count)
{
    CHECK_POINTER(model);
    CHECK_POINTER(values);
    lw_status status = check_count(model, index, count);
    if (!status)
        lw_model_read_tensor(model, &model->tensors[index], values);
    return status;
}

lw_status lw_model_parameter_set(lw_model *model, size_t index, const float *values, size_t count)
{
    CHECK_POINTER(model);
    CHECK_POINTER(values);
    lw_status status = lw_check_mutable(model, __func__);
    if (!status)
        status = check_count(model, index, count);
    if (!status)
        lw_model_write_tensor(model, &model->tensors[index], values);
    return status;
}
