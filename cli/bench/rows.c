/* SPDX-License-Identifier: Apache-2.0 */
/* Entries as JSON; see rows.h. */
#include "rows.h"

#include "results.h"
#include "statistics.h"

#include "../report.h"
#include "../work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Fewer calls tell nothing of one in a thousand. */
enum { SINGLES_FOR_P999 = 2000, BUCKETS_OF_AN_OCTAVE = 8 };

static double *sorted_copy(const struct samples *samples)
{
    double *copy = allocate(samples->count, sizeof *copy);
    if (!copy)
        return NULL;
    memcpy(copy, samples->us, samples->count * sizeof *copy);
    sort_samples(copy, samples->count);
    return copy;
}

static void set_number(json_t *object, const char *name, double value)
{
    if (isfinite(value))
        json_object_set_new(object, name, json_real(value));
}

static json_t *list_of(const struct samples *samples)
{
    json_t *list = json_array();
    for (size_t i = 0; i < samples->count; i++)
        json_array_append_new(list, json_real(samples->us[i]));
    return list;
}

static json_t *scaling_of(const struct entry *entry)
{
    json_t *list = json_array();
    for (size_t i = 0; i < entry->probe_count; i++)
        json_array_append_new(list, json_pack("{s:I, s:f}", "threads", (json_int_t)entry->probes[i].threads,
                                              "median_us", entry->probes[i].median_us));
    return list;
}

/* The times of an entry that has some. */
static void add_times(json_t *object, const struct entry *entry)
{
    double *sorted = sorted_copy(&entry->samples);
    if (!sorted)
        return;
    json_object_set_new(object, "threads", json_integer((json_int_t)entry->workload.threads));
    set_number(object, "p5_us", percentile(sorted, entry->samples.count, 5.0));
    set_number(object, "p50_us", percentile(sorted, entry->samples.count, 50.0));
    set_number(object, "p95_us", percentile(sorted, entry->samples.count, 95.0));
    json_object_set_new(object, "calls_per_sample", json_integer((json_int_t)entry->inner));
    json_object_set_new(object, "samples_us", list_of(&entry->samples));
    json_object_set_new(object, "scaling", scaling_of(entry));
    free(sorted);
}

/* Buckets whose bounds grow by the same factor, from the first that holds a call to the last. */
static json_t *histogram_of(const double *sorted, size_t count)
{
    json_t *list = json_array();
    int bucket = (int)floor(log2(sorted[0]) * BUCKETS_OF_AN_OCTAVE);
    for (size_t at = 0; at < count; bucket++) {
        const double upper = exp2((bucket + 1.0) / BUCKETS_OF_AN_OCTAVE);
        size_t calls = 0;
        for (; at < count && sorted[at] < upper; at++)
            calls++;
        json_array_append_new(list, json_pack("[f, I]", upper, (json_int_t)calls));
    }
    return list;
}

static json_t *latency_of(const struct entry *entry)
{
    const size_t count = entry->singles.count;
    double *sorted = count ? sorted_copy(&entry->singles) : NULL;
    if (!sorted)
        return NULL;
    json_t *object = json_pack("{s:I}", "count", (json_int_t)count);
    set_number(object, "p50_us", percentile(sorted, count, 50.0));
    set_number(object, "p90_us", percentile(sorted, count, 90.0));
    set_number(object, "p99_us", percentile(sorted, count, 99.0));
    if (count >= SINGLES_FOR_P999)
        set_number(object, "p999_us", percentile(sorted, count, 99.9));
    set_number(object, "max_us", sorted[count - 1]);
    json_object_set_new(object, "histogram", histogram_of(sorted, count));
    free(sorted);
    return object;
}

static int measured(const struct entry *entry)
{
    return entry->samples.count && (entry->trouble.kind == DRIVER_OK || entry->trouble.kind == DRIVER_STOPPED);
}

static double median_us(const struct entry *entry)
{
    return measured(entry) ? median_of(entry->samples.us, entry->samples.count) : NAN;
}

static json_t *other_json(const struct entry *entry, const char *key)
{
    const int good = measured(entry);
    json_t *object = json_pack("{s:o, s:s}", key, json_text(entry->name), "status",
                               good ? "ok" : driver_status_word(entry->trouble.kind));
    if (good)
        add_times(object, entry);
    else
        json_object_set_new(object, "text", json_text(entry->trouble.text));
    set_number(object, "largest_difference", entry->difference);
    return object;
}

static void add_variant(json_t *benchmark, const struct entry *entry, double own)
{
    json_t *object = other_json(entry, "name");
    set_number(object, "ratio", median_us(entry) / own);
    if (entry->variant->ratio > 0.0)
        set_number(object, "to_reach", entry->variant->ratio);
    json_array_append_new(json_object_get(benchmark, "variants"), object);
}

static void add_others(json_t *benchmark, const struct entry *entries, size_t count)
{
    const double own = median_us(&entries[0]);
    const struct entry *best = NULL;
    json_object_set_new(benchmark, "peers", json_array());
    json_object_set_new(benchmark, "variants", json_array());
    for (size_t i = 1; i < count; i++) {
        if (entries[i].variant) {
            add_variant(benchmark, &entries[i], own);
            continue;
        }
        json_array_append_new(json_object_get(benchmark, "peers"), other_json(&entries[i], "engine"));
        if (measured(&entries[i]) && (!best || median_us(&entries[i]) < median_us(best)))
            best = &entries[i];
    }
    if (best) {
        json_object_set_new(benchmark, "best_peer", json_text(best->name));
        set_number(benchmark, "ratio", median_us(best) / own);
    }
}

static void add_own(json_t *benchmark, const struct entry *own, const struct cost *cost)
{
    const double us = median_us(own);
    const struct workload *w = &own->workload;
    json_t *latency = latency_of(own);
    json_object_set_new(benchmark, "iterations", json_integer((json_int_t)own->calls));
    set_number(benchmark, "real_time", us);
    set_number(benchmark, "cpu_time", own->cpu_us > 0.0 ? own->cpu_us : us);
    json_object_set_new(benchmark, "time_unit", json_string("us"));
    add_times(benchmark, own);
    set_number(benchmark, "per_step_us", us / (w->mode == MODE_SEQUENCE ? (double)w->steps : 1.0));
    if (latency)
        json_object_set_new(benchmark, "step_latency", latency);
    set_number(benchmark, "flops", cost->flops);
    set_number(benchmark, "bytes", cost->bytes);
    set_number(benchmark, "flops_per_second", cost->flops / us * 1e6);
    set_number(benchmark, "bytes_per_second", cost->bytes / us * 1e6);
    if (own->peak_bytes > 0.0)
        json_object_set_new(benchmark, "peak_memory", json_integer((json_int_t)own->peak_bytes));
}

json_t *row_json(const struct row *row, const struct entry *entries, size_t count, const struct cost *cost)
{
    char name[WORKLOAD_NAME];
    const struct entry *own = &entries[0];
    workload_name(&row->workload, name);
    json_t *benchmark = json_pack("{s:o, s:o, s:s, s:i, s:i, s:o, s:o}", "name", json_text(name), "run_name",
                                  json_text(name), "run_type", "iteration", "repetitions", 1, "repetition_index", 0,
                                  "suite", json_text(row->suite), "workload", workload_json(&own->workload));
    if (!benchmark)
        return NULL;
    if (row->label)
        json_object_set_new(benchmark, "label", json_text(row->label));
    if (measured(own)) {
        add_own(benchmark, own, cost);
        add_others(benchmark, entries, count);
    } else {
        json_object_set_new(benchmark, "error_occurred", json_true());
        json_object_set_new(benchmark, "error_message", json_text(own->trouble.text));
    }
    json_t *wanted = json_object();
    if (row->ratio > 0.0)
        set_number(wanted, "ratio", row->ratio);
    if (row->share > 0.0)
        set_number(wanted, "share", row->share);
    if (json_object_size(wanted))
        json_object_set(benchmark, "to_reach", wanted);
    json_decref(wanted);
    return benchmark;
}

void row_finish(json_t *benchmark, const struct cost *cost)
{
    const json_int_t threads = json_integer_value(json_object_get(benchmark, "threads"));
    const double us = json_number_value(json_object_get(benchmark, "p50_us"));
    const struct bound bound = bound_of(cost, threads > 0 ? limits_of((size_t)threads) : NULL);
    if (bound.seconds <= 0.0 || us <= 0.0)
        return;
    set_number(benchmark, "limit_us", bound.seconds * 1e6);
    set_number(benchmark, "share_of_limit", bound.seconds * 1e6 / us);
    json_object_set_new(benchmark, "limit", json_string(bound.name));
}
