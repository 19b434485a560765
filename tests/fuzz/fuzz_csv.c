/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the input is a CSV file of numbers, or of lengths. What is read, written and read again is the same. */
#include "../../cli/array.h"
#include "../../cli/report.h"
#include "fuzz.h"

#include <math.h>

static void read_again(const struct array *array)
{
    char *text = NULL;
    size_t size = 0;
    struct array second = {0};
    FILE *stream = open_memstream(&text, &size);
    MUST(stream);
    csv_write(stream, array);
    MUST(fclose(stream) == 0);
    MUST(csv_parse("again", text, size, &second) == EXIT_OK);
    MUST(second.count == array->count && second.shape[0] == array->shape[0] && second.shape[1] == array->shape[1]);
    for (size_t k = 0; k < array->count; k++)
        MUST((isnan(second.values[k]) && isnan(array->values[k])) || second.values[k] == array->values[k]);
    free(text);
    array_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct array array = {0};
    /* A block of its own, so that a sanitizer sees a read beyond. */
    void *bytes = malloc(size + (size == 0));
    MUST(bytes);
    memcpy(bytes, data, size);
    if (csv_parse("input", bytes, size, &array) == EXIT_OK) {
        MUST(array.rank == 2 && array.shape[0] * array.shape[1] == array.count);
        read_again(&array);
    }
    array_free(&array);
    free(bytes);

    size_t *lengths = NULL;
    if (lengths_load(input_file(".csv", data, size), 2, 9, &lengths) == EXIT_OK)
        MUST(lengths[0] <= 9 && lengths[1] <= 9);
    free(lengths);
    return 0;
}
