/* SPDX-License-Identifier: Apache-2.0 */
/* `latchwork bench history`: keeps results as lines of a file, and finds where their level changed; see history.h. */
#include "history.h"

#include "commands.h"
#include "html.h"
#include "outputs.h"
#include "results.h"
#include "statistics.h"
#include "table.h"

#include "../file.h"
#include "../report.h"
#include "../work.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HISTORY_SCHEMA = 1, RUNS_MOST = 1000 };

struct arguments {
    const char *file, *add, *commit, *filter, *html;
};

#define AT(field) .offset = offsetof(struct arguments, field)

static const struct option options[] = {
    {.name = "file",
     .kind = OPTION_TEXT,
     AT(file),
     .value = "FILE",
     .values = VALUES_FILE,
     .required = 1,
     .help = "the history, one run a line"},
    {.name = "add",
     .kind = OPTION_TEXT,
     AT(add),
     .value = "RESULTS",
     .values = VALUES_FILE,
     .help = "append these results of 'latchwork bench --json'"},
    {.name = "commit", .kind = OPTION_TEXT, AT(commit), .value = "NAME", .help = "what the added results are of"},
    {.name = "filter", .kind = OPTION_TEXT, AT(filter), .value = "TEXT", .help = "only workloads with this text"},
    {.name = "html",
     .kind = OPTION_TEXT,
     AT(html),
     .value = "FILE",
     .values = VALUES_FILE,
     .help = "a page with the trend of each workload"},
};

/* ---- lines ----------------------------------------------------------------------------------------------------- */

static json_t *fact(const json_t *results, const char *key)
{
    return json_object_get(json_object_get(json_object_get(results, "context"), "latchwork"), key);
}

static const char *fact_text(const json_t *results, const char *key)
{
    const char *text = json_string_value(fact(results, key));
    return text ? text : "not told";
}

/* What has to be the same for times to be compared. */
static json_t *make_machine(const json_t *results)
{
    return json_sprintf("%s, %lld CPUs, %s, %s", fact_text(results, "cpu"),
                        (long long)json_integer_value(fact(results, "cores")), fact_text(results, "isa"),
                        fact_text(results, "frequency_policy"));
}

/* A line for the results: what tells machines and runs apart, and the median of each workload that was measured. */
static json_t *make_run(const json_t *results, const char *commit)
{
    const json_t *list = json_object_get(results, "benchmarks");
    const char *date = json_string_value(json_object_get(json_object_get(results, "context"), "date"));
    json_t *times = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *benchmark = json_array_get(list, i), *median = json_object_get(benchmark, "p50_us");
        if (json_number_value(median) > 0.0)
            json_object_set(times, json_string_value(json_object_get(benchmark, "name")), (json_t *)median);
    }
    return json_pack("{s:i, s:o, s:o, s:o, s:o}", "schema", HISTORY_SCHEMA, "date", json_text(date ? date : ""),
                     "commit", json_text(commit ? commit : ""), "machine", make_machine(results), "p50_us", times);
}

/* One write: two that append at once do not mix. */
static int append(const char *path, const json_t *run)
{
    char *text = run ? json_dumps(run, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    const size_t size = text ? strlen(text) + 1 : 0;
    if (!text)
        return fail("out of memory");
    const int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    text[size - 1] = '\n';
    const int good = file >= 0 && write(file, text, size) == (ssize_t)size;
    const int status = good ? EXIT_OK : fail("%s: cannot be appended to: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
    free(text);
    return status;
}

/* Also to `runs`, which hold what the file held before: nothing is appended to a file that cannot be read. */
static int add_results(const struct arguments *arguments, json_t *runs)
{
    json_t *results;
    int status = results_load(arguments->add, &results);
    if (status != EXIT_OK)
        return status;
    json_t *run = make_run(results, arguments->commit);
    status = json_object_size(json_object_get(run, "p50_us")) ? append(arguments->file, run)
                                                              : fail("%s: nothing was measured", arguments->add);
    if (status == EXIT_OK && json_array_append(runs, run))
        status = fail("out of memory");
    json_decref(run);
    json_decref(results);
    return status;
}

static int check_run(const json_t *run, const char *path, size_t line)
{
    const json_t *schema = json_object_get(run, "schema"), *time;
    const char *name;
    if (!json_is_integer(schema) || !json_is_object(json_object_get(run, "p50_us")) ||
        !json_is_string(json_object_get(run, "machine")))
        return fail("%s: line %zu is no run of a history: expected schema, machine and p50_us", path, line);
    if (json_integer_value(schema) > HISTORY_SCHEMA)
        return fail("%s: line %zu has the schema %lld; this latchwork reads up to %d", path, line,
                    (long long)json_integer_value(schema), HISTORY_SCHEMA);
    json_object_foreach(json_object_get(run, "p50_us"), name, time)
    {
        if (!(json_number_value(time) > 0.0))
            return fail("%s: line %zu: the time of '%s' must be a number above 0", path, line, name);
    }
    return EXIT_OK;
}

static int load(const char *path, json_t *runs)
{
    void *bytes = NULL;
    size_t size = 0, line = 0;
    int status = file_read(path, &bytes, &size);
    const char *at = bytes, *end = at ? at + size : at;
    while (status == EXIT_OK && at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        json_error_t error;
        line++;
        if (!next) {
            status = fail("%s: line %zu does not end: the file is truncated", path, line);
            break;
        }
        json_t *run = next > at ? json_loadb(at, (size_t)(next - at), JSON_REJECT_DUPLICATES, &error) : NULL;
        if (next > at)
            status = run ? check_run(run, path, line) : fail("%s: line %zu: %s", path, line, error.text);
        if (status == EXIT_OK && run)
            json_array_append(runs, run);
        json_decref(run);
        at = next + 1;
    }
    free(bytes);
    return status;
}

json_t *history_load(const char *path)
{
    json_t *runs = json_array();
    if (load(path, runs) == EXIT_OK)
        return runs;
    json_decref(runs);
    return NULL;
}

/* ---- trends ---------------------------------------------------------------------------------------------------- */

static struct trend *trend_of(struct trends *trends, const char *name, const char *machine)
{
    for (size_t i = 0; i < trends->count; i++)
        if (strcmp(trends->list[i].name, name) == 0 && strcmp(trends->list[i].machine, machine) == 0)
            return &trends->list[i];
    struct trend *list = realloc(trends->list, (trends->count + 1) * sizeof *list);
    if (!list)
        return NULL;
    trends->list = list;
    list[trends->count] = (struct trend){.name = name, .machine = machine};
    return &list[trends->count++];
}

static int add_value(struct trend *trend, const json_t *run, double us)
{
    const json_t **runs = realloc(trend->runs, (trend->count + 1) * sizeof *runs);
    trend->runs = runs ? runs : trend->runs;
    double *times = realloc(trend->us, (trend->count + 1) * sizeof *times);
    trend->us = times ? times : trend->us;
    if (!runs || !times)
        return 0;
    runs[trend->count] = run;
    times[trend->count++] = us;
    return 1;
}

/* Of logarithms, so that a step of 5 % is as large on a slow workload as on a quick one. */
static int cut(struct trend *trend)
{
    const size_t count = trend->count < RUNS_MOST ? trend->count : RUNS_MOST, first = trend->count - count;
    double *logs = allocate(count, sizeof *logs);
    if (!logs)
        return fail("out of memory");
    for (size_t i = 0; i < count; i++)
        logs[i] = log(trend->us[first + i]);
    trend->change_count = find_changes(logs, count, 1, trend->changes);
    for (size_t i = 0; i < trend->change_count; i++)
        trend->changes[i] += first;
    free(logs);
    return EXIT_OK;
}

static int make_trends(const json_t *runs, const char *filter, struct trends *trends)
{
    int status = EXIT_OK;
    for (size_t i = 0; status == EXIT_OK && i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i), *time;
        const char *machine = json_string_value(json_object_get(run, "machine")), *name;
        json_object_foreach(json_object_get(run, "p50_us"), name, time)
        {
            struct trend *trend = filter && !strstr(name, filter) ? NULL : trend_of(trends, name, machine);
            if (trend && !add_value(trend, run, json_number_value(time)))
                status = fail("out of memory");
        }
    }
    for (size_t i = 0; status == EXIT_OK && i < trends->count; i++)
        status = cut(&trends->list[i]);
    if (status == EXIT_OK && !trends->count)
        status = fail(filter ? "--filter: no workload of the history has '%s' in its name" : "the history is empty%s",
                      filter ? filter : "");
    return status;
}

double level_at(const struct trend *trend, size_t at)
{
    size_t begin = 0, end = trend->count;
    for (size_t i = 0; i < trend->change_count; i++)
        if (trend->changes[i] <= at)
            begin = trend->changes[i];
        else if (trend->changes[i] < end)
            end = trend->changes[i];
    return median_of(trend->us + begin, end - begin);
}

const char *run_text(const json_t *run, char text[200])
{
    const char *date = json_string_value(json_object_get(run, "date"));
    const char *commit = json_string_value(json_object_get(run, "commit"));
    snprintf(text, 200, "%.60s%s%.100s", date ? date : "", commit && *commit ? ", " : "", commit ? commit : "");
    return clean_text(text);
}

static void print_trends(const struct trends *trends)
{
    static const char *const heads[] = {"workload", "machine", "changes", "runs", "newest, us", "level, us"};
    struct table table = {.columns = 6, .left = 3};
    char text[200];
    for (size_t i = 0; i < 6; i++)
        table_cell(&table, "%s", heads[i]);
    for (size_t i = 0; i < trends->count; i++) {
        const struct trend *trend = &trends->list[i];
        table_cell(&table, "%s", trend->name);
        table_cell(&table, "%s", trend->machine);
        table_cell(&table, "%s", trend->change_count ? "" : "none");
        for (size_t c = 0; c < trend->change_count; c++) {
            const size_t at = trend->changes[c];
            table_more(&table, "%s%+.1f %% at %s", c ? "; " : "",
                       100.0 * (level_at(trend, at) / level_at(trend, at - 1) - 1.0), run_text(trend->runs[at], text));
        }
        table_cell(&table, "%zu", trend->count);
        table_cell(&table, "%.4g", trend->us[trend->count - 1]);
        table_cell(&table, "%.4g", level_at(trend, trend->count - 1));
    }
    table_write_text(&table, stdout);
    table_free(&table);
}

static int write_page(const char *path, const struct trends *trends)
{
    struct output output;
    const int status = output_open(&output, path);
    if (status != EXIT_OK)
        return status;
    history_html(trends, output.stream);
    return output_commit(&output);
}

static void free_trends(struct trends *trends)
{
    for (size_t i = 0; i < trends->count; i++) {
        free(trends->list[i].runs);
        free(trends->list[i].us);
    }
    free(trends->list);
}

int history_section(const json_t *runs, const json_t *results, FILE *out)
{
    struct trends trends = {0};
    size_t shown = 0;
    int status = EXIT_OK;
    /* They may have come in a results file, of which nobody has looked at them yet. */
    for (size_t i = 0; status == EXIT_OK && i < json_array_size(runs); i++)
        status = check_run(json_array_get(runs, i), "history", i + 1);
    if (status != EXIT_OK || !json_array_size(runs))
        return status;
    json_t *machine = make_machine(results);
    status = make_trends(runs, NULL, &trends);
    for (size_t i = 0; status == EXIT_OK && machine && i < trends.count; i++) {
        const struct trend *trend = &trends.list[i];
        if (!results_find(results, trend->name) || strcmp(trend->machine, json_string_value(machine)) != 0)
            continue;
        if (!shown++)
            fputs("<section><h2>History on this machine</h2>\n<p>Median time of a call, run by run; the lines are "
                  "levels, a dashed line is where the level changed.</p>\n<div class=\"panels large\">\n",
                  out);
        fputs("<figure class=\"trend\"><figcaption>", out);
        html_text(trend->name, out);
        fputs("</figcaption>", out);
        history_trend_html(trend, out);
        fputs("</figure>\n", out);
    }
    if (shown)
        fputs("</div></section>\n", out);
    free_trends(&trends);
    json_decref(machine);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static int run(int argc, const char **argv)
{
    struct arguments arguments = {0};
    struct trends trends = {0};
    int status = arguments_parse(&command_bench_history, argc, argv, &arguments, NULL);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    if (arguments.commit && !arguments.add)
        return misuse("bench history: --commit tells what --add adds");
    const struct output_path page = {"html", arguments.html};
    const char *const inputs[] = {arguments.file, arguments.add};
    status = output_paths_check(&page, 1, inputs, 2);
    json_t *runs = json_array();
    if (status == EXIT_OK && !(arguments.add && access(arguments.file, F_OK) != 0))
        status = load(arguments.file, runs);
    if (status == EXIT_OK && arguments.add)
        status = add_results(&arguments, runs);
    if (status == EXIT_OK)
        status = make_trends(runs, arguments.filter, &trends);
    if (status == EXIT_OK && arguments.html)
        status = write_page(arguments.html, &trends);
    if (status == EXIT_OK && !(arguments.html && output_is_standard(arguments.html)))
        print_trends(&trends);
    free_trends(&trends);
    json_decref(runs);
    return status;
}

const struct command command_bench_history = {
    .name = "bench history",
    .summary = "keep results and tell where they changed",
    .details = "Example: latchwork bench --quick --json now.json &&\n"
               "         latchwork bench history --file history.jsonl --add now.json --commit abc123 --html trend.html",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
