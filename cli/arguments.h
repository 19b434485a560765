/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line as tables: one small table of options for each subcommand, from which parsing (by popt), help and
 * completion are all made, so that the three cannot disagree.
 */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include <stddef.h>

enum option_kind {
    OPTION_FLAG, /* no value; target is an int that becomes 1 */
    OPTION_TEXT, /* target is a const char * (NULL: not given); lives until arguments_release */
    OPTION_SIZE, /* target is a size_t, OPTION_UNSET until given */
    OPTION_LIST, /* may be repeated; target is a struct texts */
};
#define OPTION_UNSET ((size_t)-1)

#define TEXTS_MAX 64
struct texts {
    const char *items[TEXTS_MAX]; /* live until the program ends */
    size_t count;
};

/* What a value may be, for the help of the shell. */
enum option_values { VALUES_NONE, VALUES_FILE, VALUES_ISA };

struct option {
    const char *name; /* without the dashes */
    char letter;      /* short form, or 0 */
    enum option_kind kind;
    size_t offset;     /* of the target in the command's own struct of arguments */
    const char *value; /* how help calls the value; NULL for a flag */
    enum option_values values;
    size_t least, most; /* OPTION_SIZE: the range */
    int required;
    const char *help;
};

#define OPERANDS_MAX 16

struct command {
    const char *name;
    const char *operand; /* "MODEL", or NULL when it takes none */
    /* How many operands it takes; both 0: one. `operand` of arguments_parse has room for the most. */
    size_t operands_least, operands_most;
    const char *summary; /* one line, for the list of commands */
    const char *details; /* paragraphs after the options */
    const struct option *options;
    size_t option_count;
    const char *const *operand_names; /* the valid operands, NULL-terminated; NULL: a file */
    int (*run)(int argc, const char **argv);
};

/* Parses argv[1..] into *target (whose flags, texts and lists must be zero) and *operand (NULL where none is given).
 * Returns EXIT_OK, EXIT_USAGE after saying what is wrong, or -1 when --help was asked for and printed. */
int arguments_parse(const struct command *command, int argc, const char **argv, void *target, const char **operand);
/* Frees the texts that arguments_parse has handed out; the end of the program does so by itself. A program parses one
 * command line, or releases the texts before the next. */
void arguments_release(void);

extern const struct command *const commands[]; /* NULL-terminated, in the order of the help */
extern const struct command command_info, command_inspect, command_run, command_gates, command_explain, command_train,
    command_bench, command_completion;

#endif
