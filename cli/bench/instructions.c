/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting instructions; see instructions.h. A process is counted whole, once with one call and once with some more:
 * what is more in the second count was spent in these calls, so that setting up costs nothing and any driver can be
 * counted.
 */
#include "instructions.h"
#include "../file.h"

#include "entry.h"

#include "../report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the calls should come to: then the digits of the times in the answers, some hundred instructions, do not
 * matter. */
#define COUNTED 1e7
enum { FEW_CALLS = 10, MOST_CALLS = 20000, FUNCTIONS = 10, LINE = 4096 };

int instructions_check(void)
{
    const char *path = getenv("PATH");
    char *copy = strdup(path ? path : ""), *rest = NULL, file[LINE];
    int found = 0;
    for (char *folder = copy ? strtok_r(copy, ":", &rest) : NULL; folder; folder = strtok_r(NULL, ":", &rest)) {
        snprintf(file, sizeof file, "%.4000s/valgrind", folder);
        found |= access(file, X_OK) == 0;
    }
    free(copy);
#ifdef __x86_64__
    setenv("LW_ISA", "avx2", 0);
#endif
    return found ? EXIT_OK : fail("--instructions: valgrind is not on the PATH; it comes with the package valgrind");
}

/* ---- callgrind's files ---------------------------------------------------------------------------------------- */

/* {function: its own instructions}; names are written out once, behind a number that stands for them later. */
struct profile {
    char **names;
    size_t room;
    json_t *costs;
    double total;
};

/* A name that has no number is `text` itself. */
static const char *name_of(struct profile *profile, char *text)
{
    char *end;
    if (*text != '(')
        return text;
    const size_t id = strtoul(text + 1, &end, 10);
    if (*end != ')' || id > 1u << 24)
        return "?";
    if (id >= profile->room) {
        const size_t room = 2 * id + 64;
        char **names = realloc(profile->names, room * sizeof *names);
        if (!names)
            return "?";
        memset(names + profile->room, 0, (room - profile->room) * sizeof *names);
        profile->names = names;
        profile->room = room;
    }
    if (end[1] == ' ' && !profile->names[id])
        profile->names[id] = clean_copy(end + 2);
    return profile->names[id] ? profile->names[id] : "?";
}

static void add_cost(struct profile *profile, const char *name, const char *line)
{
    const char *cost = strchr(line, ' ');
    if (!cost)
        return;
    const double before = json_number_value(json_object_get(profile->costs, name)), count = strtod(cost, NULL);
    json_object_set_new(profile->costs, name, json_real(before + count));
    profile->total += count;
}

/* The line behind "calls=" holds what the called function cost, which is counted there. */
static void read_profile(FILE *file, struct profile *profile)
{
    char line[LINE], plain[LINE];
    const char *function = "?";
    int called = 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "fn=", 3) == 0) {
            function = name_of(profile, line + 3);
            if (function == line + 3)
                function = clean_text(memcpy(plain, function, strlen(function) + 1));
        } else if (strncmp(line, "cfn=", 4) == 0)
            name_of(profile, line + 4);
        else if (strncmp(line, "calls=", 6) == 0)
            called = 1;
        else if (strchr("0123456789+-*", line[0]) && line[0]) {
            if (!called)
                add_cost(profile, function, line);
            called = 0;
        }
    }
}

static int load_profile(const char *path, struct profile *profile)
{
    FILE *file = fopen(path, "r");
    *profile = (struct profile){.costs = json_object()};
    if (file) {
        read_profile(file, profile);
        fclose(file);
    }
    for (size_t i = 0; i < profile->room; i++)
        free(profile->names[i]);
    free(profile->names);
    profile->names = NULL;
    return file && profile->total > 0.0;
}

/* ---- counting ------------------------------------------------------------------------------------------------- */

/* A whole process with that many calls. */
static int count_process(const struct side *side, const struct workload *w, size_t calls, double seconds,
                         struct profile *profile, struct trouble *trouble)
{
    char path[LINE], option[LINE + 32];
    temporary_pattern(path, sizeof path, "count");
    const int file = mkstemp(path);
    if (file < 0)
        return trouble_set(trouble, DRIVER_MISSING, "%s: cannot be made: %s", path, strerror(errno));
    close(file);
    snprintf(option, sizeof option, "--callgrind-out-file=%s", path);
    const char *const prefix[] = {"valgrind", "--tool=callgrind", "--quiet", "--dump-line=no", option, NULL};
    struct entry entry = {.name = side->name, .workload = *w, .driver = side_driver(side, prefix, side->name, seconds)};
    int good = entry.driver && entry_prepare(&entry, 1) && entry_run(&entry, &entry.samples, 1, calls, 0);
    good = good && (driver_finish(entry.driver) ||
                    trouble_set(&entry.trouble, DRIVER_TIMEOUT, "it did not end when its input ended"));
    if (good && !load_profile(path, profile)) {
        json_decref(profile->costs);
        profile->costs = NULL;
        good = trouble_set(&entry.trouble, DRIVER_RUBBISH, "valgrind wrote no counts");
    }
    if (!good)
        *trouble = entry.trouble;
    driver_close(entry.driver);
    entry_free(&entry);
    unlink(path);
    return good;
}

/* Instructions of one call, by function, in the place of the counts of the process with more calls. */
static void subtract(struct profile *more, const struct profile *one, size_t calls)
{
    const char *name;
    json_t *cost;
    void *next;
    json_object_foreach_safe(more->costs, next, name, cost)
    {
        const double rest = json_number_value(cost) - json_number_value(json_object_get(one->costs, name));
        json_object_set_new(more->costs, name, json_real(rest / (double)calls));
    }
    more->total = (more->total - one->total) / (double)calls;
}

static int count_calls(const struct side *side, const struct workload *w, const struct profile *one, size_t calls,
                       double seconds, struct profile *profile, struct trouble *trouble)
{
    const int good = count_process(side, w, 1 + calls, seconds, profile, trouble);
    if (good)
        subtract(profile, one, calls);
    return good;
}

/* *calls 0: as many as are needed; then it is set, so that both sides are counted alike. */
static int count_side(const struct side *side, const struct workload *w, double seconds, size_t *calls,
                      struct profile *profile, struct trouble *trouble)
{
    struct profile one;
    const int choose = *calls == 0;
    if (!count_process(side, w, 1, seconds, &one, trouble))
        return 0;
    *calls = choose ? FEW_CALLS : *calls;
    int good = count_calls(side, w, &one, *calls, seconds, profile, trouble);
    if (good && choose && profile->total * FEW_CALLS < COUNTED) {
        const double needed = COUNTED / fmax(profile->total, 1.0);
        *calls = needed < MOST_CALLS ? (size_t)needed + 1 : MOST_CALLS;
        json_decref(profile->costs);
        *profile = (struct profile){0};
        good = count_calls(side, w, &one, *calls, seconds, profile, trouble);
    }
    json_decref(one.costs);
    return good;
}

static double change_of(const json_t *function)
{
    return fabs(json_number_value(json_object_get(function, "new")) -
                json_number_value(json_object_get(function, "base")));
}

static int by_change(const void *a, const void *b)
{
    const double x = change_of(*(json_t *const *)a), y = change_of(*(json_t *const *)b);
    return (x < y) - (x > y);
}

/* A ten thousandth of the whole is none: the answers' digits. */
static json_t *changes(const json_t *base, const json_t *now, double whole)
{
    json_t *list = json_array(), *both = json_copy((json_t *)base), *ignored, **rows;
    const char *name;
    size_t count = 0;
    json_object_update_missing(both, (json_t *)now);
    rows = allocate(json_object_size(both), sizeof(json_t *));
    json_object_foreach(both, name, ignored)
    {
        const double before = json_number_value(json_object_get(base, name));
        const double after = json_number_value(json_object_get(now, name));
        if (rows && fabs(after - before) >= 1e-4 * whole)
            rows[count++] = json_pack("{s:s, s:f, s:f}", "name", name, "base", before, "new", after);
    }
    if (rows && count)
        qsort(rows, count, sizeof(json_t *), by_change);
    for (size_t i = 0; i < count; i++)
        if (i < FUNCTIONS)
            json_array_append_new(list, rows[i]);
        else
            json_decref(rows[i]);
    free(rows);
    json_decref(both);
    return list;
}

int instructions_count(const struct side *base, const struct side *now, const struct workload *w, double seconds,
                       double counts[2], json_t **functions, const char **blame, struct trouble *trouble)
{
    struct profile profiles[2] = {{0}, {0}};
    size_t calls = 0;
    *blame = base->name;
    int good = count_side(base, w, seconds, &calls, &profiles[0], trouble);
    if (good) {
        *blame = now->name;
        good = count_side(now, w, seconds, &calls, &profiles[1], trouble);
    }
    if (good) {
        counts[0] = profiles[0].total;
        counts[1] = profiles[1].total;
        *functions = changes(profiles[0].costs, profiles[1].costs, profiles[0].total);
    }
    json_decref(profiles[0].costs);
    json_decref(profiles[1].costs);
    return good;
}
