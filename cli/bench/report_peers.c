/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The comparison with other engines on the page of results: for each workload a bar for each engine, from the line of
 * Latchwork's own time to the left (faster than Latchwork) or to the right (slower), by the logarithm of the ratio.
 */
#include "report_html.h"

#include "html.h"
#include "show.h"

#include <math.h>
#include <string.h>

static double ratio_of(const json_t *benchmark, const json_t *engine)
{
    return strcmp(text_of(engine, "status"), "ok") == 0
               ? positive_of(engine, "p50_us") / positive_of(benchmark, "p50_us")
               : NAN;
}

/* The ratio whose bar is as long as there is room for; at least 2. 0 when no engine was measured. */
static double greatest_ratio(const json_t *results)
{
    const json_t *benchmark, *engine;
    size_t index, at;
    double most = 0;
    EACH_MEASURED(results, index, benchmark)
    {
        json_array_foreach(json_object_get(benchmark, "peers"), at, engine)
        {
            const double ratio = ratio_of(benchmark, engine);
            if (isfinite(ratio) && ratio > 0)
                most = fmax(most, fmax(2, fmax(ratio, 1 / ratio)));
        }
    }
    return most;
}

/* Whether any engine was measured; the reasons of the others stand at the end of the page. */
static int is_compared(const json_t *benchmark)
{
    const json_t *engine;
    size_t at;
    json_array_foreach(json_object_get(benchmark, "peers"), at, engine)
    {
        if (isfinite(ratio_of(benchmark, engine)))
            return 1;
    }
    return 0;
}

static void write_engine(const json_t *benchmark, const json_t *engine, double most, FILE *out)
{
    const double ratio = ratio_of(benchmark, engine);
    char time[32];
    fputs("<li><span class=\"name\">", out);
    html_text(text_of(engine, "engine"), out);
    fputs("</span>", out);
    if (isfinite(ratio) && ratio > 0) {
        const double length = 50 * fmin(1, fabs(log(ratio)) / log(most));
        fprintf(out,
                "<span class=\"bar middle\"><i class=\"%s\" style=\"left:%.1f%%;width:%.1f%%\"></i></span>"
                "<span class=\"value\">%.*f&#215; <small>%s, %.0f thread%s</small></span></li>\n",
                ratio < 1 ? "faster" : "slower", ratio < 1 ? 50 - length : 50, fmax(length, 0.4),
                ratio < 10    ? 2
                : ratio < 100 ? 1
                              : 0,
                ratio, time_text(number_of(engine, "p50_us"), time), number_of(engine, "threads"),
                number_of(engine, "threads") == 1 ? "" : "s");
        return;
    }
    fputs("<span class=\"bar none\"></span><span class=\"value none\"><small>", out);
    html_text(status_word(text_of(engine, "status")), out);
    fputs("</small></span></li>\n", out);
}

void report_peers(const json_t *results, FILE *out)
{
    const double most = greatest_ratio(results);
    const json_t *benchmark, *engine;
    size_t index, at;
    char time[32];
    if (!(most > 0))
        return;
    fprintf(out,
            "<section><h2>Beside other engines</h2>\n<p>Time of the engine by Latchwork&#8217;s in the same run, "
            "alternately, each with its own best thread count and after its outputs had been compared. The line in the "
            "middle is Latchwork: a bar to the right is an engine that takes longer, a bar to the left "
            "one that is faster. The scale is logarithmic, from 1/%.3g to %.3g. "
            "Workloads that no other engine was measured with are left out here.</p>\n",
            most, most);
    EACH_MEASURED(results, index, benchmark)
    {
        if (!is_compared(benchmark))
            continue;
        fputs("<div class=\"keep\"><h3>", out);
        report_key(benchmark, index, out);
        fprintf(out, " <small>Latchwork: %s, %.0f thread%s</small></h3>\n<ul class=\"bars peers\">\n",
                time_text(number_of(benchmark, "p50_us"), time), number_of(benchmark, "threads"),
                number_of(benchmark, "threads") == 1 ? "" : "s");
        json_array_foreach(json_object_get(benchmark, "peers"), at, engine) write_engine(benchmark, engine, most, out);
        fputs("</ul></div>\n", out);
    }
    fputs("</section>\n", out);
}
