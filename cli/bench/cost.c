/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of a call, counted from its shape; see cost.h. A sequence's input part can be one product over all steps, so
 * only the recurrent weights of one layer at a time must be read at every step.
 */
#include "cost.h"

#include <math.h>
#include <stdlib.h>

/* Rows that are computed in all steps together, and the steps in which any row is. */
static void count_rows(const struct workload *w, double *rows, double *steps)
{
    size_t *lengths = w->ragged ? workload_lengths(w) : NULL, longest = 0, sum = 0;
    for (size_t b = 0; lengths && b < w->batch; b++) {
        longest = lengths[b] > longest ? lengths[b] : longest;
        sum += lengths[b];
    }
    *steps = lengths ? (double)longest : w->mode == MODE_SEQUENCE ? (double)w->steps : 1.0;
    *rows = lengths ? (double)sum : *steps * (double)w->batch;
    free(lengths);
}

static void add_read(struct cost *cost, double parameters, double times)
{
    const double bytes = parameters * sizeof(float);
    cost->bytes += bytes * times;
    if (cost->read_count < READS_MAX && bytes > 0.0) {
        cost->reads[cost->read_count].bytes = bytes;
        cost->reads[cost->read_count++].times = times;
    }
}

struct layer {
    double inputs, recurrent; /* weights of all directions; a dense layer has inputs alone */
    double directions;
    int first;
};

/* Backward needs two more products for each of forward's: with the weights for the gradient of h and of x, which the
 * first layer's is not asked for, and with the activations for that of the weights. */
static double flops_of(const struct workload *w, const struct layer *layer, double rows)
{
    const double forward = layer->inputs + layer->recurrent;
    const double backward = layer->recurrent + (layer->first ? 0.0 : layer->inputs) + forward;
    return 2.0 * rows * (forward + (w->train ? backward : 0.0));
}

/* Each direction of each layer may be walked by itself, when its recurrent weights alone must be at hand. */
static void add_layer(const struct workload *w, const struct layer *layer, double rows, double steps, struct cost *cost)
{
    const double passes = w->train ? 2.0 : 1.0;
    cost->flops += flops_of(w, layer, rows);
    if (w->mode == MODE_SEQUENCE && layer->recurrent > 0.0)
        add_read(cost, layer->recurrent / layer->directions, steps * layer->directions * passes);
}

static size_t layers_of_model(const lw_model *model, struct layer *layers)
{
    size_t count = 0;
    for (size_t i = 0; i < lw_model_layer_count(model) && count < READS_MAX / 2; i++) {
        lw_layer layer = {.size = sizeof layer};
        if (lw_model_layer(model, i, &layer))
            break;
        const int gates = layer.kind == LW_LSTM ? 4 : layer.kind == LW_GRU ? 3 : layer.kind == LW_RNN;
        const double directions = layer.direction == LW_BIDIRECTIONAL ? 2.0 : 1.0;
        const double all = (double)layer.flops / 2.0;
        double recurrent = directions * gates * (double)layer.hidden * (double)layer.output;
        recurrent = recurrent < all ? recurrent : all;
        layers[count] = (struct layer){all - recurrent, recurrent, directions, count == 0};
        count++;
    }
    return count;
}

static size_t layers_of_shape(const struct workload *w, struct layer *layers)
{
    const double D = (double)w->directions, H = (double)w->hidden, rows = D * (double)workload_gates(w) * H;
    const size_t most = READS_MAX / 2 - 1, count = w->layers < most ? w->layers : most;
    for (size_t l = 0; l < count; l++)
        layers[l] = (struct layer){rows * (l ? D * H : (double)w->input), rows * H, D, l == 0};
    if (!w->dense)
        return count;
    layers[count] = (struct layer){D * H * (double)w->dense, 0.0, 1.0, 0};
    return count + 1;
}

void cost_of(const struct workload *w, const lw_model *model, struct cost *cost)
{
    struct layer layers[READS_MAX / 2];
    double rows, steps, once = 0.0;
    *cost = (struct cost){0};
    count_rows(w, &rows, &steps);
    const size_t count = model ? layers_of_model(model, layers) : layers_of_shape(w, layers);
    for (size_t l = 0; l < count; l++) {
        add_layer(w, &layers[l], rows, steps, cost);
        once += layers[l].inputs + (w->mode == MODE_SEQUENCE ? 0.0 : layers[l].recurrent);
    }
    /* Streams that may not be gathered read all weights one after another. */
    add_read(cost, once, w->mode == MODE_STREAMS && !w->together ? (double)w->batch : 1.0);
}

/* ---- the machine --------------------------------------------------------------------------------------------------
 */

enum { COUNTS_MAX = 64 };
static lw_limits known[COUNTS_MAX];
static size_t known_count;

const lw_limits *limits_of(size_t threads)
{
    for (size_t i = 0; i < known_count; i++)
        if (known[i].threads == threads)
            return &known[i];
    if (known_count == COUNTS_MAX)
        return NULL;
    lw_limits *limits = &known[known_count];
    *limits = (lw_limits){.size = sizeof *limits};
    if (lw_machine_limits(threads, limits) || limits->threads != threads)
        return NULL;
    known_count++;
    return limits;
}

static void keep_better(double *figure, double again)
{
    *figure = again > *figure ? again : *figure;
}

void limits_again(void)
{
    for (size_t i = 0; i < known_count; i++) {
        lw_limits again = {.size = sizeof again};
        if (lw_machine_limits(known[i].threads, &again) || again.threads != known[i].threads)
            continue;
        keep_better(&known[i].flops, again.flops);
        keep_better(&known[i].l1, again.l1);
        keep_better(&known[i].l2, again.l2);
        keep_better(&known[i].l3, again.l3);
        keep_better(&known[i].dram, again.dram);
    }
}

json_t *limits_json(void)
{
    lw_machine machine = {.size = sizeof machine};
    json_t *list = json_array();
    if (lw_machine_query(&machine))
        return list;
    for (size_t i = 0; i < known_count; i++)
        json_array_append_new(list, json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I}", "threads",
                                              (json_int_t)known[i].threads, "flops_per_second", known[i].flops, "l1",
                                              known[i].l1, "l2", known[i].l2, "l3", known[i].l3, "dram", known[i].dram,
                                              "l1_bytes", (json_int_t)machine.l1_bytes, "l2_bytes",
                                              (json_int_t)machine.l2_bytes, "l3_bytes", (json_int_t)machine.l3_bytes));
    return list;
}

enum { LEVELS = 4 };

/* Seconds to read `bytes` again and again, adding what each level gives to its own sum: the nearest level keeps as much
 * as it can hold, the next one as much of the rest. A level whose speed is not known keeps nothing. */
static void read_time(double bytes, double times, const lw_limits *limits, const lw_machine *machine,
                      double seconds[LEVELS])
{
    const double threads = (double)limits->threads;
    const double room[LEVELS] = {threads * (double)machine->l1_bytes, threads * (double)machine->l2_bytes,
                                 (double)machine->l3_bytes, INFINITY};
    const double speed[LEVELS] = {limits->l1, limits->l2, limits->l3, limits->dram};
    for (int level = 0; level < LEVELS; level++) {
        const double part = bytes < room[level] ? bytes : room[level];
        if (speed[level] <= 0.0)
            continue;
        seconds[level] += part * times / speed[level];
        bytes -= part;
    }
}

struct bound bound_of(const struct cost *cost, const lw_limits *limits)
{
    static const char *const names[LEVELS] = {"L1", "L2", "L3", "DRAM"};
    lw_machine machine = {.size = sizeof machine};
    double seconds[LEVELS] = {0.0}, reading = 0.0;
    int slowest = 0;
    if (!limits || limits->flops <= 0.0 || lw_machine_query(&machine))
        return (struct bound){0.0, ""};
    for (size_t i = 0; i < cost->read_count; i++)
        read_time(cost->reads[i].bytes, cost->reads[i].times, limits, &machine, seconds);
    for (int level = 0; level < LEVELS; level++) {
        reading += seconds[level];
        slowest = seconds[level] > seconds[slowest] ? level : slowest;
    }
    const double computing = cost->flops / limits->flops;
    return computing >= reading ? (struct bound){computing, "FMA peak"} : (struct bound){reading, names[slowest]};
}
