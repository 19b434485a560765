/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a JSON object member by member. Called by the tensor reader for the header and its metadata. Only the
 * outline is read here, where a member's key and value begin and end, and what strings say. Any other piece then goes
 * through jansson alone, which checks its grammar and its UTF-8. So the memory in use is that of one piece, whatever
 * the header holds, and the nesting is bounded before a recursive parser sees it.
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

#define SHORT_TOKEN 14 /* bytes with quotes that jansson holds without growing its buffer */

static bool has_long_string(lw_span span)
{
    size_t since = 0;
    bool inside = false; /* a string, where a separator is a byte like any other */
    for (size_t i = 0; i < span.length; i++, since++) {
        const char c = span.text[i];
        if (since > SHORT_TOKEN)
            return true;
        if (inside && c == '\\') {
            i++;
            since++;
        } else if (c == '"') {
            inside = !inside;
            since = 0;
        } else if (!inside && c && strchr(":,[]{}", c)) {
            since = 0;
        }
    }
    return since > SHORT_TOKEN;
}

static lw_status fail_parse(const char *source, size_t bytes)
{
    lw_fail_memory(bytes);
    return lw_fail_in(source, LW_ERR_MEMORY);
}

/* jansson 2.14 does not look whether the buffer of its current token could grow: without memory it goes on without the
 * byte, or takes the rest for a syntax error. So what it can need must be there beforehand, and a text that fails or
 * has a token that long is parsed twice: both must give the same. */
lw_status lw_json_parse(const char *source, const char *what, lw_span span, json_t **value)
{
    json_error_t error;
    size_t need;
    void *reserve = lw_mul_add(span.length, 4, 4096, &need) ? lw_alloc(need) : NULL;
    if (!reserve)
        return fail_parse(source, span.length);
    lw_free(reserve);
    *value = json_loadb(span.text, span.length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (*value && !has_long_string(span))
        return LW_OK;
    json_t *again = json_loadb(span.text, span.length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    bool same = *value && again && json_equal(*value, again), neither = !*value && !again;
    json_decref(again);
    if (same)
        return LW_OK;
    json_decref(*value);
    *value = NULL;
    /* jansson leaves the text empty where it knows that an allocation failed. */
    if (!neither || json_error_code(&error) == json_error_out_of_memory || !error.text[0])
        return fail_parse(source, span.length);
    return lw_fail(LW_ERR_FORMAT, "%s: %s is not JSON in UTF-8 without duplicate keys: %s", source, what,
                   lw_quoted(error.text).text);
}

static lw_status fail_string(const lw_members *m, const char *why)
{
    return lw_fail(LW_ERR_FORMAT, "%s: %s is not JSON in UTF-8 without duplicate keys: %s", m->source, m->what, why);
}

/* Four hexadecimal digits; -1 where there are none. */
static long read_unit(const char *text, const char *end)
{
    long unit = 0;
    if (end - text < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static char *put_point(char *to, unsigned long point)
{
    int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (char)(lead[more] | point >> (6 * more));
    while (more-- > 0)
        *to++ = (char)(0x80 | (point >> (6 * more) & 0x3f));
    return to;
}

/* The code point of an escape "\uXXXX", or of a pair of them, behind its u; *from moves behind it. NULL or a reason. */
static const char *read_point(const char **from, const char *end, unsigned long *point)
{
    long unit = read_unit(*from, end);
    if (unit < 0)
        return "invalid escape";
    *from += 4;
    if (unit == 0)
        return "\\u0000 is not allowed";
    *point = (unsigned long)unit;
    if (unit < 0xd800 || unit > 0xdfff)
        return NULL;
    long low = unit < 0xdc00 && end - *from >= 6 && (*from)[0] == '\\' && (*from)[1] == 'u' ? read_unit(*from + 2, end)
                                                                                            : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return "invalid Unicode: a lone surrogate";
    *from += 6;
    *point = 0x10000 + ((unsigned long)(unit - 0xd800) << 10) + (unsigned long)(low - 0xdc00);
    return NULL;
}

/* By itself, not by jansson: a string of the header can be long, and needs no memory here. */
lw_status lw_members_string(const lw_members *m, lw_span string, char **cursor, const char **text)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *from = string.text + 1, *end = string.text + string.length - 1;
    if (string.length < 2 || string.text[0] != '"')
        return lw_fail(LW_ERR_FORMAT, "%s: %s holds a value that is no string; a string is expected", m->source,
                       m->what);
    /* An escape is never shorter than what it stands for, and the quotes make room for the NUL. */
    char *to = *cursor;
    while (from < end) {
        if ((unsigned char)*from < 0x20)
            return fail_string(m, "a control character in a string");
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        const char *letter = from + 1 < end && from[1] ? strchr(letters, from[1]) : NULL;
        if (letter) {
            *to++ = meanings[letter - letters];
            from += 2;
            continue;
        }
        if (from + 1 >= end || from[1] != 'u')
            return fail_string(m, "invalid escape");
        unsigned long point = 0;
        from += 2;
        const char *wrong = read_point(&from, end, &point);
        if (wrong)
            return fail_string(m, wrong);
        to = put_point(to, point);
    }
    *to = '\0';
    if (!lw_is_utf8(*cursor))
        return fail_string(m, "a string that is not UTF-8");
    *text = *cursor;
    *cursor = to + 1;
    return LW_OK;
}
