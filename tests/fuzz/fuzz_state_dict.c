/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the input tells names, types and shapes of the tensors of a well-formed file without an architecture.
 * The loader must recognise a module or refuse the file with a sentence.
 */
#include "fuzz.h"

#define ENTRIES 24

static const char *const roles[] = {"weight_ih", "weight_hh",       "bias_ih", "bias_hh",
                                    "weight_hr", "weight_peephole", "weight",  "bias"};
static const char *const prefixes[] = {"", "lstm.", "a.b.", ".", "x..", "lstm.lstm."};
static const struct {
    const char *name;
    size_t bytes;
} types[] = {{"F32", 4}, {"F32", 4}, {"F64", 8}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"U8", 1}};
static const char *const ends[] = {"_l0",         "_l1", "",         "_l0_reverse",
                                   "_l1_reverse", "_l2", "_l01",     "_l0_reverse",
                                   "_l77777",     "_lx", "_reverse", "_l18446744073709551616"};

#define PICK(list) (list)[take_below(&source, sizeof(list) / sizeof *(list))]

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {data, size};
    char header[8 + ENTRIES * 200];
    size_t used = 8, offset = 0, count = take_below(&source, ENTRIES);
    size_t gates = 1 + take_below(&source, 4), hidden = take_below(&source, 6), input = take_below(&source, 6);
    const size_t sizes[] = {gates * hidden, hidden, input, 1, 0, gates * hidden + 1, 2 * hidden, (size_t)1 << 20};
    used += (size_t)sprintf(header + used, "{");
    for (size_t i = 0; i < count; i++) {
        size_t type = take_below(&source, sizeof types / sizeof *types), rank = take_below(&source, 4), numbers = 1;
        char shape[80] = "";
        for (size_t d = 0; d < rank; d++) {
            size_t extent = PICK(sizes);
            numbers = numbers * extent > (1u << 20) ? 0 : numbers * extent;
            sprintf(shape + strlen(shape), "%s%zu", d ? "," : "", numbers ? extent : 0);
        }
        const char *prefix = PICK(prefixes), *role = PICK(roles), *end = PICK(ends);
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%s\"%s%s%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                                 i ? "," : "", prefix, role, end, types[type].name, shape, offset,
                                 offset + numbers * types[type].bytes);
        offset += numbers * types[type].bytes;
    }
    used += (size_t)sprintf(header + used, "}");
    if (offset > (1u << 22))
        return 0;
    for (size_t i = 0; i < 8; i++)
        header[i] = (char)((used - 8) >> (8 * i));
    unsigned char *file = malloc(used + offset);
    MUST(file);
    memcpy(file, header, used);
    memset(file + used, 0x3c, offset);
    lw_tensors *tensors = NULL;
    lw_model *model = NULL;
    lw_status status = lw_tensors_parse(file, used + offset, &tensors);
    MUST(status == LW_OK || status == LW_ERR_FORMAT);
    if (!status)
        status = lw_model_from_tensors(tensors, NULL, &model);
    lw_tensors_close(tensors);
    MUST(status == LW_OK || status == LW_ERR_FORMAT || status == LW_ERR_UNSUPPORTED);
    if (!status)
        use_model(model, size % 4 == 0);
    lw_model_destroy(model);
    free(file);
    return 0;
}
