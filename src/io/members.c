/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a JSON object member by member. Called by the tensor reader for the header and its metadata. Only the
 * outline is read here: where a member's key and value begin and end. Each piece then goes through jansson alone,
 * which checks its grammar and its UTF-8. So the memory in use is that of one piece, whatever the header holds,
 * and the nesting is bounded before a recursive parser sees it.
 */
#include <jansson.h>
#include <string.h>

#include "io.h"

#define DEPTH_MAX 4 /* of one member's value; a tensor's entry needs two */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(lw_members *m)
{
    while (m->at < m->object.length && is_space(m->object.text[m->at]))
        m->at++;
}

static lw_status fail_at(const lw_members *m, const char *expected)
{
    if (m->at >= m->object.length)
        return lw_fail(LW_ERR_FORMAT, "%s: %s ends after %zu bytes; %s is expected", m->source, m->what,
                       m->object.length, expected);
    unsigned char c = (unsigned char)m->object.text[m->at];
    return lw_fail(LW_ERR_FORMAT, "%s: %s is not JSON: byte %zu is 0x%02x; %s is expected", m->source, m->what, m->at,
                   c, expected);
}

/* Finds the end of the string that begins at m->at and moves there. */
static lw_status skip_string(lw_members *m, lw_span *span)
{
    const char *text = m->object.text;
    size_t begin = m->at++;
    while (m->at < m->object.length && text[m->at] != '"')
        m->at += text[m->at] == '\\' ? 2 : 1;
    if (m->at >= m->object.length) {
        m->at = m->object.length;
        return fail_at(m, "the closing quote of a string");
    }
    m->at++;
    *span = (lw_span){text + begin, m->at - begin};
    return LW_OK;
}

static lw_status skip_value(lw_members *m, lw_span *span)
{
    const char *text = m->object.text;
    size_t begin = m->at, depth = 0;
    lw_span inner;
    while (m->at < m->object.length) {
        char c = text[m->at];
        if (c == '"') {
            lw_status status = skip_string(m, &inner);
            if (status)
                return status;
            if (depth == 0)
                break;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || is_space(c)))
            break;
        m->at++;
        if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                return lw_fail(LW_ERR_FORMAT, "%s: %s is nested too deeply at byte %zu; at most %d levels are expected",
                               m->source, m->what, m->at - 1, DEPTH_MAX);
        } else if ((c == '}' || c == ']') && (depth == 0 || --depth == 0)) {
            break;
        }
    }
    if (depth > 0)
        return fail_at(m, "a closing brace or bracket");
    if (m->at == begin)
        return fail_at(m, "a value");
    *span = (lw_span){text + begin, m->at - begin};
    return LW_OK;
}

lw_status lw_members_next(lw_members *m, lw_member *member, bool *more)
{
    skip_space(m);
    bool first = !m->started;
    if (first) {
        if (m->at >= m->object.length || m->object.text[m->at] != '{')
            return fail_at(m, "the opening brace of an object");
        m->at++;
        m->started = true;
        skip_space(m);
    }
    if (m->at < m->object.length && m->object.text[m->at] == '}') {
        m->at++;
        skip_space(m);
        *more = false;
        return m->at < m->object.length ? fail_at(m, "nothing but white space after the closing brace") : LW_OK;
    }
    if (!first) {
        if (m->at >= m->object.length || m->object.text[m->at] != ',')
            return fail_at(m, "a comma or the closing brace");
        m->at++;
        skip_space(m);
    }
    if (m->at >= m->object.length || m->object.text[m->at] != '"')
        return fail_at(m, first ? "a member's name in quotes or the closing brace" : "a member's name in quotes");
    lw_status status = skip_string(m, &member->key);
    if (status)
        return status;
    skip_space(m);
    if (m->at >= m->object.length || m->object.text[m->at] != ':')
        return fail_at(m, "a colon");
    m->at++;
    skip_space(m);
    *more = true;
    return skip_value(m, &member->value);
}

lw_status lw_json_parse(const char *source, const char *what, lw_span span, json_t **value)
{
    json_error_t error;
    *value = json_loadb(span.text, span.length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (*value)
        return LW_OK;
    /* jansson leaves the text empty where an allocation inside it failed. */
    if (json_error_code(&error) == json_error_out_of_memory || !error.text[0]) {
        lw_fail_memory(span.length);
        return lw_fail_in(source, LW_ERR_MEMORY);
    }
    return lw_fail(LW_ERR_FORMAT, "%s: %s is not JSON in UTF-8 without duplicate keys: %s", source, what,
                   lw_quoted(error.text).text);
}

lw_status lw_members_string(const lw_members *m, lw_span string, char **cursor, const char **text)
{
    json_t *value;
    lw_status status = lw_json_parse(m->source, m->what, string, &value);
    if (status)
        return status;
    if (!json_is_string(value)) {
        json_decref(value);
        return lw_fail(LW_ERR_FORMAT, "%s: %s holds a value that is no string; a string is expected", m->source,
                       m->what);
    }
    /* An escape is never shorter than what it stands for, and the quotes make room for the NUL. */
    size_t length = json_string_length(value);
    memcpy(*cursor, json_string_value(value), length + 1);
    *text = *cursor;
    *cursor += length + 1;
    json_decref(value);
    return LW_OK;
}
