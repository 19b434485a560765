/* SPDX-License-Identifier: Apache-2.0 */
/* `latchwork bench gate` and `latchwork bench compare`: their command lines; see gate.h. */
#include "gate.h"

#include "commands.h"
#include "instructions.h"
#include "stop.h"

#include <latchwork.h>

#include "../report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
    const char *base, *now, *threshold, *filter, *workloads, *timeout;
    struct texts suites, shapes;
    size_t threads, pairs, seed;
    int instructions, force, strict;
    struct gate_outputs outputs;
};

#define AT(field) .offset = offsetof(struct arguments, field)
#define TEXT(name_, field, value_, help_)                                             \
    {                                                                                 \
        .name = name_, .kind = OPTION_TEXT, AT(field), .value = value_, .help = help_ \
    }
#define FILE_(name_, field, help_)                                                                           \
    {                                                                                                        \
        .name = name_, .kind = OPTION_TEXT, AT(field), .value = "FILE", .values = VALUES_FILE, .help = help_ \
    }
#define LIST(name_, field, value_, help_)                                             \
    {                                                                                 \
        .name = name_, .kind = OPTION_LIST, AT(field), .value = value_, .help = help_ \
    }
#define SIZE(name_, field, least_, most_, help_)                                                                   \
    {                                                                                                              \
        .name = name_, .kind = OPTION_SIZE, AT(field), .value = "N", .least = least_, .most = most_, .help = help_ \
    }
#define FLAG(name_, field, help_)                                    \
    {                                                                \
        .name = name_, .kind = OPTION_FLAG, AT(field), .help = help_ \
    }

static const struct option options[] = {
    TEXT("base", base, "WHAT",
         "what to compare with: a commit, which is built; a build's\nfolder or command; recorded results"),
    TEXT("new", now, "WHAT",
         "what is judged (default: this program; with a commit, the\nworking tree, built in the same way)"),
    TEXT("threshold", threshold, "P", "how much slower may pass (default: 3%; of instructions 0.5%)"),
    LIST("suite", suites, "NAME", "a suite's quick workloads; repeatable (default: all suites)"),
    LIST("shape", shapes, "SHAPE", "a workload as in 'lstm T50 B1 I1024 H1024'; repeatable"),
    FILE_("workloads", workloads, "workloads of a JSON file"),
    TEXT("filter", filter, "EXPRESSION",
         "only workloads whose suite/name holds this regular\nexpression; of recorded results, this text"),
    SIZE("threads", threads, 1, LW_THREADS_MAX, "threads and CPUs to stay on (default: 1)"),
    SIZE("pairs", pairs, 10, 10000, "most pairs of a comparison (default: 60)"),
    SIZE("seed", seed, 0, 1u << 30, "of the order and the intervals (default: 1)"),
    FLAG("instructions", instructions, "count instructions with valgrind instead of taking times"),
    FLAG("strict", strict, "end with 4 when a workload is too noisy to tell"),
    FLAG("force", force, "compare results of different machines"),
    TEXT("timeout", timeout, "S", "longest wait for an answer (default: 60)"),
    FILE_("json", outputs.json, "everything that was measured; - is standard output here and\nbelow"),
    FILE_("junit", outputs.junit, "a test case for each workload, as JUnit's XML"),
    FILE_("markdown", outputs.markdown, "the table for a pull request"),
    FLAG("github", outputs.github, "annotations for GitHub, and the table in the step's summary"),
};
enum { OPTIONS = sizeof options / sizeof options[0], SIDES = 2 };

#define EXIT_CODES                                                                                          \
    "Exit codes: 0 nothing is slower, 3 a workload is slower, 4 (--strict) too noisy to tell, 5 the base\n" \
    "cannot be built, 1 something could not be measured or read, 2 wrong arguments.\n"                      \
    "docs/benchmarking.md says how it decides."

static int run_gate(int argc, const char **argv);
static int run_compare(int argc, const char **argv);

const struct command command_bench_gate = {
    .name = "bench gate",
    .operand = "[-- COMMAND --vs COMMAND]",
    .operands_most = 1,
    .summary = "fail when a workload is slower than it was",
    .details = EXIT_CODES "\nExamples:\n"
                          "  latchwork bench gate --base HEAD~1 --threshold 3%\n"
                          "  latchwork bench gate --base build-before --instructions --shape \"lstm T8 I64 H64\"\n"
                          "  latchwork bench gate --threads 2 -- ./engine-before --vs ./engine-now",
    .options = options,
    .option_count = OPTIONS,
    .run = run_gate,
};

const struct command command_bench_compare = {
    .name = "bench compare",
    .operand = "BASE NEW",
    .operands_least = 2,
    .operands_most = 2,
    .summary = "compare two builds in turns, or two files of results",
    .details = EXIT_CODES,
    .options = options + SIDES,
    .option_count = OPTIONS - SIDES,
    .run = run_compare,
};

/* ---- arguments ------------------------------------------------------------------------------------------------ */

/* "3%", "3 %" or "0.03". */
static int read_threshold(const struct arguments *arguments, double *threshold)
{
    char *end;
    *threshold = arguments->instructions ? 0.005 : 0.03;
    if (!arguments->threshold)
        return EXIT_OK;
    *threshold = strtod(arguments->threshold, &end);
    end += strspn(end, " ");
    if (*end == '%') {
        *threshold /= 100.0;
        end++;
    }
    if (*end || end == arguments->threshold || !(*threshold > 0.0 && *threshold < 1.0))
        return misuse("--threshold: expected a share as in 3%% or 0.03, got '%s'", arguments->threshold);
    return EXIT_OK;
}

static int read_timeout(const struct arguments *arguments, double *seconds)
{
    char *end;
    *seconds = 60.0;
    if (!arguments->timeout)
        return EXIT_OK;
    *seconds = strtod(arguments->timeout, &end);
    return *end || !(*seconds > 0.0 && *seconds < 1e6)
               ? misuse("--timeout: expected seconds above 0, got '%s'", arguments->timeout)
               : EXIT_OK;
}

/* Of instructions, few and small ones, which all kernels take part in: each is counted four times, some fifty times as
 * slow. */
static int add_small(struct suite *suite)
{
    static const char *const texts[] = {"lstm step I1 H16 dense1",
                                        "lstm T8 I64 H64",
                                        "lstm T8 B12 I64 H64",
                                        "gru T8 I64 H64",
                                        "gru T8 B12 I64 H64",
                                        "rnn T8 B12 I64 H64",
                                        "lstm streams B16 I64 H64",
                                        "lstm T8 B6 I32 H48 bidirectional ragged",
                                        "lstm T8 B8 I32 H64 train update",
                                        "gru T8 B8 I32 H64 train"};
    int status = EXIT_OK;
    for (size_t i = 0; status == EXIT_OK && i < sizeof texts / sizeof texts[0]; i++) {
        struct workload w;
        status = workload_parse(texts[i], &w);
        if (status == EXIT_OK)
            status = suite_add(suite, "small", &w);
    }
    return status;
}

static int choose(const struct arguments *arguments, struct suite *suite)
{
    const int other = arguments->shapes.count || arguments->workloads || arguments->suites.count;
    int status = EXIT_OK;
    if (!other && arguments->instructions)
        status = add_small(suite);
    for (size_t i = 0; status == EXIT_OK && i < arguments->suites.count; i++)
        status = suite_add_named(suite, arguments->suites.items[i], EXTENT_QUICK);
    for (size_t i = 0; status == EXIT_OK && !other && !arguments->instructions && suite_names[i]; i++)
        status = suite_add_named(suite, suite_names[i], EXTENT_QUICK);
    if (status == EXIT_OK && arguments->workloads)
        status = suite_add_file(suite, arguments->workloads);
    for (size_t i = 0; status == EXIT_OK && i < arguments->shapes.count; i++) {
        struct workload w;
        status = workload_parse(arguments->shapes.items[i], &w);
        if (status == EXIT_OK)
            status = suite_add(suite, "shape", &w);
    }
    return status == EXIT_OK && arguments->filter ? suite_filter(suite, arguments->filter) : status;
}

/* The words up to `end` as one command line; a single word is one already. NULL without words or memory. */
static char *join(const char **words, size_t count)
{
    char *text = NULL;
    size_t size;
    FILE *memory = count ? open_memstream(&text, &size) : NULL;
    if (!memory)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        fputs(i ? " " : "", memory);
        for (const char *at = words[i]; *at; at++) {
            if (count > 1 && strchr(" \t\n'\"\\", *at))
                fputc('\\', memory);
            fputc(*at, memory);
        }
    }
    return fclose(memory) ? NULL : text;
}

/* ---- the commands --------------------------------------------------------------------------------------------- */

/* `base` and `now` as the command line names them, or NULL. */
static int prepare(const struct arguments *arguments, const char *base, const char *now, struct gate *gate)
{
    const char *const inputs[] = {base, now, arguments->workloads};
    gate->threads = arguments->threads == OPTION_UNSET ? 1 : arguments->threads;
    gate->most_pairs = arguments->pairs == OPTION_UNSET ? 60 : arguments->pairs;
    gate->seed = arguments->seed == OPTION_UNSET ? 1 : arguments->seed;
    gate->instructions = arguments->instructions;
    gate->force = arguments->force;
    gate->strict = arguments->strict;
    gate->filter = arguments->filter;
    gate->outputs = arguments->outputs;
    int status = read_threshold(arguments, &gate->threshold);
    if (status == EXIT_OK)
        status = read_timeout(arguments, &gate->timeout);
    if (status == EXIT_OK)
        status = gate_outputs_check(&gate->outputs, inputs, 3);
    if (status == EXIT_OK && gate->instructions)
        status = instructions_check();
    return status;
}

/* An option that recorded results leave no choice to; NULL: none. */
static const char *idle_option(const struct arguments *arguments)
{
    return arguments->shapes.count              ? "--shape"
           : arguments->suites.count            ? "--suite"
           : arguments->workloads               ? "--workloads"
           : arguments->threads != OPTION_UNSET ? "--threads"
           : arguments->pairs != OPTION_UNSET   ? "--pairs"
                                                : NULL;
}

/* Both sides are open. */
static int compare(const struct arguments *arguments, struct gate *gate)
{
    int status = EXIT_OK;
    if (gate->now.results && !gate->base.results)
        return misuse("%s is recorded and %s is not: a recorded side must be the base", gate->now.name,
                      gate->base.name);
    if (gate->base.results && gate->instructions)
        return misuse("%s: recorded results hold no instructions", gate->base.name);
    if (gate->base.results && idle_option(arguments))
        return misuse("%s: %s has no meaning with recorded results, which say what is compared", gate->base.name,
                      idle_option(arguments));
    if (!gate->base.results)
        status = choose(arguments, &gate->suite);
    return status == EXIT_OK ? gate_run(gate) : status;
}

static void close_gate(struct gate *gate)
{
    side_close(&gate->base);
    side_close(&gate->now);
    suite_free(&gate->suite);
    stop_end();
}

static int open_sides(const struct arguments *arguments, struct gate *gate)
{
    if (!arguments->base)
        return misuse("bench gate: --base is needed, or two commands as in '-- COMMAND --vs COMMAND'");
    int status = side_open_base(&gate->base, arguments->base);
    if (status == EXIT_OK && arguments->now)
        status = side_open(&gate->now, arguments->now);
    else if (status == EXIT_OK)
        status = side_is_commit(&gate->base) ? side_open_tree(&gate->now) : side_open_own(&gate->now);
    return stop_signal() ? 128 + stop_signal() : status;
}

/* `words` stand behind "--". */
static int open_commands(const struct arguments *arguments, const char **words, size_t count, char *lines[2],
                         struct gate *gate)
{
    size_t between = 0;
    while (between < count && strcmp(words[between], "--vs") != 0)
        between++;
    if (arguments->base || arguments->now)
        return misuse("bench gate: --base and --new are for builds; two commands stand behind --");
    if (between == 0 || between + 1 >= count)
        return misuse("bench gate: expected '-- COMMAND --vs COMMAND'");
    lines[0] = join(words, between);
    lines[1] = join(words + between + 1, count - between - 1);
    if (!lines[0] || !lines[1])
        return fail("out of memory");
    side_open_command(&gate->base, lines[0]);
    side_open_command(&gate->now, lines[1]);
    return EXIT_OK;
}

static int run_gate(int argc, const char **argv)
{
    static struct arguments arguments;
    static struct gate gate;
    char *lines[2] = {NULL, NULL};
    const char *nothing[OPERANDS_MAX] = {NULL};
    int own = 1;
    while (own < argc && strcmp(argv[own], "--") != 0)
        own++;
    int status = arguments_parse(&command_bench_gate, own, argv, &arguments, nothing);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    status = nothing[0] ? misuse("bench gate: '%s' stands alone; commands stand behind --", nothing[0])
                        : prepare(&arguments, arguments.base, arguments.now, &gate);
    stop_begin();
    if (status == EXIT_OK)
        status = own < argc ? open_commands(&arguments, argv + own + 1, (size_t)(argc - own - 1), lines, &gate)
                            : open_sides(&arguments, &gate);
    if (status == EXIT_OK)
        status = compare(&arguments, &gate);
    close_gate(&gate);
    free(lines[0]);
    free(lines[1]);
    return status;
}

static int run_compare(int argc, const char **argv)
{
    static struct arguments arguments;
    static struct gate gate;
    const char *names[OPERANDS_MAX] = {NULL};
    int status = arguments_parse(&command_bench_compare, argc, argv, &arguments, names);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    status = prepare(&arguments, names[0], names[1], &gate);
    stop_begin();
    if (status == EXIT_OK)
        status = side_open(&gate.base, names[0]);
    if (status == EXIT_OK)
        status = side_open(&gate.now, names[1]);
    if (status == EXIT_OK)
        status = compare(&arguments, &gate);
    close_gate(&gate);
    return status;
}
