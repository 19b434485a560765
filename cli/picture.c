/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws a picture of gates (see picture.h). A panel is a small PNG with one pixel a value, stretched by the SVG, so
 * that a file of a million cells stays small. Every text from outside is escaped.
 */
#include "picture.h"

#include "report.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

/* Lengths in SVG units. */
#define LEFT 74.0
#define PLOT 900.0
#define WIDTH 1060.0
#define TOP 92.0
#define GAP 40.0
#define BAR_LEFT (LEFT + PLOT + 18)
#define BAR_WIDTH 12.0
#define LABEL_SPACE 13.0 /* between two labels of rows */
#define BAR_STOPS 32
#define PNG_WIDTH 1800 /* pixels of a panel, at least */

struct panel {
    enum palette palette;
    double low, high;
    double top, height;
    int missing;      /* some value is no number */
    int above, below; /* some value lies beyond the scale */
};

void picture_column_steps(const struct picture *picture, size_t column, size_t *first, size_t *last)
{
    *first = (column * picture->steps + picture->columns - 1) / picture->columns;
    *last = ((column + 1) * picture->steps + picture->columns - 1) / picture->columns - 1;
}

static const struct {
    const char *signal, *meaning;
    int gate; /* between 0 and 1 */
} meanings[] = {
    {"input", "input gate: how much of the candidate is written", 1},
    {"forget", "forget gate: how much of the cell is kept", 1},
    {"output", "output gate: how much of the cell is shown", 1},
    {"candidate", "candidate: what would be written", 0},
    {"cell", "cell: what is latched", 0},
    {"hidden", "hidden: what the layer hands on", 0},
    {"reset", "reset gate: how much of the past the candidate sees", 1},
    {"update", "update gate: how much of the past is kept", 1},
};

static size_t meaning_of(const char *signal)
{
    size_t i = 0, count = sizeof meanings / sizeof meanings[0];
    while (i < count && strcmp(meanings[i].signal, signal) != 0)
        i++;
    return i;
}

const char *signal_meaning(const char *signal)
{
    size_t i = meaning_of(signal);
    return i < sizeof meanings / sizeof meanings[0] ? meanings[i].meaning : signal;
}

static void write_text(FILE *stream, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            fputs("&amp;", stream);
        else if (*text == '<')
            fputs("&lt;", stream);
        else if (*text == '>')
            fputs("&gt;", stream);
        else if (*text == '"')
            fputs("&quot;", stream);
        else
            putc(*text, stream);
    }
}

void write_base64(FILE *stream, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned group = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0u) |
                         (left > 2 ? bytes[i + 2] : 0u);
        putc(digits[group >> 18], stream);
        putc(digits[group >> 12 & 63], stream);
        putc(left > 1 ? digits[group >> 6 & 63] : '=', stream);
        putc(left > 2 ? digits[group & 63] : '=', stream);
    }
}

/* The smallest round number that is not below x > 0. */
static double round_up(double x)
{
    static const double steps[] = {1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10};
    double power = pow(10, floor(log10(x)));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (x <= steps[i] * power * (1 + 1e-9))
            return steps[i] * power;
    return 10 * power;
}

static double panel_height(const struct picture *picture)
{
    double row = floor(200.0 / (double)picture->unit_count);
    return (double)picture->unit_count * (row < 2 ? 2 : row > 18 ? 18 : row);
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The end of the scale for these values: their largest magnitude, unless a few stand out so far that the rest would
 * lose its colours; then the magnitude that 98 of 100 stay below. */
static double scale_end(const float *values, size_t count, double most)
{
    float *sorted = allocate(count, sizeof(float));
    size_t used = 0;
    if (!sorted)
        return most;
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            sorted[used++] = fabsf(values[i]);
    qsort(sorted, used, sizeof(float), compare);
    double usual = used ? (double)sorted[(used - 1) * 98 / 100] : 0;
    free(sorted);
    return usual > 0 && most > 1.5 * usual ? usual : most;
}

static struct panel panel_at(const struct picture *picture, size_t index)
{
    struct panel panel = {.height = panel_height(picture)};
    size_t count = picture->unit_count * picture->columns, meaning = meaning_of(picture->signals[index]);
    const float *values = picture->values + index * count;
    double low = 0, high = 0;
    panel.top = TOP + (double)index * (panel.height + GAP);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) {
            panel.missing = 1;
            continue;
        }
        low = values[i] < low ? (double)values[i] : low;
        high = values[i] > high ? (double)values[i] : high;
    }
    if (meaning < sizeof meanings / sizeof meanings[0] && meanings[meaning].gate) {
        panel.high = 1;
        return panel;
    }
    double most = high > -low ? high : -low, end = most > 1e-30 ? round_up(scale_end(values, count, most)) : 1;
    panel.palette = low < 0 ? PALETTE_DIVERGING : PALETTE_SEQUENTIAL;
    panel.high = end;
    panel.low = low < 0 ? -end : 0;
    panel.above = high > end;
    panel.below = low < panel.low;
    return panel;
}

static unsigned char colour_of(const struct panel *panel, float value)
{
    if (!isfinite(value))
        return PALETTE_NAN;
    double place = ((double)value - panel->low) / (panel->high - panel->low) * PALETTE_TOP + 0.5;
    return place <= 0 ? 0 : place >= PALETTE_TOP ? PALETTE_TOP : (unsigned char)place;
}

/* A PNG of the panel, malloc'd; NULL with a message. Each cell is a block of pixels, so that a viewer that smooths what
 * it stretches leaves its edges sharp; PNG packs the repetition away. */
static unsigned char *make_png(const struct picture *picture, const struct panel *panel, const float *values,
                               size_t *size)
{
    size_t columns = picture->columns, rows = picture->unit_count, wide = (PNG_WIDTH + columns - 1) / columns;
    size_t tall = (size_t)(2 * panel->height) / rows, width = columns * wide, height = rows * tall;
    unsigned char *pixels = allocate(product(width, height), 1), *bytes = NULL, colours[256][3];
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = PNG_FORMAT_RGB_COLORMAP,
                       .colormap_entries = 256};
    png_alloc_size_t room = 0;
    for (size_t y = 0; pixels && y < height; y++)
        for (size_t x = 0; x < width; x++)
            pixels[y * width + x] = colour_of(panel, values[y / tall * columns + x / wide]);
    palette_fill(panel->palette, colours);
    int stride = (int)width;
    if (pixels && png_image_write_to_memory(&image, NULL, &room, 0, pixels, stride, colours))
        bytes = allocate(room, 1);
    if (bytes && !png_image_write_to_memory(&image, bytes, &room, 0, pixels, stride, colours)) {
        free(bytes);
        bytes = NULL;
    }
    if (!bytes)
        fail("the picture could not be made: %s", *image.message ? image.message : "out of memory");
    free(pixels);
    *size = room;
    return bytes;
}

static int write_cells(FILE *stream, const struct picture *picture, const struct panel *panel, size_t index)
{
    size_t size, count = picture->unit_count * picture->columns;
    unsigned char *bytes = make_png(picture, panel, picture->values + index * count, &size);
    if (!bytes)
        return EXIT_WORK;
    fprintf(stream,
            "<image class=\"cells\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" preserveAspectRatio=\"none\" "
            "style=\"image-rendering:optimizeSpeed;image-rendering:pixelated\" href=\"data:image/png;base64,",
            LEFT, panel->top, PLOT, panel->height);
    write_base64(stream, bytes, size);
    fputs("\"/>\n", stream);
    free(bytes);
    return EXIT_OK;
}

/* Round distance between labels so that at most `most` of them stand in `count`. */
static size_t label_step(size_t count, size_t most)
{
    size_t step = count / (most ? most : 1);
    return step <= 1 && count <= most ? 1 : (size_t)(round_up((double)(step ? step : 1)) + 0.5);
}

static void write_time_axis(FILE *stream, const struct picture *picture, const struct panel *panel, int labels)
{
    double bottom = panel->top + panel->height;
    size_t step = label_step(picture->steps, 10);
    for (size_t t = 0; t < picture->steps; t += step) {
        double x = LEFT + PLOT * ((double)t + 0.5) / (double)picture->steps;
        fprintf(stream, "<line class=\"tick\" x1=\"%.2f\" y1=\"%g\" x2=\"%.2f\" y2=\"%g\"/>\n", x, bottom, x,
                bottom + 4);
        if (labels)
            fprintf(stream, "<text class=\"label\" x=\"%.2f\" y=\"%g\" text-anchor=\"middle\">%zu</text>\n", x,
                    bottom + 17, t);
        if (picture->steps - t <= step)
            break;
    }
    if (labels)
        fprintf(stream, "<text class=\"label\" x=\"%g\" y=\"%g\" text-anchor=\"middle\">time step</text>\n",
                LEFT + PLOT / 2, bottom + 34);
}

static void write_unit_axis(FILE *stream, const struct picture *picture, const struct panel *panel)
{
    double row = panel->height / (double)picture->unit_count;
    size_t step = label_step(picture->unit_count, (size_t)(panel->height / LABEL_SPACE));
    for (size_t u = 0; u < picture->unit_count; u += step) {
        double y = panel->top + row * ((double)u + 0.5);
        fprintf(stream, "<line class=\"tick\" x1=\"%g\" y1=\"%.2f\" x2=\"%g\" y2=\"%.2f\"/>\n", LEFT - 4, y, LEFT, y);
        fprintf(stream, "<text class=\"label\" x=\"%g\" y=\"%.2f\" text-anchor=\"end\">%zu</text>\n", LEFT - 7, y + 3.5,
                picture->units[u]);
    }
    double middle = panel->top + panel->height / 2;
    fprintf(
        stream,
        "<text class=\"label\" x=\"32\" y=\"%g\" text-anchor=\"middle\" transform=\"rotate(-90 32 %g)\">unit</text>\n",
        middle, middle);
}

static void write_legend(FILE *stream, const struct panel *panel, size_t index)
{
    unsigned char colours[256][3];
    palette_fill(panel->palette, colours);
    fprintf(stream, "<linearGradient id=\"scale%zu\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">", index);
    for (int i = 0; i <= BAR_STOPS; i++) {
        const unsigned char *c = colours[i * PALETTE_TOP / BAR_STOPS];
        fprintf(stream, "<stop offset=\"%g\" stop-color=\"#%02x%02x%02x\"/>", (double)i / BAR_STOPS, c[0], c[1], c[2]);
    }
    fprintf(stream,
            "</linearGradient>\n<rect class=\"frame\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" "
            "style=\"fill:url(#scale%zu)\"/>\n",
            BAR_LEFT, panel->top, BAR_WIDTH, panel->height, index);
    const double parts[] = {1, 0.5, 0};
    for (size_t i = 0; i < 3; i++) {
        double value = panel->low + (panel->high - panel->low) * parts[i];
        if (i == 1 && panel->height < 3 * LABEL_SPACE)
            continue;
        fprintf(stream, "<text class=\"label\" x=\"%g\" y=\"%g\">%s%s%g</text>\n", BAR_LEFT + BAR_WIDTH + 5,
                panel->top + panel->height * (1 - parts[i]) +
                    (i == 0   ? 9.0
                     : i == 1 ? 4.0
                              : 0.0),
                i == 0 && panel->above   ? "\xe2\x89\xa5 "
                : i == 2 && panel->below ? "\xe2\x89\xa4 "
                                         : "",
                value < 0 ? "\xe2\x88\x92" : "", fabs(value));
    }
}

static int write_panel(FILE *stream, const struct picture *picture, size_t index)
{
    struct panel panel = panel_at(picture, index);
    const char *meaning = signal_meaning(picture->signals[index]);
    const char *colon = strchr(meaning, ':');
    int bold = colon ? (int)(colon - meaning) : (int)strlen(meaning);
    fprintf(stream, "<text class=\"name\" x=\"%g\" y=\"%g\"><tspan class=\"bold\">%.*s</tspan>%s%s</text>\n", LEFT,
            panel.top - 8, bold, meaning, meaning + bold, panel.missing ? " (magenta: not a finite number)" : "");
    int status = write_cells(stream, picture, &panel, index);
    if (status != EXIT_OK)
        return status;
    fprintf(stream, "<rect class=\"frame\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"/>\n", LEFT, panel.top, PLOT,
            panel.height);
    write_unit_axis(stream, picture, &panel);
    write_time_axis(stream, picture, &panel, index + 1 == picture->signal_count);
    write_legend(stream, &panel, index);
    return EXIT_OK;
}

int picture_write_svg(FILE *stream, const struct picture *picture)
{
    double height = TOP + (double)picture->signal_count * (panel_height(picture) + GAP) + 30;
    fprintf(stream,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" height=\"%g\" role=\"img\">\n"
            "<title>",
            WIDTH, height, WIDTH, height);
    write_text(stream, picture->title);
    fputs("</title>\n<style>text{font-family:system-ui,'Helvetica Neue',Helvetica,Arial,sans-serif;fill:#222}"
          ".title{font-size:20px;font-weight:600}.sub{font-size:13px;fill:#555}.name{font-size:13px}"
          ".bold{font-weight:600}.label{font-size:11px;fill:#555}.frame{fill:none;stroke:#888;stroke-width:.7}"
          ".tick{stroke:#888;stroke-width:.7}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
          stream);
    fprintf(stream, "<text class=\"title\" x=\"%g\" y=\"30\">", LEFT);
    write_text(stream, picture->title);
    fprintf(stream, "</text>\n<text class=\"sub\" x=\"%g\" y=\"50\">", LEFT);
    write_text(stream, picture->subtitle);
    fputs("</text>\n", stream);
    int status = EXIT_OK;
    for (size_t i = 0; status == EXIT_OK && i < picture->signal_count; i++)
        status = write_panel(stream, picture, i);
    fprintf(stream, "<text class=\"sub\" x=\"%g\" y=\"%g\">", LEFT, height - 8);
    write_text(stream, picture->caption);
    fputs("</text>\n</svg>\n", stream);
    return status;
}
