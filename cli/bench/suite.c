/* SPDX-License-Identifier: Apache-2.0 */
/* The named suites as lists of texts, and rows from a file; see suite.h. DeepBench's shapes are in deepbench.c. */
#include "suite.h"

#include "../report.h"
#include "deepbench.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const suite_names[SUITE_COUNT + 1] = {"tiny",   "stream", "sequence",  "batched",
                                                  "ragged", "train",  "deepbench", NULL};

/* `extent`: from which extent on the shape is measured. */
struct entry {
    const char *suite;
    enum extent extent;
    const char *text;
};

/* One shape for each way in which recurrent networks are used: audio effects sample by sample (tiny), detectors and
 * assistants step by step (stream), one long sequence (sequence), many rows (batched, ragged), learning (train). */
static const struct entry entries[] = {
    {"tiny", EXTENT_QUICK, "lstm step I1 H16 dense1"},
    {"tiny", EXTENT_USUAL, "lstm step I1 H40 dense1"},
    {"tiny", EXTENT_USUAL, "gru step I1 H16 dense1"},
    {"tiny", EXTENT_FULL, "gru step I1 H40 dense1"},
    {"tiny", EXTENT_FULL, "rnn step I1 H64 dense1"},
    {"tiny", EXTENT_QUICK, "lstm T512 I1 H16"},
    {"tiny", EXTENT_FULL, "lstm T512 I1 H40"},
    {"stream", EXTENT_QUICK, "lstm step I128 H128"},
    {"stream", EXTENT_USUAL, "gru step I256 H256"},
    {"stream", EXTENT_QUICK, "lstm step I1024 H1024"},
    {"stream", EXTENT_FULL, "lstm step I512 H512 L2"},
    {"stream", EXTENT_QUICK, "lstm streams B64 I128 H128"},
    {"stream", EXTENT_USUAL, "lstm streams singly B64 I128 H128"},
    {"sequence", EXTENT_USUAL, "lstm T160 I40 H256 L3"},
    {"sequence", EXTENT_QUICK, "lstm T50 I1024 H1024"},
    {"sequence", EXTENT_USUAL, "lstm T25 I1024 H1024 L4"},
    {"sequence", EXTENT_FULL, "gru T100 I512 H512"},
    {"sequence", EXTENT_FULL, "rnn T100 I512 H512"},
    {"batched", EXTENT_QUICK, "lstm T25 B16 I512 H512"},
    {"batched", EXTENT_USUAL, "lstm T25 B64 I1024 H1024"},
    {"batched", EXTENT_FULL, "lstm T50 B16 I1536 H1536"},
    {"batched", EXTENT_USUAL, "lstm T60 B16 I256 H256 L2 bidirectional"},
    {"batched", EXTENT_QUICK, "gru T25 B32 I512 H512"},
    {"batched", EXTENT_QUICK, "rnn T100 B16 I256 H256"},
    {"ragged", EXTENT_QUICK, "lstm T100 B32 I256 H256 ragged"},
    {"ragged", EXTENT_USUAL, "lstm T100 B32 I256 H256"},
    {"ragged", EXTENT_USUAL, "gru T100 B32 I256 H256 ragged"},
    {"ragged", EXTENT_FULL, "lstm T100 B32 I256 H256 L2 bidirectional ragged"},
    {"train", EXTENT_QUICK, "lstm T100 B20 I2 H128 train"},
    {"train", EXTENT_USUAL, "lstm T100 B20 I2 H128 train update"},
    {"train", EXTENT_USUAL, "lstm T1000 B20 I2 H128 train"},
    {"train", EXTENT_USUAL, "lstm T64 B32 I128 H256 L2 train"},
    {"train", EXTENT_USUAL, "lstm T25 B64 I512 H512 train"},
    {"train", EXTENT_FULL, "lstm T25 B64 I512 H512 train update"},
    {"train", EXTENT_USUAL, "gru T25 B32 I512 H512 train"},
    {"train", EXTENT_USUAL, "rnn T100 B32 I256 H256 train"},
    {"train", EXTENT_QUICK, "lstm T50 B1 I64 H64 train update"},
};

static int same(const struct workload *a, const struct workload *b)
{
    char left[WORKLOAD_NAME], right[WORKLOAD_NAME];
    return !a->model == !b->model && strcmp(workload_name(a, left), workload_name(b, right)) == 0;
}

int suite_add(struct suite *suite, const char *name, const struct workload *w)
{
    for (size_t i = 0; i < suite->count; i++)
        if (same(&suite->rows[i].workload, w))
            return EXIT_OK;
    struct row *rows = realloc(suite->rows, (suite->count + 1) * sizeof *rows);
    char *copy = strdup(name);
    if (rows)
        suite->rows = rows;
    if (!rows || !copy) {
        free(copy);
        return fail("out of memory");
    }
    suite->rows[suite->count++] = (struct row){.suite = copy, .workload = *w};
    return EXIT_OK;
}

static int add_text(struct suite *suite, const char *name, const char *text)
{
    struct workload w;
    const int status = workload_parse(text, &w);
    return status == EXIT_OK ? suite_add(suite, name, &w) : status;
}

int suite_add_named(struct suite *suite, const char *name, enum extent extent)
{
    int status = EXIT_OK, known = 0;
    if (strcmp(name, "deepbench") == 0)
        return deepbench_add(suite, extent);
    for (size_t i = 0; status == EXIT_OK && i < sizeof entries / sizeof entries[0]; i++) {
        if (strcmp(entries[i].suite, name) != 0)
            continue;
        known = 1;
        if (entries[i].extent <= extent)
            status = add_text(suite, name, entries[i].text);
    }
    if (known)
        return status;
    char out[NEAREST_SIZE];
    return misuse("there is no suite '%s'%s", name, nearest(name, suite_names, SUITE_COUNT, out));
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static int read_variant(const json_t *object, const json_t *workload, const char *where, struct variant *variant)
{
    const json_t *change = json_object_get(object, "change");
    const char *name = json_string_value(json_object_get(object, "name"));
    json_t *changed = json_copy((json_t *)workload);
    if (!name || !json_is_object(change) || !changed || json_object_update(changed, (json_t *)change)) {
        json_decref(changed);
        return fail("%s: a variant must have a \"name\" and an object \"change\"", where);
    }
    const int status = workload_from_json(changed, where, &variant->workload);
    json_decref(changed);
    if (status != EXIT_OK)
        return status;
    variant->name = strdup(name);
    variant->threads = (size_t)json_integer_value(json_object_get(change, "threads"));
    variant->ratio = json_number_value(json_object_get(object, "ratio"));
    variant->other_answer = json_is_true(json_object_get(object, "other_answer"));
    return variant->name ? EXIT_OK : fail("out of memory");
}

static int read_variants(const json_t *list, const json_t *workload, const char *where, struct row *row)
{
    int status = EXIT_OK;
    const size_t count = json_array_size(list);
    row->variants = calloc(count ? count : 1, sizeof *row->variants);
    if (!row->variants)
        return fail("out of memory");
    for (size_t i = 0; status == EXIT_OK && i < count; i++, row->variant_count++)
        status = read_variant(json_array_get(list, i), workload, where, &row->variants[i]);
    return status;
}

static int read_row(struct suite *suite, const json_t *defaults, const json_t *object, const char *path, size_t index)
{
    struct workload w;
    char where[300];
    const char *label = json_string_value(json_object_get(object, "name"));
    const char *regime = json_string_value(json_object_get(object, "regime"));
    const json_t *fields = json_object_get(object, "workload");
    json_t *whole = defaults ? json_copy((json_t *)defaults) : json_object();
    snprintf(where, sizeof where, "%s: workload %zu%s%s", path, index + 1, label ? ", " : "", label ? label : "");
    if (!label || !json_is_object(fields) || !whole || json_object_update(whole, (json_t *)fields)) {
        json_decref(whole);
        return fail("%s: expected an object with a \"name\" and a \"workload\"", where);
    }
    int status = workload_from_json(whole, where, &w);
    const size_t before = suite->count;
    if (status == EXIT_OK)
        status = suite_add(suite, regime ? regime : "file", &w);
    if (status == EXIT_OK && suite->count > before) {
        struct row *row = &suite->rows[before];
        row->label = strdup(label);
        row->ratio = json_number_value(json_object_get(object, "ratio"));
        row->share = json_number_value(json_object_get(json_object_get(object, "limit"), "share"));
        status = read_variants(json_object_get(object, "own"), whole, where, row);
    }
    json_decref(whole);
    return status;
}

int suite_add_file(struct suite *suite, const char *path)
{
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error);
    if (!document)
        return fail("%s: %s (line %d)", path, error.text, error.line);
    const json_t *list = json_object_get(document, "workloads"), *defaults = json_object_get(document, "defaults");
    int status = json_is_array(list) ? EXIT_OK : fail("%s: expected an object with a list \"workloads\"", path);
    for (size_t i = 0; status == EXIT_OK && i < json_array_size(list); i++)
        status = read_row(suite, defaults, json_array_get(list, i), path, i);
    json_decref(suite->document);
    suite->document = document;
    return status;
}

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

static void free_row(struct row *row)
{
    for (size_t i = 0; i < row->variant_count; i++)
        free(row->variants[i].name);
    free(row->variants);
    free(row->suite);
    free(row->label);
}

static const char *full_name(const struct row *row, char out[WORKLOAD_NAME + 64])
{
    char name[WORKLOAD_NAME];
    snprintf(out, WORKLOAD_NAME + 64, "%.60s/%s", row->suite, workload_name(&row->workload, name));
    return out;
}

/* The names that are there, as many as a sentence holds. */
static int nothing_left(const struct suite *suite, const char *expression)
{
    enum { SHOWN = 6 };
    char text[SHOWN * (WORKLOAD_NAME + 64)], name[WORKLOAD_NAME + 64];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < suite->count && i < SHOWN; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "",
                                 suite->rows[i].label ? suite->rows[i].label : full_name(&suite->rows[i], name));
    return misuse("--filter: no workload's name holds '%s'; there are %s%s; --list shows them all", expression, text,
                  suite->count > SHOWN ? " and more" : "");
}

static int matches(const regex_t *pattern, const struct row *row)
{
    char name[WORKLOAD_NAME + 64];
    return regexec(pattern, full_name(row, name), 0, NULL, 0) == 0 ||
           (row->label && regexec(pattern, row->label, 0, NULL, 0) == 0);
}

int suite_filter(struct suite *suite, const char *expression)
{
    regex_t pattern;
    char text[200];
    const int wrong = regcomp(&pattern, expression, REG_EXTENDED | REG_ICASE | REG_NOSUB);
    if (wrong) {
        regerror(wrong, &pattern, text, sizeof text);
        return misuse("--filter '%s' is no regular expression: %s", expression, text);
    }
    size_t kept = 0;
    for (size_t i = 0; i < suite->count; i++)
        kept += (size_t)matches(&pattern, &suite->rows[i]);
    if (!kept) {
        regfree(&pattern);
        return nothing_left(suite, expression);
    }
    kept = 0;
    for (size_t i = 0; i < suite->count; i++) {
        struct row row = suite->rows[i];
        if (matches(&pattern, &row))
            suite->rows[kept++] = row;
        else
            free_row(&row);
    }
    suite->count = kept;
    regfree(&pattern);
    return EXIT_OK;
}

int suite_keep(struct suite *suite, const char *cell, int train)
{
    const size_t before = suite->count;
    size_t kept = 0;
    for (size_t i = 0; i < before; i++) {
        struct row row = suite->rows[i];
        if ((!cell || strcmp(cell, workload_cell_name(&row.workload)) == 0) && (!train || row.workload.train))
            suite->rows[kept++] = row;
        else
            free_row(&row);
    }
    suite->count = kept;
    return before && !kept ? misuse("no workload of these suites is left with --cell and --train") : EXIT_OK;
}

void suite_free(struct suite *suite)
{
    for (size_t i = 0; i < suite->count; i++)
        free_row(&suite->rows[i]);
    free(suite->rows);
    json_decref(suite->document);
    *suite = (struct suite){0};
}
