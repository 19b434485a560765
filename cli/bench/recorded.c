/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded results as a side of a comparison; see recorded.h. */
#include "recorded.h"

#include "statistics.h"

#include "../report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fact_text(const json_t *results, const char *key, char text[200])
{
    const json_t *value = json_object_get(json_object_get(json_object_get(results, "context"), "latchwork"), key);
    if (json_is_integer(value))
        snprintf(text, 200, "%lld", (long long)json_integer_value(value));
    else
        snprintf(text, 200, "%s", json_is_string(value) ? json_string_value(value) : "not told");
}

int recorded_same_machine(const json_t *base, const char *base_name, const json_t *now, const char *now_name)
{
    static const char *const keys[] = {"cpu", "cores", "isa", "frequency_policy"};
    static const char *const words[] = {"CPU", "number of CPUs", "instruction set", "frequency policy"};
    char left[200], right[200];
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        fact_text(base, keys[i], left);
        fact_text(now, keys[i], right);
        if (strcmp(left, right) != 0)
            return fail(
                "%s and %s are of different machines: the %s is '%s' and '%s'; --force compares them all the same",
                base_name, now_name, words[i], left, right);
    }
    return EXIT_OK;
}

size_t recorded_logs(const json_t *benchmark, double logs[RECORDED_PARTS])
{
    const json_t *samples = json_object_get(benchmark, "samples_us");
    const size_t count = json_array_size(samples), parts = count < RECORDED_PARTS ? count : RECORDED_PARTS;
    for (size_t part = 0; part < parts; part++) {
        const size_t begin = part * count / parts, end = (part + 1) * count / parts;
        double *times = allocate(end - begin, sizeof *times);
        for (size_t i = begin; times && i < end; i++)
            times[i - begin] = json_number_value(json_array_get(samples, i));
        logs[part] = times ? log(median_of(times, end - begin)) : NAN;
        free(times);
    }
    return parts;
}
