/* SPDX-License-Identifier: Apache-2.0 */
/* The page of trends: for each workload its medians over the runs, its levels as lines, its changes marked; see
 * history.h. Called by history.c. */
#include "history.h"
#include "html.h"
#include "show.h"

#include <math.h>

enum { WIDTH = 760, HEIGHT = 160, EDGE = 12, NAMES = 28 /* room above and below for the ends of the scale */ };

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:820px;margin:2em auto;padding:0 "
    "1em;color:#1c2530;background:#fff}"
    "h2{font-size:1.05em;margin:2em 0 .2em}p{margin:.2em 0;color:#566270}svg{width:100%;height:auto;background:#f5f7f9;"
    "border-radius:6px}circle{fill:#2563a8}.level{stroke:#1c2530;stroke-width:1.5}.change{stroke:#c2410c;"
    "stroke-dasharray:4 3}text{font-size:11px;fill:#566270}"
    "@media(prefers-color-scheme:dark){body{color:#e4e9ee;background:#14181d}svg{background:#1d232a}circle{fill:#"
    "6cb2f5}"
    ".level{stroke:#e4e9ee}.change{stroke:#fb923c}p,text{color:#9aa7b4;fill:#9aa7b4}}";

struct scale {
    double least, most;
    size_t count;
};

static double x_of(const struct scale *scale, double at)
{
    return EDGE + (WIDTH - 2 * EDGE) * (at + 0.5) / (double)scale->count;
}

static double y_of(const struct scale *scale, double us)
{
    return HEIGHT - NAMES - (HEIGHT - 2 * NAMES) * (us - scale->least) / (scale->most - scale->least);
}

/* Zero is not on the axis; at least 10 % are, so that noise looks like noise. */
static struct scale scale_of(const struct trend *trend)
{
    struct scale scale = {INFINITY, -INFINITY, trend->count};
    for (size_t i = 0; i < trend->count; i++) {
        scale.least = fmin(scale.least, trend->us[i]);
        scale.most = fmax(scale.most, trend->us[i]);
    }
    const double middle = 0.5 * (scale.least + scale.most),
                 half = fmax(0.5 * (scale.most - scale.least), 0.05 * middle);
    scale.least = middle - half;
    scale.most = middle + half;
    return scale;
}

static void write_levels(const struct trend *trend, const struct scale *scale, FILE *out)
{
    for (size_t part = 0; part <= trend->change_count; part++) {
        const size_t begin = part ? trend->changes[part - 1] : 0;
        const size_t end = part < trend->change_count ? trend->changes[part] : trend->count;
        const double y = y_of(scale, level_at(trend, begin)), x = x_of(scale, (double)begin - 0.5);
        fprintf(out, "<line class=\"level\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x,
                x_of(scale, (double)end - 0.5), y, y);
        if (part)
            fprintf(out, "<line class=\"change\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%d\"/>", x, x, HEIGHT);
    }
}

static void write_picture(const struct trend *trend, FILE *out)
{
    const struct scale scale = scale_of(trend);
    char text[200], time[32];
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\"><title>Medians of ", WIDTH, HEIGHT);
    html_text(trend->name, out);
    fputs("</title>", out);
    write_levels(trend, &scale, out);
    for (size_t i = 0; i < trend->count; i++) {
        fprintf(out, "<circle r=\"3\" cx=\"%.1f\" cy=\"%.1f\"><title>%s, ", x_of(&scale, (double)i),
                y_of(&scale, trend->us[i]), time_text(trend->us[i], time));
        html_text(run_text(trend->runs[i], text), out);
        fputs("</title></circle>", out);
    }
    fprintf(out, "<text x=\"4\" y=\"16\">%s</text>", time_text(scale.most, time));
    fprintf(out, "<text x=\"4\" y=\"%d\">%s</text></svg>\n", HEIGHT - 5, time_text(scale.least, time));
}

void history_trend_html(const struct trend *trend, FILE *out)
{
    char text[200];
    write_picture(trend, out);
    for (size_t c = 0; c < trend->change_count; c++) {
        const size_t at = trend->changes[c];
        fprintf(out, "<p>%+.1f %% at ", 100.0 * (level_at(trend, at) / level_at(trend, at - 1) - 1.0));
        html_text(run_text(trend->runs[at], text), out);
        fputs("</p>\n", out);
    }
}

void history_html(const struct trends *trends, FILE *out)
{
    fprintf(out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
            "content=\"width=device-width\"><title>Latchwork: history</title><style>%s</style></head><body>\n"
            "<h1>History</h1>\n<p>Median time of a call; each dot is a run. A dashed line is where the level "
            "changed.</p>\n",
            style);
    for (size_t i = 0; i < trends->count; i++) {
        const struct trend *trend = &trends->list[i];
        fputs("<h2>", out);
        html_text(trend->name, out);
        fputs("</h2>\n<p>", out);
        html_text(trend->machine, out);
        fputs("</p>\n", out);
        history_trend_html(trend, out);
    }
    fputs("</body></html>\n", out);
}
