/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to a driver about one workload, and checks of what it answers; see entry.h. */
#include "entry.h"
#include "../file.h"

#include "../report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An answer that is none: the process is not trusted any more. */
static int distrust(struct entry *entry, const json_t *answer, const char *what)
{
    char *text = json_dumps(answer, JSON_COMPACT | JSON_ENCODE_ANY);
    driver_end(entry->driver);
    trouble_set(&entry->trouble, DRIVER_RUBBISH, "%s: \"%.80s\"", what, text ? text : "");
    free(text);
    return 0;
}

int entry_prepare(struct entry *entry, size_t threads)
{
    entry->workload.threads = threads;
    json_t *workload = workload_json(&entry->workload);
    json_t *answer = driver_ask(entry->driver, json_pack("{s:s, s:o}", "cmd", "prepare", "workload", workload),
                                &entry->trouble);
    if (!answer)
        return 0;
    const int good = json_is_true(json_object_get(answer, "ok")) ||
                     distrust(entry, answer, "prepare was not answered by ok");
    json_decref(answer);
    return good;
}

static int make_room(struct samples *samples, size_t more)
{
    if (samples->count + more <= samples->room)
        return 1;
    const size_t room = 2 * samples->room + more;
    double *larger = product(room, sizeof *larger) < SIZE_MAX ? realloc(samples->us, room * sizeof *larger) : NULL;
    if (!larger)
        return 0;
    samples->us = larger;
    samples->room = room;
    return 1;
}

static int take_times(struct entry *entry, const json_t *answer, struct samples *samples, size_t repeat)
{
    char what[80];
    const json_t *times = json_object_get(answer, "times_us");
    snprintf(what, sizeof what, "times_us is no list of %zu times", repeat);
    if (json_array_size(times) != repeat)
        return distrust(entry, answer, what);
    if (!make_room(samples, repeat))
        return trouble_set(&entry->trouble, DRIVER_ERROR, "out of memory for %zu times", repeat);
    for (size_t i = 0; i < repeat; i++) {
        const json_t *time = json_array_get(times, i);
        const double us = json_number_value(time);
        if (!json_is_number(time) || !(us > 0.0) || !isfinite(us))
            return distrust(entry, answer, what);
        samples->us[samples->count + i] = us;
    }
    samples->count += repeat;
    return 1;
}

int entry_run(struct entry *entry, struct samples *samples, size_t repeat, size_t inner, size_t warmup)
{
    json_t *command = json_pack("{s:s, s:I, s:I, s:I}", "cmd", "run", "repeat", (json_int_t)repeat, "inner",
                                (json_int_t)inner, "warmup", (json_int_t)warmup);
    json_t *answer = driver_ask(entry->driver, command, &entry->trouble);
    if (!answer)
        return 0;
    const int good = take_times(entry, answer, samples, repeat);
    const double cpu = json_number_value(json_object_get(answer, "cpu_us"));
    if (good && samples == &entry->samples) {
        const double calls = (double)repeat * (double)inner, before = (double)entry->calls;
        entry->cpu_us = cpu > 0.0 ? (entry->cpu_us * before + cpu * calls) / (before + calls) : 0.0;
        entry->calls += repeat * inner;
    }
    json_decref(answer);
    return good;
}

static float *read_output(struct entry *entry, const char *path, size_t count)
{
    float *values = allocate(count + 1, sizeof *values);
    FILE *file = fopen(path, "rb");
    const size_t got = values && file ? fread(values, sizeof *values, count + 1, file) : 0;
    if (file)
        fclose(file);
    if (values && got == count)
        return values;
    free(values);
    if (!values)
        trouble_set(&entry->trouble, DRIVER_ERROR, "out of memory for %zu outputs", count);
    else
        trouble_set(&entry->trouble, DRIVER_RUBBISH, "the output is no file of %zu numbers", count);
    return NULL;
}

float *entry_output(struct entry *entry, size_t *count)
{
    char path[4096];
    *count = workload_outputs(&entry->workload);
    temporary_pattern(path, sizeof path, "output");
    const int file = mkstemp(path);
    if (file < 0) {
        trouble_set(&entry->trouble, DRIVER_ERROR, "%s: cannot be made: %s", path, strerror(errno));
        return NULL;
    }
    close(file);
    json_t *answer = driver_ask(entry->driver, json_pack("{s:s, s:s}", "cmd", "output", "file", path), &entry->trouble);
    float *values = NULL;
    if (answer && json_integer_value(json_object_get(answer, "count")) == (json_int_t)*count)
        values = read_output(entry, path, *count);
    else if (answer)
        distrust(entry, answer, "the output has another number of numbers");
    json_decref(answer);
    unlink(path);
    return values;
}

void entry_memory(struct entry *entry)
{
    struct trouble ignored;
    json_t *answer = driver_ask(entry->driver, json_pack("{s:s}", "cmd", "memory"), &ignored);
    entry->peak_bytes = json_number_value(json_object_get(answer, "peak_bytes"));
    json_decref(answer);
}

void entry_free(struct entry *entry)
{
    free(entry->samples.us);
    free(entry->singles.us);
    entry->samples = entry->singles = (struct samples){0};
}
