/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results for people: tables for a terminal and as Markdown, and CSV for spreadsheets; see results.h. All of it reads
 * the JSON alone.
 */
#include "results.h"

#include "table.h"

#include "../report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *object, const char *name)
{
    const json_t *field = json_object_get(object, name);
    return json_is_number(field) ? json_number_value(field) : NAN;
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* Microseconds with a fitting unit. */
static const char *time_text(double us, char out[32])
{
    if (!isfinite(us))
        snprintf(out, 32, "-");
    else if (us < 1.0)
        snprintf(out, 32, "%.0f ns", us * 1e3);
    else if (us < 1e3)
        snprintf(out, 32, us < 10.0 ? "%.2f us" : "%.1f us", us);
    else if (us < 1e6)
        snprintf(out, 32, us < 1e4 ? "%.2f ms" : "%.1f ms", us * 1e-3);
    else
        snprintf(out, 32, "%.2f s", us * 1e-6);
    return out;
}

static void time_cell(struct table *table, double us)
{
    char out[32];
    table_cell(table, "%s", time_text(us, out));
}

static void number_cell(struct table *table, double value, const char *format_below_ten, const char *format)
{
    char out[64];
    snprintf(out, sizeof out, value < 10.0 ? format_below_ten : format, value);
    table_cell(table, "%s", isfinite(value) ? out : "-");
}

static void heads(struct table *table, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table_cell(table, "%s", names[i]);
}

static const json_t *own_context(const json_t *results)
{
    return json_object_get(json_object_get(results, "context"), "latchwork");
}

static int failed(const json_t *benchmark)
{
    return json_is_true(json_object_get(benchmark, "error_occurred"));
}

#define EACH_BENCHMARK(results_, index_, benchmark_) \
    json_array_foreach(json_object_get(results_, "benchmarks"), index_, benchmark_)

/* ---- the main table --------------------------------------------------------------------------------------------- */

static const double *scaling_ends(const json_t *list, double ends[2], size_t *threads)
{
    const size_t count = json_array_size(list);
    if (count < 2)
        return NULL;
    ends[0] = number(json_array_get(list, 0), "median_us");
    ends[1] = number(json_array_get(list, count - 1), "median_us");
    *threads = (size_t)json_integer_value(json_object_get(json_array_get(list, count - 1), "threads"));
    return ends;
}

static void fill_main(const json_t *results, struct table *table)
{
    static const char *const names[] = {"suite",   "workload", "median",       "p5",      "p95",      "a step",
                                        "GFLOP/s", "GB/s",     "of the limit", "threads", "speed-up", "memory"};
    const json_t *benchmark;
    size_t index;
    *table = (struct table){.columns = sizeof names / sizeof names[0], .left = 2};
    heads(table, names, table->columns);
    EACH_BENCHMARK(results, index, benchmark)
    {
        double ends[2];
        size_t most;
        if (failed(benchmark))
            continue;
        table_cell(table, "%s", text(benchmark, "suite"));
        table_cell(table, "%s", text(benchmark, "name"));
        time_cell(table, number(benchmark, "p50_us"));
        time_cell(table, number(benchmark, "p5_us"));
        time_cell(table, number(benchmark, "p95_us"));
        time_cell(table, number(benchmark, "per_step_us"));
        number_cell(table, number(benchmark, "flops_per_second") * 1e-9, "%.2f", "%.1f");
        number_cell(table, number(benchmark, "bytes_per_second") * 1e-9, "%.2f", "%.1f");
        if (isfinite(number(benchmark, "share_of_limit")))
            table_cell(table, "%.2f of %s", number(benchmark, "share_of_limit"), text(benchmark, "limit"));
        else
            table_cell(table, "-");
        number_cell(table, number(benchmark, "threads"), "%.0f", "%.0f");
        if (scaling_ends(json_object_get(benchmark, "scaling"), ends, &most))
            table_cell(table, "%.2f on %zu", ends[0] / ends[1], most);
        else
            table_cell(table, "-");
        if (isfinite(number(benchmark, "peak_memory")))
            table_cell(table, "%.1f MB", number(benchmark, "peak_memory") * 1e-6);
        else
            table_cell(table, "-");
    }
}

static int fill_latency(const json_t *results, struct table *table)
{
    static const char *const names[] = {"single steps", "calls", "p50", "p90", "p99", "p99.9", "largest"};
    const json_t *benchmark;
    size_t index;
    int any = 0;
    *table = (struct table){.columns = sizeof names / sizeof names[0], .left = 1};
    heads(table, names, table->columns);
    EACH_BENCHMARK(results, index, benchmark)
    {
        const json_t *latency = json_object_get(benchmark, "step_latency");
        if (!latency || failed(benchmark))
            continue;
        any = 1;
        table_cell(table, "%s", text(benchmark, "name"));
        table_cell(table, "%.0f", number(latency, "count"));
        time_cell(table, number(latency, "p50_us"));
        time_cell(table, number(latency, "p90_us"));
        time_cell(table, number(latency, "p99_us"));
        time_cell(table, number(latency, "p999_us"));
        time_cell(table, number(latency, "max_us"));
    }
    return any;
}

/* ---- beside the peers ---------------------------------------------------------------------------------------------
 */

static const char *status_word(const char *status)
{
    static const char *const words[][2] = {{"missing", "missing"},      {"unsupported", "not offered"},
                                           {"error", "failed"},         {"rubbish", "answered rubbish"},
                                           {"crashed", "crashed"},      {"timeout", "hung"},
                                           {"differs", "wrong answers"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(status, words[i][0]) == 0)
            return words[i][1];
    return status;
}

static const char *mark(double value, double wanted, int markdown)
{
    if (!isfinite(wanted))
        return "";
    return value >= wanted ? " ✓" : markdown ? " **short**" : " short";
}

/* The names of all peers, in the order of the run. */
static size_t peer_names(const json_t *results, const char *names[64])
{
    const json_t *list = json_object_get(own_context(results), "engines");
    size_t count = 0;
    for (size_t i = 1; i < json_array_size(list) && count < 64; i++)
        names[count++] = text(json_array_get(list, i), "name");
    return count;
}

static const json_t *find_peer(const json_t *benchmark, const char *name)
{
    const json_t *list = json_object_get(benchmark, "peers");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(text(json_array_get(list, i), "engine"), name) == 0)
            return json_array_get(list, i);
    return NULL;
}

static void engine_cell(struct table *table, const json_t *engine)
{
    char out[32];
    if (!engine)
        table_cell(table, "-");
    else if (strcmp(text(engine, "status"), "ok") != 0)
        table_cell(table, "%s", status_word(text(engine, "status")));
    else
        table_cell(table, "%s (%.0f)", time_text(number(engine, "p50_us"), out), number(engine, "threads"));
}

static void variants_cell(struct table *table, const json_t *benchmark, int markdown)
{
    const json_t *list = json_object_get(benchmark, "variants"), *variant;
    size_t index;
    table_cell(table, "%s", json_array_size(list) ? "" : "-");
    json_array_foreach((json_t *)list, index, variant)
    {
        const double ratio = number(variant, "ratio"), wanted = number(variant, "to_reach");
        table_more(table, "%s%s: ", index ? "; " : "", text(variant, "name"));
        if (!isfinite(ratio))
            table_more(table, "%s", status_word(text(variant, "status")));
        else if (isfinite(wanted))
            table_more(table, "%.2f (≥ %g)%s", ratio, wanted, mark(ratio, wanted, markdown));
        else
            table_more(table, "%.2f", ratio);
    }
}

static void fill_peer_row(const json_t *benchmark, const char *const *names, size_t count, int markdown,
                          struct table *table)
{
    const json_t *wanted = json_object_get(benchmark, "to_reach");
    const double ratio = number(benchmark, "ratio"), share = number(benchmark, "share_of_limit");
    char out[32], low[32], high[32];
    table_cell(table, "%s", *text(benchmark, "label") ? text(benchmark, "label") : text(benchmark, "suite"));
    table_cell(table, "%s", text(benchmark, "name"));
    table_cell(table, "%s (%.0f)", time_text(number(benchmark, "p50_us"), out), number(benchmark, "threads"));
    table_cell(table, "%s - %s", time_text(number(benchmark, "p5_us"), low),
               time_text(number(benchmark, "p95_us"), high));
    for (size_t i = 0; i < count; i++)
        engine_cell(table, find_peer(benchmark, names[i]));
    if (isfinite(ratio))
        table_cell(table, "%.2f (%s)%s", ratio, text(benchmark, "best_peer"),
                   mark(ratio, number(wanted, "ratio"), markdown));
    else
        table_cell(table, "-");
    number_cell(table, number(wanted, "ratio"), "≥ %g", "≥ %g");
    if (isfinite(share) && isfinite(number(wanted, "share")))
        table_cell(table, "%.2f of %s (≥ %g)%s", share, text(benchmark, "limit"), number(wanted, "share"),
                   mark(share, number(wanted, "share"), markdown));
    else if (isfinite(share))
        table_cell(table, "%.2f of %s", share, text(benchmark, "limit"));
    else
        table_cell(table, "-");
    variants_cell(table, benchmark, markdown);
}

static int fill_peers(const json_t *results, int markdown, struct table *table)
{
    const char *names[64];
    const size_t count = peer_names(results, names);
    const json_t *benchmark;
    size_t index;
    int any = count > 0;
    *table = (struct table){.columns = count + 8, .left = 2};
    table_cell(table, "row");
    table_cell(table, "workload");
    table_cell(table, "Latchwork");
    table_cell(table, "p5 - p95");
    for (size_t i = 0; i < count; i++)
        table_cell(table, "%s", names[i]);
    table_cell(table, "ratio");
    table_cell(table, "to reach");
    table_cell(table, "of the limit");
    table_cell(table, "against itself");
    EACH_BENCHMARK(results, index, benchmark)
    {
        any |= json_array_size(json_object_get(benchmark, "variants")) > 0;
        if (!failed(benchmark))
            fill_peer_row(benchmark, names, count, markdown, table);
    }
    return any;
}

/* ---- what stands around the tables ------------------------------------------------------------------------------ */

static void write_limits(const json_t *results, const char *bullet, FILE *out)
{
    const json_t *limits;
    size_t index;
    json_array_foreach(json_object_get(own_context(results), "limits"), index, limits)
    {
        static const char *const levels[][2] = {{"l1", "L1"}, {"l2", "L2"}, {"l3", "L3"}, {"dram", "DRAM"}};
        const double threads = number(limits, "threads");
        fprintf(out, "%s%.0f thread%s: FMA peak %.0f GFLOP/s; reading, GB/s:", bullet, threads,
                threads == 1.0 ? "" : "s", number(limits, "flops_per_second") * 1e-9);
        for (size_t i = 0; i < 4; i++) {
            const double rate = number(limits, levels[i][0]);
            if (rate > 0.0)
                fprintf(out, "%s %s %.0f", i ? "," : "", levels[i][1], rate * 1e-9);
            else
                fprintf(out, "%s %s not known", i ? "," : "", levels[i][1]);
        }
        fputc('\n', out);
    }
}

static void write_engines(const json_t *results, const char *bullet, const char *strong, FILE *out)
{
    const json_t *engine;
    size_t index;
    json_array_foreach(json_object_get(own_context(results), "engines"), index, engine)
    {
        if (json_object_get(engine, "missing"))
            fprintf(out, "%s%s: %smissing%s: %s\n", bullet, text(engine, "name"), strong, strong,
                    text(engine, "missing"));
        else
            fprintf(out, "%s%s %s%s%s\n", bullet, text(engine, "name"), text(engine, "version"),
                    *text(engine, "details") ? ", " : "", text(engine, "details"));
    }
}

/* A sentence for everything that could not be measured. */
static void write_troubles(const json_t *results, const char *bullet, FILE *out)
{
    const json_t *benchmark, *engine;
    size_t index, at;
    EACH_BENCHMARK(results, index, benchmark)
    {
        const char *name = text(benchmark, "name");
        if (failed(benchmark))
            fprintf(out, "%s%s: %s\n", bullet, name, text(benchmark, "error_message"));
        json_array_foreach(json_object_get(benchmark, "peers"), at, engine)
        {
            const char *status = text(engine, "status");
            if (strcmp(status, "ok") != 0 && strcmp(status, "missing") != 0)
                fprintf(out, "%s%s: %s %s: %s\n", bullet, name, text(engine, "engine"), status_word(status),
                        text(engine, "text"));
        }
    }
    if (json_is_true(json_object_get(own_context(results), "interrupted")))
        fprintf(out, "%sThe run was interrupted: what is missing was not measured.\n", bullet);
}

static void write_machine(const json_t *results, FILE *out)
{
    const json_t *own = own_context(results);
    fprintf(out, "latchwork %s, %s, %s, %.0f CPUs, clock: %s\n", text(own, "version"), text(own, "isa"),
            text(own, "cpu"), number(own, "cores"), text(own, "frequency_policy"));
}

void results_write_table(const json_t *results, FILE *out)
{
    struct table table;
    write_machine(results, out);
    write_limits(results, "", out);
    fputc('\n', out);
    fill_main(results, &table);
    table_write_text(&table, out);
    table_free(&table);
    if (fill_latency(results, &table)) {
        fputc('\n', out);
        table_write_text(&table, out);
    }
    table_free(&table);
    if (fill_peers(results, 0, &table)) {
        fputc('\n', out);
        write_engines(results, "", "", out);
        fprintf(out, "Medians (threads); ratio: the best peer's time by Latchwork's\n\n");
        table_write_text(&table, out);
    }
    table_free(&table);
    write_troubles(results, "! ", out);
}

void results_write_markdown(const json_t *results, FILE *out)
{
    struct table table;
    fprintf(out, "# Latchwork's benchmark\n\n");
    write_machine(results, out);
    if (*text(own_context(results), "command"))
        fprintf(out, "Command: `%s`\n", text(own_context(results), "command"));
    fprintf(out, "\nLimits of the machine, measured in the same run:\n\n");
    write_limits(results, "- ", out);
    if (fill_peers(results, 1, &table)) {
        fprintf(out, "\nEngines:\n\n");
        write_engines(results, "- ", "**", out);
        fprintf(out,
                "\nMedians (threads: the better count of each engine); ratio: the best peer's time by Latchwork's; "
                "of the limit: the least time that the machine's limits allow, by the median.\n\n");
        table_write_markdown(&table, out);
    }
    table_free(&table);
    fill_main(results, &table);
    fputc('\n', out);
    table_write_markdown(&table, out);
    table_free(&table);
    if (fill_latency(results, &table)) {
        fprintf(out, "\nSingle calls, each timed alone:\n\n");
        table_write_markdown(&table, out);
    }
    table_free(&table);
    fputc('\n', out);
    write_troubles(results, "- ", out);
}

/* ---- CSV -----------------------------------------------------------------------------------------------------------
 */

static void csv_text(const char *value, FILE *out)
{
    fputc('"', out);
    for (; *value; value++) {
        if (*value == '"')
            fputc('"', out);
        fputc(*value, out);
    }
    fputc('"', out);
}

static void csv_number(const json_t *object, const char *name, FILE *out)
{
    const double value = number(object, name);
    if (isfinite(value))
        fprintf(out, ",%.9g", value);
    else
        fputc(',', out);
}

static void csv_row(const json_t *benchmark, const char *engine, const json_t *from, FILE *out)
{
    static const char *const own[] = {"per_step_us",    "flops_per_second", "bytes_per_second",
                                      "share_of_limit", "peak_memory",      "ratio"};
    const json_t *latency = json_object_get(from, "step_latency");
    csv_text(text(benchmark, "suite"), out);
    fputc(',', out);
    csv_text(text(benchmark, "name"), out);
    fputc(',', out);
    csv_text(engine, out);
    fputc(',', out);
    csv_text(failed(from) ? "error" : *text(from, "status") ? text(from, "status") : "ok", out);
    csv_number(from, "threads", out);
    csv_number(from, "p50_us", out);
    csv_number(from, "p5_us", out);
    csv_number(from, "p95_us", out);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        csv_number(from, own[i], out);
    fputc(',', out);
    csv_text(text(from, "limit"), out);
    csv_number(latency, "p99_us", out);
    csv_number(latency, "p999_us", out);
    fputc('\n', out);
}

void results_write_csv(const json_t *results, FILE *out)
{
    const json_t *benchmark, *engine;
    size_t index, at;
    fputs("suite,workload,engine,status,threads,median_us,p5_us,p95_us,per_step_us,flops_per_second,bytes_per_second,"
          "share_of_limit,peak_memory_bytes,ratio,limit,step_p99_us,step_p999_us\n",
          out);
    EACH_BENCHMARK(results, index, benchmark)
    {
        csv_row(benchmark, "Latchwork", benchmark, out);
        json_array_foreach(json_object_get(benchmark, "peers"), at, engine)
            csv_row(benchmark, text(engine, "engine"), engine, out);
        json_array_foreach(json_object_get(benchmark, "variants"), at, engine)
            csv_row(benchmark, text(engine, "name"), engine, out);
    }
}
