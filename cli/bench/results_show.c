/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results for people: tables for a terminal and as Markdown, and CSV for spreadsheets; see results.h. All of it reads
 * the JSON alone.
 */
#include "results.h"
#include "show.h"

#include "../report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double number_of(const json_t *object, const char *name)
{
    const json_t *field = json_object_get(object, name);
    return json_is_number(field) ? json_number_value(field) : NAN;
}

const char *text_of(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* Microseconds with a fitting unit. */
const char *time_text(double us, char out[32])
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

const json_t *own_context(const json_t *results)
{
    return json_object_get(json_object_get(results, "context"), "latchwork");
}

int is_failed(const json_t *benchmark)
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
    ends[0] = number_of(json_array_get(list, 0), "median_us");
    ends[1] = number_of(json_array_get(list, count - 1), "median_us");
    *threads = (size_t)json_integer_value(json_object_get(json_array_get(list, count - 1), "threads"));
    return ends[0] > 0.0 && ends[1] > 0.0 ? ends : NULL;
}

void results_fill_main(const json_t *results, struct table *table)
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
        if (is_failed(benchmark))
            continue;
        table_cell(table, "%s", text_of(benchmark, "suite"));
        table_cell(table, "%s", text_of(benchmark, "name"));
        time_cell(table, number_of(benchmark, "p50_us"));
        time_cell(table, number_of(benchmark, "p5_us"));
        time_cell(table, number_of(benchmark, "p95_us"));
        time_cell(table, number_of(benchmark, "per_step_us"));
        number_cell(table, number_of(benchmark, "flops_per_second") * 1e-9, "%.2f", "%.1f");
        number_cell(table, number_of(benchmark, "bytes_per_second") * 1e-9, "%.2f", "%.1f");
        if (isfinite(number_of(benchmark, "share_of_limit")))
            table_cell(table, "%.2f of %s", number_of(benchmark, "share_of_limit"), text_of(benchmark, "limit"));
        else
            table_cell(table, "-");
        number_cell(table, number_of(benchmark, "threads"), "%.0f", "%.0f");
        if (scaling_ends(json_object_get(benchmark, "scaling"), ends, &most))
            table_cell(table, "%.2f on %zu", ends[0] / ends[1], most);
        else
            table_cell(table, "-");
        if (isfinite(number_of(benchmark, "peak_memory")))
            table_cell(table, "%.1f MB", number_of(benchmark, "peak_memory") * 1e-6);
        else
            table_cell(table, "-");
    }
}

int results_fill_latency(const json_t *results, struct table *table)
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
        if (!latency || is_failed(benchmark))
            continue;
        any = 1;
        table_cell(table, "%s", text_of(benchmark, "name"));
        table_cell(table, "%.0f", number_of(latency, "count"));
        time_cell(table, number_of(latency, "p50_us"));
        time_cell(table, number_of(latency, "p90_us"));
        time_cell(table, number_of(latency, "p99_us"));
        time_cell(table, number_of(latency, "p999_us"));
        time_cell(table, number_of(latency, "max_us"));
    }
    return any;
}

/* ---- beside the peers ---------------------------------------------------------------------------------------------
 */

const char *status_word(const char *status)
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
        names[count++] = text_of(json_array_get(list, i), "name");
    return count;
}

static const json_t *find_peer(const json_t *benchmark, const char *name)
{
    const json_t *list = json_object_get(benchmark, "peers");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(text_of(json_array_get(list, i), "engine"), name) == 0)
            return json_array_get(list, i);
    return NULL;
}

static void engine_cell(struct table *table, const json_t *engine)
{
    char out[32];
    if (!engine)
        table_cell(table, "-");
    else if (strcmp(text_of(engine, "status"), "ok") != 0)
        table_cell(table, "%s", status_word(text_of(engine, "status")));
    else
        table_cell(table, "%s (%.0f)", time_text(number_of(engine, "p50_us"), out), number_of(engine, "threads"));
}

static void variants_cell(struct table *table, const json_t *benchmark, int markdown)
{
    const json_t *list = json_object_get(benchmark, "variants"), *variant;
    size_t index;
    table_cell(table, "%s", json_array_size(list) ? "" : "-");
    json_array_foreach((json_t *)list, index, variant)
    {
        const double ratio = number_of(variant, "ratio"), wanted = number_of(variant, "to_reach");
        table_more(table, "%s%s: ", index ? "; " : "", text_of(variant, "name"));
        if (!isfinite(ratio))
            table_more(table, "%s", status_word(text_of(variant, "status")));
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
    const double ratio = number_of(benchmark, "ratio"), share = number_of(benchmark, "share_of_limit");
    char out[32], low[32], high[32];
    table_cell(table, "%s", *text_of(benchmark, "label") ? text_of(benchmark, "label") : text_of(benchmark, "suite"));
    table_cell(table, "%s", text_of(benchmark, "name"));
    table_cell(table, "%s (%.0f)", time_text(number_of(benchmark, "p50_us"), out), number_of(benchmark, "threads"));
    table_cell(table, "%s - %s", time_text(number_of(benchmark, "p5_us"), low),
               time_text(number_of(benchmark, "p95_us"), high));
    for (size_t i = 0; i < count; i++)
        engine_cell(table, find_peer(benchmark, names[i]));
    if (isfinite(ratio))
        table_cell(table, "%.2f (%s)%s", ratio, text_of(benchmark, "best_peer"),
                   mark(ratio, number_of(wanted, "ratio"), markdown));
    else
        table_cell(table, "-");
    number_cell(table, number_of(wanted, "ratio"), "≥ %g", "≥ %g");
    if (isfinite(share) && isfinite(number_of(wanted, "share")))
        table_cell(table, "%.2f of %s (≥ %g)%s", share, text_of(benchmark, "limit"), number_of(wanted, "share"),
                   mark(share, number_of(wanted, "share"), markdown));
    else if (isfinite(share))
        table_cell(table, "%.2f of %s", share, text_of(benchmark, "limit"));
    else
        table_cell(table, "-");
    variants_cell(table, benchmark, markdown);
}

int results_fill_peers(const json_t *results, int markdown, struct table *table)
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
        if (!is_failed(benchmark))
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
        const double threads = number_of(limits, "threads");
        fprintf(out, "%s%.0f thread%s: FMA peak %.0f GFLOP/s; reading, GB/s:", bullet, threads,
                threads == 1.0 ? "" : "s", number_of(limits, "flops_per_second") * 1e-9);
        for (size_t i = 0; i < 4; i++) {
            const double rate = number_of(limits, levels[i][0]);
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
            fprintf(out, "%s%s: %smissing%s: %s\n", bullet, text_of(engine, "name"), strong, strong,
                    text_of(engine, "missing"));
        else
            fprintf(out, "%s%s %s%s%s\n", bullet, text_of(engine, "name"), text_of(engine, "version"),
                    *text_of(engine, "details") ? ", " : "", text_of(engine, "details"));
    }
}

/* A sentence for everything that could not be measured. */
void results_write_troubles(const json_t *results, const char *bullet, FILE *out)
{
    const json_t *benchmark, *engine;
    size_t index, at;
    EACH_BENCHMARK(results, index, benchmark)
    {
        const char *name = text_of(benchmark, "name");
        if (is_failed(benchmark))
            fprintf(out, "%s%s: %s\n", bullet, name, text_of(benchmark, "error_message"));
        json_array_foreach(json_object_get(benchmark, "peers"), at, engine)
        {
            const char *status = text_of(engine, "status");
            if (strcmp(status, "ok") != 0 && strcmp(status, "missing") != 0)
                fprintf(out, "%s%s: %s %s: %s\n", bullet, name, text_of(engine, "engine"), status_word(status),
                        text_of(engine, "text"));
        }
    }
    if (json_is_true(json_object_get(own_context(results), "interrupted")))
        fprintf(out, "%sThe run was interrupted: what is missing was not measured.\n", bullet);
}

static void write_machine(const json_t *results, FILE *out)
{
    const json_t *own = own_context(results);
    fprintf(out, "latchwork %s, %s, %s, %.0f CPUs, clock: %s\n", text_of(own, "version"), text_of(own, "isa"),
            text_of(own, "cpu"), number_of(own, "cores"), text_of(own, "frequency_policy"));
}

void results_write_table(const json_t *results, FILE *out)
{
    struct table table;
    write_machine(results, out);
    write_limits(results, "", out);
    fputc('\n', out);
    results_fill_main(results, &table);
    table_write_text(&table, out);
    table_free(&table);
    if (results_fill_latency(results, &table)) {
        fputc('\n', out);
        table_write_text(&table, out);
    }
    table_free(&table);
    if (results_fill_peers(results, 0, &table)) {
        fputc('\n', out);
        write_engines(results, "", "", out);
        fprintf(out, "Medians (threads); ratio: the best peer's time by Latchwork's\n\n");
        table_write_text(&table, out);
    }
    table_free(&table);
    results_write_troubles(results, "! ", out);
}

void results_write_markdown(const json_t *results, FILE *out)
{
    struct table table;
    fprintf(out, "# Latchwork's benchmark\n\n");
    write_machine(results, out);
    if (*text_of(own_context(results), "command"))
        fprintf(out, "Command: `%s`\n", text_of(own_context(results), "command"));
    fprintf(out, "\nLimits of the machine, measured in the same run:\n\n");
    write_limits(results, "- ", out);
    if (results_fill_peers(results, 1, &table)) {
        fprintf(out, "\nEngines:\n\n");
        write_engines(results, "- ", "**", out);
        fprintf(out,
                "\nMedians (threads: the better count of each engine); ratio: the best peer's time by Latchwork's; "
                "of the limit: the least time that the machine's limits allow, by the median.\n\n");
        table_write_markdown(&table, out);
    }
    table_free(&table);
    results_fill_main(results, &table);
    fputc('\n', out);
    table_write_markdown(&table, out);
    table_free(&table);
    if (results_fill_latency(results, &table)) {
        fprintf(out, "\nSingle calls, each timed alone:\n\n");
        table_write_markdown(&table, out);
    }
    table_free(&table);
    fputc('\n', out);
    results_write_troubles(results, "- ", out);
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
    const double value = number_of(object, name);
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
    csv_text(text_of(benchmark, "suite"), out);
    fputc(',', out);
    csv_text(text_of(benchmark, "name"), out);
    fputc(',', out);
    csv_text(engine, out);
    fputc(',', out);
    csv_text(is_failed(from) ? "error" : *text_of(from, "status") ? text_of(from, "status") : "ok", out);
    csv_number(from, "threads", out);
    csv_number(from, "p50_us", out);
    csv_number(from, "p5_us", out);
    csv_number(from, "p95_us", out);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        csv_number(from, own[i], out);
    fputc(',', out);
    csv_text(text_of(from, "limit"), out);
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
            csv_row(benchmark, text_of(engine, "engine"), engine, out);
        json_array_foreach(json_object_get(benchmark, "variants"), at, engine)
            csv_row(benchmark, text_of(engine, "name"), engine, out);
    }
}
