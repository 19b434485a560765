/* SPDX-License-Identifier: Apache-2.0 */
/* Results as one self-contained page, light and dark, for a screen, a phone and paper; see results.h. The parts are in
 * report_*.c. */
#include "report_html.h"

#include "history.h"
#include "html.h"
#include "results.h"
#include "show.h"
#include "suite.h"

#include "../report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The colours of the suites follow Paul Tol's scheme "bright", which the common colour blindnesses tell apart; darker
 * where the numbers in them would not stand out on light ground, lighter on dark ground. */
static const char style[] =
    ":root{color-scheme:light dark;--ground:#fff;--card:#f4f6f8;--ink:#1b242e;--soft:#55626f;--line:#d5dbe1;"
    "--warn:#fff4d6;--c0:#4477aa;--c1:#d1495b;--c2:#228833;--c3:#8a7518;--c4:#2585ab;--c5:#aa3377;--c6:#777f88;"
    "--c7:#3d3a8c}\n"
    "@media screen and (prefers-color-scheme:dark){:root{--ground:#12171c;--card:#1b222a;--ink:#e6ebf0;--soft:#9dabb8;"
    "--line:#36414c;--warn:#3a3115;--c0:#7aaee0;--c1:#ee7788;--c2:#55b868;--c3:#d6c158;--c4:#66ccee;--c5:#e07fb8;"
    "--c6:#aab2ba;--c7:#a7a3f0}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:74rem;padding:1.5rem 1rem 3rem;background:var(--ground);"
    "color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif}\n"
    "h1{font-size:1.8rem;line-height:1.2;margin:0}h2{font-size:1.3rem;margin:2.6rem 0 .3rem}"
    "h3{font-size:1rem;margin:1.4rem 0 .3rem}p{margin:.3rem 0 .8rem;max-width:46rem}section>p,.note,small,.sub{color:"
    "var(--soft)}small{font-weight:400;font-size:.82em}.note{font-size:.82rem;margin:0}\n"
    ".facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(13rem,42%),1fr));gap:.8rem "
    "1.4rem;margin:1.2rem 0;"
    "padding:1rem 1.2rem;background:var(--card);border-radius:.6rem}.facts dt{color:var(--soft);font-size:.78rem}"
    ".facts dd{margin:0;font-weight:600;overflow-wrap:anywhere}\n"
    "code{font:.85em ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}\n"
    ".summary{padding-left:1.2rem;margin:.4rem 0}.summary li{margin:.25rem 0;max-width:46rem}"
    ".warn{background:var(--warn);border-radius:.5rem;padding:.6rem "
    ".9rem;max-width:none}section>.warn{color:var(--ink)}\n"
    ".panels{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(17.5rem,100%),1fr))}"
    ".panels.large{grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr))}\n"
    "figure{margin:0;padding:.8rem;background:var(--card);border-radius:.6rem;break-inside:avoid;min-width:0}"
    ".large figure{max-width:38rem}figcaption{font-weight:600;font-size:.92rem;margin-bottom:.3rem}"
    "svg{display:block;width:100%;height:auto;overflow:visible}\n"
    "svg text{font-size:11px;fill:var(--soft)}svg .mark{font-weight:600}svg .mark,svg .roof-name{fill:var(--ink);paint-"
    "order:stroke;stroke:var(--card);stroke-width:3px}.grid{stroke:var(--line);stroke-width:.8}.grid.fine{stroke-width:"
    ".3}.roof{stroke:var(--ink);stroke-width:1.6}.lead{stroke:var(--soft);stroke-width:.8}"
    ".percentile{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 2}polyline{fill:none;stroke-width:2}"
    "circle{stroke:var(--card);stroke-width:1}.trend circle{fill:var(--c0);r:4.5px}.trend "
    "p{margin:0;font-size:.85rem}.trend text{font-size:18px}.level{stroke:"
    "var(--ink);stroke-width:2}.change{stroke:var(--c1);stroke-width:2;stroke-dasharray:6 4}\n"
    ".bars{list-style:none;margin:.4rem 0;padding:0}.bars li{display:grid;grid-template-columns:minmax(0,19rem) "
    "minmax(4rem,1fr) 15rem;gap:0 .8rem;align-items:center;padding:.16rem 0}.bars.legend "
    "li{grid-template-columns:1fr auto;font-size:.85rem}.key{display:flex;gap:.5rem;align-items:baseline;min-width:0;"
    "overflow-wrap:anywhere}.key b{flex:none;min-width:1.6em;padding:0 .3em;border-radius:.3em;color:var(--ground);"
    "font-size:.78rem;text-align:center;-webkit-print-color-adjust:exact;print-color-adjust:exact}\n"
    ".bar{position:relative;height:.85rem;background:var(--card);border-radius:.2rem}.bar i{position:absolute;left:0;"
    "top:0;bottom:0;border-radius:.2rem;-webkit-print-color-adjust:exact;print-color-adjust:exact}.middle::after{"
    "content:'';position:absolute;left:50%;top:-.25rem;bottom:-.25rem;border-left:2px solid var(--ink)}"
    ".slower{background:var(--c0)}.faster{background:var(--c1)}.value{font-variant-numeric:tabular-nums;font-size:"
    ".9rem}.value small{margin-left:.5em;white-space:nowrap}.none "
    "small{margin:0}.bar.none{visibility:hidden;height:0}h3 .key{display:inline-flex}\n"
    ".peers li{grid-template-columns:minmax(0,9rem) minmax(4rem,1fr) 12rem}.keep{break-inside:avoid}\n"
    ".wide{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse;font-size:.8rem;font-variant-numeric:"
    "tabular-nums}caption{text-align:left;font-weight:600;padding:.3rem 0}th,td{padding:.28rem .45rem;text-align:right;"
    "white-space:nowrap;border-bottom:1px solid var(--line)}.text{text-align:left}th{font-weight:600}"
    "tbody th{font-weight:400}thead th{color:var(--soft)}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:"
    ".82rem}footer{margin-top:2.5rem;color:var(--soft);font-size:.85rem}\n"
    "@media(max-width:40rem){.bars li{grid-template-columns:minmax(0,1fr) 12.6rem}.bars .key{grid-column:1/-1}"
    ".bars .value{text-align:right;font-size:.8rem;white-space:nowrap}.bars.legend .key{grid-column:auto}.bars.peers "
    "li,.bars.legend "
    "li{grid-template-columns:minmax(0,1fr) auto}.peers .bar{grid-area:2/1/3/3}"
    "h2{font-size:1.15rem}figure{padding:.6rem .4rem}}\n"
    "@media print{body{max-width:none;padding:0;font-size:11pt}.wide{overflow:visible}table{font-size:6.5pt}th,td{"
    "padding:.15rem .3rem}h2,h3{break-after:avoid}}\n";

int report_colour(const json_t *benchmark)
{
    int colour = 0;
    while (colour < 7 && suite_names[colour] && strcmp(suite_names[colour], text_of(benchmark, "suite")) != 0)
        colour++;
    return colour < 7 && suite_names[colour] ? colour : 7;
}

double positive_of(const json_t *object, const char *name)
{
    const double value = number_of(object, name);
    return value > 0 ? value : NAN;
}

const char *report_speed(double flops, char text[32])
{
    const double giga = flops * 1e-9;
    snprintf(text, 32, giga < 100 || giga > 1e6 ? "%.3g GFLOP/s" : "%.0f GFLOP/s", giga);
    return text;
}

void report_key(const json_t *benchmark, size_t index, FILE *out)
{
    fprintf(out, "<span class=\"key\"><b class=\"c%d\">%zu</b><span>", report_colour(benchmark), index + 1);
    html_text(text_of(benchmark, "name"), out);
    fputs("</span></span>", out);
}

/* ---- the head --------------------------------------------------------------------------------------------------- */

static void write_fact(const char *name, const char *value, FILE *out)
{
    if (!*value)
        return;
    fprintf(out, "<div><dt>%s</dt><dd>", name);
    html_text(value, out);
    fputs("</dd></div>\n", out);
}

/* "48 KiB, 1 MiB, 32 MiB", as far as they are known. */
static const char *caches_text(const json_t *limits, char text[160])
{
    static const char *const names[] = {"l1_bytes", "l2_bytes", "l3_bytes"};
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < 3; i++) {
        const double kib = positive_of(limits, names[i]) / 1024;
        if (isfinite(kib))
            used += (size_t)snprintf(text + used, 48, "%sL%zu %.3g %s", used ? ", " : "", i + 1,
                                     kib < 1024 ? kib : kib / 1024, kib < 1024 ? "KiB" : "MiB");
    }
    return text;
}

static void write_head(const json_t *results, FILE *out)
{
    const json_t *context = json_object_get(results, "context"), *own = own_context(results);
    const double cores = number_of(own, "cores"), mhz = positive_of(context, "mhz_per_cpu");
    const char *policy = text_of(own, "frequency_policy");
    char text[160];
    fputs("<header><h1>Latchwork benchmark</h1>\n<p class=\"sub\">Recurrent networks on ", out);
    html_text(*text_of(own, "cpu") ? text_of(own, "cpu") : "an unnamed CPU", out);
    fputs("</p>\n<dl class=\"facts\">\n", out);
    write_fact("Machine", text_of(context, "host_name"), out);
    write_fact("CPU", text_of(own, "cpu"), out);
    snprintf(text, sizeof text, "%.0f", cores);
    write_fact("CPUs in use", isfinite(cores) ? text : "", out);
    write_fact("Instruction set", text_of(own, "isa"), out);
    write_fact("Caches", caches_text(json_array_get(json_object_get(own, "limits"), 0), text), out);
    snprintf(text, sizeof text, "%.0f MHz%s%.80s", mhz, *policy ? "; policy " : "", policy);
    write_fact("Clock", isfinite(mhz) ? text : policy, out);
    write_fact("Latchwork", text_of(own, "version"), out);
    snprintf(text, sizeof text, "%s", text_of(context, "date"));
    if (strlen(text) > 10 && text[10] == 'T')
        text[10] = ' ';
    write_fact("Date", text, out);
    fputs("</dl>\n", out);
    if (*text_of(own, "command")) {
        fputs("<p class=\"sub\">Made by <code>", out);
        html_text(text_of(own, "command"), out);
        fputs("</code></p>\n", out);
    }
    fputs("</header>\n", out);
}

/* ---- limits and notes ------------------------------------------------------------------------------------------- */

static void rate_cell(struct table *table, const json_t *limits, const char *name)
{
    const double rate = positive_of(limits, name);
    if (isfinite(rate))
        table_cell(table, "%.0f", rate * 1e-9);
    else
        table_cell(table, "not known");
}

static void write_limits(const json_t *results, FILE *out)
{
    static const char *const heads[] = {"threads",  "FMA peak, GFLOP/s", "L1, GB/s",
                                        "L2, GB/s", "L3, GB/s",          "DRAM, GB/s"};
    struct table table = {.columns = 6};
    const json_t *limits;
    size_t index;
    for (size_t i = 0; i < 6; i++)
        table_cell(&table, "%s", heads[i]);
    json_array_foreach(json_object_get(own_context(results), "limits"), index, limits)
    {
        table_cell(&table, "%.0f", number_of(limits, "threads"));
        rate_cell(&table, limits, "flops_per_second");
        rate_cell(&table, limits, "l1");
        rate_cell(&table, limits, "l2");
        rate_cell(&table, limits, "l3");
        rate_cell(&table, limits, "dram");
    }
    html_table(&table, "Limits of the machine, measured in the same run", out);
    table_free(&table);
}

static void write_engines(const json_t *results, FILE *out)
{
    struct table table = {.columns = 3, .left = 3};
    const json_t *engine;
    size_t index;
    table_cell(&table, "engine");
    table_cell(&table, "version");
    table_cell(&table, "details");
    json_array_foreach(json_object_get(own_context(results), "engines"), index, engine)
    {
        const char *missing = text_of(engine, "missing");
        table_cell(&table, "%s", text_of(engine, "name"));
        table_cell(&table, "%s", *missing ? "missing" : text_of(engine, "version"));
        table_cell(&table, "%s", *missing ? missing : text_of(engine, "details"));
    }
    html_table(&table, "Engines", out);
    table_free(&table);
}

static void write_tables(const json_t *results, FILE *out)
{
    struct table table;
    fputs("<section><h2>All figures</h2>\n", out);
    results_fill_main(results, &table);
    html_table(&table, "Latchwork", out);
    table_free(&table);
    if (results_fill_latency(results, &table))
        html_table(&table, "Single calls, each timed alone", out);
    table_free(&table);
    if (results_fill_peers(results, 0, &table))
        html_table(&table,
                   "Beside other engines: medians (threads); ratio: the best peer&#8217;s time by Latchwork&#8217;s",
                   out);
    table_free(&table);
    write_limits(results, out);
    write_engines(results, out);
    fputs("</section>\n", out);
}

static int write_troubles(const json_t *results, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory)
        return fail("out of memory for the page");
    results_write_troubles(results, "", memory);
    fclose(memory);
    if (size)
        fputs("<section><h2>What was not measured</h2>\n<ul class=\"summary\">", out);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        fputs("<li>", out);
        html_text(line, out);
        fputs("</li>\n", out);
    }
    if (size)
        fputs("</ul></section>\n", out);
    free(text);
    return EXIT_OK;
}

int bench_report_html(const json_t *results, FILE *out)
{
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" "
            "content=\"width=device-width, initial-scale=1\"/>\n<title>Latchwork benchmark</title>\n<style>\n%s",
            style);
    for (int i = 0; i < 8; i++)
        fprintf(out, ".c%d{fill:var(--c%d);background:var(--c%d)}.l%d{stroke:var(--c%d)}\n", i, i, i, i, i);
    fputs("</style>\n</head>\n<body>\n", out);
    write_head(results, out);
    report_summary(results, out);
    report_roofline(results, out);
    report_peers(results, out);
    report_latency(results, out);
    report_scaling(results, out);
    int status = history_section(json_object_get(results, "history"), results, out);
    write_tables(results, out);
    status = write_troubles(results, out) == EXIT_OK ? status : EXIT_WORK;
    fputs(
        "<footer>A median is of all samples of a call; p5 and p95 tell how much the samples differ. A share of the "
        "limit "
        "is the least time that computing and reading the weights can take on this machine, by the median. What each "
        "figure means and how it is computed stands in docs/benchmarking.md of Latchwork.</footer>\n</body>\n</html>\n",
        out);
    return status;
}
