/* SPDX-License-Identifier: Apache-2.0 */
/* Compares two sides over all workloads and tells what it found; see gate.h. */
#include "gate.h"

#include "instructions.h"
#include "recorded.h"
#include "results.h"
#include "sitting.h"
#include "stop.h"

#include "../progress.h"
#include "../report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A comparison has at least this many pairs, or samples of a recorded side; base against itself has exactly as many
 * pairs. */
enum { LEAST_PAIRS = 10 };

static size_t pairs_done;

static void count_pair(void)
{
    progress_set(++pairs_done);
}

static int add_row(json_t *report, json_t *row)
{
    return json_array_append_new(json_object_get(report, "workloads"), row) ? fail("out of memory") : EXIT_OK;
}

/* A signal is no fault of the workload: what it cut off is not told. */
static int add_trouble(json_t *report, const char *name, const char *blame, const struct trouble *trouble)
{
    char text[700];
    if (trouble->kind == DRIVER_STOPPED)
        return EXIT_OK;
    snprintf(text, sizeof text, "%.200s: %s%s%s", blame ? blame : "", driver_status_word(trouble->kind),
             *trouble->text ? ": " : "", trouble->text);
    return add_row(report, gate_row_failed(name, text));
}

/* A workload that is newer than the base is no fault of the new side. */
static int add_base_trouble(json_t *report, const char *name, const struct gate *gate, const char *blame,
                            const struct trouble *trouble)
{
    const int unknown = trouble->kind == DRIVER_UNSUPPORTED || trouble->kind == DRIVER_ERROR;
    return unknown && blame == gate->base.name ? gate_report_leave_out(report, name, trouble->text)
                                               : add_trouble(report, name, blame, trouble);
}

/* ---- both sides run ------------------------------------------------------------------------------------------- */

static int judge_workload(struct gate *gate, const struct workload *w, const char *name, json_t *report)
{
    const struct judge_plan plan = {.threshold = gate->threshold,
                                    .floor_pairs = LEAST_PAIRS,
                                    .least = LEAST_PAIRS,
                                    .most = gate->most_pairs,
                                    .seed = gate->seed};
    struct sitting sitting = {.base = &gate->base,
                              .now = &gate->now,
                              .workload = *w,
                              .threads = gate->threads,
                              .timeout = gate->timeout,
                              .seed = gate->seed,
                              .tick = count_pair};
    struct judgement judgement;
    int status = EXIT_OK;
    if (judge(sitting_pair, &sitting, &plan, &judgement)) {
        const double now = sitting.base_us * judgement.effect.ratio;
        json_t *row = gate_row(name, judgement.verdict, &judgement.effect, sitting.base_us, now);
        gate_row_judgement(row, &judgement);
        status = add_row(report, row);
    } else {
        status = add_base_trouble(report, name, gate, sitting.blame, &sitting.trouble);
    }
    judgement_free(&judgement);
    return status;
}

static int count_workload(struct gate *gate, const struct workload *w, const char *name, json_t *report)
{
    struct trouble trouble = {0};
    const char *blame;
    double counts[2];
    json_t *functions;
    if (!instructions_count(&gate->base, &gate->now, w, gate->timeout, counts, &functions, &blame, &trouble))
        return add_base_trouble(report, name, gate, blame, &trouble);
    if (!(counts[0] > 0.0 && counts[1] > 0.0)) {
        char text[200];
        json_decref(functions);
        snprintf(text, sizeof text,
                 "a call came to %.0f instructions of the base and %.0f of the new side: expected "
                 "more than none",
                 counts[0], counts[1]);
        return add_row(report, gate_row_failed(name, text));
    }
    const double ratio = counts[1] / counts[0];
    const struct effect effect = {ratio, ratio, ratio, NAN, 1};
    const enum verdict verdict = ratio > 1.0 + gate->threshold           ? VERDICT_SLOWER
                                 : ratio < 1.0 / (1.0 + gate->threshold) ? VERDICT_FASTER
                                                                         : VERDICT_SAME;
    json_t *row = gate_row(name, verdict, &effect, counts[0], counts[1]);
    json_object_set_new(row, "functions", functions);
    return add_row(report, row);
}

static int compare_builds(struct gate *gate, json_t *report)
{
    const size_t each = gate->instructions ? 1 : 2 * LEAST_PAIRS;
    int status = EXIT_OK;
    progress_begin("gate", gate->suite.count * each);
    for (size_t i = 0; status == EXIT_OK && i < gate->suite.count && !stop_signal(); i++) {
        char name[WORKLOAD_NAME];
        const struct workload *w = &gate->suite.rows[i].workload;
        pairs_done = i * each;
        progress_set(pairs_done);
        progress_note("%s", workload_name(w, name));
        status = gate->instructions ? count_workload(gate, w, name, report) : judge_workload(gate, w, name, report);
    }
    progress_end();
    return status;
}

/* ---- recorded results ----------------------------------------------------------------------------------------- */

/* The workload as it was recorded, run now in one fresh process after another. */
static int run_recorded(struct gate *gate, const json_t *benchmark, const char *name, double logs[RECORDED_PARTS],
                        struct sitting *sitting)
{
    const json_int_t threads = json_integer_value(json_object_get(benchmark, "threads"));
    int good = 1;
    *sitting = (struct sitting){
        .now = &gate->now, .threads = threads > 0 ? (size_t)threads : 1, .timeout = gate->timeout, .tick = count_pair};
    if (workload_from_json(json_object_get(benchmark, "workload"), name, &sitting->workload) != EXIT_OK)
        return trouble_set(&sitting->trouble, DRIVER_ERROR, "its workload cannot be read");
    for (size_t i = 0; good && i < RECORDED_PARTS; i++)
        good = sitting_alone(sitting, &logs[i]);
    return good;
}

/* A benchmark of the base against the new side's recording of it, or against what runs now. */
static int compare_benchmark(struct gate *gate, const json_t *base, const char *name, json_t *report)
{
    double left[RECORDED_PARTS], right[RECORDED_PARTS];
    const size_t count = recorded_logs(base, left);
    size_t now_count = RECORDED_PARTS;
    struct sitting sitting;
    if (gate->now.results)
        now_count = recorded_logs(results_find(gate->now.results, name), right);
    else if (!run_recorded(gate, base, name, right, &sitting))
        return add_trouble(report, name, gate->now.name, &sitting.trouble);
    if (!count || !now_count)
        return add_row(report, gate_row_failed(name, count ? "there are no samples of the new side"
                                                           : "there are no samples of the base"));
    const struct effect effect = effect_unpaired(left, count, right, now_count, gate->seed);
    const double before = exp(middle_mean(left, count));
    const int few = count < LEAST_PAIRS || now_count < LEAST_PAIRS;
    const enum verdict verdict = few ? VERDICT_NOISY : verdict_of(&effect, gate->threshold);
    return add_row(report, gate_row(name, verdict, &effect, before, before * effect.ratio));
}

static int compare_recorded(struct gate *gate, json_t *report)
{
    const json_t *list = json_object_get(gate->base.results, "benchmarks"), *present = gate->now.results;
    json_t *made = NULL;
    int status = EXIT_OK;
    if (!present && !gate->force)
        present = made = results_create();
    if (!gate->force)
        status = present ? recorded_same_machine(gate->base.results, gate->base.name, present, gate->now.name)
                         : EXIT_WORK;
    json_decref(made);
    const size_t count = json_array_size(list);
    progress_begin("compare", count * RECORDED_PARTS);
    for (size_t i = 0; status == EXIT_OK && i < count && !stop_signal(); i++) {
        const json_t *benchmark = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(benchmark, "name"));
        pairs_done = i * RECORDED_PARTS;
        if (!gate->filter || strstr(name, gate->filter)) {
            progress_note("%s", name);
            status = compare_benchmark(gate, benchmark, name, report);
        }
    }
    progress_end();
    if (status == EXIT_OK && !json_array_size(json_object_get(report, "workloads")) && !stop_signal())
        status = fail("%s: there is nothing to compare", gate->base.name);
    return status;
}

/* ---- all ------------------------------------------------------------------------------------------------------ */

static int finish(const struct gate *gate, json_t *report)
{
    json_t *facts = json_object_get(report, "gate");
    json_object_set_new(facts, "interrupted", json_boolean(stop_signal()));
    const int written = gate_outputs_write(&gate->outputs, report);
    if (stop_signal())
        return 128 + stop_signal();
    if (gate_report_count(report, VERDICT_SLOWER))
        return EXIT_SLOWER;
    if (written != EXIT_OK || gate_report_count(report, VERDICT_FAILED))
        return EXIT_WORK;
    return gate->strict && gate_report_count(report, VERDICT_NOISY) ? EXIT_NOISY : EXIT_OK;
}

int gate_run(struct gate *gate)
{
    json_t *report = gate_report_create(gate->base.name, gate->now.name, gate->threshold,
                                        gate->instructions ? "instructions" : "time");
    if (!report)
        return EXIT_WORK;
    /* What is recorded chose its own threads. */
    if (!gate->base.results && pin_cpus(gate->instructions ? 1 : gate->threads))
        json_object_set_new(json_object_get(report, "gate"), "pinned", json_true());
    int status = gate->base.results ? compare_recorded(gate, report) : compare_builds(gate, report);
    if (status == EXIT_OK || json_array_size(json_object_get(report, "workloads"))) {
        const int finished = finish(gate, report);
        status = status == EXIT_OK ? finished : status;
    }
    json_decref(report);
    return status;
}
