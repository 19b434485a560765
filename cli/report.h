/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command says and how it ends: error sentences on stderr, exit codes, nearest names.
 * Used by every file of cli/. Nothing that came from outside (names, paths, contents) reaches the terminal with
 * control characters in it.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stddef.h>

#define EXIT_OK 0    /* done */
#define EXIT_WORK 1  /* the work failed: a file, its content, memory */
#define EXIT_USAGE 2 /* the command line itself is wrong */

/* Print "latchwork: " and the sentence to stderr; return EXIT_WORK or EXIT_USAGE. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The library's last sentence, led by `path` unless it names it already. */
int fail_library(const char *path);

/* Replaces control characters and broken UTF-8 by '?', in place; returns text. */
char *clean_text(char *text);
/* A cleaned copy, never NULL: it ends the program when memory is out. */
char *clean_copy(const char *text);

#define NEAREST_SIZE 256
/* Writes "; did you mean 'a' or 'b'?", or, when nothing is near, "; expected a, b or c", into out. */
const char *nearest(const char *given, const char *const *names, size_t count, char out[NEAREST_SIZE]);

/* An allocation of count * size bytes (at least one), or NULL where the product overflows or memory is out. */
void *allocate(size_t count, size_t size);
/* a * b, or SIZE_MAX where that overflows. */
size_t product(size_t a, size_t b);

/* "(3, 4)" into out, which holds at least SHAPE_TEXT bytes. */
#define SHAPE_TEXT 200
const char *shape_text(const size_t *shape, size_t rank, char out[SHAPE_TEXT]);

#endif
