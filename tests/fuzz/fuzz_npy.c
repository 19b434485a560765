/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the input is a .npy file, of floats or of whole numbers. What is read, written and read again is the
 * same. */
#include "../../cli/array.h"
#include "../../cli/report.h"
#include "fuzz.h"

static void read_again(const struct array *array)
{
    char *text = NULL;
    size_t size = 0;
    struct array second = {0};
    FILE *stream = open_memstream(&text, &size);
    MUST(stream);
    npy_write(stream, array);
    MUST(fclose(stream) == 0);
    void *bytes = text;
    MUST(npy_parse("again", &bytes, size, &second) == EXIT_OK);
    MUST(second.count == array->count && second.rank == array->rank);
    MUST(memcmp(second.shape, array->shape, array->rank * sizeof(size_t)) == 0);
    MUST(array->count == 0 || memcmp(second.values, array->values, array->count * sizeof(float)) == 0);
    free(bytes);
    array_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *bytes = malloc(size + (size == 0));
    struct array array = {0};
    MUST(bytes);
    memcpy(bytes, data, size);
    if (npy_parse("input", &bytes, size, &array) == EXIT_OK) {
        size_t count = 1;
        MUST(array.rank <= ARRAY_RANK);
        for (size_t d = 0; d < array.rank; d++)
            count *= array.shape[d];
        MUST(count == array.count);
        read_again(&array);
    }
    array_free(&array);
    free(bytes);

    long long *values = NULL;
    size_t count = 0;
    if (npy_parse_integers("input", data, size, &count, &values) == EXIT_OK) {
        long long sum = 0;
        for (size_t i = 0; i < count; i++)
            sum ^= values[i];
        MUST(count <= size && (sum | 1));
    }
    free(values);
    return 0;
}
