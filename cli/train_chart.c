/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws a chart (see train_chart.h). Curves of more points than the picture has room for are brought down by means, so
 * that a report of a million updates stays small.
 */
#include "train_chart.h"

#include <math.h>

#define WIDTH 1000.0
#define HEIGHT 340.0
#define LEFT 78.0
#define RIGHT 20.0
#define TOP 30.0
#define BOTTOM 48.0
#define POINTS 700 /* of a curve, at most */

struct scale {
    double low, high;
    int logarithmic;
};

static double x_of(const struct curve *curve, size_t i)
{
    return curve->x ? curve->x[i * curve->x_stride] : (double)i;
}

/* Mean of the points `first` to `last`, those left out that cannot be drawn; not a number when none is left. */
static double mean_of(const struct curve *curve, size_t first, size_t last, int logarithmic)
{
    double sum = 0;
    size_t used = 0;
    for (size_t i = first; i < last; i++) {
        double y = curve->y[i * curve->y_stride];
        if (!isfinite(y) || (logarithmic && y <= 0))
            continue;
        sum += y;
        used++;
    }
    return used ? sum / (double)used : NAN;
}

static size_t bucket_count(const struct curve *curve)
{
    return curve->count < POINTS ? curve->count : POINTS;
}

static double bucket(const struct chart *chart, const struct curve *curve, size_t k, double *x)
{
    size_t count = bucket_count(curve);
    size_t first = k * curve->count / count, last = (k + 1) * curve->count / count;
    *x = (x_of(curve, first) + x_of(curve, last - 1)) / 2;
    return mean_of(curve, first, last, chart->logarithmic);
}

static void find_scales(const struct chart *chart, struct scale *xs, struct scale *ys)
{
    *xs = (struct scale){0, 1, 0};
    *ys = (struct scale){HUGE_VAL, -HUGE_VAL, chart->logarithmic};
    for (size_t c = 0; c < chart->curve_count; c++) {
        const struct curve *curve = &chart->curves[c];
        for (size_t k = 0; k < bucket_count(curve); k++) {
            double x, y = bucket(chart, curve, k, &x);
            xs->high = fmax(xs->high, x);
            if (isfinite(y)) {
                y = chart->logarithmic ? log10(y) : y;
                ys->low = fmin(ys->low, y);
                ys->high = fmax(ys->high, y);
            }
        }
    }
    if (ys->low > ys->high)
        *ys = (struct scale){0, 1, chart->logarithmic};
    if (chart->logarithmic) {
        ys->low = floor(ys->low);
        ys->high = fmax(ceil(ys->high), ys->low + 1);
    } else {
        double room = ys->high > ys->low ? 0.05 * (ys->high - ys->low) : 0.5;
        ys->low = ys->low >= 0 && ys->low < 0.3 * ys->high ? 0 : ys->low - room;
        ys->high += room;
    }
}

static double place(const struct scale *scale, double value, double from, double to)
{
    return from + (to - from) * (value - scale->low) / (scale->high - scale->low);
}

/* A round distance (1, 2 or 5 times a power of ten) that gives at most `most` of them. */
static double round_step(double range, double most)
{
    double raw = range / most, power = pow(10, floor(log10(raw)));
    return raw <= power ? power : raw <= 2 * power ? 2 * power : raw <= 5 * power ? 5 * power : 10 * power;
}

static void write_y_axis(FILE *stream, const struct scale *ys)
{
    double step = round_step(ys->high - ys->low, 7);
    if (ys->logarithmic)
        step = fmax(1, ceil((ys->high - ys->low) / 8));
    for (double v = ceil(ys->low / step - 1e-9) * step; v <= ys->high + 1e-9 * step; v += step) {
        double y = place(ys, v, HEIGHT - BOTTOM, TOP);
        fprintf(stream, "<line class=\"grid\" x1=\"%g\" y1=\"%.2f\" x2=\"%g\" y2=\"%.2f\"/>\n", LEFT, y, WIDTH - RIGHT,
                y);
        if (ys->logarithmic)
            fprintf(stream,
                    "<text class=\"label\" x=\"%g\" y=\"%.2f\" text-anchor=\"end\">10<tspan dy=\"-5\" "
                    "font-size=\"8\">%s%.0f</tspan></text>\n",
                    LEFT - 7, y + 4, v < 0 ? "\xe2\x88\x92" : "", fabs(v));
        else
            fprintf(stream, "<text class=\"label\" x=\"%g\" y=\"%.2f\" text-anchor=\"end\">%.6g</text>\n", LEFT - 7,
                    y + 4, fabs(v) < 1e-9 * step ? 0.0 : v);
    }
}

static void write_x_axis(FILE *stream, const struct scale *xs)
{
    double step = fmax(1, round_step(xs->high - xs->low, 10));
    for (double v = 0; v <= xs->high + 1e-9 * step; v += step) {
        double x = place(xs, v, LEFT, WIDTH - RIGHT);
        fprintf(stream, "<line class=\"frame\" x1=\"%.2f\" y1=\"%g\" x2=\"%.2f\" y2=\"%g\"/>\n", x, HEIGHT - BOTTOM, x,
                HEIGHT - BOTTOM + 4);
        fprintf(stream, "<text class=\"label\" x=\"%.2f\" y=\"%g\" text-anchor=\"middle\">%.10g</text>\n", x,
                HEIGHT - BOTTOM + 17, v);
    }
}

static void write_curve(FILE *stream, const struct chart *chart, const struct curve *curve, const struct scale *xs,
                        const struct scale *ys)
{
    int drawing = 0;
    fprintf(stream, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" stroke-linejoin=\"round\" d=\"",
            curve->colour);
    for (size_t k = 0; k < bucket_count(curve); k++) {
        double x, y = bucket(chart, curve, k, &x);
        if (isfinite(y))
            fprintf(stream, "%c%.2f %.2f", drawing ? 'L' : 'M', place(xs, x, LEFT, WIDTH - RIGHT),
                    place(ys, chart->logarithmic ? log10(y) : y, HEIGHT - BOTTOM, TOP));
        drawing = isfinite(y);
    }
    fputs("\"/>\n", stream);
    for (size_t k = 0; curve->dots && k < bucket_count(curve); k++) {
        double x, y = bucket(chart, curve, k, &x);
        if (isfinite(y))
            fprintf(stream, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"2.6\" fill=\"%s\"/>\n",
                    place(xs, x, LEFT, WIDTH - RIGHT),
                    place(ys, chart->logarithmic ? log10(y) : y, HEIGHT - BOTTOM, TOP), curve->colour);
    }
}

void chart_write(FILE *stream, const struct chart *chart)
{
    struct scale xs, ys;
    find_scales(chart, &xs, &ys);
    fprintf(stream, "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" role=\"img\">\n",
            WIDTH, HEIGHT);
    write_y_axis(stream, &ys);
    write_x_axis(stream, &xs);
    fprintf(stream, "<rect class=\"frame\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"/>\n", LEFT, TOP,
            WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    for (size_t c = 0; c < chart->curve_count; c++)
        write_curve(stream, chart, &chart->curves[c], &xs, &ys);
    double x = LEFT;
    for (size_t c = 0; c < chart->curve_count; c++, x += 260)
        fprintf(stream,
                "<line x1=\"%g\" y1=\"14\" x2=\"%g\" y2=\"14\" stroke=\"%s\" stroke-width=\"3\"/>"
                "<text class=\"label\" x=\"%g\" y=\"18\">%s</text>\n",
                x, x + 22, chart->curves[c].colour, x + 28, chart->curves[c].name);
    fprintf(stream, "<text class=\"label\" x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, chart->x_label);
    double middle = (TOP + HEIGHT - BOTTOM) / 2;
    fprintf(stream,
            "<text class=\"label\" x=\"16\" y=\"%g\" text-anchor=\"middle\" transform=\"rotate(-90 16 %g)\">%s</text>\n"
            "</svg>\n",
            middle, middle, chart->y_label);
}
