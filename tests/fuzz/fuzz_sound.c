/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the input is a sound file, mono or stereo. */
#include "../../cli/array.h"
#include "../../cli/report.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t width = 1; width <= 2; width++) {
        struct array array = {0};
        const struct array_hint hint = {.width = width};
        if (sound_parse("input", data, size, &hint, &array) == EXIT_OK) {
            float sum = 0;
            MUST(array.rank == 2 && array.shape[1] == width && array.shape[0] * width == array.count);
            for (size_t k = 0; k < array.count; k++)
                sum += array.values[k];
            MUST(sum == sum || sum != sum);
        }
        array_free(&array);
    }
    return 0;
}
