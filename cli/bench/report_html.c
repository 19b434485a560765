/* SPDX-License-Identifier: Apache-2.0 */
/* Results as one self-contained page; see results.h. */
#include "results.h"

#include "../report.h"

#include <stdlib.h>

int bench_report_html(const json_t *results, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory)
        return fail("out of memory for the page");
    results_write_table(results, memory);
    fclose(memory);
    fputs("<!doctype html>\n<meta charset=\"utf-8\">\n<title>Latchwork's benchmark</title>\n<pre>", out);
    for (size_t i = 0; i < size; i++)
        if (text[i] == '<' || text[i] == '&')
            fputs(text[i] == '<' ? "&lt;" : "&amp;", out);
        else
            fputc(text[i], out);
    fputs("</pre>\n", out);
    free(text);
    return EXIT_OK;
}
