/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, shapes and paths made fit for an error sentence. Called by every file of src/io that refuses something.
 * A name from a hostile file must neither flood the sentence nor steer a terminal, so it is clipped at a
 * character boundary and its control characters are replaced.
 */
#include <stdio.h>
#include <string.h>

#include "io.h"

static void replace_controls(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

lw_quote lw_quoted(const char *text)
{
    lw_quote quote;
    size_t room = sizeof quote.text - 4;
    size_t length = 0;
    while (length <= room && text[length])
        length++;
    bool whole = length <= room;
    if (!whole)
        for (length = room; length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80;)
            length--;
    memcpy(quote.text, text, length);
    strcpy(quote.text + length, whole ? "" : "...");
    replace_controls(quote.text);
    return quote;
}

bool lw_is_utf8(const char *text)
{
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    for (const unsigned char *next = (const unsigned char *)text; *next;) {
        unsigned char first = *next++;
        size_t more = first < 0x80 ? 0 : first < 0xc0 ? 4 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf8 ? 3 : 4;
        if (more == 4)
            return false;
        uint32_t point = more ? first & (0x3fu >> more) : first;
        for (size_t i = 0; i < more; i++, next++) {
            if ((*next & 0xc0) != 0x80)
                return false;
            point = point << 6 | (*next & 0x3f);
        }
        if (point < smallest[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            return false;
    }
    return true;
}

lw_quote lw_shape_text(size_t rank, const size_t *shape)
{
    char text[LW_RANK_MAX * 24];
    size_t length = 0;
    text[length++] = '(';
    for (size_t i = 0; i < rank && i < LW_RANK_MAX; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%zu", i ? ", " : "", shape[i]);
    strcpy(text + length, ")");
    return lw_quoted(text);
}

void lw_source_name(const char *path, char source[LW_SOURCE_BYTES])
{
    size_t length = strlen(path);
    if (length < LW_SOURCE_BYTES)
        memcpy(source, path, length + 1);
    else
        snprintf(source, LW_SOURCE_BYTES, "...%s", path + length - (LW_SOURCE_BYTES - 4));
    replace_controls(source);
}

lw_status lw_fail_in(const char *source, lw_status status)
{
    char sentence[512];
    snprintf(sentence, sizeof sentence, "%s", lw_error());
    return lw_fail(status, "%s: %s", source, sentence);
}
