/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a comparison and its forms; see gate_report.h. */
#include "gate_report.h"

#include "outputs.h"
#include "table.h"

#include "../file.h"
#include "../report.h"
#include "../work.h"

#include <latchwork.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- making it ------------------------------------------------------------------------------------------------ */

json_t *gate_report_create(const char *base, const char *now, double threshold, const char *unit)
{
    json_t *report = json_pack("{s:{s:i, s:s, s:o, s:o, s:f, s:s, s:b}, s:[], s:[]}", "gate", "schema", 1, "version",
                               lw_version(), "base", json_text(base), "new", json_text(now), "threshold", threshold,
                               "unit", unit, "interrupted", 0, "workloads", "left_out");
    if (!report)
        fail("out of memory");
    return report;
}

/* JSON has no word for what is not known. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *effect_json(const struct effect *effect)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:I}", "ratio", number(effect->ratio), "low", number(effect->low), "high",
                     number(effect->high), "spread", number(effect->spread), "pairs", (json_int_t)effect->count);
}

json_t *gate_row(const char *name, enum verdict verdict, const struct effect *effect, double base, double now)
{
    return json_pack("{s:o, s:s, s:o, s:o, s:o}", "name", json_text(name), "verdict", verdict_word(verdict), "effect",
                     effect_json(effect), "base", number(base), "new", number(now));
}

json_t *gate_row_failed(const char *name, const char *text)
{
    return json_pack("{s:o, s:s, s:o}", "name", json_text(name), "verdict", verdict_word(VERDICT_FAILED), "text",
                     json_text(text));
}

int gate_report_leave_out(json_t *report, const char *name, const char *reason)
{
    json_t *row = json_pack("{s:o, s:o}", "name", json_text(name), "text", json_text(reason));
    return json_array_append_new(json_object_get(report, "left_out"), row) ? fail("out of memory") : EXIT_OK;
}

static json_t *pairs_json(const struct pairs *pairs)
{
    json_t *list = json_array();
    for (size_t i = 0; i < pairs->count; i++)
        json_array_append_new(list, number(exp(pairs->logs[i])));
    return list;
}

void gate_row_judgement(json_t *row, const struct judgement *judgement)
{
    json_object_set_new(row, "floor", effect_json(&judgement->floor));
    json_object_set_new(row, "floor_ratios", pairs_json(&judgement->floor_pairs));
    json_object_set_new(row, "ratios", pairs_json(&judgement->pairs));
    if (!judgement->again.count)
        return;
    json_object_set_new(row, "again", effect_json(&judgement->again));
    json_object_set_new(row, "again_ratios", pairs_json(&judgement->again_pairs));
}

/* ---- reading it ----------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int has_verdict(const json_t *row, enum verdict verdict)
{
    return strcmp(text_of(row, "verdict"), verdict_word(verdict)) == 0;
}

size_t gate_report_count(const json_t *report, enum verdict verdict)
{
    const json_t *list = json_object_get(report, "workloads");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        count += (size_t)has_verdict(json_array_get(list, i), verdict);
    return count;
}

static int counts_instructions(const json_t *report)
{
    return strcmp(text_of(json_object_get(report, "gate"), "unit"), "instructions") == 0;
}

/* "+5.2 % (+4.1 to +6.3)"; of instructions, which have no interval, "+0.52 %". */
static void effect_text(const json_t *effect, char *text, size_t size)
{
    const double ratio = number_of(effect, "ratio"), low = number_of(effect, "low"), high = number_of(effect, "high");
    if (!isfinite(ratio))
        snprintf(text, size, "not known");
    else if (low < high)
        snprintf(text, size, "%+.1f %% (%+.1f to %+.1f)", 100.0 * (ratio - 1.0), 100.0 * (low - 1.0),
                 100.0 * (high - 1.0));
    else
        snprintf(text, size, "%+.2f %%", 100.0 * (ratio - 1.0));
}

/* A sentence about a row, for the forms that have no columns. */
static void row_text(const json_t *report, const json_t *row, char *text, size_t size)
{
    char change[100];
    const json_t *again = json_object_get(row, "again");
    if (has_verdict(row, VERDICT_FAILED)) {
        snprintf(text, size, "%s could not be measured: %s", text_of(row, "name"), text_of(row, "text"));
        return;
    }
    effect_text(json_object_get(row, "effect"), change, sizeof change);
    const char *words = has_verdict(row, VERDICT_NOISY)    ? "too noisy to tell whether it is slower than"
                        : has_verdict(row, VERDICT_SLOWER) ? "slower than"
                        : has_verdict(row, VERDICT_FASTER) ? "faster than"
                                                           : "as fast as";
    const int used = snprintf(text, size, "%s is %s %s: %s %s", text_of(row, "name"), words,
                              text_of(json_object_get(report, "gate"), "base"),
                              counts_instructions(report) ? "instructions" : "time", change);
    if (again && used > 0 && (size_t)used < size) {
        effect_text(again, change, sizeof change);
        snprintf(text + used, size - (size_t)used, "; when it was repeated, %s", change);
    }
}

/* ---- table and Markdown --------------------------------------------------------------------------------------- */

static void value_cell(struct table *table, double value, int instructions)
{
    if (!isfinite(value))
        table_cell(table, "-");
    else
        table_cell(table, instructions ? "%.0f" : value < 1000.0 ? "%.3g" : "%.0f", value);
}

/* The functions whose count has changed most. */
static void add_functions(struct table *table, const json_t *row)
{
    const json_t *list = json_object_get(row, "functions");
    table_cell(table, "%s", "");
    for (size_t i = 0; i < json_array_size(list) && i < 3; i++) {
        const json_t *function = json_array_get(list, i);
        table_more(table, "%s%s %+.0f", i ? ", " : "", text_of(function, "name"),
                   number_of(function, "new") - number_of(function, "base"));
    }
}

static void fill_table(struct table *table, const json_t *report)
{
    const json_t *list = json_object_get(report, "workloads");
    const int instructions = counts_instructions(report);
    const char *const heads[] = {"workload",
                                 "verdict",
                                 instructions ? "base" : "base, us",
                                 instructions ? "new" : "new, us",
                                 "change",
                                 instructions ? "functions" : "base against itself"};
    *table = (struct table){.columns = 6, .left = 2};
    for (size_t i = 0; i < 6; i++)
        table_cell(table, "%s", heads[i]);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i), *floor = json_object_get(row, "floor");
        char text[100];
        table_cell(table, "%s", text_of(row, "name"));
        table_cell(table, "%s", text_of(row, "verdict"));
        value_cell(table, number_of(row, "base"), instructions);
        value_cell(table, number_of(row, "new"), instructions);
        effect_text(json_object_get(row, "effect"), text, sizeof text);
        table_cell(table, "%s", has_verdict(row, VERDICT_FAILED) ? text_of(row, "text") : text);
        effect_text(floor, text, sizeof text);
        if (instructions)
            add_functions(table, row);
        else
            table_cell(table, "%s", floor ? text : "-");
    }
}

static void write_summary(const json_t *report, FILE *out)
{
    const json_t *gate = json_object_get(report, "gate");
    const size_t slower = gate_report_count(report, VERDICT_SLOWER), noisy = gate_report_count(report, VERDICT_NOISY);
    const size_t failed = gate_report_count(report, VERDICT_FAILED), faster = gate_report_count(report, VERDICT_FASTER);
    char base[300], now[300];
    snprintf(base, sizeof base, "%s", text_of(gate, "base"));
    snprintf(now, sizeof now, "%s", text_of(gate, "new"));
    fprintf(out, "%s against %s, threshold %g %% of %s: %zu slower, %zu faster, %zu the same, %zu too noisy to tell",
            clean_text(now), clean_text(base), 100.0 * number_of(gate, "threshold"), text_of(gate, "unit"), slower,
            faster, gate_report_count(report, VERDICT_SAME), noisy);
    if (failed)
        fprintf(out, ", %zu failed", failed);
    fprintf(out, "%s\n", json_is_true(json_object_get(gate, "interrupted")) ? "; interrupted" : "");
    const json_t *left_out;
    size_t i;
    json_array_foreach(json_object_get(report, "left_out"), i, left_out)
        fprintf(out, "%sleft out, since the base does not know it: %s (%s)\n", i ? "" : "\n", text_of(left_out, "name"),
                text_of(left_out, "text"));
}

static int write_table(const json_t *report, FILE *out)
{
    struct table table;
    fill_table(&table, report);
    table_write_text(&table, out);
    table_free(&table);
    fputc('\n', out);
    write_summary(report, out);
    return EXIT_OK;
}

/* What is missing may be slower: only a whole comparison says that nothing is. */
static const char *heading(const json_t *report)
{
    return gate_report_count(report, VERDICT_SLOWER)                                       ? "slower"
           : json_is_true(json_object_get(json_object_get(report, "gate"), "interrupted")) ? "interrupted"
           : gate_report_count(report, VERDICT_FAILED)              ? "something could not be measured"
           : !json_array_size(json_object_get(report, "workloads")) ? "nothing could be compared"
                                                                    : "nothing is slower";
}

static int write_markdown(const json_t *report, FILE *out)
{
    struct table table;
    fprintf(out, "### Performance: %s\n\n", heading(report));
    fill_table(&table, report);
    table_write_markdown(&table, out);
    table_free(&table);
    fputc('\n', out);
    write_summary(report, out);
    return EXIT_OK;
}

/* ---- JSON, JUnit, GitHub -------------------------------------------------------------------------------------- */

static int write_json(const json_t *report, FILE *out)
{
    if (json_dumpf(report, out, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) != 0)
        return fail("the report cannot be written as JSON");
    fputc('\n', out);
    return EXIT_OK;
}

static void write_xml(const char *text, FILE *out)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
}

static int write_junit(const json_t *report, FILE *out)
{
    const json_t *list = json_object_get(report, "workloads");
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"latchwork gate\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\">\n",
            json_array_size(list), gate_report_count(report, VERDICT_SLOWER), gate_report_count(report, VERDICT_FAILED),
            gate_report_count(report, VERDICT_NOISY));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *element = has_verdict(row, VERDICT_SLOWER)   ? "failure"
                              : has_verdict(row, VERDICT_FAILED) ? "error"
                              : has_verdict(row, VERDICT_NOISY)  ? "skipped"
                                                                 : NULL;
        char text[1200];
        row_text(report, row, text, sizeof text);
        fprintf(out, " <testcase classname=\"latchwork.gate.%s\" name=\"",
                text_of(json_object_get(report, "gate"), "unit"));
        write_xml(text_of(row, "name"), out);
        if (element)
            fprintf(out, "\">\n  <%s message=\"", element);
        else
            fputs("\">\n  <system-out>", out);
        write_xml(text, out);
        fputs(element ? "\"/>\n </testcase>\n" : "</system-out>\n </testcase>\n", out);
    }
    fputs("</testsuite>\n", out);
    return EXIT_OK;
}

/* Workflow commands end at the line's end and take % for the start of an escape. */
static void write_command(const char *level, const char *title, const char *text)
{
    printf("::%s title=%s::", level, title);
    for (; *text; text++)
        if (*text == '%')
            fputs("%25", stdout);
        else
            putchar(*text);
    putchar('\n');
}

static int write_github(const json_t *report)
{
    const json_t *list = json_object_get(report, "workloads");
    const char *summary = getenv("GITHUB_STEP_SUMMARY");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        char text[1200];
        row_text(report, row, text, sizeof text);
        if (has_verdict(row, VERDICT_SLOWER))
            write_command("error", "Slower", text);
        else if (has_verdict(row, VERDICT_FAILED))
            write_command("error", "Not measured", text);
        else if (has_verdict(row, VERDICT_NOISY))
            write_command("warning", "Too noisy", text);
        else if (has_verdict(row, VERDICT_FASTER))
            write_command("notice", "Faster", text);
    }
    FILE *out = summary && *summary ? fopen(summary, "a") : NULL;
    if (!out)
        return summary && *summary ? fail("%s: the step's summary cannot be written", summary) : EXIT_OK;
    write_markdown(report, out);
    return fclose(out) ? fail("%s: the step's summary cannot be written", summary) : EXIT_OK;
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

int gate_outputs_check(const struct gate_outputs *outputs, const char *const *inputs, size_t input_count)
{
    const struct output_path paths[] = {
        {"json", outputs->json}, {"junit", outputs->junit}, {"markdown", outputs->markdown}};
    return output_paths_check(paths, 3, inputs, input_count);
}

int gate_outputs_write(const struct gate_outputs *outputs, const json_t *report)
{
    const int status[] = {
        output_form(outputs->json, write_json, report), output_form(outputs->junit, write_junit, report),
        output_form(outputs->markdown, write_markdown, report), outputs->github ? write_github(report) : EXIT_OK};
    if (!output_is_standard(outputs->json) && !output_is_standard(outputs->junit) &&
        !output_is_standard(outputs->markdown))
        write_table(report, stdout);
    for (size_t i = 0; i < 4; i++)
        if (status[i] != EXIT_OK)
            return status[i];
    return EXIT_OK;
}
