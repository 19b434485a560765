/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork explain MODEL --steps T --batch B`: what a run of that shape does on this machine, what it should cost
 * against the machine's measured limits, and why the other schedules were refused.
 */
#include "arguments.h"
#include "report.h"
#include "work.h"

#include <stdio.h>

struct arguments {
    size_t steps, batch, threads;
    const char *isa;
    int json, quick;
};

#define MOST ((size_t)1 << 24)

static const struct option options[] = {
    {.name = "steps",
     .letter = 't',
     .kind = OPTION_SIZE,
     .offset = offsetof(struct arguments, steps),
     .value = "T",
     .least = 1,
     .most = MOST,
     .help = "time steps of the run (1)"},
    {.name = "batch",
     .letter = 'b',
     .kind = OPTION_SIZE,
     .offset = offsetof(struct arguments, batch),
     .value = "B",
     .least = 1,
     .most = MOST,
     .help = "rows of the batch (1)"},
    {.name = "threads",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct arguments, threads),
     .value = "N",
     .least = 1,
     .most = LW_THREADS_MAX,
     .help = "threads at most (all)"},
    {.name = "isa",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct arguments, isa),
     .value = "NAME",
     .values = VALUES_ISA,
     .help = "instruction set (the best one)"},
    {.name = "quick",
     .kind = OPTION_FLAG,
     .offset = offsetof(struct arguments, quick),
     .help = "do not measure the machine; predict from round numbers"},
    {.name = "json",
     .letter = 'j',
     .kind = OPTION_FLAG,
     .offset = offsetof(struct arguments, json),
     .help = "print JSON"},
};

static int run(int argc, const char **argv);

const struct command command_explain = {
    .name = "explain",
    .operand = "MODEL",
    .summary = "tell how a run of a shape is scheduled, what it should cost, and why",
    .details = "Measures the machine's limits first, which takes about a second. Nothing is run.",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};

static json_t *choices_json(const lw_explanation *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof e->choices / sizeof e->choices[0]; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:f, s:s}", "name", e->choices[i].name, "threads",
                                              (json_int_t)e->choices[i].threads, "seconds", e->choices[i].seconds,
                                              "reason", e->choices[i].reason));
    return list;
}

static int print_json(const struct arguments *a, const lw_explanation *e, const lw_limits *limits)
{
    json_t *root = json_pack(
        "{s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:s, s:f, s:I, "
        "s:I, s:o}",
        "steps", (json_int_t)a->steps, "batch", (json_int_t)a->batch, "isa", lw_isa_name(e->isa), "lanes",
        (json_int_t)e->lanes, "tile_rows", (json_int_t)e->tile_rows, "tile_vectors", (json_int_t)e->tile_vectors,
        "threads", (json_int_t)e->threads, "teams", (json_int_t)e->teams, "members", (json_int_t)e->members, "stages",
        (json_int_t)e->stages, "block_rows", (json_int_t)e->block_rows, "segment_steps", (json_int_t)e->segment_steps,
        "merged_rows", (json_int_t)e->merged_rows, "flops", e->flops, "weight_bytes", e->weight_bytes, "traffic_bytes",
        e->traffic_bytes, "predicted_seconds", e->seconds, "bound", e->bound, "bound_share", e->share,
        "workspace_bytes", (json_int_t)e->workspace_bytes, "state_bytes", (json_int_t)e->state_bytes, "choices",
        choices_json(e));
    if (limits)
        json_object_set_new(root, "limits",
                            json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "threads", (json_int_t)limits->threads, "flops",
                                      limits->flops, "l1", limits->l1, "l2", limits->l2, "l3", limits->l3, "dram",
                                      limits->dram));
    return json_print(root);
}

static void print_time(double seconds)
{
    if (seconds < 1e-3)
        printf("%.2f us", seconds * 1e6);
    else if (seconds < 1.0)
        printf("%.2f ms", seconds * 1e3);
    else
        printf("%.2f s", seconds);
}

static void print_threads(const lw_explanation *e)
{
    printf("schedule          %s, %zu thread%s", e->choices[0].name, e->threads, e->threads == 1 ? "" : "s");
    if (e->teams > 1)
        printf(": %zu teams of rows", e->teams);
    if (e->members > 1)
        printf("%s %zu sharing the units", e->teams > 1 ? " of" : ":", e->members);
    if (e->stages > 1)
        printf(": %zu stages of layers", e->stages);
    printf("\n");
}

static void print_text(const struct arguments *a, const lw_explanation *e, const lw_limits *limits)
{
    printf("run               %zu step%s, %zu row%s\n", a->steps, a->steps == 1 ? "" : "s", a->batch,
           a->batch == 1 ? "" : "s");
    printf("kernels           %s, %zu floats a vector, tiles of %zu row%s x %zu vectors\n", lw_isa_name(e->isa),
           e->lanes, e->tile_rows, e->tile_rows == 1 ? "" : "s", e->tile_vectors);
    print_threads(e);
    printf("walk              blocks of %zu rows, segments of %zu steps, ", e->block_rows, e->segment_steps);
    if (e->merged_rows > 1)
        printf("input parts merged over %zu steps x rows\n", e->merged_rows);
    else
        printf("input part made in each step\n");
    printf("work              %.4g Mflop, %.4g MB of weights, of which %.4g MB are read in all\n", e->flops * 1e-6,
           e->weight_bytes * 1e-6, e->traffic_bytes * 1e-6);
    printf("memory            %.4g KB workspace, %.4g KB state\n", (double)e->workspace_bytes * 1e-3,
           (double)e->state_bytes * 1e-3);
    if (limits)
        printf("limits            %.0f GFLOP/s, L1 %.0f GB/s, L2 %.0f, L3 %.0f, memory %.0f, on %zu thread%s\n",
               limits->flops * 1e-9, limits->l1 * 1e-9, limits->l2 * 1e-9, limits->l3 * 1e-9, limits->dram * 1e-9,
               limits->threads, limits->threads == 1 ? "" : "s");
    printf("predicted         ");
    print_time(e->seconds);
    printf(", %.0f %% of it bound by %s", e->share * 100.0, e->bound);
    if (e->seconds > 0)
        printf("; %.1f GFLOP/s", e->flops / e->seconds * 1e-9);
    printf("\n\nschedules\n");
    for (size_t i = 0; i < sizeof e->choices / sizeof e->choices[0]; i++) {
        const lw_choice *choice = &e->choices[i];
        printf("  %-12s    ", choice->name);
        if (choice->threads)
            print_time(choice->seconds);
        else
            printf("not possible");
        printf(": %s\n", choice->reason);
    }
}

static int run(int argc, const char **argv)
{
    struct arguments a = {.steps = OPTION_UNSET, .batch = OPTION_UNSET, .threads = OPTION_UNSET};
    const char *path = NULL;
    int status = arguments_parse(&command_explain, argc, argv, &a, &path);
    if (status != EXIT_OK)
        return status < 0 ? EXIT_OK : status;
    a.steps = a.steps == OPTION_UNSET ? 1 : a.steps;
    a.batch = a.batch == OPTION_UNSET ? 1 : a.batch;
    struct work work;
    if ((status = work_open(&work, path, a.isa, a.threads)) != EXIT_OK)
        return status;
    lw_limits limits = {.size = sizeof limits}, *measured = a.quick ? NULL : &limits;
    lw_explanation explanation = {.size = sizeof explanation};
    size_t threads = a.threads == OPTION_UNSET ? 0 : a.threads;
    if ((measured && (lw_isa_set(lw_model_isa(work.model)) || lw_machine_limits(threads, measured))) ||
        lw_explain(work.context, a.steps, a.batch, measured, &explanation))
        status = fail_library(path);
    else if (a.json)
        status = print_json(&a, &explanation, measured);
    else
        print_text(&a, &explanation, measured);
    work_close(&work);
    return status;
}
