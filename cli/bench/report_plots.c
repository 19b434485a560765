/* SPDX-License-Identifier: Apache-2.0 */
/* The small pictures of the page of results: how long single calls took, and what more threads are worth. */
#include "report_html.h"

#include "html.h"
#include "show.h"
#include "suite.h"

#include <math.h>
#include <string.h>

#define WIDTH 320.0
#define HEIGHT 190.0
#define LEFT 38.0
#define RIGHT 14.0
#define BOTTOM 34.0

/* ---- single calls ------------------------------------------------------------------------------------------------ */

#define TOP 48.0 /* room for three names of percentiles, one above the other */

struct histogram {
    const json_t *bins;
    double low, high, most; /* decades of the times; the largest bin */
};

static double bin_bound(const json_t *bins, size_t i)
{
    const double bound = json_number_value(json_array_get(json_array_get(bins, i), 0));
    return bound > 0 ? log10(bound) : NAN;
}

static double bin_calls(const json_t *bins, size_t i)
{
    return json_number_value(json_array_get(json_array_get(bins, i), 1));
}

/* The lower bound of the first bin is not in the file: as wide as the others, eight to a factor of 2. */
static double bin_begin(const json_t *bins, size_t i)
{
    return i ? bin_bound(bins, i - 1) : bin_bound(bins, 0) - log10(2) / 8;
}

static int read_histogram(const json_t *latency, struct histogram *histogram)
{
    const json_t *bins = json_object_get(latency, "histogram");
    *histogram = (struct histogram){bins, HUGE_VAL, -HUGE_VAL, 0};
    for (size_t i = 0; i < json_array_size(bins); i++) {
        if (!isfinite(bin_begin(bins, i)) || !isfinite(bin_bound(bins, i)) || !(bin_calls(bins, i) > 0))
            continue;
        histogram->low = fmin(histogram->low, bin_begin(bins, i));
        histogram->high = fmax(histogram->high, bin_bound(bins, i));
        histogram->most = fmax(histogram->most, bin_calls(bins, i));
    }
    if (!(histogram->most > 0))
        return 0;
    if (histogram->high - histogram->low < 0.5) {
        const double middle = (histogram->high + histogram->low) / 2;
        histogram->low = middle - 0.25;
        histogram->high = middle + 0.25;
    }
    return 1;
}

static double time_x(const struct histogram *histogram, double decades)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (decades - histogram->low) / (histogram->high - histogram->low);
}

/* Logarithmic, so that a single late call can be seen beside thousands; one call is a twentieth of the height. */
static double calls_y(const struct histogram *histogram, double calls)
{
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (0.05 + 0.95 * log10(calls) / fmax(1, log10(histogram->most)));
}

static void write_time_axis(const struct histogram *histogram, FILE *out)
{
    const double room = histogram->high - histogram->low, gap = ceil(room / 5);
    static const double digits[] = {1, 2, 5};
    char text[32];
    for (double d = floor(histogram->low); d <= histogram->high; d++)
        for (size_t i = 0; i < 3; i++) {
            const double at = d + log10(digits[i]);
            if (at < histogram->low || at > histogram->high || (i && room > 1.7) || fmod(fabs(d), gap) > 0)
                continue;
            fprintf(out,
                    "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>"
                    "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">",
                    time_x(histogram, at), time_x(histogram, at), TOP, HEIGHT - BOTTOM, time_x(histogram, at),
                    HEIGHT - BOTTOM + 14);
            /* 10 us rather than 10.00 us */
            const double us = digits[i] * pow(10, d);
            snprintf(text, sizeof text, "%g %s",
                     us < 0.9999   ? us * 1e3
                     : us < 999.9  ? us
                     : us < 999999 ? us * 1e-3
                                   : us * 1e-6,
                     us < 0.9999   ? "ns"
                     : us < 999.9  ? "us"
                     : us < 999999 ? "ms"
                                   : "s");
            fprintf(out, "%s</text>\n", text);
        }
    for (double d = 0; d == 0 || d <= log10(histogram->most); d++) {
        const double y = calls_y(histogram, pow(10, d));
        fprintf(out,
                "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                LEFT, WIDTH - RIGHT, y, y, LEFT - 4, y + 4, pow(10, d));
    }
    fprintf(out, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">time of a call</text>", (LEFT + WIDTH - RIGHT) / 2,
            HEIGHT - 5);
    fprintf(out, "<text x=\"2\" y=\"%g\">calls</text>\n", TOP - 6);
}

static void write_percentiles(const json_t *latency, const struct histogram *histogram, FILE *out)
{
    static const char *const names[][2] = {{"p50_us", "p50"}, {"p99_us", "p99"}, {"p999_us", "p99.9"}};
    char time[32];
    for (size_t i = 0; i < 3; i++) {
        const double value = positive_of(latency, names[i][0]);
        const double x = time_x(histogram, fmin(histogram->high, fmax(histogram->low, log10(value))));
        const double y = 12 + 14 * (double)i;
        const int left = x > WIDTH / 2;
        if (!isfinite(value))
            continue;
        fprintf(out,
                "<line class=\"percentile\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>"
                "<text class=\"mark\" x=\"%.1f\" y=\"%g\" text-anchor=\"%s\">%s %s</text>\n",
                x, x, y - 8, HEIGHT - BOTTOM, x + (left ? -4 : 4), y, left ? "end" : "start", names[i][1],
                time_text(value, time));
    }
}

static void write_histogram(const json_t *benchmark, size_t index, FILE *out)
{
    const json_t *latency = json_object_get(benchmark, "step_latency");
    struct histogram histogram;
    char time[32];
    if (!read_histogram(latency, &histogram))
        return;
    fputs("<figure><figcaption>", out);
    report_key(benchmark, index, out);
    fprintf(out, "</figcaption><svg viewBox=\"0 0 %g %g\" role=\"img\"><title>Times of single calls of ", WIDTH,
            HEIGHT);
    html_text(text_of(benchmark, "name"), out);
    fputs("</title>\n", out);
    write_time_axis(&histogram, out);
    for (size_t i = 0; i < json_array_size(histogram.bins); i++) {
        const double begin = bin_begin(histogram.bins, i), end = bin_bound(histogram.bins, i);
        const double calls = bin_calls(histogram.bins, i);
        if (!isfinite(begin) || !isfinite(end) || !(calls >= 1) || !(end > begin))
            continue;
        const double x = time_x(&histogram, begin), y = calls_y(&histogram, calls);
        fprintf(out,
                "<rect class=\"c%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>%.0f calls up to "
                "%s</title></rect>\n",
                report_colour(benchmark), x, y, fmax(1, time_x(&histogram, end) - x - 0.5), HEIGHT - BOTTOM - y, calls,
                time_text(pow(10, end), time));
    }
    write_percentiles(latency, &histogram, out);
    fprintf(out, "</svg><p class=\"note\">%.0f calls, the longest %s</p></figure>\n", number_of(latency, "count"),
            time_text(number_of(latency, "max_us"), time));
}

void report_latency(const json_t *results, FILE *out)
{
    const json_t *benchmark;
    struct histogram histogram;
    size_t index, count = 0;
    EACH_MEASURED(results, index, benchmark)
    {
        count += read_histogram(json_object_get(benchmark, "step_latency"), &histogram);
    }
    if (!count)
        return;
    fputs("<section><h2>How long a single step takes</h2>\n<p>Every call timed alone. Both scales are logarithmic, so "
          "that rare late calls can be seen: they decide whether an audio or control loop keeps its deadline. On a "
          "machine that does other work most of them are its doing.</p>\n<div class=\"panels\">\n",
          out);
    EACH_MEASURED(results, index, benchmark)
    {
        write_histogram(benchmark, index, out);
    }
    fputs("</div></section>\n", out);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

#undef TOP
#define TOP 12.0

static double probe_threads(const json_t *benchmark, size_t i)
{
    return positive_of(json_array_get(json_object_get(benchmark, "scaling"), i), "threads");
}

/* Against the first probe, which is that with the fewest threads. */
static double probe_speed(const json_t *benchmark, size_t i)
{
    const json_t *probes = json_object_get(benchmark, "scaling");
    return positive_of(json_array_get(probes, 0), "median_us") / positive_of(json_array_get(probes, i), "median_us");
}

static size_t probe_count(const json_t *benchmark)
{
    return json_array_size(json_object_get(benchmark, "scaling"));
}

/* Of the pictures: the most threads, and the best speed-up, not below them. */
struct extent_of_threads {
    double least, most, speed;
};

static struct extent_of_threads find_extent(const json_t *results)
{
    struct extent_of_threads extent = {HUGE_VAL, 0, 1};
    const json_t *benchmark;
    size_t index;
    EACH_MEASURED(results, index, benchmark)
    {
        for (size_t i = 0; probe_count(benchmark) > 1 && i < probe_count(benchmark); i++) {
            if (!isfinite(probe_speed(benchmark, i)) || !isfinite(probe_threads(benchmark, i)))
                continue;
            extent.least = fmin(extent.least, probe_threads(benchmark, i));
            extent.most = fmax(extent.most, probe_threads(benchmark, i));
            extent.speed = fmax(extent.speed, probe_speed(benchmark, i));
        }
    }
    extent.speed = fmax(extent.speed, extent.most / extent.least);
    return extent;
}

static double threads_x(const struct extent_of_threads *extent, double threads)
{
    return LEFT + (WIDTH - LEFT - 3 * RIGHT) * log(threads / extent->least) / log(extent->most / extent->least);
}

static double speed_y(const struct extent_of_threads *extent, double speed)
{
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * speed / extent->speed;
}

static void write_threads_axes(const struct extent_of_threads *extent, FILE *out)
{
    const double gap = extent->speed <= 2.5 ? 0.5 : pow(2, ceil(log2(extent->speed / 5)));
    for (double speed = 0; speed <= extent->speed * 1.001; speed += gap)
        fprintf(out,
                "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                LEFT, WIDTH - RIGHT, speed_y(extent, speed), speed_y(extent, speed), LEFT - 4,
                speed_y(extent, speed) + 4, speed);
    for (double threads = extent->least; threads <= extent->most * 1.001; threads *= 2)
        fprintf(out, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%g</text>\n", threads_x(extent, threads),
                HEIGHT - BOTTOM + 14, threads);
    fprintf(out,
            "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">threads</text>"
            "<line class=\"lead\" stroke-dasharray=\"4 4\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
            (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, threads_x(extent, extent->least), speed_y(extent, 1),
            threads_x(extent, extent->most), speed_y(extent, extent->most / extent->least));
}

/* One curve; returns its end, for the number. */
static double write_curve(const json_t *benchmark, const struct extent_of_threads *extent, FILE *out)
{
    double end = NAN;
    fprintf(out, "<polyline class=\"l%d\" points=\"", report_colour(benchmark));
    for (size_t i = 0; i < probe_count(benchmark); i++) {
        if (!isfinite(probe_speed(benchmark, i)) || !isfinite(probe_threads(benchmark, i)))
            continue;
        end = speed_y(extent, probe_speed(benchmark, i));
        fprintf(out, "%.1f,%.1f ", threads_x(extent, probe_threads(benchmark, i)), end);
    }
    fputs("\"><title>", out);
    html_text(text_of(benchmark, "name"), out);
    fputs("</title></polyline>\n", out);
    return end;
}

static int belongs(const json_t *benchmark, int colour)
{
    return report_colour(benchmark) == colour && probe_count(benchmark) > 1;
}

static void write_legend(const json_t *results, int colour, FILE *out)
{
    const json_t *benchmark;
    size_t index;
    fputs("<ul class=\"bars legend\">\n", out);
    EACH_MEASURED(results, index, benchmark)
    {
        if (!belongs(benchmark, colour))
            continue;
        const size_t last = probe_count(benchmark) - 1;
        fputs("<li>", out);
        report_key(benchmark, index, out);
        if (isfinite(probe_speed(benchmark, last)))
            fprintf(out, "<span class=\"value\">%.*f&#215; <small>on %.0f</small></span>",
                    probe_speed(benchmark, last) < 0.1 ? 4 : 2, probe_speed(benchmark, last),
                    probe_threads(benchmark, last));
        fputs("</li>\n", out);
    }
    fputs("</ul>\n", out);
}

enum { CURVES_MOST = 256 };

/* The numbers at the ends of the curves, moved apart upwards from the lowest. */
static void write_numbers(double *ends, const size_t *numbers, size_t count, FILE *out)
{
    double below = HEIGHT - BOTTOM + 14;
    for (size_t done = 0; done < count && below > TOP; done++) {
        size_t lowest = 0;
        for (size_t i = 1; i < count; i++)
            if (ends[i] > ends[lowest])
                lowest = i;
        below = fmin(ends[lowest] + 4, below - 12);
        fprintf(out, "<text class=\"mark\" x=\"%g\" y=\"%.1f\">%zu</text>", WIDTH - 3 * RIGHT + 6, below,
                numbers[lowest]);
        ends[lowest] = -HUGE_VAL;
    }
}

static void write_scaling(const json_t *results, int colour, const struct extent_of_threads *extent, FILE *out)
{
    double ends[CURVES_MOST];
    size_t numbers[CURVES_MOST], curves = 0, count = 0, index;
    const json_t *benchmark;
    EACH_MEASURED(results, index, benchmark)
    {
        if (!belongs(benchmark, colour))
            continue;
        if (!curves++) {
            fputs("<figure><figcaption>", out);
            html_text(text_of(benchmark, "suite"), out);
            fprintf(out, "</figcaption><svg viewBox=\"0 0 %g %g\" role=\"img\"><title>Speed-up by threads</title>\n",
                    WIDTH, HEIGHT);
            write_threads_axes(extent, out);
        }
        const double end = write_curve(benchmark, extent, out);
        if (isfinite(end) && count < CURVES_MOST) {
            ends[count] = end;
            numbers[count++] = index + 1;
        }
    }
    if (!curves)
        return;
    write_numbers(ends, numbers, count, out);
    fputs("</svg>\n", out);
    write_legend(results, colour, out);
    fputs("</figure>\n", out);
}

void report_scaling(const json_t *results, FILE *out)
{
    const struct extent_of_threads extent = find_extent(results);
    if (!(extent.most > extent.least))
        return;
    fputs("<section><h2>What more threads are worth</h2>\n<p>Speed-up of short probes against the smallest thread "
          "count; the dashed line is proportional. Small shapes are fastest on one thread, and Latchwork measured "
          "each with the count that suits it best.</p>\n<div class=\"panels\">\n",
          out);
    for (int colour = 0; colour < 8; colour++)
        write_scaling(results, colour, &extent, out);
    fputs("</div></section>\n", out);
}
