/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command `latchwork`: finds the subcommand and hands it the rest of the line.
 * The list of subcommands below is the only one; help and completion read it. Exit codes: 0 done, 1 the work failed,
 * 2 the command line is wrong, 128 + n stopped by signal n.
 */
#include "arguments.h"
#include "file.h"
#include "report.h"

#include <errno.h>
#include <latchwork.h>
#include <stdio.h>
#include <string.h>

const struct command *const commands[] = {&command_info,  &command_inspect,    &command_run,
                                          &command_gates, &command_explain,    &command_train,
                                          &command_bench, &command_completion, NULL};

static void print_help(void)
{
    printf("Usage: latchwork COMMAND [arguments]\n\n"
           "Runs and trains recurrent networks (LSTM, GRU, RNN) on the CPU.\n\nCommands:\n");
    for (size_t i = 0; commands[i]; i++)
        printf("  %-11s %s\n", commands[i]->name, commands[i]->summary);
    printf("  %-11s %s\n", "convert", "reads and writes other tools' models (with the Python package alone)");
    printf("\n'latchwork COMMAND --help' tells more. --version prints the version.\n"
           "Exit codes: 0 done, 1 the work failed, 2 the command line is wrong.\n"
           "LW_ISA=scalar|avx2|avx512|neon in the environment caps the instruction set.\n");
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown(const char *name)
{
    const char *names[16];
    char out[NEAREST_SIZE];
    size_t count = 0;
    for (; commands[count]; count++)
        names[count] = commands[count]->name;
    if (name[0] == '-') {
        names[count++] = "--help";
        names[count++] = "--version";
        return misuse("there is no option '%s'%s", name, nearest(name, names, count, out));
    }
    return misuse("there is no command '%s'%s", name, nearest(name, names, count, out));
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2)
        return misuse("a command is missing; see 'latchwork --help'");
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        printf("latchwork %s\n", lw_version());
        return EXIT_OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (strcmp(name, "help") == 0 && argc == 2)) {
        print_help();
        return EXIT_OK;
    }
    if (strcmp(name, "help") == 0) {
        const struct command *command = find(argv[2]);
        const char *line[] = {"latchwork", "--help", NULL};
        return command ? command->run(2, line) : unknown(argv[2]);
    }
    if (strcmp(name, "convert") == 0)
        return misuse("'convert' comes with the Python package, whose command has it: see docs/converting.md");
    const struct command *command = find(name);
    return command ? command->run(argc - 1, (const char **)(argv + 1)) : unknown(name);
}

int main(int argc, char **argv)
{
    signals_catch();
    int status = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_OK)
        return fail("standard output cannot be written: %s", strerror(errno));
    return status;
}
