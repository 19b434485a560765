/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public lw_tensors_* functions that open, look up and read; the model loader uses them too. A lw_tensors exists
 * only when its whole file has been validated (safetensors_parse.c), so that nothing here has to doubt it.
 */
#include <stdlib.h>
#include <string.h>

#include "safetensors.h"

lw_status lw_tensors_open(const char *path, lw_tensors **tensors)
{
    if (!path || !tensors)
        return lw_fail(LW_ERR_ARGUMENT, "lw_tensors_open: %s is NULL", path ? "tensors" : "path");
    char source[LW_SOURCE_BYTES];
    unsigned char *bytes;
    size_t size;
    lw_source_name(path, source);
    lw_status status = lw_read_file(path, source, lw_tensors_check_start, &bytes, &size);
    return status ? status : lw_tensors_parse_owned(source, bytes, size, tensors);
}

lw_status lw_tensors_parse(const void *bytes, size_t count, lw_tensors **tensors)
{
    static const char source[] = "the file in memory";
    if ((!bytes && count) || !tensors)
        return lw_fail(LW_ERR_ARGUMENT, "lw_tensors_parse: %s is NULL", tensors ? "bytes" : "tensors");
    lw_status status = lw_tensors_check_start(source, bytes, lw_min(count, LW_HEAD_BYTES), count);
    if (status)
        return status;
    unsigned char *copy = lw_alloc(count);
    if (!copy)
        return lw_fail_memory(count);
    memcpy(copy, bytes, count);
    return lw_tensors_parse_owned(source, copy, count, tensors);
}

int lw_compare_names(const void *a, const void *b)
{
    return strcmp((*(lw_entry *const *)a)->name, (*(lw_entry *const *)b)->name);
}

int lw_compare_keys(const void *a, const void *b)
{
    return strcmp(((const lw_pair *)a)->key, ((const lw_pair *)b)->key);
}

void lw_tensors_close(lw_tensors *t)
{
    if (!t)
        return;
    lw_free(t->bytes);
    lw_free(t->text);
    lw_free(t->entries);
    lw_free(t->by_name);
    lw_free(t->metadata);
    lw_free(t);
}

const char *lw_tensors_source(const lw_tensors *t)
{
    return t->source;
}

size_t lw_tensors_count(const lw_tensors *t)
{
    return t ? t->count : 0;
}

static lw_status check_out(const lw_tensors *t, const lw_tensor *tensor, const char *function)
{
    if (!t || !tensor)
        return lw_fail(LW_ERR_ARGUMENT, "%s: %s is NULL", function, t ? "tensor" : "tensors");
    if (tensor->size != sizeof *tensor)
        return lw_fail(LW_ERR_ARGUMENT, "%s: tensor->size is %zu; sizeof(lw_tensor), %zu, is expected", function,
                       tensor->size, sizeof *tensor);
    return LW_OK;
}

static void describe(const lw_tensors *t, const lw_entry *e, lw_tensor *tensor)
{
    tensor->name = e->name;
    tensor->type = e->type->name;
    tensor->data = t->data + e->begin;
    tensor->bytes = e->end - e->begin;
    tensor->rank = e->rank;
    memcpy(tensor->shape, e->shape, sizeof tensor->shape);
    tensor->count = e->count;
}

lw_status lw_tensors_get(const lw_tensors *t, size_t index, lw_tensor *tensor)
{
    lw_status status = check_out(t, tensor, "lw_tensors_get");
    if (status)
        return status;
    if (index >= t->count)
        return lw_fail(LW_ERR_NOT_FOUND, "%s: there is no tensor %zu; the file has %zu", t->source, index, t->count);
    describe(t, &t->entries[index], tensor);
    return LW_OK;
}

lw_status lw_tensors_find(const lw_tensors *t, const char *name, lw_tensor *tensor)
{
    lw_status status = check_out(t, tensor, "lw_tensors_find");
    if (status)
        return status;
    if (!name)
        return lw_fail(LW_ERR_ARGUMENT, "lw_tensors_find: name is NULL");
    const lw_entry key = {.name = name}, *wanted = &key;
    lw_entry *const *found = NULL;
    if (t->count)
        found = bsearch(&wanted, t->by_name, t->count, sizeof *t->by_name, lw_compare_names);
    if (!found)
        return lw_fail(LW_ERR_NOT_FOUND, "%s: there is no tensor \"%s\" among its %zu", t->source, lw_quoted(name).text,
                       t->count);
    describe(t, *found, tensor);
    return LW_OK;
}

lw_status lw_tensors_read(const lw_tensors *t, size_t index, float *values, size_t count)
{
    if (!t || (!values && count))
        return lw_fail(LW_ERR_ARGUMENT, "lw_tensors_read: %s is NULL", t ? "values" : "tensors");
    if (index >= t->count)
        return lw_fail(LW_ERR_NOT_FOUND, "%s: there is no tensor %zu; the file has %zu", t->source, index, t->count);
    const lw_entry *e = &t->entries[index];
    if (!e->type->real)
        return lw_fail(LW_ERR_UNSUPPORTED,
                       "%s: tensor \"%s\" has the type %s; F32, F64, F16, BF16, F8_E5M2 or F8_E4M3 is expected",
                       t->source, lw_quoted(e->name).text, e->type->name);
    if (count != e->count)
        return lw_fail(LW_ERR_SHAPE, "%s: tensor \"%s\" has %zu numbers; room for %zu was given", t->source,
                       lw_quoted(e->name).text, e->count, count);
    lw_type_read(e->type, t->data + e->begin, values, count);
    return LW_OK;
}

const char *lw_tensors_metadata(const lw_tensors *t, const char *key)
{
    if (!t || !key || !t->metadata_count)
        return NULL;
    const lw_pair wanted = {key, NULL};
    const lw_pair *found = bsearch(&wanted, t->metadata, t->metadata_count, sizeof *t->metadata, lw_compare_keys);
    return found ? found->value : NULL;
}
