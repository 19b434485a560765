/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork info`: the version, the instruction sets and the machine, for people and (--json) for programs.
 */
#include "arguments.h"
#include "report.h"
#include "work.h"

#include <stdio.h>
#include <stdlib.h>

struct arguments {
    int json, peak;
};

static const struct option options[] = {
    {.name = "json",
     .letter = 'j',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct arguments, json),
     .help = "print JSON"},
    {.name = "peak",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct arguments, peak),
     .help = "also measure the machine's f32 multiply-add peak"},
};

static int run(int argc, const char **argv);

const struct command command_info = {
    .name = "info",
    .summary = "tell the version, the instruction sets and what the machine has",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};

static int print_json(const lw_machine *machine, double one, double all)
{
    json_t *sets = json_array(), *root;
    for (int i = 0; i < LW_ISA_COUNT; i++)
        json_array_append_new(sets, json_pack("{s:s, s:b, s:b, s:b}", "name", lw_isa_name((lw_isa)i), "built",
                                              lw_isa_built((lw_isa)i), "supported", lw_isa_supported((lw_isa)i),
                                              "chosen", lw_isa_get() == (lw_isa)i));
    root = json_pack("{s:s, s:s, s:o, s:I, s:o, s:I, s:{s:I, s:I, s:I}}", "version", lw_version(), "isa",
                     lw_isa_name(lw_isa_get()), "instruction_sets", sets, "lanes", (json_int_t)machine->lanes, "cpu",
                     json_text(machine->cpu_name), "threads", (json_int_t)machine->cpus, "cache_bytes", "l1",
                     (json_int_t)machine->l1_bytes, "l2", (json_int_t)machine->l2_bytes, "l3",
                     (json_int_t)machine->l3_bytes);
    if (one > 0)
        json_object_set_new(root, "peak_flops", json_pack("{s:f, s:f}", "one_thread", one, "all_threads", all));
    return json_print(root);
}

static void print_cache(const char *name, size_t bytes, const char *of)
{
    if (bytes == 0)
        printf("%s unknown", name);
    else if (bytes >= 1 << 20)
        printf("%s %zu MiB%s", name, bytes >> 20, of);
    else
        printf("%s %zu KiB%s", name, bytes >> 10, of);
}

static void print_text(const lw_machine *machine, double one, double all)
{
    char *cpu = clean_copy(machine->cpu_name[0] ? machine->cpu_name : "unknown");
    printf("latchwork         %s\n", lw_version());
    printf("CPU               %s\n", cpu);
    free(cpu);
    printf("threads           %zu\n", machine->cpus);
    printf("caches            ");
    print_cache("L1", machine->l1_bytes, " a core, ");
    print_cache("L2", machine->l2_bytes, " a core, ");
    print_cache("L3", machine->l3_bytes, " shared\n");
    printf("instruction sets\n");
    for (int i = 0; i < LW_ISA_COUNT; i++) {
        lw_isa isa = (lw_isa)i;
        printf("  %-8s        %s\n", lw_isa_name(isa),
               lw_isa_get() == isa     ? "chosen"
               : lw_isa_supported(isa) ? "supported"
               : lw_isa_built(isa)     ? "built, but this CPU does not have it"
                                       : "not in this build");
    }
    printf("vector            %zu floats\n", machine->lanes);
    if (one > 0)
        printf("f32 peak          %.1f GFLOP/s on one thread, %.1f on %zu\n", one * 1e-9, all * 1e-9, machine->cpus);
}

static int run(int argc, const char **argv)
{
    struct arguments arguments = {0};
    int status = arguments_parse(&command_info, argc, argv, &arguments, NULL);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    lw_machine machine = {.size = sizeof machine};
    if (lw_machine_query(&machine) != LW_OK)
        return fail("%s", lw_error());
    double one = arguments.peak ? lw_machine_peak(1) : 0, all = arguments.peak ? lw_machine_peak(0) : 0;
    if (arguments.peak && (one <= 0 || all <= 0))
        return fail("the peak cannot be measured: memory or threads are short");
    if (arguments.json)
        return print_json(&machine, one, all);
    print_text(&machine, one, all);
    return EXIT_OK;
}
