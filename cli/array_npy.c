/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NumPy's .npy: magic, version (1.0, 2.0, 3.0), a header that is a Python dictionary in text, then the numbers.
 * The header is read by a small strict parser: exactly the three keys, no nesting, no recursion, nothing read beyond
 * the header's length. The data must be exactly as long as the shape says. Source: numpy.lib.format, "Format".
 */
#include "array.h"
#include "report.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the readers copy little-endian numbers as they are"
#endif

struct header {
    char kind;   /* 'f' or 'i' or 'u' */
    size_t item; /* bytes of one number */
    int fortran;
    size_t rank, shape[ARRAY_RANK], count;
    size_t data; /* offset of the first number */
};

/* A place in the header's text. */
struct cursor {
    const char *at, *end;
};

static int peek(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t'))
        cursor->at++;
    return cursor->at < cursor->end ? (unsigned char)*cursor->at : -1;
}

static int take(struct cursor *cursor, char c)
{
    if (peek(cursor) != c)
        return 0;
    cursor->at++;
    return 1;
}

/* A quoted string without escapes, as NumPy writes them; 0 when it is none or longer than fits. */
static int take_string(struct cursor *cursor, char *out, size_t room)
{
    int quote = peek(cursor);
    size_t n = 0;
    if (quote != '\'' && quote != '"')
        return 0;
    for (cursor->at++; cursor->at < cursor->end && *cursor->at != quote; cursor->at++) {
        if (*cursor->at == '\\' || n + 1 >= room)
            return 0;
        out[n++] = *cursor->at;
    }
    out[n] = '\0';
    if (cursor->at == cursor->end)
        return 0;
    cursor->at++;
    return 1;
}

static int take_word(struct cursor *cursor, const char *word)
{
    size_t n = strlen(word);
    if (peek(cursor) < 0 || (size_t)(cursor->end - cursor->at) < n || memcmp(cursor->at, word, n) != 0)
        return 0;
    cursor->at += n;
    return 1;
}

static int take_size(struct cursor *cursor, size_t *value)
{
    int c = peek(cursor);
    if (c < '0' || c > '9')
        return 0;
    for (*value = 0; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++)
        if (__builtin_mul_overflow(*value, (size_t)10, value) ||
            __builtin_add_overflow(*value, (size_t)(*cursor->at - '0'), value))
            return 0;
    return 1;
}

/* "()", "(3,)", "(3, 4)": a tuple of one needs its comma. */
static int take_shape(const char *path, struct cursor *cursor, struct header *header)
{
    int comma = 0;
    if (!take(cursor, '('))
        return fail("%s: the header's shape is not a tuple of sizes", path);
    while (!take(cursor, ')')) {
        if (header->rank > 0 && !comma)
            return fail("%s: the header's shape lacks a comma or its end", path);
        if (header->rank == ARRAY_RANK)
            return fail("%s: the array has more than %d dimensions", path, ARRAY_RANK);
        if (!take_size(cursor, &header->shape[header->rank]))
            return fail("%s: size %zu of the header's shape is no whole number that fits", path, header->rank);
        header->rank++;
        comma = take(cursor, ',');
    }
    if (header->rank == 1 && !comma)
        return fail("%s: the header's shape is not a tuple", path);
    return EXIT_OK;
}

static int take_type(const char *path, struct cursor *cursor, struct header *header)
{
    char type[16];
    if (peek(cursor) == '[' || !take_string(cursor, type, sizeof type))
        return fail("%s: the numbers are of a structured type; expected '<f4'", path);
    if (strlen(type) != 3 || (type[0] != '<' && type[0] != '|') || !strchr("fiu", type[1]) || type[2] < '1' ||
        type[2] > '8')
        return fail("%s: the numbers are of type '%s'; expected little-endian '<f4' (or '<f8', '<f2'); "
                    "x.astype('<f4') makes them so",
                    path, type);
    header->kind = type[1];
    header->item = (size_t)(type[2] - '0');
    return EXIT_OK;
}

static int parse_dictionary(const char *path, struct cursor cursor, struct header *header)
{
    int seen[3] = {0}, status = EXIT_OK;
    static const char *const keys[3] = {"descr", "fortran_order", "shape"};
    if (!take(&cursor, '{'))
        return fail("%s: the header is not a Python dictionary", path);
    while (!take(&cursor, '}')) {
        char key[24];
        size_t which = 0;
        if (!take_string(&cursor, key, sizeof key) || !take(&cursor, ':'))
            return fail("%s: the header is damaged: expected a key and a colon", path);
        while (which < 3 && strcmp(key, keys[which]) != 0)
            which++;
        if (which == 3)
            return fail("%s: the header has an unknown key '%s'", path, key);
        if (seen[which]++)
            return fail("%s: the header has the key '%s' twice", path, key);
        if (which == 0)
            status = take_type(path, &cursor, header);
        else if (which == 2)
            status = take_shape(path, &cursor, header);
        else if (take_word(&cursor, "True"))
            header->fortran = 1;
        else if (!take_word(&cursor, "False"))
            status = fail("%s: the header's fortran_order is neither True nor False", path);
        if (status != EXIT_OK)
            return status;
        if (!take(&cursor, ',') && peek(&cursor) != '}')
            return fail("%s: the header is damaged after the key '%s'", path, key);
    }
    for (size_t i = 0; i < 3; i++)
        if (!seen[i])
            return fail("%s: the header lacks the key '%s'", path, keys[i]);
    while (peek(&cursor) == '\n' || peek(&cursor) == '\r')
        cursor.at++;
    if (peek(&cursor) >= 0)
        return fail("%s: the header has something after its end", path);
    return EXIT_OK;
}

static int parse_header(const char *path, const unsigned char *bytes, size_t size, struct header *header)
{
    *header = (struct header){0};
    if (size == 0)
        return fail("%s: is empty; expected a .npy array", path);
    if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return fail("%s: is not a .npy file (its first bytes are not those of one)", path);
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return fail("%s: .npy version %d.%d; expected 1.0, 2.0 or 3.0", path, bytes[6], bytes[7]);
    size_t start = bytes[6] == 1 ? 10 : 12, length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (size < start)
        return fail("%s: ends inside its header", path);
    if (start == 12)
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > size - start)
        return fail("%s: ends inside its header (%zu bytes announced, %zu there)", path, length, size - start);
    const char *text = (const char *)bytes + start;
    int status = parse_dictionary(path, (struct cursor){text, text + length}, header);
    if (status != EXIT_OK)
        return status;
    header->data = start + length;
    header->count = 1;
    int empty = 0;
    for (size_t i = 0; i < header->rank; i++)
        empty |= header->shape[i] == 0;
    for (size_t i = 0; i < header->rank; i++)
        header->count = empty ? 0 : product(header->count, header->shape[i]);
    size_t want = product(header->count, header->item), have = size - header->data;
    char shape[SHAPE_TEXT];
    if (want != have)
        return fail("%s: the shape %s needs %zu bytes of numbers, the file has %zu", path,
                    shape_text(header->shape, header->rank, shape), want, have);
    return EXIT_OK;
}

static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 1023u;
    if (exponent == 0) {
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float number_at(const unsigned char *data, size_t item)
{
    float f4;
    double f8;
    uint16_t f2;
    if (item == 2) {
        memcpy(&f2, data, sizeof f2);
        return half_to_float(f2);
    }
    if (item == 4) {
        memcpy(&f4, data, sizeof f4);
        return f4;
    }
    memcpy(&f8, data, sizeof f8);
    return (float)f8;
}

/* Place in the file of row-major element i. */
static size_t fortran_place(const struct header *header, size_t i)
{
    size_t digit[ARRAY_RANK], place = 0;
    for (size_t d = header->rank; d-- > 0;) {
        digit[d] = i % header->shape[d];
        i /= header->shape[d];
    }
    for (size_t d = header->rank; d-- > 0;)
        place = place * header->shape[d] + digit[d];
    return place;
}

int npy_parse(const char *path, void **bytes, size_t size, struct array *array)
{
    struct header header;
    unsigned char *data = *bytes;
    int status = parse_header(path, data, size, &header);
    if (status != EXIT_OK)
        return status;
    if (header.kind != 'f' || (header.item != 2 && header.item != 4 && header.item != 8))
        return fail("%s: the numbers are of type '<%c%zu'; expected '<f4' (or '<f8', '<f2'); x.astype('<f4') makes "
                    "them so",
                    path, header.kind, header.item);
    array->rank = header.rank;
    memcpy(array->shape, header.shape, sizeof array->shape);
    array->count = header.count;
    if (header.item == 4 && !header.fortran) {
        memmove(data, data + header.data, header.count * sizeof(float));
        array->values = *bytes;
        *bytes = NULL;
        return EXIT_OK;
    }
    array->values = allocate(header.count, sizeof(float));
    if (!array->values)
        return fail("%s: out of memory", path);
    for (size_t i = 0; i < header.count; i++) {
        size_t place = header.fortran ? fortran_place(&header, i) : i;
        array->values[i] = number_at(data + header.data + place * header.item, header.item);
    }
    return EXIT_OK;
}

int npy_parse_integers(const char *path, const void *bytes, size_t size, size_t *count, long long **values)
{
    struct header header;
    char shape[SHAPE_TEXT];
    int status = parse_header(path, bytes, size, &header);
    if (status != EXIT_OK)
        return status;
    if (header.kind != 'i' || (header.item != 4 && header.item != 8))
        return fail("%s: the whole numbers are of type '<%c%zu'; expected '<i8' or '<i4'", path, header.kind,
                    header.item);
    if (header.rank != 1)
        return fail("%s: the whole numbers have the shape %s; expected one dimension", path,
                    shape_text(header.shape, header.rank, shape));
    long long *list = allocate(header.count, sizeof *list);
    if (!list)
        return fail("%s: out of memory", path);
    const unsigned char *data = (const unsigned char *)bytes + header.data;
    for (size_t i = 0; i < header.count; i++) {
        int32_t i4;
        int64_t i8;
        if (header.item == 4) {
            memcpy(&i4, data + 4 * i, sizeof i4);
            list[i] = i4;
        } else {
            memcpy(&i8, data + 8 * i, sizeof i8);
            list[i] = i8;
        }
    }
    *count = header.count;
    *values = list;
    return EXIT_OK;
}

void npy_write(FILE *stream, const struct array *array)
{
    char shape[SHAPE_TEXT], text[512];
    int n = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }",
                     shape_text(array->shape, array->rank, shape));
    /* Spaces and a line end fill the header so that the numbers start at a multiple of 64, as NumPy has them. */
    size_t used = (size_t)n, length = (10 + used + 1 + 63) / 64 * 64 - 10;
    memset(text + used, ' ', length - used - 1);
    text[length - 1] = '\n';
    unsigned char start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    start[8] = (unsigned char)(length & 255);
    start[9] = (unsigned char)(length >> 8);
    fwrite(start, 1, sizeof start, stream);
    fwrite(text, 1, length, stream);
    fwrite(array->values, sizeof(float), array->count, stream);
}
