/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the input is a safetensors file. What parses must be consistent as a whole, and if it makes a model, the
 * model must run and survive being saved.
 */
#include "fuzz.h"

static void look(const lw_tensors *tensors)
{
    for (size_t i = 0; i < lw_tensors_count(tensors); i++) {
        lw_tensor tensor = LW_TENSOR_INIT, found = LW_TENSOR_INIT;
        MUST(lw_tensors_get(tensors, i, &tensor) == LW_OK);
        MUST(lw_tensors_find(tensors, tensor.name, &found) == LW_OK);
        MUST(found.data == tensor.data && found.name == tensor.name && tensor.rank <= 8);
        size_t count = 1;
        for (size_t d = 0; d < tensor.rank; d++)
            count *= tensor.shape[d];
        MUST(count == tensor.count);
        unsigned char sum = 0;
        for (size_t k = 0; k < tensor.bytes; k++)
            sum ^= ((const unsigned char *)tensor.data)[k];
        float *values = guard_floats(count);
        if (values && lw_tensors_read(tensors, i, values, count) != LW_OK)
            MUST(tensor.type[0] != 'F' || sum == sum + 1);
        guard_free(values);
    }
    lw_tensors_metadata(tensors, "format");
    MUST(!lw_tensors_metadata(tensors, "no such key of metadata"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lw_tensors *tensors = NULL;
    lw_model *model = NULL;
    lw_status status = lw_tensors_parse(data, size, &tensors);
    if (status) {
        MUST(!tensors && strlen(lw_error()) > 20);
        MUST(status == LW_ERR_FORMAT || status == LW_ERR_UNSUPPORTED || status == LW_ERR_MEMORY);
        return 0;
    }
    look(tensors);
    status = lw_model_from_tensors(tensors, NULL, &model);
    lw_tensors_close(tensors);
    MUST(status == LW_OK || status == LW_ERR_FORMAT || status == LW_ERR_UNSUPPORTED || status == LW_ERR_MEMORY);
    if (status == LW_OK)
        use_model(model, size % 4 == 0);
    lw_model_destroy(model);
    return 0;
}
