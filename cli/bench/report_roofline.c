/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The roofline of the page of results: one picture for each thread count that workloads were measured with, since the
 * limits differ; below it how near each workload came to its limit. Labels are put where they cover nothing.
 */
#include "report_html.h"

#include "html.h"
#include "show.h"

#include <math.h>
#include <string.h>

#define WIDTH 400.0
#define HEIGHT 340.0
#define LEFT 46.0
#define RIGHT 12.0
#define TOP 16.0
#define BOTTOM 44.0
#define CHARACTER 6.2 /* of a label, about */

enum { BOXES_MOST = 1000 };

/* What is covered already. */
struct boxes {
    struct box {
        double x, y, width, height; /* x, y: the middle */
    } list[BOXES_MOST];
    size_t count;
};

/* Decades. */
struct scales {
    double x_low, x_high, y_low, y_high;
};

static const char *const levels[][2] = {{"l1", "L1"}, {"l2", "L2"}, {"l3", "L3"}, {"dram", "DRAM"}};

static int is_free(const struct boxes *boxes, const struct box *box)
{
    if (box->x - box->width / 2 < LEFT || box->x + box->width / 2 > WIDTH - RIGHT || box->y - box->height / 2 < TOP ||
        box->y + box->height / 2 > HEIGHT - BOTTOM)
        return 0;
    for (size_t i = 0; i < boxes->count; i++) {
        const struct box *other = &boxes->list[i];
        if (fabs(box->x - other->x) < (box->width + other->width) / 2 &&
            fabs(box->y - other->y) < (box->height + other->height) / 2)
            return 0;
    }
    return 1;
}

static void cover(struct boxes *boxes, struct box box)
{
    if (boxes->count < BOXES_MOST)
        boxes->list[boxes->count++] = box;
}

static double x_of(const struct scales *scales, double decades)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (decades - scales->x_low) / (scales->x_high - scales->x_low);
}

static double y_of(const struct scales *scales, double decades)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (decades - scales->y_low) / (scales->y_high - scales->y_low);
}

/* Decades of FLOP by byte and of FLOP/s; 0 when the benchmark has no place in the picture. */
static int place_of(const json_t *benchmark, double *x, double *y)
{
    *x = log10(positive_of(benchmark, "flops") / positive_of(benchmark, "bytes"));
    *y = log10(positive_of(benchmark, "flops_per_second"));
    return isfinite(*x) && isfinite(*y);
}

static void include(struct scales *scales, double x, double y)
{
    scales->x_low = fmin(scales->x_low, x);
    scales->x_high = fmax(scales->x_high, x);
    scales->y_low = fmin(scales->y_low, y);
    scales->y_high = fmax(scales->y_high, y);
}

/* The same for all thread counts, with every dot and every corner of the roofs. 0 without dots. */
static int find_scales(const json_t *results, struct scales *scales)
{
    const json_t *benchmark, *limits;
    size_t index;
    double x, y;
    *scales = (struct scales){HUGE_VAL, -HUGE_VAL, HUGE_VAL, -HUGE_VAL};
    EACH_MEASURED(results, index, benchmark)
    {
        if (place_of(benchmark, &x, &y))
            include(scales, x, y);
    }
    if (scales->x_low > scales->x_high)
        return 0;
    json_array_foreach(json_object_get(own_context(results), "limits"), index, limits)
    {
        const double peak = log10(positive_of(limits, "flops_per_second"));
        for (size_t i = 0; i < 4; i++)
            if (isfinite(peak - log10(positive_of(limits, levels[i][0]))))
                include(scales, peak - log10(positive_of(limits, levels[i][0])), peak);
    }
    scales->x_low -= fmax(0.5, 0.3 * (scales->x_high - scales->x_low)); /* room for the names of the slopes */
    scales->x_high += 0.25;
    scales->y_low -= 0.2;
    scales->y_high += 0.2;
    return 1;
}

static void write_grid(const struct scales *scales, FILE *out)
{
    for (double d = floor(scales->x_low); d <= scales->x_high; d++)
        for (int digit = 1; digit < 10; digit++) {
            const double at = d + log10(digit), x = x_of(scales, at);
            if (at < scales->x_low || at > scales->x_high)
                continue;
            fprintf(out, "<line class=\"grid%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>",
                    digit == 1 ? "" : " fine", x, x, TOP, HEIGHT - BOTTOM);
            if (digit == 1 || (scales->x_high - scales->x_low < 3 && (digit == 2 || digit == 5)))
                fprintf(out, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%g</text>", x, HEIGHT - BOTTOM + 15,
                        digit * pow(10, d));
        }
    for (double d = floor(scales->y_low); d <= scales->y_high; d++)
        for (int digit = 1; digit < 10; digit++) {
            const double at = d + log10(digit), y = y_of(scales, at);
            if (at < scales->y_low || at > scales->y_high)
                continue;
            fprintf(out, "<line class=\"grid%s\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>",
                    digit == 1 ? "" : " fine", LEFT, WIDTH - RIGHT, y, y);
            if (digit == 1 || (scales->y_high - scales->y_low < 2.5 && (digit == 2 || digit == 5)))
                fprintf(out, "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%g</text>", LEFT - 5, y + 4,
                        digit * pow(10, d - 9));
        }
    fprintf(out,
            "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">FLOP by byte</text>"
            "<text x=\"12\" y=\"%g\" text-anchor=\"middle\" transform=\"rotate(-90 12 %g)\">GFLOP/s</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, (TOP + HEIGHT - BOTTOM) / 2, (TOP + HEIGHT - BOTTOM) / 2);
}

/* A label along a line that rises by `rise` pixels a pixel from (x, y), above or below it: at the first place where it
 * covers nothing. 0 where there is none. */
static int label_line(struct boxes *boxes, const char *text, double x, double y, double end, double rise, int below,
                      FILE *out)
{
    const double length = CHARACTER * (double)strlen(text), along = 1 / sqrt(1 + rise * rise);
    const double middle = below ? 9 / along : -8, foot = below ? 13 / along : -4;
    for (double at = x + 6; at + length * along < end; at += 8) {
        int room = 1;
        for (double step = 4; step < length && room; step += 6)
            room = is_free(boxes, &(struct box){at + step * along, y - (at + step * along - x) * rise + middle, 8, 11});
        if (!room)
            continue;
        for (double step = 4; step < length; step += 6)
            cover(boxes, (struct box){at + step * along, y - (at + step * along - x) * rise + middle, 8, 11});
        const double base = y - (at - x) * rise + foot;
        fprintf(out, "<text class=\"roof-name\" x=\"%.1f\" y=\"%.1f\" transform=\"rotate(%.1f %.1f %.1f)\">%s</text>\n",
                at, base, -atan(rise) * 57.29578, at, base, text);
        return 1;
    }
    return 0;
}

/* Whether the next slope above is too near for a label between them. */
static int is_crowded(const struct scales *scales, const json_t *limits, double rate, double rise)
{
    const double decade = (HEIGHT - TOP - BOTTOM) / (scales->y_high - scales->y_low);
    for (size_t i = 0; i < 4; i++) {
        const double gap = log10(positive_of(limits, levels[i][0])) - rate;
        if (gap > 0 && gap * decade < 14 * sqrt(1 + rise * rise))
            return 1;
    }
    return 0;
}

static void write_roofs(const struct scales *scales, const json_t *limits, struct boxes *boxes, FILE *out)
{
    const double peak = log10(positive_of(limits, "flops_per_second"));
    double first = scales->x_high;
    char text[64];
    const double rise = (HEIGHT - TOP - BOTTOM) / (scales->y_high - scales->y_low) /
                        ((WIDTH - LEFT - RIGHT) / (scales->x_high - scales->x_low));
    for (size_t i = 0; i < 4 && isfinite(peak); i++) {
        const double rate = log10(positive_of(limits, levels[i][0])), corner = peak - rate;
        const double begin = fmax(scales->x_low, scales->y_low - rate);
        if (!isfinite(rate) || begin >= corner)
            continue;
        first = fmin(first, corner);
        fprintf(out, "<line class=\"roof\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x_of(scales, begin),
                y_of(scales, begin + rate), x_of(scales, corner), y_of(scales, peak));
        snprintf(text, sizeof text, "%s %.0f GB/s", levels[i][1], pow(10, rate - 9));
        label_line(boxes, text, x_of(scales, begin), y_of(scales, begin + rate), x_of(scales, corner), rise,
                   is_crowded(scales, limits, rate, rise), out);
    }
    if (!isfinite(peak))
        return;
    fprintf(out, "<line class=\"roof\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%g\" y2=\"%.1f\"/>", x_of(scales, first),
            y_of(scales, peak), WIDTH - RIGHT, y_of(scales, peak));
    snprintf(text, sizeof text, "FMA peak %.0f GFLOP/s", pow(10, peak - 9));
    const double right = fmax(x_of(scales, first), WIDTH - RIGHT - 12 - CHARACTER * (double)strlen(text));
    if (!label_line(boxes, text, right, y_of(scales, peak), WIDTH - RIGHT, 0, 0, out))
        label_line(boxes, text, x_of(scales, first), y_of(scales, peak), WIDTH - RIGHT, 0, 0, out);
}

/* A dot's number beside it, farther away with a line where it is crowded. */
static void label_dot(struct boxes *boxes, size_t number, double x, double y, FILE *out)
{
    const double width = number < 10 ? 9 : number < 100 ? 15 : 22;
    for (int ring = 0; ring < 5; ring++)
        for (int turn = 0; turn < 12; turn++) {
            const double angle = turn * 0.5235988, away = 6 + 9 * ring;
            const struct box box = {x + (away + width / 2) * cos(angle), y - (away + 5) * sin(angle), width, 11};
            if (!is_free(boxes, &box))
                continue;
            cover(boxes, box);
            if (ring)
                fprintf(out, "<line class=\"lead\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x, y,
                        box.x - width / 2 * cos(angle), box.y + 4 * sin(angle));
            fprintf(out, "<text class=\"mark\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%zu</text>\n", box.x,
                    box.y + 4, number);
            return;
        }
}

static size_t count_dots(const json_t *results, double threads)
{
    const json_t *benchmark;
    size_t index, count = 0;
    double x, y;
    EACH_MEASURED(results, index, benchmark)
    {
        count += number_of(benchmark, "threads") == threads && place_of(benchmark, &x, &y);
    }
    return count;
}

static void write_dots(const json_t *results, double threads, const struct scales *scales, struct boxes *boxes,
                       FILE *out)
{
    const json_t *benchmark;
    size_t index;
    double x, y;
    char text[32];
    EACH_MEASURED(results, index, benchmark)
    {
        if (number_of(benchmark, "threads") != threads || !place_of(benchmark, &x, &y))
            continue;
        label_dot(boxes, index + 1, x_of(scales, x), y_of(scales, y), out);
        fprintf(out, "<circle class=\"c%d\" r=\"5\" cx=\"%.1f\" cy=\"%.1f\"><title>%zu: ", report_colour(benchmark),
                x_of(scales, x), y_of(scales, y), index + 1);
        html_text(text_of(benchmark, "name"), out);
        fprintf(out, ", %s at %.3g FLOP by byte</title></circle>\n", report_speed(pow(10, y), text), pow(10, x));
    }
}

static void write_panel(const json_t *results, double threads, const struct scales *scales, FILE *out)
{
    static struct boxes boxes;
    const json_t *benchmark, *limits;
    size_t index;
    double x, y;
    boxes.count = 0;
    EACH_MEASURED(results, index, benchmark)
    {
        if (number_of(benchmark, "threads") == threads && place_of(benchmark, &x, &y))
            cover(&boxes, (struct box){x_of(scales, x), y_of(scales, y), 11, 11});
    }
    fprintf(
        out,
        "<figure><figcaption>%.0f thread%s</figcaption><svg viewBox=\"0 0 %g %g\" role=\"img\"><title>Roofline with "
        "%.0f thread%s: %zu workloads below the limits of the machine</title>\n",
        threads, threads == 1 ? "" : "s", WIDTH, HEIGHT, threads, threads == 1 ? "" : "s",
        count_dots(results, threads));
    write_grid(scales, out);
    json_array_foreach(json_object_get(own_context(results), "limits"), index, limits)
    {
        if (number_of(limits, "threads") == threads)
            write_roofs(scales, limits, &boxes, out);
    }
    write_dots(results, threads, scales, &boxes, out);
    fputs("</svg></figure>\n", out);
}

/* The next greater thread count that workloads were measured with, or NAN. */
static double next_threads(const json_t *results, double after)
{
    const json_t *benchmark;
    size_t index;
    double next = NAN;
    EACH_MEASURED(results, index, benchmark)
    {
        const double threads = number_of(benchmark, "threads");
        if (threads > after && !(threads >= next) && count_dots(results, threads))
            next = threads;
    }
    return next;
}

static void write_shares(const json_t *results, FILE *out)
{
    const json_t *benchmark;
    size_t index;
    char text[32];
    fputs(
        "<h3>Share of the limit</h3>\n<p>The least time that the limits allow, by the median. The list is also the key "
        "to the numbers in the pictures.</p>\n<ul class=\"bars\">\n",
        out);
    EACH_MEASURED(results, index, benchmark)
    {
        const double share = number_of(benchmark, "share_of_limit"), rate = number_of(benchmark, "flops_per_second");
        fputs("<li>", out);
        report_key(benchmark, index, out);
        fprintf(out, "<span class=\"bar\"><i class=\"c%d\" style=\"width:%.1f%%\"></i></span><span class=\"value\">",
                report_colour(benchmark), isfinite(share) ? 100 * fmin(1, fmax(0, share)) : 0.0);
        if (isfinite(share)) {
            fprintf(out, "%.*f %% of ", share < 0.0995 ? 1 : 0, 100 * share);
            html_text(text_of(benchmark, "limit"), out);
        }
        if (isfinite(rate))
            fprintf(out, "<small>%s</small>", report_speed(rate, text));
        fputs("</span></li>\n", out);
    }
    fputs("</ul>\n", out);
}

void report_roofline(const json_t *results, FILE *out)
{
    struct scales scales;
    if (!find_scales(results, &scales))
        return;
    fputs("<section><h2>How close to the machine&#8217;s limits</h2>\n<p>Each dot is a workload: to the right the work "
          "that it does for a byte of weights, upwards its speed. Below the slopes it can be no faster than the memory "
          "level that holds its weights delivers them, below the flat roof no faster than the multiply-add units. What "
          "is left to the line is what software could still win. Both scales are logarithmic; the limits were measured "
          "in the same run.</p>\n"
          "<div class=\"panels large\">\n",
          out);
    for (double threads = next_threads(results, 0); isfinite(threads); threads = next_threads(results, threads))
        write_panel(results, threads, &scales, out);
    fputs("</div>\n", out);
    write_shares(results, out);
    fputs("</section>\n", out);
}
