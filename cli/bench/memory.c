/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork bench memory`: how far back each cell learns to remember. Trains a network of every kind on the memory
 * tasks over growing lengths, with the settings that `train` would choose, and tells for every seed whether it was
 * solved, in how many updates and seconds, and how much of the gradient arrives at the first step, before training and
 * after it. A run is told of as soon as it ends; seeds are the outermost loop, so that an interrupted bench has whole
 * rows.
 */
#include "commands.h"
#include "statistics.h"
#include "table.h"

#include "../report.h"
#include "../train_loop.h"
#include "../work.h"

#include <errno.h>
#include <latchwork.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTHS_MAX = 16, CELLS = 3, TASKS = 2, SEEDS_MAX = 100 };

static const char *const cell_names[CELLS] = {"lstm", "gru", "rnn"};
static const struct task_kind *const tasks[TASKS] = {&task_latch, &task_adding};

struct arguments {
    const char *tasks, *lengths, *cells, *rate;
    size_t seeds, first_seed, updates, hidden, threads;
    int quick, json, markdown;
};

#define AT(field) .offset = offsetof(struct arguments, field)
#define TEXT_OPTION(name_, field, value_, help_)                                      \
    {                                                                                 \
        .name = name_, .kind = OPTION_TEXT, AT(field), .value = value_, .help = help_ \
    }
#define SIZE_OPTION(name_, field, least_, most_, help_)                                                            \
    {                                                                                                              \
        .name = name_, .kind = OPTION_SIZE, AT(field), .value = "N", .least = least_, .most = most_, .help = help_ \
    }
#define FLAG_OPTION(name_, field, help_)                             \
    {                                                                \
        .name = name_, .kind = OPTION_FLAG, AT(field), .help = help_ \
    }

static const struct option options[] = {
    TEXT_OPTION("tasks", tasks, "NAMES", "latch, adding or both with a comma between them (default:\nboth)"),
    TEXT_OPTION("lengths", lengths, "N,N", "steps of the sequences (default: 100,500,1000,2000,5000)"),
    TEXT_OPTION("cells", cells, "NAMES", "lstm, gru, rnn with commas between them (default: all)"),
    SIZE_OPTION("seeds", seeds, 1, SEEDS_MAX, "runs of each, one a seed (default: 3)"),
    SIZE_OPTION("first-seed", first_seed, 0, (size_t)1 << 40, "the first of the seeds (default: 1)"),
    SIZE_OPTION("updates", updates, 1, (size_t)1 << 40,
                "after which a run that has not solved it ends (default: 1000)"),
    SIZE_OPTION("hidden", hidden, 1, LW_SIZE_MAX, "units of the recurrent layer (default: 64)"),
    TEXT_OPTION("rate", rate, "R",
                "learning rate of all cells (default: that of 'latchwork\ntrain' for task and cell)"),
    SIZE_OPTION("threads", threads, 1, LW_THREADS_MAX,
                "at most so many (default: all); changes no result but the\nseconds"),
    FLAG_OPTION("quick", quick, "lengths 20 and 50, one seed, 150 updates, where nothing else\nis said"),
    {.name = "json",
     .letter = 'j',
     .kind = OPTION_FLAG,
     AT(json),
     .help = "print each run as one line of JSON, as soon as it ends,\ninstead of the table"},
    FLAG_OPTION("markdown", markdown, "print the table as Markdown"),
};

static int run(int argc, const char **argv);

const struct command command_bench_memory = {
    .name = "bench memory",
    .summary = "how far back LSTM, GRU and RNN learn to remember",
    .details =
        "Each run is that of 'latchwork train TASK --cell CELL --length N --hidden N --seed N --updates N'.\n"
        "What of the gradient arrives: the norm of the gradient of the last output with respect to the first input,\n"
        "over that with respect to the last input; the mean over a batch of fresh sequences. 0: below what f32 holds.\n"
        "Ctrl-C ends it after the current update; the table then holds the runs that have ended.\n"
        "Examples:\n"
        "  latchwork bench memory --quick\n"
        "  latchwork bench memory --tasks latch --cells rnn --rate 0.02 --lengths 1000 --seeds 5 --json",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};

/* One run that has ended. */
struct result {
    const struct task_kind *task;
    const char *cell;
    size_t length, seed, updates, threads;
    int solved;
    double rate, seconds, loss, accuracy, arrives_before, arrives_after;
};

struct plan {
    size_t lengths[LENGTHS_MAX];
    size_t length_count;
    int tasks[TASKS], cells[CELLS];
    struct result *results;
    size_t count, done;
};

/* ---- the command line ------------------------------------------------------------------------------------------- */

/* Marks the names of a list with commas; NULL: all of them. */
static int read_names(const char *option, const char *text, const char *const *names, size_t count, int *chosen)
{
    char word[32], out[NEAREST_SIZE];
    for (size_t i = 0; i < count; i++)
        chosen[i] = !text;
    for (const char *at = text; at;) {
        size_t size = strcspn(at, ","), i = 0;
        snprintf(word, sizeof word, "%.*s", size < 31 ? (int)size : 31, at);
        while (i < count && strcmp(word, names[i]) != 0)
            i++;
        if (i == count)
            return misuse("--%s: there is no '%s'%s", option, word, nearest(word, names, count, out));
        chosen[i] = 1;
        at = at[size] ? at + size + 1 : NULL;
    }
    return EXIT_OK;
}

static int read_lengths(const char *text, struct plan *plan)
{
    for (const char *at = text; at;) {
        char *end;
        errno = 0;
        unsigned long long length = strtoull(at, &end, 10);
        if (*at < '0' || *at > '9' || errno || (*end && *end != ',') || length < 2 || length > LW_SIZE_MAX ||
            plan->length_count == LENGTHS_MAX)
            return misuse("--lengths: expected up to %d whole numbers from 2 to %zu with commas between them, got '%s'",
                          LENGTHS_MAX, (size_t)LW_SIZE_MAX, text);
        plan->lengths[plan->length_count++] = (size_t)length;
        at = *end ? end + 1 : NULL;
    }
    return EXIT_OK;
}

static void or_default(size_t *value, size_t standard)
{
    if (*value == OPTION_UNSET)
        *value = standard;
}

static int read_plan(struct arguments *arguments, struct plan *plan)
{
    const char *task_words[TASKS];
    size_t chosen = 0, cells = 0;
    for (size_t i = 0; i < TASKS; i++)
        task_words[i] = tasks[i]->name;
    or_default(&arguments->seeds, arguments->quick ? 1 : 3);
    or_default(&arguments->first_seed, 1);
    or_default(&arguments->updates, arguments->quick ? 150 : 1000);
    or_default(&arguments->hidden, 64);
    if (!arguments->lengths)
        arguments->lengths = arguments->quick ? "20,50" : "100,500,1000,2000,5000";
    if (arguments->json && arguments->markdown)
        return misuse("--json and --markdown exclude each other");
    int status = read_names("tasks", arguments->tasks, task_words, TASKS, plan->tasks);
    if (status == EXIT_OK)
        status = read_names("cells", arguments->cells, cell_names, CELLS, plan->cells);
    if (status == EXIT_OK)
        status = read_lengths(arguments->lengths, plan);
    if (status != EXIT_OK)
        return status;
    for (size_t i = 0; i < TASKS; i++)
        chosen += (size_t)plan->tasks[i];
    for (size_t i = 0; i < CELLS; i++)
        cells += (size_t)plan->cells[i];
    plan->count = arguments->seeds * chosen * plan->length_count * cells;
    plan->results = allocate(plan->count, sizeof *plan->results);
    return plan->results ? EXIT_OK : fail("out of memory for %zu runs", plan->count);
}

/* ---- one run ---------------------------------------------------------------------------------------------------- */

/* What of the gradient that the last input has arrives at the first. */
static int measure_arrival(struct trainer *trainer, double *share)
{
    const size_t steps = trainer->task->steps;
    double *norms = allocate(steps, sizeof *norms);
    if (!norms)
        return fail("out of memory for %zu steps", steps);
    int status = trainer_input_gradient(trainer, norms);
    if (status == EXIT_OK)
        *share = norms[0] / norms[steps - 1];
    free(norms);
    return status;
}

static int train_once(const struct settings *settings, struct result *result)
{
    struct task task = {0};
    struct trainer trainer = {0};
    struct measure final = {0};
    int status = task_open(&task, settings);
    if (status == EXIT_OK)
        status = trainer_open(&trainer, settings, &task, settings->cell_kind, settings->chrono);
    if (status == EXIT_OK)
        status = measure_arrival(&trainer, &result->arrives_before);
    if (status == EXIT_OK)
        status = loop_run(&trainer, &final);
    if (status == EXIT_OK)
        status = measure_arrival(&trainer, &result->arrives_after);
    result->solved = trainer.progress.ending == ENDING_SOLVED;
    result->updates = (size_t)trainer.progress.updates;
    result->seconds = trainer.progress.seconds;
    result->threads = trainer.threads;
    result->loss = final.loss;
    result->accuracy = final.accuracy;
    trainer_close(&trainer);
    task_close(&task);
    return status;
}

static int run_one(const struct arguments *arguments, struct result *result)
{
    struct settings settings;
    settings_begin(&settings, result->task);
    settings.cell = result->cell;
    settings.length = result->length;
    settings.hidden = arguments->hidden;
    settings.seed = result->seed;
    settings.updates = arguments->updates;
    settings.threads = arguments->threads;
    settings.rate = arguments->rate;
    int status = settings_complete(&settings);
    result->rate = settings.rate_value;
    return status == EXIT_OK ? train_once(&settings, result) : status;
}

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static int print_line(const struct arguments *arguments, const struct result *r)
{
    json_t *line = json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:I, s:I, s:b, s:I, s:f, s:o, s:o, s:o, s:o}", "task",
                             r->task->name, "cell", r->cell, "length", (json_int_t)r->length, "hidden",
                             (json_int_t)arguments->hidden, "seed", (json_int_t)r->seed, "rate", r->rate,
                             "most_updates", (json_int_t)arguments->updates, "threads", (json_int_t)r->threads,
                             "solved", r->solved, "updates", (json_int_t)r->updates, "seconds", r->seconds, "loss",
                             number_or_null(r->loss), "accuracy", number_or_null(r->accuracy), "arrives_before",
                             number_or_null(r->arrives_before), "arrives_after", number_or_null(r->arrives_after));
    int bad = !line || json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) != 0;
    json_decref(line);
    if (bad)
        return fail("the JSON text could not be written");
    putchar('\n');
    return fflush(stdout) == 0 ? EXIT_OK : fail("standard output cannot be written: %s", strerror(errno));
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

/* Does result j belong to the row that result i begins? */
static int same_row(const struct result *i, const struct result *j)
{
    return i->task == j->task && i->cell == j->cell && i->length == j->length;
}

static int begins_row(const struct plan *plan, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (same_row(&plan->results[i], &plan->results[j]))
            return 0;
    return 1;
}

static void add_row(struct table *table, const struct plan *plan, size_t i)
{
    const struct result *first = &plan->results[i];
    double values[3][SEEDS_MAX];
    size_t runs = 0, solved = 0;
    for (size_t j = i; j < plan->done; j++) {
        const struct result *r = &plan->results[j];
        if (!same_row(first, r))
            continue;
        values[0][runs] = r->seconds;
        values[1][runs] = r->arrives_before;
        values[2][runs++] = r->arrives_after;
        solved += (size_t)r->solved;
    }
    table_cell(table, "%s", first->task->name);
    table_cell(table, "%s", first->cell);
    table_cell(table, "%zu", first->length);
    table_cell(table, "%g", first->rate);
    table_cell(table, "%zu of %zu", solved, runs);
    table_cell(table, "%s", "");
    for (size_t j = i, n = 0; j < plan->done; j++)
        if (same_row(first, &plan->results[j]))
            table_more(table, plan->results[j].solved ? "%s%zu" : "%s(%zu)", n++ ? ", " : "", plan->results[j].updates);
    table_cell(table, "%s", "");
    for (size_t n = 0; n < runs; n++)
        table_more(table, "%s%.3g", n ? ", " : "", values[0][n]);
    table_cell(table, "%.2g", median_of(values[1], runs));
    table_cell(table, "%.2g", median_of(values[2], runs));
}

/* Rows by task, length and cell, which is the order within the first seed. */
static void print_table(const struct plan *plan, int markdown)
{
    static const char *const heads[] = {"task",           "cell",         "T", "rate", "solved", "updates", "seconds",
                                        "arrives before", "arrives after"};
    struct table table = {.columns = sizeof heads / sizeof heads[0], .left = 2};
    for (size_t i = 0; i < table.columns; i++)
        table_cell(&table, "%s", heads[i]);
    for (size_t i = 0; i < plan->done; i++)
        if (begins_row(plan, i))
            add_row(&table, plan, i);
    if (markdown)
        table_write_markdown(&table, stdout);
    else
        table_write_text(&table, stdout);
    table_free(&table);
    printf(
        "%sUpdates and seconds of each seed, in parentheses where it was not solved; of the gradient that arrives at "
        "the\nfirst step, the median.\n",
        markdown ? "\n" : "");
}

static int run_all(const struct arguments *arguments, struct plan *plan)
{
    int status = EXIT_OK;
    for (size_t seed = 0; seed < arguments->seeds; seed++)
        for (size_t t = 0; t < TASKS; t++)
            for (size_t l = 0; plan->tasks[t] && l < plan->length_count; l++)
                for (size_t c = 0; c < CELLS; c++) {
                    if (!plan->cells[c])
                        continue;
                    struct result *result = &plan->results[plan->done];
                    *result = (struct result){.task = tasks[t],
                                              .cell = cell_names[c],
                                              .length = plan->lengths[l],
                                              .seed = arguments->first_seed + seed};
                    status = run_one(arguments, result);
                    if (status == EXIT_OK)
                        plan->done++;
                    if (status == EXIT_OK && arguments->json)
                        status = print_line(arguments, result);
                    if (status != EXIT_OK)
                        return status;
                }
    return status;
}

static int run(int argc, const char **argv)
{
    struct arguments arguments = {0};
    struct plan plan = {0};
    int status = arguments_parse(&command_bench_memory, argc, argv, &arguments, NULL);
    if (status == EXIT_OK)
        status = read_plan(&arguments, &plan);
    if (status == EXIT_OK) {
        loop_catch_signals();
        status = run_all(&arguments, &plan);
        loop_release_signals();
        if (plan.done && !arguments.json)
            print_table(&plan, arguments.markdown);
        if (status >= 128)
            fail("stopped by a signal after %zu of %zu runs", plan.done, plan.count);
    }
    free(plan.results);
    return status < 0 ? EXIT_OK : status;
}
