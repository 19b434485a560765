/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork completion bash|zsh|fish`: prints the completion script of a shell, made from the same tables as parsing
 * and help.
 */
#include "arguments.h"
#include "report.h"

#include <latchwork.h>
#include <stdio.h>
#include <string.h>

static const char *const shells[] = {"bash", "zsh", "fish", NULL};

static int run(int argc, const char **argv);

const struct command command_completion = {
    .name = "completion",
    .operand = "bash|zsh|fish",
    .summary = "print the completion script of a shell",
    .details = "bash: latchwork completion bash > ~/.local/share/bash-completion/completions/latchwork\n"
               "zsh:  latchwork completion zsh > a folder of $fpath, as _latchwork\n"
               "fish: latchwork completion fish > ~/.config/fish/completions/latchwork.fish",
    .operand_names = shells,
    .run = run,
};

static void print_isas(const char *between)
{
    for (int i = 0; i < LW_ISA_COUNT; i++)
        printf("%s%s", i ? between : "", lw_isa_name((lw_isa)i));
}

static void print_operands(const struct command *command, const char *between)
{
    for (size_t i = 0; command->operand_names && command->operand_names[i]; i++)
        printf("%s%s", i ? between : "", command->operand_names[i]);
}

/* The first line of a help text, fit to stand between single quotes. */
static void print_help_line(const char *help)
{
    for (; *help && *help != '\n'; help++)
        if (*help != '\'' && *help != '[' && *help != ']' && *help != ':')
            putchar(*help);
}

static void print_bash(void)
{
    printf("# bash completion of latchwork\n"
           "_latchwork() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
           "    local options='' operands=''\n"
           "    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        mapfile -t COMPREPLY < <(compgen -W '");
    for (size_t i = 0; commands[i]; i++)
        printf("%s ", commands[i]->name);
    printf("--help --version' -- \"$word\")\n        return\n    fi\n"
           "    case $before in\n    --isa)\n        mapfile -t COMPREPLY < <(compgen -W '");
    print_isas(" ");
    printf("' -- \"$word\")\n        return\n        ;;\n    esac\n    case $command in\n");
    for (size_t i = 0; commands[i]; i++) {
        printf("    %s)\n        options='--help", commands[i]->name);
        for (size_t j = 0; j < commands[i]->option_count; j++)
            printf(" --%s", commands[i]->options[j].name);
        printf("'\n        operands='");
        print_operands(commands[i], " ");
        printf("'\n        ;;\n");
    }
    printf("    esac\n"
           "    if [[ $word == -* ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
           "    elif [[ -n $operands ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$operands\" -- \"$word\")\n"
           "    else\n"
           "        compopt -o filenames 2>/dev/null\n"
           "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
           "    fi\n"
           "}\n"
           "complete -F _latchwork latchwork\n");
}

static void print_zsh_option(const struct option *option)
{
    printf("            '--%s%s[", option->name, option->value ? "=" : "");
    print_help_line(option->help);
    printf("]");
    if (option->value)
        printf(":%s:", option->value);
    if (option->values == VALUES_ISA) {
        printf("(");
        print_isas(" ");
        printf(")");
    } else if (option->values == VALUES_FILE) {
        printf("_files");
    }
    printf("' \\\n");
}

static void print_zsh(void)
{
    printf("#compdef latchwork\n"
           "_latchwork() {\n"
           "    if ((CURRENT == 2)); then\n"
           "        local -a commands=(\n");
    for (size_t i = 0; commands[i]; i++) {
        printf("            '%s:", commands[i]->name);
        print_help_line(commands[i]->summary);
        printf("'\n");
    }
    printf("        )\n"
           "        _describe command commands\n"
           "        return\n"
           "    fi\n"
           "    local command=$words[2]\n"
           "    shift words\n"
           "    ((CURRENT--))\n"
           "    case $command in\n");
    for (size_t i = 0; commands[i]; i++) {
        printf("    %s)\n        _arguments \\\n", commands[i]->name);
        for (size_t j = 0; j < commands[i]->option_count; j++)
            print_zsh_option(&commands[i]->options[j]);
        printf("            '--help[this text]'");
        if (commands[i]->operand_names) {
            printf(" \\\n            '1:shell:(");
            print_operands(commands[i], " ");
            printf(")'");
        } else if (commands[i]->operand) {
            printf(" \\\n            '1:%s:_files'", commands[i]->operand);
        }
        printf("\n        ;;\n");
    }
    printf("    esac\n"
           "}\n"
           "_latchwork \"$@\"\n");
}

static void print_fish(void)
{
    printf("# fish completion of latchwork\n"
           "complete -c latchwork -n __fish_use_subcommand -f -l help -d 'this text'\n"
           "complete -c latchwork -n __fish_use_subcommand -f -l version -d 'the version'\n");
    for (size_t i = 0; commands[i]; i++) {
        const struct command *command = commands[i];
        printf("complete -c latchwork -n __fish_use_subcommand -f -a %s -d '", command->name);
        print_help_line(command->summary);
        printf("'\n");
        if (command->operand_names) {
            printf("complete -c latchwork -n '__fish_seen_subcommand_from %s' -f -a '", command->name);
            print_operands(command, " ");
            printf("'\n");
        }
        for (size_t j = 0; j < command->option_count; j++) {
            const struct option *option = &command->options[j];
            printf("complete -c latchwork -n '__fish_seen_subcommand_from %s' -l %s", command->name, option->name);
            if (option->letter)
                printf(" -s %c", option->letter);
            if (option->values == VALUES_ISA) {
                printf(" -x -a '");
                print_isas(" ");
                printf("'");
            } else if (option->values == VALUES_FILE) {
                printf(" -r -F");
            } else if (option->value) {
                printf(" -x");
            }
            printf(" -d '");
            print_help_line(option->help);
            printf("'\n");
        }
    }
}

static int run(int argc, const char **argv)
{
    const char *shell = NULL;
    char out[NEAREST_SIZE];
    int none = 0;
    int status = arguments_parse(&command_completion, argc, argv, &none, &shell);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else if (strcmp(shell, "fish") == 0)
        print_fish();
    else
        return misuse("completion: there is no script for the shell '%s'%s", shell, nearest(shell, shells, 3, out));
    return EXIT_OK;
}
