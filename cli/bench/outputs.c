/* SPDX-License-Identifier: Apache-2.0 */
/* Writing results in the forms that were asked for (see outputs.h), and `latchwork bench report`. */
#include "outputs.h"

#include "commands.h"
#include "results.h"

#include "../file.h"
#include "../report.h"

#include <string.h>

static int is_standard(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

int outputs_check(const struct outputs *outputs)
{
    const char *const paths[] = {outputs->json, outputs->csv, outputs->markdown, outputs->html};
    int status = EXIT_OK, standard = 0;
    for (size_t i = 0; i < 4 && status == EXIT_OK; i++) {
        standard += is_standard(paths[i]);
        if (paths[i] && !is_standard(paths[i]))
            status = output_check(paths[i]);
    }
    return status == EXIT_OK && standard > 1 ? misuse("only one of the outputs can go to standard output") : status;
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

static int write_one(const char *path, int (*form)(const json_t *, FILE *), const json_t *results)
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

/* All that can be written is, even when another form fails. */
int outputs_write(const struct outputs *outputs, const json_t *results)
{
    const int status[] = {
        write_one(outputs->json, write_json, results),
        write_one(outputs->csv, write_csv, results),
        write_one(outputs->markdown, write_markdown, results),
        write_one(outputs->html, bench_report_html, results),
    };
    if (!is_standard(outputs->json) && !is_standard(outputs->csv) && !is_standard(outputs->markdown) &&
        !is_standard(outputs->html))
        results_write_table(results, stdout);
    for (size_t i = 0; i < 4; i++)
        if (status[i] != EXIT_OK)
            return status[i];
    return EXIT_OK;
}

int results_save(const json_t *results, const char *path)
{
    return write_one(path, write_json, results);
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
    status = outputs_check(&arguments.outputs);
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
