/* SPDX-License-Identifier: Apache-2.0 */
/* The commands behind `latchwork bench`; cmd_bench.c lists them and hands the rest of the line over. */
#ifndef CLI_BENCH_COMMANDS_H
#define CLI_BENCH_COMMANDS_H

#include "../arguments.h"

/* argv[0] is "bench NAME". */
extern const struct command command_bench_serve, command_bench_report, command_bench_memory, command_bench_compare,
    command_bench_gate, command_bench_history;

#endif
