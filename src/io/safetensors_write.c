/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of tensor files. Behind the public lw_tensors_write and lw_model_save. What it writes is valid by the
 * rules of the reader, the same bytes for the same tensors: wider types come first, so that every tensor is aligned
 * to its type, and the header is padded with spaces to a multiple of eight. The data is fetched tensor by tensor,
 * so a model is never held twice.
 */
#include <jansson.h>
#include <string.h>

#include "io.h"

#define HEADER_ALIGNMENT 8

struct text {
    char *at; /* NULL: only measured */
    size_t length;
};

static int add_text(const char *bytes, size_t count, void *argument)
{
    struct text *text = argument;
    if (text->at)
        memcpy(text->at + text->length, bytes, count);
    text->length += count;
    return 0;
}

/* Measured first and printed then, because json_dumps of jansson 2.14 leaves out a key where it could not grow its
 * text, and says nothing. */
char *lw_json_print(const json_t *value)
{
    struct text measured = {0}, text = {0};
    if (json_dump_callback(value, add_text, &measured, JSON_COMPACT) != 0 || !(text.at = lw_alloc(measured.length + 1)))
        return NULL;
    if (json_dump_callback(value, add_text, &text, JSON_COMPACT) == 0 && text.length == measured.length)
        return text.at;
    lw_free(text.at);
    return NULL;
}

static lw_status check_tensor(const lw_tensor *tensor, size_t index, const lw_type **type)
{
    if (tensor->size != sizeof *tensor)
        return lw_fail(LW_ERR_ARGUMENT, "tensor %zu: size is %zu; sizeof(lw_tensor), %zu, is expected", index,
                       tensor->size, sizeof *tensor);
    if (!tensor->name || !tensor->type)
        return lw_fail(LW_ERR_ARGUMENT, "tensor %zu: its %s is NULL", index, tensor->name ? "type" : "name");
    lw_quote name = lw_quoted(tensor->name);
    if (strcmp(tensor->name, "__metadata__") == 0)
        return lw_fail(LW_ERR_ARGUMENT, "tensor %zu: the name __metadata__ is reserved by the format", index);
    if (!lw_is_utf8(tensor->name))
        return lw_fail(LW_ERR_ARGUMENT, "tensor %zu, \"%s\": its name is not text in UTF-8", index, name.text);
    *type = lw_type_find(tensor->type);
    if (!*type)
        return lw_fail(LW_ERR_ARGUMENT, "tensor \"%s\": its type is \"%s\"; one of %s is expected", name.text,
                       lw_quoted(tensor->type).text, lw_type_names);
    if (tensor->rank > LW_RANK_MAX)
        return lw_fail(LW_ERR_ARGUMENT, "tensor \"%s\": its rank is %zu; at most %d is expected", name.text,
                       tensor->rank, LW_RANK_MAX);
    size_t bytes = (*type)->bytes;
    bool fits = true;
    for (size_t i = 0; i < tensor->rank; i++)
        fits = fits && tensor->shape[i] <= INT64_MAX && lw_mul(bytes, tensor->shape[i], &bytes);
    if (!fits || bytes != tensor->bytes)
        return lw_fail(LW_ERR_SHAPE, "tensor \"%s\": bytes is %zu, which %s of %s does not have", name.text,
                       tensor->bytes, lw_shape_text(tensor->rank, tensor->shape).text, tensor->type);
    return LW_OK;
}

/* Adds a member; the object takes `value` over, which is NULL where memory ran out. */
static lw_status add_member(json_t *object, const char *what, const char *key, json_t *value)
{
    if (json_object_get(object, key)) {
        json_decref(value);
        return lw_fail(LW_ERR_ARGUMENT, "%s \"%s\" is there twice", what, lw_quoted(key).text);
    }
    return json_object_set_new(object, key, value) == 0 ? LW_OK : lw_fail_memory(strlen(key));
}

static lw_status add_metadata(json_t *header, const char *const (*metadata)[2], size_t count)
{
    if (!count)
        return LW_OK;
    json_t *pairs = json_object();
    lw_status status = pairs ? LW_OK : lw_fail_memory(sizeof(json_t));
    for (size_t i = 0; !status && i < count; i++) {
        if (!metadata[i][0] || !metadata[i][1])
            status = lw_fail(LW_ERR_ARGUMENT, "metadata %zu: its %s is NULL", i, metadata[i][0] ? "value" : "key");
        else if (!lw_is_utf8(metadata[i][0]) || !lw_is_utf8(metadata[i][1]))
            status = lw_fail(LW_ERR_ARGUMENT, "metadata \"%s\": its key or value is not text in UTF-8",
                             lw_quoted(metadata[i][0]).text);
        else
            status = add_member(pairs, "the metadata key", metadata[i][0], json_string(metadata[i][1]));
    }
    if (status) {
        json_decref(pairs);
        return status;
    }
    return add_member(header, "the key", "__metadata__", pairs);
}

static json_t *describe(const lw_tensor *tensor, size_t begin)
{
    json_t *shape = json_array();
    bool complete = shape != NULL;
    for (size_t i = 0; complete && i < tensor->rank; i++)
        complete = json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i])) == 0;
    if (!complete) {
        json_decref(shape);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", tensor->type, "shape", shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)(begin + tensor->bytes));
}

/* Fills `header` and `order`, the indices of the tensors as they lie in the file. */
static lw_status lay_out(const lw_tensor *tensors, size_t count, json_t *header, size_t *order)
{
    size_t placed = 0, begin = 0;
    for (size_t i = 0; i < count; i++) {
        const lw_type *type;
        lw_status status = check_tensor(&tensors[i], i, &type);
        if (status)
            return status;
    }
    for (size_t bytes = 8; bytes > 0; bytes /= 2)
        for (size_t i = 0; i < count; i++) {
            const lw_tensor *tensor = &tensors[i];
            if (lw_type_find(tensor->type)->bytes != bytes)
                continue;
            size_t end;
            if (!lw_add(begin, tensor->bytes, &end) || end > INT64_MAX)
                return lw_fail(LW_ERR_SHAPE, "the tensors together have more bytes than can be counted");
            lw_status status = add_member(header, "the tensor", tensor->name, describe(tensor, begin));
            if (status)
                return status;
            order[placed++] = i;
            begin = end;
        }
    return LW_OK;
}

static lw_status put_header(lw_replacement *file, const char *text, size_t length)
{
    static const char spaces[HEADER_ALIGNMENT] = "        ";
    size_t padded = lw_round_up(length, HEADER_ALIGNMENT);
    unsigned char start[8];
    lw_write_u64(start, padded);
    lw_status status = lw_replacement_put(file, start, sizeof start);
    if (!status)
        status = lw_replacement_put(file, text, length);
    if (!status)
        status = lw_replacement_put(file, spaces, padded - length);
    return status;
}

static lw_status write_all(const char *path, const char *text, const lw_tensor *tensors, const size_t *order,
                           size_t count, lw_tensor_fetch *fetch, void *argument)
{
    size_t length = strlen(text);
    if (lw_round_up(length, HEADER_ALIGNMENT) > LW_HEADER_MAX)
        return lw_fail(LW_ERR_UNSUPPORTED, "the header would have %zu bytes; the format allows %zu", length,
                       LW_HEADER_MAX);
    lw_replacement file;
    lw_status status = lw_replacement_begin(&file, path);
    if (status)
        return status;
    status = put_header(&file, text, length);
    for (size_t i = 0; !status && i < count; i++) {
        const void *data = NULL;
        status = fetch(argument, order[i], &data);
        if (status)
            lw_replacement_drop(&file);
        else
            status = lw_replacement_put(&file, data, tensors[order[i]].bytes);
    }
    return status ? status : lw_replacement_finish(&file);
}

lw_status lw_tensors_write_with(const char *path, const lw_tensor *tensors, size_t count,
                                const char *const (*metadata)[2], size_t metadata_count, lw_tensor_fetch *fetch,
                                void *argument)
{
    char source[LW_SOURCE_BYTES];
    lw_source_name(path, source);
    json_t *header = json_object();
    size_t *order = lw_alloc_array(count, sizeof *order);
    lw_status status = header && order ? LW_OK : lw_fail_memory(count);
    if (!status)
        status = add_metadata(header, metadata, metadata_count);
    if (!status)
        status = lay_out(tensors, count, header, order);
    char *text = status ? NULL : lw_json_print(header);
    json_decref(header);
    if (!status && !text)
        status = lw_fail_memory(count);
    if (status)
        lw_fail_in(source, status);
    else
        status = write_all(path, text, tensors, order, count, fetch, argument);
    lw_free(text);
    lw_free(order);
    return status;
}

static lw_status fetch_given(void *argument, size_t index, const void **data)
{
    *data = ((const lw_tensor *)argument)[index].data;
    return LW_OK;
}

lw_status lw_tensors_write(const char *path, const lw_tensor *tensors, size_t count, const char *const (*metadata)[2],
                           size_t metadata_count)
{
    if (!path || (!tensors && count) || (!metadata && metadata_count))
        return lw_fail(LW_ERR_ARGUMENT, "lw_tensors_write: %s is NULL",
                       !path               ? "path"
                       : !tensors && count ? "tensors"
                                           : "metadata");
    if (count > SIZE_MAX / sizeof *tensors || metadata_count > SIZE_MAX / sizeof *metadata)
        return lw_fail(LW_ERR_ARGUMENT,
                       "lw_tensors_write: %zu tensors and %zu pairs of metadata are more than there can be", count,
                       metadata_count);
    for (size_t i = 0; i < count; i++)
        if (!tensors[i].data && tensors[i].bytes)
            return lw_fail(LW_ERR_ARGUMENT, "lw_tensors_write: the data of tensor %zu is NULL", i);
    return lw_tensors_write_with(path, tensors, count, metadata, metadata_count, fetch_given, (void *)tensors);
}
