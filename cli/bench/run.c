/* SPDX-License-Identifier: Apache-2.0 */
/* The run from the first row to the last; see run.h. Latchwork gets a fresh process for each row, so that its peak of
 * memory is that row's. */
#include "run.h"

#include "results.h"
#include "rows.h"
#include "stop.h"

#include "../progress.h"
#include "../report.h"
#include "../work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one row ---------------------------------------------------------------------------------------------------- */

static int open_entries(const struct run *run, const struct row *row, struct entry *entries, size_t *count)
{
    entries[(*count)++] = (struct entry){.name = "Latchwork", .workload = row->workload, .difference = NAN};
    for (size_t i = 0; i < row->variant_count; i++)
        entries[(*count)++] = (struct entry){.name = row->variants[i].name,
                                             .workload = row->variants[i].workload,
                                             .variant = &row->variants[i],
                                             .difference = NAN};
    const size_t own = *count;
    for (size_t i = 0; i < own; i++)
        if (!(entries[i].driver = driver_open_own(entries[i].name, run->timeout)))
            return EXIT_WORK;
    for (size_t i = 0; i < run->peers->count; i++) {
        const struct peer *peer = &run->peers->list[i];
        entries[(*count)++] = (struct entry){.name = peer->name,
                                             .driver = peer->driver,
                                             .workload = row->workload,
                                             .trouble = peer->missing,
                                             .difference = NAN};
    }
    return EXIT_OK;
}

static void close_entries(const struct row *row, struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i < 1 + row->variant_count)
            driver_close(entries[i].driver);
        entry_free(&entries[i]);
    }
    free(entries);
}

static int open_cost(const struct row *row, struct cost *cost)
{
    lw_model *model = NULL;
    if (row->workload.model && lw_model_load(row->workload.model, NULL, &model))
        return fail_library(row->workload.model);
    cost_of(&row->workload, model, cost);
    lw_model_destroy(model);
    return EXIT_OK;
}

/* Measures a row and adds it to the list, unless a signal came before anything was measured. */
static int measure_row(struct run *run, const struct row *row, struct cost *cost, json_t *list)
{
    char name[WORKLOAD_NAME];
    size_t count = 0;
    struct entry *entries = calloc(1 + row->variant_count + run->peers->count, sizeof *entries);
    if (!entries)
        return fail("out of memory");
    int status = open_cost(row, cost);
    if (status == EXIT_OK)
        status = open_entries(run, row, entries, &count);
    progress_note("%s", workload_name(&row->workload, name));
    if (status == EXIT_OK)
        measure(entries, count, &run->plan);
    if (status == EXIT_OK && !(stop_signal() && !entries[0].samples.count)) {
        if (json_array_append_new(list, row_json(row, entries, count, cost)))
            status = fail("out of memory");
        if (entries[0].trouble.kind != DRIVER_OK && entries[0].trouble.kind != DRIVER_STOPPED)
            status = fail("%s: %s", name, entries[0].trouble.text);
        else if (entries[0].samples.count)
            limits_of(entries[0].workload.threads);
    }
    close_entries(row, entries, count);
    return status;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static int introduce(const struct run *run, json_t *results)
{
    struct trouble trouble = {0};
    json_t *own = json_object_get(json_object_get(results, "context"), "latchwork");
    json_t *engines = json_object_get(own, "engines");
    struct driver *driver = driver_open_own("Latchwork", run->timeout);
    if (!driver)
        return EXIT_WORK;
    json_t *object = driver_introduction(driver, "Latchwork", &trouble);
    driver_close(driver);
    if (!object)
        return fail("its own driver does not work: %s", trouble.text);
    json_array_append_new(engines, object);
    peers_introduce(run->peers, engines);
    if (run->command)
        json_object_set_new(own, "command", json_text(run->command));
    return EXIT_OK;
}

static size_t progress_steps(const struct run *run)
{
    size_t steps = 0;
    for (size_t i = 0; i < run->suite->count; i++)
        steps += MEASURE_STEPS * (1 + run->suite->rows[i].variant_count + run->peers->count);
    return steps;
}

static void finish(json_t *results, const struct cost *costs)
{
    json_t *own = json_object_get(json_object_get(results, "context"), "latchwork"), *benchmark;
    size_t index;
    if (!stop_signal())
        limits_again();
    json_array_foreach(json_object_get(results, "benchmarks"), index, benchmark) row_finish(benchmark, &costs[index]);
    json_object_set_new(own, "limits", limits_json());
    json_object_set_new(own, "interrupted", json_boolean(stop_signal()));
}

int run_suite(struct run *run, json_t **results)
{
    struct cost *costs = allocate(run->suite->count, sizeof *costs);
    int status = costs ? EXIT_OK : fail("out of memory");
    *results = results_create();
    if (!*results)
        status = EXIT_WORK;
    run->plan.stop = stop_begin();
    run->plan.done = 0;
    if (status == EXIT_OK)
        status = introduce(run, *results);
    json_t *list = json_object_get(*results, "benchmarks");
    progress_begin("bench", progress_steps(run));
    int worst = status;
    for (size_t i = 0; status == EXIT_OK && i < run->suite->count && !stop_signal(); i++) {
        const size_t before = json_array_size(list);
        status = measure_row(run, &run->suite->rows[i], &costs[before], list);
        worst = worst == EXIT_OK ? status : worst;
        status = json_array_size(list) > before ? EXIT_OK : status; /* a row that failed stands in the results */
    }
    progress_end();
    if (*results && costs)
        finish(*results, costs);
    free(costs);
    stop_end();
    return stop_signal() ? 128 + stop_signal() : worst;
}
