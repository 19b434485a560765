/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The architecture of a model as JSON: {"version": 1, "bricks": [{"kind": "lstm", "name": ...}, ...]}. Called by the
 * model loader and saver. One table says which keys a brick has and where they live in a lw_brick; reading, writing
 * and the sentences follow it, so that what is written can be read. An unknown key is refused, never skipped: it
 * would mean a model that computes something else.
 */
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "io.h"

#define VERSION 1
#define NAME_MAX_LENGTH 63

typedef struct word {
    const char *text;
    unsigned value;
} word;

static const word kinds[] = {
    {"lstm", LW_LSTM}, {"gru", LW_GRU}, {"rnn", LW_RNN}, {"dense", LW_DENSE}, {"activation", LW_ACTIVATION}, {0},
};
static const word directions[] = {
    {"forward", LW_FORWARD},
    {"reverse", LW_REVERSE},
    {"bidirectional", LW_BIDIRECTIONAL},
    {0},
};
static const word cell_functions[] = {{"tanh", LW_TANH}, {"relu", LW_RELU}, {0}};
static const word activations[] = {{"relu", LW_RELU}, {"tanh", LW_TANH}, {"sigmoid", LW_SIGMOID}, {0}};
static const word functions[] = {
    {"linear", LW_LINEAR}, {"relu", LW_RELU}, {"tanh", LW_TANH}, {"sigmoid", LW_SIGMOID}, {0},
};
static const word resets[] = {{"after", 0}, {"before", LW_RESET_BEFORE}, {0}};

#define IS(kind) (1u << (kind))
#define RECURRENT (IS(LW_LSTM) | IS(LW_GRU) | IS(LW_RNN))

typedef struct key {
    const char *name;
    unsigned kinds; /* IS(kind) of the bricks that have it */
    enum { SIZE, NUMBER, OPTION, NO_OPTION, WORD, OPTION_WORD } type;
    size_t offset;   /* of a SIZE, NUMBER or WORD in lw_brick */
    unsigned option; /* the bit that OPTION sets and NO_OPTION clears */
    const word *words;
    bool required;
    size_t minimum; /* of a SIZE */
} key;

#define FIELD(field) offsetof(lw_brick, field)
static const key keys[] = {
    {"input", RECURRENT | IS(LW_DENSE) | IS(LW_ACTIVATION), SIZE, FIELD(input), 0, NULL, false, 1},
    {"hidden", RECURRENT, SIZE, FIELD(hidden), 0, NULL, true, 1},
    {"output", IS(LW_DENSE), SIZE, FIELD(hidden), 0, NULL, true, 1},
    {"layers", RECURRENT, SIZE, FIELD(layers), 0, NULL, false, 1},
    {"direction", RECURRENT, WORD, FIELD(direction), 0, directions, false, 0},
    {"bias", RECURRENT | IS(LW_DENSE), NO_OPTION, 0, LW_NO_BIAS, NULL, false, 0},
    {"function", IS(LW_RNN), WORD, FIELD(function), 0, cell_functions, false, 0},
    {"function", IS(LW_DENSE), WORD, FIELD(function), 0, functions, false, 0},
    {"function", IS(LW_ACTIVATION), WORD, FIELD(function), 0, activations, true, 0},
    {"reset", IS(LW_GRU), OPTION_WORD, 0, LW_RESET_BEFORE, resets, false, 0},
    {"peepholes", IS(LW_LSTM), OPTION, 0, LW_PEEPHOLES, NULL, false, 0},
    {"coupled", IS(LW_LSTM), OPTION, 0, LW_COUPLED, NULL, false, 0},
    {"projection", IS(LW_LSTM), SIZE, FIELD(projection), 0, NULL, false, 0},
    {"cell_clip", IS(LW_LSTM), NUMBER, FIELD(cell_clip), 0, NULL, false, 0},
    {"gate_clip", RECURRENT, NUMBER, FIELD(gate_clip), 0, NULL, false, 0},
    {"forget_bias", IS(LW_LSTM), NUMBER, FIELD(forget_bias), 0, NULL, false, 0},
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])

/* Enumerations have the size of an int wherever this builds; both kinds of field are read and written by it. */
_Static_assert(sizeof(lw_direction) == sizeof(unsigned) && sizeof(lw_function) == sizeof(unsigned),
               "an enumeration is stored as an unsigned");

static const char *word_of(const word *words, unsigned value)
{
    for (; words->text; words++)
        if (words->value == value)
            return words->text;
    return NULL;
}

static bool value_of(const word *words, const char *text, unsigned *value)
{
    for (; text && words->text; words++)
        if (strcmp(words->text, text) == 0) {
            *value = words->value;
            return true;
        }
    return false;
}

static lw_quote list_words(const word *words)
{
    char text[96] = "";
    for (const word *w = words; w->text; w++) {
        strcat(text, w == words ? "" : ", ");
        strcat(text, w->text);
    }
    return lw_quoted(text);
}

/* What came, for a sentence. */
static lw_quote show(const json_t *value)
{
    char text[96];
    if (json_is_string(value))
        snprintf(text, sizeof text, "\"%s\"", lw_quoted(json_string_value(value)).text);
    else if (json_is_integer(value))
        snprintf(text, sizeof text, "%jd", (intmax_t)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, sizeof text, "the real number %g", json_real_value(value));
    else
        strcpy(text, json_is_boolean(value) ? (json_is_true(value) ? "true" : "false")
                     : json_is_null(value)  ? "null"
                     : json_is_array(value) ? "an array"
                                            : "an object");
    return lw_quoted(text);
}

static lw_status read_key(const key *k, const json_t *value, lw_brick *brick, lw_quote *expected)
{
    char *field = (char *)brick + k->offset;
    unsigned bits;
    switch (k->type) {
    case SIZE: {
        json_int_t size = json_integer_value(value);
        snprintf(expected->text, sizeof expected->text, "a whole number from %zu to %zu", k->minimum, LW_SIZE_MAX);
        if (!json_is_integer(value) || size < (json_int_t)k->minimum || size > (json_int_t)LW_SIZE_MAX)
            return LW_ERR_FORMAT;
        memcpy(field, &(size_t){(size_t)size}, sizeof(size_t));
        return LW_OK;
    }
    case NUMBER: {
        float number = (float)json_number_value(value);
        *expected = lw_quoted("a finite f32 number");
        if (!json_is_number(value) || !isfinite(number))
            return LW_ERR_FORMAT;
        memcpy(field, &number, sizeof number);
        return LW_OK;
    }
    case OPTION:
    case NO_OPTION:
        *expected = lw_quoted("true or false");
        if (!json_is_boolean(value))
            return LW_ERR_FORMAT;
        if (json_is_true(value) == (k->type == OPTION))
            brick->options |= k->option;
        return LW_OK;
    default:
        *expected = list_words(k->words);
        if (!value_of(k->words, json_string_value(value), &bits))
            return LW_ERR_FORMAT;
        if (k->type == OPTION_WORD)
            brick->options |= bits;
        else
            memcpy(field, &bits, sizeof bits);
        return LW_OK;
    }
}

static const key *find_key(const char *name, lw_kind kind)
{
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys[i].kinds & IS(kind) && strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static lw_status read_name(const char *source, size_t index, json_t *object, lw_brick *brick)
{
    const char *name = json_string_value(json_object_get(object, "name"));
    if (!name || !name[0] || strlen(name) > NAME_MAX_LENGTH || strchr(name, '.'))
        return lw_fail(LW_ERR_FORMAT,
                       "%s: brick %zu has the name \"%s\"; 1 to %d characters without a dot are expected", source,
                       index, lw_quoted(name ? name : "(none)").text, NAME_MAX_LENGTH);
    brick->name = name;
    return LW_OK;
}

static lw_status read_brick(const char *source, size_t index, json_t *object, lw_brick *brick)
{
    unsigned kind;
    const json_t *given = json_object_get(object, "kind");
    if (!value_of(kinds, json_string_value(given), &kind))
        return lw_fail(LW_ERR_FORMAT, "%s: brick %zu has the kind %s; one of %s is expected", source, index,
                       given ? show(given).text : "(none)", list_words(kinds).text);
    *brick = (lw_brick)LW_BRICK_INIT((lw_kind)kind);
    lw_status status = read_name(source, index, object, brick);
    if (status)
        return status;
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (strcmp(name, "kind") == 0 || strcmp(name, "name") == 0)
            continue;
        const key *k = find_key(name, brick->kind);
        if (!k)
            return lw_fail(LW_ERR_FORMAT, "%s: brick %zu, \"%s\", has the key \"%s\", which no %s brick has", source,
                           index, lw_quoted(brick->name).text, lw_quoted(name).text, word_of(kinds, kind));
        lw_quote expected;
        if (read_key(k, value, brick, &expected))
            return lw_fail(LW_ERR_FORMAT, "%s: brick %zu, \"%s\": %s is %s; expected: %s", source, index,
                           lw_quoted(brick->name).text, k->name, show(value).text, expected.text);
    }
    for (size_t i = 0; i < KEY_COUNT; i++)
        if (keys[i].required && keys[i].kinds & IS(kind) && !json_object_get(object, keys[i].name))
            return lw_fail(LW_ERR_FORMAT, "%s: brick %zu, \"%s\": the key \"%s\" is missing", source, index,
                           lw_quoted(brick->name).text, keys[i].name);
    return LW_OK;
}

static lw_status read_document(const char *source, json_t *document, lw_architecture *architecture)
{
    const json_t *version = json_object_get(document, "version");
    if (!json_is_integer(version))
        return lw_fail(LW_ERR_FORMAT,
                       "%s: the architecture has no version; {\"version\": %d, \"bricks\": [...]} is expected", source,
                       VERSION);
    if (json_integer_value(version) != VERSION)
        return lw_fail(LW_ERR_UNSUPPORTED, "%s: the architecture has version %jd; this library reads version %d",
                       source, (intmax_t)json_integer_value(version), VERSION);
    const char *name;
    json_t *value;
    json_object_foreach(
        document, name,
        value) if (strcmp(name, "version") != 0 &&
                   strcmp(name, "bricks") !=
                       0) return lw_fail(LW_ERR_FORMAT,
                                         "%s: the architecture has the key \"%s\"; version and bricks are expected",
                                         source, lw_quoted(name).text);
    const json_t *bricks = json_object_get(document, "bricks");
    size_t count = json_array_size(bricks);
    if (count < 1 || count > LW_ARCHITECTURE_BRICKS)
        return lw_fail(LW_ERR_FORMAT, "%s: the architecture has %zu bricks; an array of 1 to %d is expected", source,
                       count, LW_ARCHITECTURE_BRICKS);
    architecture->bricks = lw_alloc_array(count, sizeof *architecture->bricks);
    if (!architecture->bricks)
        return lw_fail_memory(count * sizeof *architecture->bricks);
    architecture->count = count;
    for (size_t i = 0; i < count; i++) {
        lw_status status = read_brick(source, i, json_array_get(bricks, i), &architecture->bricks[i]);
        if (status)
            return status;
    }
    return LW_OK;
}

lw_status lw_architecture_parse(const char *source, const char *text, lw_architecture *architecture)
{
    *architecture = (lw_architecture){0};
    size_t length = strlen(text);
    if (length > LW_ARCHITECTURE_BYTES)
        return lw_fail(LW_ERR_FORMAT, "%s: the architecture has %zu bytes; at most %zu are expected", source, length,
                       LW_ARCHITECTURE_BYTES);
    /* The walk bounds the nesting before a recursive parser sees the text. */
    lw_members members = {.source = source, .what = "the architecture", .object = {text, length}};
    lw_member member;
    bool more = true;
    lw_status status = LW_OK;
    while (!status && more)
        status = lw_members_next(&members, &member, &more);
    if (!status)
        status = lw_json_parse(source, members.what, members.object, &architecture->document);
    if (!status)
        status = read_document(source, architecture->document, architecture);
    if (status)
        lw_architecture_clear(architecture);
    return status;
}

static json_t *write_key(const key *k, const lw_brick *brick)
{
    const char *field = (const char *)brick + k->offset;
    size_t size;
    float number;
    unsigned bits;
    switch (k->type) {
    case SIZE:
        memcpy(&size, field, sizeof size);
        return json_integer((json_int_t)size);
    case NUMBER:
        memcpy(&number, field, sizeof number);
        return json_real((double)number);
    case OPTION:
        return json_boolean(brick->options & k->option);
    case NO_OPTION:
        return json_boolean(!(brick->options & k->option));
    case OPTION_WORD:
        return json_string(word_of(k->words, brick->options & k->option));
    default:
        memcpy(&bits, field, sizeof bits);
        return json_string(word_of(k->words, bits));
    }
}

static bool write_brick(const lw_brick *brick, json_t *bricks)
{
    json_t *object = json_object();
    const char *kind = word_of(kinds, (unsigned)brick->kind);
    /* Appending first hands the object over; json_object_set_new takes a NULL value as a failure. */
    bool complete = json_array_append_new(bricks, object) == 0 && kind &&
                    json_object_set_new(object, "kind", json_string(kind)) == 0 &&
                    json_object_set_new(object, "name", json_string(brick->name)) == 0;
    for (size_t i = 0; complete && i < KEY_COUNT; i++)
        if (keys[i].kinds & IS(brick->kind))
            complete = json_object_set_new(object, keys[i].name, write_key(&keys[i], brick)) == 0;
    return complete;
}

lw_status lw_architecture_print(const lw_model *model, char **text)
{
    size_t count = lw_model_brick_count(model);
    if (count > LW_ARCHITECTURE_BRICKS)
        return lw_fail(LW_ERR_UNSUPPORTED, "the model has %zu bricks; a file holds at most %d", count,
                       LW_ARCHITECTURE_BRICKS);
    json_t *bricks = json_array();
    lw_status status = bricks ? LW_OK : lw_fail_memory(count);
    for (size_t i = 0; !status && i < count; i++) {
        lw_brick brick = {.size = sizeof brick};
        status = lw_model_brick(model, i, &brick);
        if (!status && !lw_is_utf8(brick.name))
            status = lw_fail(LW_ERR_UNSUPPORTED, "brick %zu, \"%s\": its name is not text in UTF-8, as a file needs it",
                             i, lw_quoted(brick.name).text);
        if (!status && !write_brick(&brick, bricks))
            status = lw_fail_memory(count);
    }
    json_t *document = status ? NULL : json_pack("{s:i, s:O}", "version", VERSION, "bricks", bricks);
    *text = document ? lw_json_print(document) : NULL;
    json_decref(document);
    json_decref(bricks);
    if (!status && !*text)
        status = lw_fail_memory(count);
    return status;
}

void lw_architecture_clear(lw_architecture *architecture)
{
    lw_free(architecture->bricks);
    json_decref(architecture->document);
    lw_free(architecture->name);
    *architecture = (lw_architecture){0};
}
