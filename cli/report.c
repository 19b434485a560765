/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error sentences, nearest names and the few helpers that every command needs (see report.h).
 * Messages are built whole, cleaned and then written in one call, so that two of them never mix.
 */
#include "report.h"

#include <latchwork.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at s, or 0; C1 control characters count as broken. */
static size_t utf8_length(const unsigned char *s)
{
    size_t n;
    unsigned long code;
    if (s[0] < 0x80)
        return s[0] >= 0x20 && s[0] != 0x7f;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        n = 2, code = s[0] & 0x1fu;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        n = 3, code = s[0] & 0x0fu;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        n = 4, code = s[0] & 0x07u;
    else
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3fu);
    }
    if (code < 0xa0 || (n == 3 && code < 0x800) || (n == 4 && code < 0x10000) || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff) || code == 0xfffe || code == 0xffff)
        return 0;
    return n;
}

char *clean_text(char *text)
{
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        size_t n = utf8_length(s);
        if (n == 0) {
            *s = '?';
            n = 1;
        }
        s += n;
    }
    return text;
}

char *clean_copy(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = malloc(bytes);
    if (!copy)
        exit(fail("out of memory"));
    memcpy(copy, text, bytes);
    return clean_text(copy);
}

static void say(const char *format, va_list list)
{
    char text[2048];
    if (vsnprintf(text, sizeof text, format, list) < 0)
        text[0] = '\0';
    fprintf(stderr, "latchwork: %s\n", clean_text(text));
}

int fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(format, list);
    va_end(list);
    return EXIT_WORK;
}

int misuse(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    say(format, list);
    va_end(list);
    return EXIT_USAGE;
}

int fail_library(const char *path)
{
    const char *text = lw_error();
    if (strstr(text, path))
        return fail("%s", text);
    return fail("%s: %s", path, text);
}

/* Edits that turn a into b (insert, delete, replace, swap of neighbours); lengths beyond 31 count as far. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), table[33][33];
    if (n > 31 || m > 31)
        return 99;
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            size_t best = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (table[i - 1][j] + 1 < best)
                best = table[i - 1][j] + 1;
            if (table[i][j - 1] + 1 < best)
                best = table[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && table[i - 2][j - 2] + 1 < best)
                best = table[i - 2][j - 2] + 1;
            table[i][j] = best;
        }
    }
    return table[n][m];
}

static size_t append(char out[NEAREST_SIZE], size_t used, const char *before, const char *name, const char *after)
{
    int n = snprintf(out + used, NEAREST_SIZE - used, "%s%s%s", before, name, after);
    return n < 0 || (size_t)n >= NEAREST_SIZE - used ? NEAREST_SIZE - 1 : used + (size_t)n;
}

const char *nearest(const char *given, const char *const *names, size_t count, char out[NEAREST_SIZE])
{
    size_t best = SIZE_MAX, length = strlen(given), used = 0, hits = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(given, names[i]);
        if (length >= 2 && strncmp(given, names[i], length) == 0)
            d = 1;
        if (d < best)
            best = d;
    }
    if (best <= 1 + length / 3) {
        for (size_t i = 0; i < count && hits < 3; i++) {
            size_t d = distance(given, names[i]);
            if (length >= 2 && strncmp(given, names[i], length) == 0)
                d = 1;
            if (d == best)
                used = append(out, used, hits++ ? " or '" : "; did you mean '", names[i], "'");
        }
        append(out, used, "?", "", "");
        return out;
    }
    for (size_t i = 0; i < count; i++)
        used = append(out, used, i == 0 ? "; expected " : i + 1 == count ? " or " : ", ", names[i], "");
    return out;
}

size_t product(size_t a, size_t b)
{
    size_t result;
    return __builtin_mul_overflow(a, b, &result) ? SIZE_MAX : result;
}

void *allocate(size_t count, size_t size)
{
    size_t bytes = product(count, size);
    if (bytes > SIZE_MAX / 2)
        return NULL;
    return malloc(bytes ? bytes : 1);
}

const char *shape_text(const size_t *shape, size_t rank, char out[SHAPE_TEXT])
{
    size_t used = 1;
    out[0] = '(';
    for (size_t i = 0; i < rank; i++)
        used += (size_t)snprintf(out + used, SHAPE_TEXT - used, i ? ", %zu" : "%zu", shape[i]);
    snprintf(out + used, SHAPE_TEXT - used, rank == 1 ? ",)" : ")");
    return out;
}
