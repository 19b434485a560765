/* SPDX-License-Identifier: Apache-2.0 */
/* Writing results in the forms that were asked for (see outputs.h), and `latchwork bench report`. */
#include "outputs.h"

#include "commands.h"
#include "history.h"
#include "results.h"

#include "../file.h"
#include "../report.h"

int outputs_check(const struct outputs *outputs, const char *first, const char *second)
{
    const struct output_path paths[] = {
        {"json", outputs->json}, {"csv", outputs->csv}, {"markdown", outputs->markdown}, {"html", outputs->html}};
    const char *const inputs[] = {first, second, outputs->history};
    if (outputs->history && !outputs->html)
        return misuse("--history is shown in the page: --html FILE is missing");
    json_t *runs = outputs->history ? history_load(outputs->history) : NULL;
    if (outputs->history && !runs)
        return EXIT_WORK;
    json_decref(runs);
    return output_paths_check(paths, 4, inputs, 3);
}

static int write_json(const json_t *results, FILE *out)
{
    if (json_dumpf(results, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) != 0)
        return fail("the results cannot be written as JSON");
    fputc('\n', out);
    return EXIT_OK;
}

static int write_csv(const json_t *results, FILE *out)
{
    results_write_csv(results, out);
    return EXIT_OK;
}

static int write_markdown(const json_t *results, FILE *out)
{
    results_write_markdown(results, out);
    return EXIT_OK;
}

int output_form(const char *path, int (*form)(const json_t *, FILE *), const json_t *results)
{
    struct output output;
    if (!path)
        return EXIT_OK;
    int status = output_open(&output, path);
    if (status != EXIT_OK)
        return status;
    status = form(results, output.stream);
    if (status == EXIT_OK)
        return output_commit(&output);
    output_abandon(&output);
    return status;
}

/* The page may show a history beside the results. */
static int write_page(const struct outputs *outputs, const json_t *results)
{
    if (!outputs->history)
        return output_form(outputs->html, bench_report_html, results);
    json_t *runs = history_load(outputs->history);
    json_t *both = runs ? json_copy((json_t *)results) : NULL;
    int status = EXIT_WORK;
    if (both && json_object_set(both, "history", runs) == 0)
        status = output_form(outputs->html, bench_report_html, both);
    json_decref(both);
    json_decref(runs);
    return status;
}

/* All that can be written is, even when another form fails. */
int outputs_write(const struct outputs *outputs, const json_t *results)
{
    const int status[] = {
        output_form(outputs->json, write_json, results),
        output_form(outputs->csv, write_csv, results),
        output_form(outputs->markdown, write_markdown, results),
        write_page(outputs, results),
    };
    if (!output_is_standard(outputs->json) && !output_is_standard(outputs->csv) &&
        !output_is_standard(outputs->markdown) && !output_is_standard(outputs->html))
        results_write_table(results, stdout);
    for (size_t i = 0; i < 4; i++)
        if (status[i] != EXIT_OK)
            return status[i];
    return EXIT_OK;
}

int results_save(const json_t *results, const char *path)
{
    return output_form(path, write_json, results);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

struct arguments {
    struct outputs outputs;
};

static const struct option options[] = {OUTPUT_OPTIONS(struct arguments, outputs)};

static int run(int argc, const char **argv)
{
    struct arguments arguments = {0};
    const char *path = NULL;
    json_t *results = NULL;
    int status = arguments_parse(&command_bench_report, argc, argv, &arguments, &path);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    status = outputs_check(&arguments.outputs, path, NULL);
    if (status == EXIT_OK)
        status = results_load(path, &results);
    if (status == EXIT_OK)
        status = outputs_write(&arguments.outputs, results);
    json_decref(results);
    return status;
}

const struct command command_bench_report = {
    .name = "bench report",
    .operand = "RESULTS",
    .summary = "show results that were written with --json",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
