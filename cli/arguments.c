/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns a subcommand's option table into a popt table, parses with it, and writes the subcommand's help.
 * Called by each cmd_*.c; every refusal names the option, what was expected and the nearest valid name.
 */
#include "arguments.h"

#include "report.h"

#include <errno.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 40
#define HELP_VALUE 1000

/* Texts of the command line, which live until they are released. */
static char *kept[OPTIONS_MAX + OPERANDS_MAX + 4 * TEXTS_MAX];
static size_t kept_count;

void arguments_release(void)
{
    while (kept_count > 0)
        free(kept[--kept_count]);
}

static const char *keep(char *text)
{
    static int released_at_exit;
    if (!released_at_exit++)
        atexit(arguments_release);
    if (kept_count == sizeof kept / sizeof kept[0])
        exit(fail("the command line has more than %zu values", kept_count));
    kept[kept_count++] = text;
    return text;
}

static void print_option(char letter, const char *name, const char *value, const char *help)
{
    char left[64];
    int used = letter ? snprintf(left, sizeof left, "-%c, ", letter) : snprintf(left, sizeof left, "    ");
    snprintf(left + used, sizeof left - (size_t)used, "--%s%s%s", name, value ? "=" : "", value ? value : "");
    printf("  %-26s ", left);
    for (const char *s = help; *s; s++) {
        putchar(*s);
        if (*s == '\n')
            printf("%29s", "");
    }
    putchar('\n');
}

static void print_help(const struct command *command)
{
    printf("Usage: latchwork %s%s%s", command->name, command->operand ? " " : "",
           command->operand ? command->operand : "");
    for (size_t i = 0; i < command->option_count; i++)
        if (command->options[i].required)
            printf(" --%s %s", command->options[i].name, command->options[i].value);
    printf(" [options]\n\n%c%s.\n\nOptions:\n", command->summary[0] - 'a' + 'A', command->summary + 1);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct option *option = &command->options[i];
        print_option(option->letter, option->name, option->value, option->help);
    }
    print_option('h', "help", NULL, "this text");
    if (command->details)
        printf("\n%s\n", command->details);
}

static int parse_size(const struct option *option, const char *text, size_t *value)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || number < option->least || number > option->most) {
        if (option->most >= OPTION_UNSET - 1)
            return misuse("--%s: expected a whole number from %zu up, got '%s'", option->name, option->least, text);
        return misuse("--%s: expected a whole number from %zu to %zu, got '%s'", option->name, option->least,
                      option->most, text);
    }
    *value = (size_t)number;
    return EXIT_OK;
}

/* Says what popt did not like. */
static int refuse(const struct command *command, poptContext context, int code)
{
    const char *bad = poptBadOption(context, POPT_BADOPTION_NOALIAS);
    if (code != POPT_ERROR_BADOPT)
        return misuse("%s %s: %s; see 'latchwork %s --help'", command->name, bad,
                      code == POPT_ERROR_NOARG ? "a value is missing" : poptStrerror(code), command->name);
    const char *names[OPTIONS_MAX + 1];
    char dashed[OPTIONS_MAX + 1][32], given[64], out[NEAREST_SIZE];
    size_t count = 0;
    for (; count < command->option_count; count++)
        snprintf(dashed[count], sizeof dashed[0], "--%s", command->options[count].name);
    snprintf(dashed[count++], sizeof dashed[0], "--help");
    for (size_t i = 0; i < count; i++)
        names[i] = dashed[i];
    snprintf(given, sizeof given, "%s", bad);
    given[strcspn(given, "=")] = '\0';
    return misuse("%s has no option '%s'%s", command->name, given, nearest(given, names, count, out));
}

static int store_listed(const struct option *option, char *text, struct texts *list)
{
    if (!text || !*text)
        return misuse("--%s: expected %s, got nothing", option->name, option->value);
    if (list->count == TEXTS_MAX)
        return misuse("--%s is given more than %d times", option->name, TEXTS_MAX);
    list->items[list->count++] = keep(text);
    return EXIT_OK;
}

static int store(const struct option *option, char *text, int *seen, void *target)
{
    void *slot = (char *)target + option->offset;
    if (*seen && option->kind != OPTION_FLAG && option->kind != OPTION_LIST)
        return misuse("--%s is given twice", option->name);
    *seen = 1;
    switch (option->kind) {
    case OPTION_FLAG:
        *(int *)slot = 1;
        return EXIT_OK;
    case OPTION_SIZE:
        return parse_size(option, text, slot);
    case OPTION_TEXT:
        if (!text || !*text)
            return misuse("--%s: expected %s, got nothing", option->name, option->value);
        *(const char **)slot = keep(text);
        return EXIT_OK;
    case OPTION_LIST:
        return store_listed(option, text, slot);
    }
    return EXIT_USAGE;
}

static int take_operands(const struct command *command, poptContext context, const char **operand)
{
    const char **rest = poptGetArgs(context);
    size_t count = 0;
    while (rest && rest[count])
        count++;
    if (!command->operand) {
        if (count)
            return misuse("%s takes no argument, got '%s'", command->name, rest[0]);
        return EXIT_OK;
    }
    size_t least = command->operands_most ? command->operands_least : 1;
    size_t most = command->operands_most ? command->operands_most : 1;
    if (count < least)
        return misuse("%s: %s is missing; see 'latchwork %s --help'", command->name, command->operand, command->name);
    if (count > most && most == 1)
        return misuse("%s takes one %s, got '%s' and '%s'", command->name, command->operand, rest[0], rest[1]);
    if (count > most)
        return misuse("%s takes at most %zu arguments, got %zu", command->name, most, count);
    for (size_t i = 0; i < most; i++) {
        char *copy = i < count ? strdup(rest[i]) : NULL;
        if (i < count && !copy)
            return fail("out of memory");
        operand[i] = copy ? keep(copy) : NULL;
    }
    return EXIT_OK;
}

static int keeps_text(enum option_kind kind)
{
    return kind == OPTION_TEXT || kind == OPTION_LIST;
}

static int parse(const struct command *command, poptContext context, void *target, const char **operand)
{
    int seen[OPTIONS_MAX] = {0}, code;
    while ((code = poptGetNextOpt(context)) > 0) {
        if (code == HELP_VALUE) {
            print_help(command);
            return -1;
        }
        char *text = poptGetOptArg(context);
        int status = store(&command->options[code - 1], text, &seen[code - 1], target);
        if (status != EXIT_OK || !keeps_text(command->options[code - 1].kind))
            free(text);
        if (status != EXIT_OK)
            return status;
    }
    if (code != -1)
        return refuse(command, context, code);
    int status = take_operands(command, context, operand);
    for (size_t i = 0; status == EXIT_OK && i < command->option_count; i++)
        if (command->options[i].required && !seen[i])
            status = misuse("%s: --%s %s is missing; see 'latchwork %s --help'", command->name,
                            command->options[i].name, command->options[i].value, command->name);
    return status;
}

int arguments_parse(const struct command *command, int argc, const char **argv, void *target, const char **operand)
{
    struct poptOption table[OPTIONS_MAX + 2];
    size_t count = command->option_count;
    if (count > OPTIONS_MAX)
        return misuse("%s has more than %d options", command->name, OPTIONS_MAX);
    memset(table, 0, sizeof table);
    for (size_t i = 0; i < count; i++) {
        const struct option *option = &command->options[i];
        table[i].longName = option->name;
        table[i].shortName = option->letter;
        table[i].argInfo = option->kind == OPTION_FLAG ? POPT_ARG_NONE : POPT_ARG_STRING;
        table[i].val = (int)i + 1;
        if (option->kind == OPTION_SIZE)
            *(size_t *)((char *)target + option->offset) = OPTION_UNSET;
    }
    table[count].longName = "help";
    table[count].shortName = 'h';
    table[count].val = HELP_VALUE;
    poptContext context = poptGetContext("latchwork", argc, argv, table, 0);
    if (!context)
        return fail("out of memory");
    int status = parse(command, context, target, operand);
    poptFreeContext(context);
    return status;
}
