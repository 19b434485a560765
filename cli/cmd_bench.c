/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork bench`: measures suites of workloads, alone or beside other engines. This file is the command line; its
 * first word may name one of the commands in bench/commands.h, which then gets the rest of the line.
 */
#include "arguments.h"
#include "bench/commands.h"
#include "bench/suite.h"
#include "report.h"

#include <string.h>

static const struct command *const actions[] = {&command_bench_serve, NULL};

struct arguments {
    struct texts shapes;
    const char *filter;
};

static int run(int argc, const char **argv);

static const struct option options[] = {
    {.name = "shape",
     .kind = OPTION_LIST,
     .offset = offsetof(struct arguments, shapes),
     .value = "SHAPE",
     .help = "a workload such as 'lstm T50 B1 I1024 H1024'; may be repeated"},
    {.name = "filter",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct arguments, filter),
     .value = "EXPRESSION",
     .help = "only workloads whose name holds this regular expression"},
};

const struct command command_bench = {
    .name = "bench",
    .operand = "[SUITE...]",
    .operands_most = OPERANDS_MAX,
    .summary = "measure this machine, alone or beside other engines",
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

static int run(int argc, const char **argv)
{
    struct arguments arguments = {0};
    const char *names[OPERANDS_MAX];
    const struct command *action = argc > 1 ? find_action(argv[1]) : NULL;
    if (action)
        return action->run(argc - 1, argv + 1);
    int status = arguments_parse(&command_bench, argc, argv, &arguments, names);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    struct suite suite = {0};
    for (size_t i = 0; status == EXIT_OK && i < OPERANDS_MAX && names[i]; i++)
        status = suite_add_named(&suite, names[i], EXTENT_FULL);
    for (size_t i = 0; status == EXIT_OK && i < arguments.shapes.count; i++) {
        struct workload w;
        status = workload_parse(arguments.shapes.items[i], &w);
        if (status == EXIT_OK)
            status = suite_add(&suite, "shape", &w);
    }
    if (status == EXIT_OK && arguments.filter)
        status = suite_filter(&suite, arguments.filter);
    for (size_t i = 0; status == EXIT_OK && i < suite.count; i++) {
        char name[WORKLOAD_NAME];
        printf("%s/%s\n", suite.rows[i].suite, workload_name(&suite.rows[i].workload, name));
    }
    suite_free(&suite);
    return status;
}
