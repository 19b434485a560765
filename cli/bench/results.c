/* SPDX-License-Identifier: Apache-2.0 */
/* Making, reading and writing results; see results.h. */
#include "results.h"

#include "../file.h"
#include "../report.h"
#include "../work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The first line of a small file, "" when it cannot be read. */
static const char *first_line(const char *path, char line[128])
{
    FILE *file = fopen(path, "r");
    line[0] = '\0';
    if (file && !fgets(line, 128, file))
        line[0] = '\0';
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

#define CPU_FOLDER "/sys/devices/system/cpu/"

/* Linux has one switch or the other. */
static const char *boost_word(void)
{
    char line[128];
    if (*first_line(CPU_FOLDER "cpufreq/boost", line))
        return line[0] == '1' ? "boost" : "no boost";
    if (*first_line(CPU_FOLDER "intel_pstate/no_turbo", line))
        return line[0] == '0' ? "boost" : "no boost";
    return "boost unknown";
}

static json_t *frequency_policy(int *scaling)
{
    char governor[128];
    first_line(CPU_FOLDER "cpu0/cpufreq/scaling_governor", governor);
    *scaling = *governor && strcmp(governor, "performance") != 0;
    return *governor ? json_sprintf("%s, %s", governor, boost_word()) : json_string("unknown");
}

/* Of the first CPU, as the kernel tells it; 0 where it does not. */
static double clock_mhz(void)
{
    char line[256];
    double mhz = 0.0;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && mhz == 0.0 && fgets(line, sizeof line, file))
        if (strncmp(line, "cpu MHz", 7) == 0 && strchr(line, ':'))
            mhz = strtod(strchr(line, ':') + 1, NULL);
    if (file)
        fclose(file);
    return mhz;
}

static void add_cache(json_t *list, int level, size_t bytes, size_t sharing)
{
    if (bytes)
        json_array_append_new(list, json_pack("{s:s, s:i, s:I, s:I}", "type", level == 1 ? "Data" : "Unified", "level",
                                              level, "size", (json_int_t)bytes, "num_sharing", (json_int_t)sharing));
}

static json_t *load_average(void)
{
    double loads[3];
    json_t *list = json_array();
    const int count = getloadavg(loads, 3);
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_real(loads[i]));
    return list;
}

json_t *results_create(void)
{
    lw_machine machine = {.size = sizeof machine};
    char host[256] = "", date[64] = "", program[1024];
    int scaling = 0;
    const time_t now = time(NULL);
    struct tm local;
    if (lw_machine_query(&machine))
        return fail("%s", lw_error()), NULL;
    if (gethostname(host, sizeof host - 1))
        host[0] = '\0';
    if (localtime_r(&now, &local))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S%z", &local);
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    json_t *caches = json_array(), *policy = frequency_policy(&scaling);
    add_cache(caches, 1, machine.l1_bytes, 1);
    add_cache(caches, 2, machine.l2_bytes, 1);
    add_cache(caches, 3, machine.l3_bytes, machine.cpus);
    json_t *own = json_pack("{s:i, s:s, s:s, s:o, s:I, s:o, s:b, s:[], s:[]}", "schema", RESULTS_SCHEMA, "version",
                            lw_version(), "isa", lw_isa_name(lw_isa_get()), "cpu", json_text(machine.cpu_name), "cores",
                            (json_int_t)machine.cpus, "frequency_policy", policy, "interrupted", 0, "limits",
                            "engines");
    json_t *results = json_pack("{s:{s:s, s:o, s:o, s:I, s:i, s:b, s:o, s:o, s:s, s:o}, s:[]}", "context", "date", date,
                                "host_name", json_text(host), "executable", json_text(*program ? program : "latchwork"),
                                "num_cpus", (json_int_t)machine.cpus, "mhz_per_cpu", (int)clock_mhz(),
                                "cpu_scaling_enabled", scaling, "caches", caches, "load_avg", load_average(),
                                "library_build_type", "release", "latchwork", own, "benchmarks");
    if (!results)
        fail("out of memory");
    return results;
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

/* What shows results relies on no more than this: a name, and times that are numbers where they are there. */
static int check_benchmark(const json_t *benchmark, size_t index, const char *path)
{
    static const char *const numbers[] = {"real_time", "cpu_time", "p5_us", "p50_us", "p95_us", "share_of_limit"};
    if (!json_is_string(json_object_get(benchmark, "name")))
        return fail("%s: benchmark %zu has no \"name\"", path, index + 1);
    const char *name = json_string_value(json_object_get(benchmark, "name"));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const json_t *field = json_object_get(benchmark, numbers[i]);
        if (field && !json_is_number(field))
            return fail("%s: benchmark '%s': \"%s\" must be a number", path, name, numbers[i]);
    }
    const json_t *samples = json_object_get(benchmark, "samples_us"), *sample;
    size_t at;
    if (samples && !json_is_array(samples))
        return fail("%s: benchmark '%s': \"samples_us\" must be a list", path, name);
    json_array_foreach(samples, at, sample)
    {
        if (!json_is_number(sample) || !(json_number_value(sample) > 0.0))
            return fail("%s: benchmark '%s': sample %zu must be a number above 0", path, name, at + 1);
    }
    return EXIT_OK;
}

static int check_results(const json_t *results, const char *path)
{
    const json_t *context = json_object_get(results, "context"), *list = json_object_get(results, "benchmarks");
    const json_t *own = json_object_get(context, "latchwork"), *benchmark;
    const json_t *schema = json_object_get(own, "schema");
    size_t index;
    int status = EXIT_OK;
    if (!json_is_object(context) || !json_is_array(list))
        return fail("%s: these are no benchmark results: expected an object with \"context\" and \"benchmarks\"", path);
    if (!json_is_integer(schema))
        return fail("%s: these results are not from 'latchwork bench': \"context.latchwork.schema\" is missing", path);
    if (json_integer_value(schema) > RESULTS_SCHEMA)
        return fail("%s: its schema is %lld; this latchwork (%s) reads up to %d", path,
                    (long long)json_integer_value(schema), lw_version(), RESULTS_SCHEMA);
    json_array_foreach((json_t *)list, index, benchmark)
    {
        if (status == EXIT_OK)
            status = check_benchmark(benchmark, index, path);
    }
    return status;
}

/* Whatever shows them need not think of control characters. */
static void clean_strings(json_t *value)
{
    const char *name;
    json_t *part;
    size_t at;
    if (json_is_string(value)) {
        char *copy = clean_copy(json_string_value(value));
        json_string_set(value, copy);
        free(copy);
    }
    json_array_foreach(value, at, part) clean_strings(part);
    json_object_foreach(value, name, part) clean_strings(part);
}

int results_load(const char *path, json_t **results)
{
    void *bytes = NULL;
    size_t size = 0;
    json_error_t error;
    *results = NULL;
    int status = file_read(path, &bytes, &size);
    if (status != EXIT_OK)
        return status;
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    free(bytes);
    if (!root && json_error_code(&error) == json_error_premature_end_of_input)
        return fail("%s: it ends in the middle (line %d): the file is truncated", path, error.line);
    if (!root)
        return fail("%s: line %d: %s", path, error.line, error.text);
    clean_strings(root);
    status = check_results(root, path);
    if (status == EXIT_OK)
        *results = root;
    else
        json_decref(root);
    return status;
}

json_t *results_find(const json_t *results, const char *name)
{
    const json_t *list = json_object_get(results, "benchmarks");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *found = json_string_value(json_object_get(json_array_get(list, i), "name"));
        if (found && strcmp(found, name) == 0)
            return json_array_get(list, i);
    }
    return NULL;
}
