/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chart of curves as SVG, with a linear or logarithmic scale. Used by train_report.c. Names and titles are the
 * program's own texts and stand in the file as they are.
 */
#ifndef CLI_TRAIN_CHART_H
#define CLI_TRAIN_CHART_H

#include <stddef.h>
#include <stdio.h>

#define CHART_CURVES 4

struct curve {
    const char *name, *colour; /* "#rrggbb" */
    const double *x, *y;       /* (count), x rising; NULL: 0, 1, 2, ... Points that are no finite number, or not above
                                * 0 on a logarithmic scale, leave a gap */
    size_t count;
    size_t x_stride, y_stride; /* in doubles */
    int dots;                  /* mark the points */
};

struct chart {
    const char *x_label, *y_label;
    int logarithmic;
    size_t curve_count;
    struct curve curves[CHART_CURVES];
};

void chart_write(FILE *stream, const struct chart *chart);

#endif
