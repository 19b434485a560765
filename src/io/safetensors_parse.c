/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The validation of a tensor file: eight bytes with the length of a JSON header, the header, the data. Called by
 * lw_tensors_open and lw_tensors_parse. Every type, shape and offset is checked, and that the tensors cover the data
 * without overlap or hole. Memory is at most a small multiple of the header, whatever it claims.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "safetensors.h"

#define START_BYTES 8
/* {"dtype":"U8","shape":[],"data_offsets":[0,0]} after "": is the shortest entry; so many bytes of header stand for
 * one entry at least, which bounds the table by the size of the header. */
#define ENTRY_BYTES_MIN 48
#define ENTRY_BYTES_MAX 4096
#define PAIR_BYTES_MIN 6 /* "":"", */

/* What else a file may be that somebody takes for a model: weights by another tool, told by the first bytes. */
static const char *other_kind(const unsigned char *head)
{
    static const struct {
        unsigned char begin[6];
        size_t length;
        const char *what;
    } kinds[] = {
        {"PK\3\4", 4, "a zip archive, as torch.save, Keras and NumPy write"},
        {"\200\2", 2, "a pickle, as old versions of torch.save wrote"},
        {"\211HDF\r", 5, "an HDF5 file, as Keras writes"},
        {"\223NUMP", 5, "an array of NumPy"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (memcmp(head, kinds[i].begin, kinds[i].length) == 0)
            return kinds[i].what;
    return NULL;
}

lw_status lw_tensors_check_start(const char *source, const unsigned char *head, size_t have, size_t size)
{
    static const char pointer[] = "version https://git-lfs";
    if (size == 0)
        return lw_fail(LW_ERR_FORMAT, "%s: is empty; a safetensors file is expected", source);
    if (have >= sizeof pointer - 1 && memcmp(head, pointer, sizeof pointer - 1) == 0)
        return lw_fail(LW_ERR_FORMAT,
                       "%s: is a Git LFS pointer, not the file itself; `git lfs pull` brings the safetensors file",
                       source);
    if (have < START_BYTES)
        return lw_fail(LW_ERR_FORMAT, "%s: has %zu bytes; a safetensors file has at least 10", source, size);
    uint64_t length = lw_read_u64(head);
    if (length == 0)
        return lw_fail(LW_ERR_FORMAT, "%s: its header has length 0; at least 2 bytes, {}, are expected", source);
    const char *other = length > LW_HEADER_MAX ? other_kind(head) : NULL;
    if (other)
        return lw_fail(LW_ERR_FORMAT,
                       "%s: is %s; a safetensors file is expected, which safetensors.torch.save_file or "
                       "latchwork convert makes",
                       source, other);
    if (length > LW_HEADER_MAX)
        return lw_fail(LW_ERR_FORMAT,
                       "%s: its header would have %ju bytes; a safetensors header has at most %zu (is it one?)", source,
                       (uintmax_t)length, LW_HEADER_MAX);
    if (length > size - START_BYTES)
        return lw_fail(LW_ERR_FORMAT, "%s: its header would have %ju bytes, but %zu follow (is the file cut off?)",
                       source, (uintmax_t)length, size - START_BYTES);
    if (have > START_BYTES && head[START_BYTES] != '{')
        return lw_fail(LW_ERR_FORMAT, "%s: its header begins with byte 0x%02x; '{' is expected", source,
                       head[START_BYTES]);
    return LW_OK;
}

/* A JSON integer that is not negative and fits a size_t. Reals are refused even where they are whole. */
static bool read_size(const json_t *value, size_t *size)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uintmax_t)json_integer_value(value) > SIZE_MAX)
        return false;
    *size = (size_t)json_integer_value(value);
    return true;
}

static lw_status read_entry(const lw_tensors *t, const json_t *value, lw_entry *e)
{
    const char *source = t->source;
    lw_quote name = lw_quoted(e->name);
    const json_t *type = json_object_get(value, "dtype"), *shape = json_object_get(value, "shape"),
                 *offsets = json_object_get(value, "data_offsets");
    if (!type || !shape || !offsets || json_object_size(value) != 3)
        return lw_fail(
            LW_ERR_FORMAT,
            "%s: tensor \"%s\" is described by %zu keys; dtype, shape and data_offsets are expected, no others", source,
            name.text, json_object_size(value));
    const char *type_name = json_string_value(type);
    e->type = type_name ? lw_type_find(type_name) : NULL;
    if (!e->type)
        return lw_fail(LW_ERR_FORMAT, "%s: tensor \"%s\" has the type \"%s\"; one of %s is expected", source, name.text,
                       lw_quoted(type_name ? type_name : "(no string)").text, lw_type_names);

    if (!json_is_array(shape))
        return lw_fail(LW_ERR_FORMAT, "%s: the shape of tensor \"%s\" is no array; an array of sizes is expected",
                       source, name.text);
    e->rank = json_array_size(shape);
    if (e->rank > LW_RANK_MAX)
        return lw_fail(LW_ERR_FORMAT, "%s: tensor \"%s\" has rank %zu; at most %d is expected", source, name.text,
                       e->rank, LW_RANK_MAX);
    for (size_t i = 0; i < e->rank; i++)
        if (!read_size(json_array_get(shape, i), &e->shape[i]))
            return lw_fail(LW_ERR_FORMAT, "%s: size %zu in the shape of tensor \"%s\" is no whole number from 0 on",
                           source, i, name.text);
    e->count = 1;
    size_t bytes = 0;
    bool fits = true;
    for (size_t i = 0; i < e->rank; i++)
        fits = fits && lw_mul(e->count, e->shape[i], &e->count);
    if (!fits || !lw_mul(e->count, e->type->bytes, &bytes))
        return lw_fail(LW_ERR_FORMAT, "%s: the shape %s of tensor \"%s\" has more bytes than can be counted", source,
                       lw_shape_text(e->rank, e->shape).text, name.text);

    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !read_size(json_array_get(offsets, 0), &e->begin) ||
        !read_size(json_array_get(offsets, 1), &e->end))
        return lw_fail(LW_ERR_FORMAT,
                       "%s: data_offsets of tensor \"%s\" are not two whole numbers from 0 on, [begin, end]", source,
                       name.text);
    if (e->begin > e->end || e->end > t->data_bytes)
        return lw_fail(LW_ERR_FORMAT,
                       "%s: tensor \"%s\" lies at bytes %zu to %zu; begin <= end <= %zu, the size of the data, is "
                       "expected",
                       source, name.text, e->begin, e->end, t->data_bytes);
    if (e->end - e->begin != bytes)
        return lw_fail(LW_ERR_FORMAT, "%s: tensor \"%s\" occupies %zu bytes; %s of %s needs %zu", source, name.text,
                       e->end - e->begin, lw_shape_text(e->rank, e->shape).text, e->type->name, bytes);
    return LW_OK;
}

/* Reads the entry whose name is there already, the next of the table. */
static lw_status parse_entry(lw_tensors *t, const lw_member *member)
{
    lw_entry *e = &t->entries[t->count];
    lw_quote name = lw_quoted(e->name);
    if (member->value.text[0] != '{')
        return lw_fail(
            LW_ERR_FORMAT,
            "%s: tensor \"%s\" is described by no object; one with dtype, shape and data_offsets is expected",
            t->source, name.text);
    if (member->value.length > ENTRY_BYTES_MAX)
        return lw_fail(LW_ERR_FORMAT, "%s: the description of tensor \"%s\" takes %zu bytes; at most %d are expected",
                       t->source, name.text, member->value.length, ENTRY_BYTES_MAX);
    char what[sizeof name.text + 32];
    snprintf(what, sizeof what, "the description of \"%s\"", name.text);
    json_t *value;
    lw_status status = lw_json_parse(t->source, what, member->value, &value);
    if (status)
        return status;
    status = read_entry(t, value, e);
    json_decref(value);
    if (!status)
        t->count++;
    return status;
}

static lw_status parse_metadata(lw_tensors *t, lw_span object, char **cursor)
{
    if (t->metadata)
        return lw_fail(LW_ERR_FORMAT, "%s: the header has __metadata__ twice; once at most is expected", t->source);
    t->metadata = lw_alloc_array(object.length / PAIR_BYTES_MIN + 1, sizeof *t->metadata);
    if (!t->metadata)
        return lw_fail_memory(object.length / PAIR_BYTES_MIN * sizeof *t->metadata);
    lw_members members = {.source = t->source, .what = "__metadata__", .object = object};
    for (;;) {
        lw_member member;
        bool more;
        lw_pair *p = &t->metadata[t->metadata_count];
        lw_status status = lw_members_next(&members, &member, &more);
        if (!status && !more)
            break;
        if (!status)
            status = lw_members_string(&members, member.key, cursor, &p->key);
        if (!status && member.value.text[0] != '"')
            status = lw_fail(LW_ERR_FORMAT, "%s: \"%s\" in __metadata__ is no string; strings alone are expected",
                             t->source, lw_quoted(p->key).text);
        if (!status)
            status = lw_members_string(&members, member.value, cursor, &p->value);
        if (status)
            return status;
        t->metadata_count++;
    }
    qsort(t->metadata, t->metadata_count, sizeof *t->metadata, lw_compare_keys);
    for (size_t i = 1; i < t->metadata_count; i++)
        if (strcmp(t->metadata[i - 1].key, t->metadata[i].key) == 0)
            return lw_fail(LW_ERR_FORMAT, "%s: __metadata__ has the key \"%s\" twice", t->source,
                           lw_quoted(t->metadata[i].key).text);
    return LW_OK;
}

static lw_status parse_header(lw_tensors *t, lw_span header)
{
    size_t capacity = header.length / ENTRY_BYTES_MIN + 1;
    t->text = lw_alloc(header.length + 1);
    t->entries = lw_alloc_array(capacity, sizeof *t->entries);
    if (!t->text || !t->entries)
        return lw_fail_memory(capacity * sizeof *t->entries);
    char *cursor = t->text;
    lw_members members = {.source = t->source, .what = "the header", .object = header};
    for (;;) {
        lw_member member;
        bool more;
        lw_status status = lw_members_next(&members, &member, &more);
        if (status || !more)
            return status;
        const char **name = &t->entries[t->count].name;
        status = lw_members_string(&members, member.key, &cursor, name);
        if (!status && strcmp(*name, "__metadata__") == 0)
            status = parse_metadata(t, member.value, &cursor);
        else if (!status)
            status = parse_entry(t, &member);
        if (status)
            return status;
    }
}

static int compare_offsets(const void *a, const void *b)
{
    const lw_entry *x = *(lw_entry *const *)a, *y = *(lw_entry *const *)b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* A file that was sent as text has a carriage return before every line feed, and so too many bytes. */
static bool looks_like_text_transfer(const unsigned char *bytes, size_t count)
{
    size_t feeds = 0;
    for (size_t i = 0; i < count; i++)
        if (bytes[i] == '\n') {
            if (i == 0 || bytes[i - 1] != '\r')
                return false;
            feeds++;
        }
    return feeds > 0;
}

static lw_status check_layout(lw_tensors *t)
{
    t->by_name = lw_alloc_array(t->count, sizeof *t->by_name);
    if (!t->by_name)
        return lw_fail_memory(t->count * sizeof *t->by_name);
    for (size_t i = 0; i < t->count; i++)
        t->by_name[i] = &t->entries[i];
    qsort(t->by_name, t->count, sizeof *t->by_name, compare_offsets);
    size_t covered = 0;
    for (size_t i = 0; i < t->count; i++) {
        const lw_entry *e = t->by_name[i];
        if (e->begin < covered)
            return lw_fail(LW_ERR_FORMAT,
                           "%s: tensor \"%s\" begins at byte %zu of the data and overlaps \"%s\", which ends at %zu",
                           t->source, lw_quoted(e->name).text, e->begin, lw_quoted(t->by_name[i - 1]->name).text,
                           covered);
        if (e->begin > covered)
            return lw_fail(LW_ERR_FORMAT,
                           "%s: bytes %zu to %zu of the data belong to no tensor; tensors without a hole are expected",
                           t->source, covered, e->begin);
        covered = e->end;
    }
    if (covered != t->data_bytes)
        return lw_fail(LW_ERR_FORMAT, "%s: the data has %zu bytes, but its tensors end after %zu%s", t->source,
                       t->data_bytes, covered,
                       looks_like_text_transfer(t->data, t->data_bytes)
                           ? " (every line feed follows a carriage return: was the file sent as text?)"
                           : "");

    qsort(t->by_name, t->count, sizeof *t->by_name, lw_compare_names);
    for (size_t i = 1; i < t->count; i++)
        if (strcmp(t->by_name[i - 1]->name, t->by_name[i]->name) == 0)
            return lw_fail(LW_ERR_FORMAT, "%s: the header has the tensor \"%s\" twice", t->source,
                           lw_quoted(t->by_name[i]->name).text);
    return LW_OK;
}

lw_status lw_tensors_parse_owned(const char *source, unsigned char *bytes, size_t count, lw_tensors **tensors)
{
    lw_tensors *t = lw_alloc(sizeof *t);
    if (!t) {
        lw_free(bytes);
        return lw_fail_memory(sizeof *t);
    }
    strcpy(t->source, source);
    t->bytes = bytes;
    size_t length = (size_t)lw_read_u64(bytes);
    t->data = bytes + START_BYTES + length;
    t->data_bytes = count - START_BYTES - length;
    lw_status status = parse_header(t, (lw_span){(const char *)bytes + START_BYTES, length});
    if (!status)
        status = check_layout(t);
    if (status) {
        lw_tensors_close(t);
        return status;
    }
    *tensors = t;
    return LW_OK;
}
