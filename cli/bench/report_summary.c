/* SPDX-License-Identifier: Apache-2.0 */
/* What the results say, in sentences, at the top of the page of results: what is best, what is worst, how it stands
 * beside others, and whether the machine was quiet enough for all that. */
#include "report_html.h"

#include "html.h"
#include "show.h"

#include <math.h>
#include <string.h>

/* The benchmark where the field is greatest (sign 1) or least (-1), or NULL; only those with `needed`, if not NULL. */
static const json_t *extreme(const json_t *results, const char *field, int sign, const char *needed)
{
    const json_t *benchmark, *best = NULL;
    size_t index;
    EACH_MEASURED(results, index, benchmark)
    {
        const double value = sign * positive_of(benchmark, field);
        if (isfinite(value) && (!needed || json_object_get(benchmark, needed)) &&
            (!best || value > sign * positive_of(best, field)))
            best = benchmark;
    }
    return best;
}

static void write_name(const json_t *benchmark, FILE *out)
{
    fputs("<strong>", out);
    html_text(text_of(benchmark, "name"), out);
    fputs("</strong>", out);
}

static void write_step(const json_t *results, FILE *out)
{
    const json_t *step = extreme(results, "p50_us", -1, "step_latency");
    const json_t *latency = json_object_get(step, "step_latency");
    char time[32];
    if (!step)
        return;
    fputs("<li>The shortest step, ", out);
    write_name(step, out);
    fprintf(out, ", takes %s; ", time_text(number_of(step, "p50_us"), time));
    fprintf(out, "of single calls 99 in 100 were done within %s.</li>\n",
            time_text(number_of(latency, "p99_us"), time));
}

static void write_speed(const json_t *results, FILE *out)
{
    const json_t *fastest = extreme(results, "flops_per_second", 1, NULL);
    const json_t *nearest = extreme(results, "share_of_limit", 1, NULL);
    const json_t *farthest = extreme(results, "share_of_limit", -1, NULL);
    char text[32];
    if (fastest) {
        fprintf(out, "<li>The highest speed is %s, of ", report_speed(number_of(fastest, "flops_per_second"), text));
        write_name(fastest, out);
        fputs(".</li>\n", out);
    }
    if (nearest && nearest != farthest) {
        fputs("<li>Nearest to its limit is ", out);
        write_name(nearest, out);
        fprintf(out, " with %.0f %% of ", 100 * number_of(nearest, "share_of_limit"));
        html_text(text_of(nearest, "limit"), out);
        fputs(", farthest ", out);
        write_name(farthest, out);
        fprintf(out, " with %.1f %% of ", 100 * number_of(farthest, "share_of_limit"));
        html_text(text_of(farthest, "limit"), out);
        fputs(".</li>\n", out);
    }
}

static void write_ratios(const json_t *results, FILE *out)
{
    const json_t *benchmark, *worst = extreme(results, "ratio", -1, NULL), *best = extreme(results, "ratio", 1, NULL);
    size_t index, count = 0, faster = 0;
    double sum = 0;
    EACH_MEASURED(results, index, benchmark)
    {
        const double ratio = positive_of(benchmark, "ratio");
        if (!isfinite(ratio))
            continue;
        count++;
        faster += ratio > 1;
        sum += log(ratio);
    }
    if (!count)
        return;
    fprintf(out,
            "<li>Latchwork is faster than the best other engine in <strong>%zu of %zu</strong> workloads, in the "
            "geometric mean %.3g times; least in ",
            faster, count, exp(sum / (double)count));
    write_name(worst, out);
    fprintf(out, " (%.3g, beside ", number_of(worst, "ratio"));
    html_text(text_of(worst, "best_peer"), out);
    fputs("), most in ", out);
    write_name(best, out);
    fprintf(out, " (%.3g, beside ", number_of(best, "ratio"));
    html_text(text_of(best, "best_peer"), out);
    fputs(").</li>\n", out);
}

/* Whether the figures can be believed. */
static void write_quiet(const json_t *results, size_t measured, FILE *out)
{
    const json_t *benchmark, *context = json_object_get(results, "context");
    const double load = json_number_value(json_array_get(json_object_get(context, "load_avg"), 0));
    const double cores = positive_of(own_context(results), "cores");
    size_t index, wide = 0;
    EACH_MEASURED(results, index, benchmark)
    {
        wide += number_of(benchmark, "p95_us") > 1.25 * number_of(benchmark, "p50_us");
    }
    if (load > 0.75 * cores || 4 * wide > measured) {
        fputs("<p class=\"warn\"><strong>The machine was not quiet</strong>: ", out);
        if (load > 0.75 * cores)
            fprintf(out, "the load average was %.1f on %.0f CPUs%s", load, cores, wide ? ", and " : "");
        if (wide)
            fprintf(out, "in %zu of %zu workloads one sample in 20 took over 1.25 times the median", wide, measured);
        fputs(". Take absolute figures as rough; times side by side in this run still tell something.</p>\n", out);
    }
}

void report_summary(const json_t *results, FILE *out)
{
    const json_t *benchmark;
    const size_t all = json_array_size(json_object_get(results, "benchmarks"));
    size_t index, measured = 0, probed = 0, single = 0;
    EACH_MEASURED(results, index, benchmark)
    {
        measured++;
        probed += json_array_size(json_object_get(benchmark, "scaling")) > 1;
        single += json_array_size(json_object_get(benchmark, "scaling")) > 1 && number_of(benchmark, "threads") == 1;
    }
    fputs("<section><h2>In short</h2>\n", out);
    if (json_is_true(json_object_get(own_context(results), "interrupted")))
        fputs("<p class=\"warn\">The run was interrupted: what is here had been measured by then.</p>\n", out);
    write_quiet(results, measured, out);
    fprintf(out, "<ul class=\"summary\">\n<li>%zu workload%s measured", measured, measured == 1 ? " was" : "s were");
    if (measured < all)
        fprintf(out, ", %zu could not be", all - measured);
    if (probed)
        fprintf(out, "; one thread was best for %zu of the %zu that were tried with several", single, probed);
    fputs(".</li>\n", out);
    write_ratios(results, out);
    write_speed(results, out);
    write_step(results, out);
    fputs("</ul></section>\n", out);
}
