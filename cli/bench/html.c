/* SPDX-License-Identifier: Apache-2.0 */
/* Texts and tables on a page; see html.h. */
#include "html.h"

#include "../report.h"

#include <stdlib.h>
#include <string.h>

void html_text(const char *text, FILE *out)
{
    char *copy = clean_copy(text);
    for (const char *at = copy; *at; at++) {
        static const char marks[] = "<>&\"'";
        const char *mark = strchr(marks, *at);
        if (mark)
            fprintf(out, "&#%d;", *mark);
        else
            fputc(*at, out);
    }
    free(copy);
}

void html_table(const struct table *table, const char *caption, FILE *out)
{
    fprintf(out, "<div class=\"wide\" tabindex=\"0\"><table><caption>%s</caption>\n", caption);
    for (size_t i = 0; i < table->count; i++) {
        const size_t column = i % table->columns;
        const char *kind = i < table->columns          ? "th scope=\"col\""
                           : column + 1 == table->left ? "th scope=\"row\""
                                                       : "td";
        if (column == 0)
            fputs(i == 0 ? "<thead><tr>" : "<tr>", out);
        fprintf(out, "<%s%s>", kind, column < table->left ? " class=\"text\"" : "");
        html_text(table->cells[i] ? table->cells[i] : "", out);
        fprintf(out, "</%.2s>", kind);
        if (column + 1 == table->columns)
            fputs(i + 1 == table->columns ? "</tr></thead><tbody>\n" : "</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}
