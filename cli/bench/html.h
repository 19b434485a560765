/* SPDX-License-Identifier: Apache-2.0 */
/* Texts and tables on a page of HTML that is well-formed XML too. Used by the pages of bench. */
#ifndef CLI_BENCH_HTML_H
#define CLI_BENCH_HTML_H

#include "table.h"

#include <stdio.h>

/* A text from outside, fit for content and for attributes in double quotes: marks are escaped, control characters and
 * broken UTF-8 replaced. */
void html_text(const char *text, FILE *out);
/* A table that scrolls by itself when it is wider than the page. */
void html_table(const struct table *table, const char *caption, FILE *out);

#endif
