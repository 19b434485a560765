/* SPDX-License-Identifier: Apache-2.0 */
/* The list of commands, which main.c has in the program: nothing of a fuzz target needs one of them. */
#include "../../cli/arguments.h"

const struct command *const commands[] = {(const struct command *)0};
