/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork bench`: measures suites of workloads, alone or beside other engines. This file is the command line; its
 * first word may name one of the commands in bench/commands.h, which then gets the rest of the line.
 */
#include "arguments.h"
#include "bench/commands.h"
#include "bench/outputs.h"
#include "bench/run.h"
#include "report.h"

#include <errno.h>
#include <latchwork.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct command *const actions[] = {&command_bench_serve,
                                                &command_bench_report,
                                                &command_bench_memory,
                                                &command_bench_compare,
                                                &command_bench_gate,
                                                &command_bench_history,
                                                NULL};

struct arguments {
    const char *filter, *workloads, *model, *cell, *threads, *seconds, *peers, *timeout;
    struct texts shapes, drivers, pythons;
    int quick, full, list, train;
    size_t steps, batch;
    struct outputs outputs;
};

#define AT(field) .offset = offsetof(struct arguments, field)
#define TEXT_OPTION(name_, field, value_, help_)                                      \
    {                                                                                 \
        .name = name_, .kind = OPTION_TEXT, AT(field), .value = value_, .help = help_ \
    }
#define LIST_OPTION(name_, field, value_, help_)                                      \
    {                                                                                 \
        .name = name_, .kind = OPTION_LIST, AT(field), .value = value_, .help = help_ \
    }
#define FLAG_OPTION(name_, field, help_)                             \
    {                                                                \
        .name = name_, .kind = OPTION_FLAG, AT(field), .help = help_ \
    }

static int run(int argc, const char **argv);

static const struct option options[] = {
    LIST_OPTION("shape", shapes, "SHAPE", "a workload as in 'lstm T50 B1 I1024 H1024'; repeatable"),
    {.name = "model",
     .kind = OPTION_TEXT,
     AT(model),
     .value = "FILE",
     .values = VALUES_FILE,
     .help = "a model of your own: its single steps and a sequence"},
    {.name = "steps",
     .kind = OPTION_SIZE,
     AT(steps),
     .value = "N",
     .least = 1,
     .most = LW_SIZE_MAX,
     .help = "of the model's sequence (default: 100)"},
    {.name = "batch",
     .kind = OPTION_SIZE,
     AT(batch),
     .value = "N",
     .least = 1,
     .most = LW_SIZE_MAX,
     .help = "rows for the model (default: 1)"},
    TEXT_OPTION("cell", cell, "NAME", "lstm, gru or rnn: of shapes that name none; of suites only\nthese"),
    FLAG_OPTION("train", train, "shapes: forward and backward; of suites only training"),
    TEXT_OPTION("threads", threads, "N,N",
                "thread counts to try (default: 1, 2, 4 and so on, all CPUs);\nthe best one "
                "is measured"),
    {.name = "filter",
     .letter = 'f',
     .kind = OPTION_TEXT,
     AT(filter),
     .value = "EXPRESSION",
     .help = "only workloads whose suite/name holds this regular\nexpression"},
    {.name = "workloads",
     .kind = OPTION_TEXT,
     AT(workloads),
     .value = "FILE",
     .values = VALUES_FILE,
     .help = "workloads of a JSON file, with what is to be reached"},
    FLAG_OPTION("quick", quick, "a few workloads of each suite, in less than a minute"),
    FLAG_OPTION("full", full, "all workloads, also those that take minutes"),
    FLAG_OPTION("list", list, "print the names of the workloads and end"),
    TEXT_OPTION("seconds", seconds, "S",
                "for the rounds of a workload, all engines together\n(default: 2; with peers 6; "
                "--quick 0.5 each; --full 4)"),
    TEXT_OPTION("peers", peers, "NAMES", "torch, onnxruntime, openvino, onednn with commas between\nthem, or all"),
    LIST_OPTION("driver", drivers, "NAME=COMMAND", "another engine, or another command for a known one;\nrepeatable"),
    LIST_OPTION("peer-python", pythons, "PYTHON",
                "that runs the drivers in Python (default: python3), or\n"
                "PEER=PYTHON for one of them; repeatable"),
    TEXT_OPTION("timeout", timeout, "S", "longest wait for an answer of an engine (default: 60)"),
    OUTPUT_OPTIONS(struct arguments, outputs),
};

const struct command command_bench = {
    .name = "bench",
    .operand = "[SUITE...]",
    .operands_most = OPERANDS_MAX,
    .summary = "measure this machine, alone or beside other engines",
    .details =
        "Suites (all when nothing else is chosen): tiny, stream, sequence, batched, ragged, train, deepbench.\n"
        "A shape is made of lstm, gru or rnn, T (steps), B (rows), I (inputs), H (hidden units), L (layers),\n"
        "bidirectional, ragged, dense10 (an output layer), step or streams (one step a call), train, update.\n"
        "Other commands, each with its own --help: bench compare and bench gate tell whether a build is slower than\n"
        "another, bench history keeps results and finds changes, bench report shows saved ones, bench memory measures\n"
        "what cells remember over long sequences, bench serve answers the driver protocol.\n"
        "Examples:\n"
        "  latchwork bench --quick --html report.html\n"
        "  latchwork bench --shape \"lstm T50 B1 I1024 H1024\" --json -\n"
        "  latchwork bench stream batched --peers torch,onnxruntime",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .operand_names = suite_names,
    .run = run,
};

static const struct command *find_action(const char *name)
{
    for (size_t i = 0; actions[i]; i++)
        if (strcmp(actions[i]->name + strlen("bench "), name) == 0)
            return actions[i];
    return NULL;
}

/* ---- which workloads ----------------------------------------------------------------------------------------------
 */

/* A word that is no suite may have been meant for a command. */
static int check_suite(const char *name)
{
    const char *names[SUITE_COUNT + 8];
    char out[NEAREST_SIZE];
    size_t count = 0;
    for (; suite_names[count]; count++) {
        names[count] = suite_names[count];
        if (strcmp(name, names[count]) == 0)
            return EXIT_OK;
    }
    for (size_t i = 0; actions[i]; i++)
        names[count++] = actions[i]->name + strlen("bench ");
    return misuse("bench has no suite and no command '%s'%s", name, nearest(name, names, count, out));
}

static int check_cell(const char *cell)
{
    static const char *const cells[] = {"lstm", "gru", "rnn"};
    char out[NEAREST_SIZE];
    for (size_t i = 0; !cell || i < 3; i++)
        if (!cell || strcmp(cell, cells[i]) == 0)
            return EXIT_OK;
    return misuse("--cell: there is no cell '%s'%s", cell, nearest(cell, cells, 3, out));
}

/* Words of a shape win over the options, since they come later. */
static int add_shape(struct suite *suite, const struct arguments *arguments, const char *text)
{
    char whole[WORKLOAD_NAME];
    struct workload w;
    snprintf(whole, sizeof whole, "%s%s%s%s", arguments->cell ? arguments->cell : "", arguments->cell ? " " : "",
             arguments->train ? "train " : "", text);
    const int status = workload_parse(strlen(text) < WORKLOAD_NAME - 20 ? whole : text, &w);
    return status == EXIT_OK ? suite_add(suite, "shape", &w) : status;
}

static int add_model(struct suite *suite, const struct arguments *arguments)
{
    lw_model *model;
    struct workload w = workload_default();
    int reverse = 0;
    if (lw_model_load(arguments->model, NULL, &model))
        return fail_library(arguments->model);
    for (size_t i = 0; i < lw_model_layer_count(model); i++) {
        lw_layer layer = {.size = sizeof layer};
        if (!lw_model_layer(model, i, &layer))
            reverse |= layer.direction != LW_FORWARD;
    }
    w.model = arguments->model;
    w.input = lw_model_input_size(model);
    w.hidden = w.dense = lw_model_output_size(model);
    lw_model_destroy(model);
    w.batch = arguments->batch == OPTION_UNSET ? 1 : arguments->batch;
    w.mode = MODE_STEP;
    int status = reverse ? EXIT_OK : suite_add(suite, "model", &w);
    w.mode = MODE_SEQUENCE;
    w.steps = arguments->steps == OPTION_UNSET ? 100 : arguments->steps;
    return status == EXIT_OK ? suite_add(suite, "model", &w) : status;
}

static int add_suites(struct suite *suite, const struct arguments *arguments, const char *const *names)
{
    const enum extent extent = arguments->quick ? EXTENT_QUICK : arguments->full ? EXTENT_FULL : EXTENT_USUAL;
    const int other = arguments->shapes.count || arguments->model || arguments->workloads;
    int status = EXIT_OK;
    for (size_t i = 0; status == EXIT_OK && i < OPERANDS_MAX && names[i]; i++)
        status = check_suite(names[i]);
    for (size_t i = 0; status == EXIT_OK && i < OPERANDS_MAX && names[i]; i++)
        status = suite_add_named(suite, names[i], extent);
    for (size_t i = 0; status == EXIT_OK && !names[0] && !other && suite_names[i]; i++)
        status = suite_add_named(suite, suite_names[i], extent);
    if (status == EXIT_OK)
        status = suite_keep(suite, arguments->cell, arguments->train);
    return status;
}

static int choose(struct suite *suite, const struct arguments *arguments, const char *const *names)
{
    int status = check_cell(arguments->cell);
    if (arguments->quick && arguments->full)
        status = misuse("--quick and --full exclude each other");
    if (status == EXIT_OK)
        status = add_suites(suite, arguments, names);
    if (status == EXIT_OK && arguments->workloads)
        status = suite_add_file(suite, arguments->workloads);
    for (size_t i = 0; status == EXIT_OK && i < arguments->shapes.count; i++)
        status = add_shape(suite, arguments, arguments->shapes.items[i]);
    if (status == EXIT_OK && arguments->model)
        status = add_model(suite, arguments);
    if (status == EXIT_OK && arguments->filter)
        status = suite_filter(suite, arguments->filter);
    return status;
}

static int print_list(const struct suite *suite)
{
    char name[WORKLOAD_NAME];
    for (size_t i = 0; i < suite->count; i++)
        printf("%s/%s\n", suite->rows[i].suite, workload_name(&suite->rows[i].workload, name));
    return EXIT_OK;
}

/* ---- how they are measured ------------------------------------------------------------------------------------------
 */

static int read_seconds(const char *option, const char *text, double usual, double *seconds)
{
    char *end;
    *seconds = usual;
    if (!text)
        return EXIT_OK;
    *seconds = strtod(text, &end);
    if (*end || !(*seconds > 0.0) || *seconds > 1e6)
        return misuse("--%s: expected seconds above 0, got '%s'", option, text);
    return EXIT_OK;
}

static int read_counts(const char *text, struct plan *plan)
{
    lw_machine machine = {.size = sizeof machine};
    const size_t cpus = lw_machine_query(&machine) == LW_OK && machine.cpus ? machine.cpus : 1;
    for (size_t n = 1; !text && n < cpus && plan->count_count + 1 < COUNTS_MAX; n *= 2)
        plan->counts[plan->count_count++] = n;
    if (!text) {
        plan->counts[plan->count_count++] = cpus;
        return EXIT_OK;
    }
    for (const char *at = text;;) {
        char *end;
        errno = 0;
        const unsigned long n = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || errno || n < 1 || n > LW_THREADS_MAX || (*end && *end != ',') ||
            plan->count_count == COUNTS_MAX)
            return misuse("--threads: expected up to %d numbers from 1 to %zu with commas between them, got '%s'",
                          COUNTS_MAX, LW_THREADS_MAX, text);
        plan->counts[plan->count_count++] = n;
        if (!*end)
            return EXIT_OK;
        at = end + 1;
    }
}

static int read_plan(const struct arguments *arguments, size_t peers, struct run *run)
{
    const double usual = arguments->quick ? 0.5 * (double)(1 + peers) : peers ? 6.0 : arguments->full ? 4.0 : 2.0;
    run->plan.singles = arguments->quick ? 5000 : arguments->full ? 100000 : 20000;
    int status = read_seconds("seconds", arguments->seconds, usual, &run->plan.seconds);
    return status == EXIT_OK ? read_counts(arguments->threads, &run->plan) : status;
}

/* The command line as a shell would take it. */
static char *command_line(int argc, const char **argv)
{
    char *text = NULL;
    size_t size;
    FILE *memory = open_memstream(&text, &size);
    if (!memory)
        return NULL;
    fputs("latchwork bench", memory);
    for (int i = 1; i < argc; i++) {
        const int plain = *argv[i] && !argv[i][strcspn(argv[i], " \t\n'\"\\$*?|&;<>()[]#~`")];
        fprintf(memory, plain ? " %s" : " '%s'", argv[i]);
    }
    fclose(memory);
    return text;
}

static int measure_all(struct suite *suite, const struct arguments *arguments, char *command)
{
    struct run run = {.suite = suite, .command = command};
    struct peers peers = {0};
    json_t *results = NULL;
    run.peers = &peers;
    int status = outputs_check(&arguments->outputs, arguments->model, arguments->workloads);
    if (status == EXIT_OK)
        status = read_seconds("timeout", arguments->timeout, 60.0, &run.timeout);
    if (status == EXIT_OK)
        status = peers_open(&peers, arguments->peers, &arguments->drivers, &arguments->pythons, run.timeout);
    if (status == EXIT_OK && arguments->model && peers.count)
        status = misuse("--model: other engines do not read Latchwork's models; leave out --peers and --driver");
    if (status == EXIT_OK)
        status = read_plan(arguments, peers.count, &run);
    if (status == EXIT_OK)
        status = run_suite(&run, &results);
    if (results && json_array_size(json_object_get(results, "benchmarks"))) {
        const int written = outputs_write(&arguments->outputs, results);
        status = status == EXIT_OK ? written : status;
    }
    json_decref(results);
    peers_close(&peers);
    return status;
}

static int run(int argc, const char **argv)
{
    static struct arguments arguments;
    const char *names[OPERANDS_MAX] = {NULL};
    const struct command *action = argc > 1 ? find_action(argv[1]) : NULL;
    struct suite suite = {0};
    if (action)
        return action->run(argc - 1, argv + 1);
    int status = arguments_parse(&command_bench, argc, argv, &arguments, names);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    char *command = command_line(argc, argv);
    status = choose(&suite, &arguments, names);
    if (status == EXIT_OK)
        status = arguments.list ? print_list(&suite) : measure_all(&suite, &arguments, command);
    free(command);
    suite_free(&suite);
    return status;
}
