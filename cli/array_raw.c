/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw f32, little endian, no header: the shape comes from --shape, or from the file's size and the model's width.
 */
#include "array.h"
#include "report.h"

#include <string.h>

int raw_parse(const char *path, void **bytes, size_t size, const struct array_hint *hint, struct array *array)
{
    size_t count = size / sizeof(float), want = 1;
    char text[SHAPE_TEXT];
    if (size % sizeof(float) != 0)
        return fail("%s: has %zu bytes; expected a multiple of 4, one f32 after another", path, size);
    if (hint->shape) {
        for (size_t i = 0; i < hint->rank; i++)
            want = hint->shape[i] == 0 || want == 0 ? 0 : product(want, hint->shape[i]);
        if (want != count)
            return fail("%s: has %zu numbers, but the shape %s has %zu", path, count,
                        shape_text(hint->shape, hint->rank, text), want);
        array->rank = hint->rank;
        memcpy(array->shape, hint->shape, hint->rank * sizeof(size_t));
    } else {
        if (hint->width == 0 || count % hint->width != 0)
            return fail("%s: has %zu numbers; expected a multiple of the model's input width %zu", path, count,
                        hint->width);
        array->rank = 2;
        array->shape[0] = count / hint->width;
        array->shape[1] = hint->width;
    }
    array->count = count;
    array->values = *bytes;
    *bytes = NULL;
    return EXIT_OK;
}
