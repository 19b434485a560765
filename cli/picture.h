/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture of gates over time: one panel a signal, rows are units, columns are time. Made by cmd_gates.c from what a
 * probe recorded; written as SVG, or as HTML around the same SVG with the values under the pointer.
 */
#ifndef CLI_PICTURE_H
#define CLI_PICTURE_H

#include <stddef.h>
#include <stdio.h>

#define PICTURE_SIGNALS 8

struct picture {
    char *title, *subtitle, *caption; /* any text */
    size_t steps, columns;            /* T, and how many columns they were brought down to */
    size_t unit_count;
    const size_t *units; /* their numbers in the layer */
    size_t signal_count;
    const char *signals[PICTURE_SIGNALS];
    float *values; /* (signals, units, columns) */
};

/* Steps first to last (inclusive) of a column. */
void picture_column_steps(const struct picture *picture, size_t column, size_t *first, size_t *last);
/* "forget gate: how much of the cell is kept" */
const char *signal_meaning(const char *signal);

/* Both return EXIT_OK or say what is wrong; errors of the stream are left to its owner. */
int picture_write_svg(FILE *stream, const struct picture *picture);
int picture_write_html(FILE *stream, const struct picture *picture);

void write_base64(FILE *stream, const unsigned char *bytes, size_t size);

/* 256 colours, RGB: 0 to 254 from low to high, 255 for what is no number. */
#define PALETTE_TOP 254
#define PALETTE_NAN 255
enum palette { PALETTE_SEQUENTIAL, PALETTE_DIVERGING };
void palette_fill(enum palette palette, unsigned char rgb[256][3]);

#endif
