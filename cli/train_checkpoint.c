/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints (see train_checkpoint.h): parameters, the best parameters, the optimiser, the carried state and the
 * history as tensors; settings and counters as JSON in the metadata. A checkpoint is read whole and checked before any
 * of it is taken over.
 */
#include "train_checkpoint.h"

#include "report.h"
#include "work.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "latchwork-checkpoint"
#define NAME_ROOM 128 /* of a tensor: the library's names are shorter than half of it */

struct list {
    lw_tensor *tensors;
    char (*names)[NAME_ROOM];
    size_t count;
};

static int list_create(struct list *list, size_t room)
{
    *list = (struct list){.tensors = calloc(room, sizeof(lw_tensor)), .names = calloc(room, NAME_ROOM)};
    return list->tensors && list->names ? EXIT_OK : fail("out of memory");
}

static void list_free(struct list *list)
{
    free(list->tensors);
    free(list->names);
}

static void list_add(struct list *list, const char *prefix, const char *name, const char *type, const void *data,
                     size_t count, size_t item)
{
    if (count == 0)
        return;
    snprintf(list->names[list->count], NAME_ROOM, "%s%s", prefix, name);
    list->tensors[list->count] = (lw_tensor){.size = sizeof(lw_tensor),
                                             .name = list->names[list->count],
                                             .type = type,
                                             .data = data,
                                             .bytes = count * item,
                                             .rank = 1,
                                             .shape = {count},
                                             .count = count};
    list->count++;
}

static json_t *counters(const struct trainer *trainer)
{
    const struct progress *progress = &trainer->progress;
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, trainer->task->digest);
    json_t *root = json_pack("{s:I, s:f, s:I, s:I, s:s, s:s}", "updates", (json_int_t)progress->updates, "seconds",
                             progress->seconds, "best_update", (json_int_t)progress->best_update, "stale",
                             (json_int_t)progress->stale, "ending", ending_name(progress->ending), "data", digest);
    if (root && isfinite(progress->best_loss)) /* JSON has no infinity */
        json_object_set_new(root, "best_loss", json_real(progress->best_loss));
    return root;
}

static int write_list(const struct trainer *trainer, const char *path, const struct list *list)
{
    json_t *identity = settings_identity(trainer->settings), *counts = counters(trainer);
    char *settings_text = identity ? json_dumps(identity, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    char *counts_text = counts ? json_dumps(counts, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    int status = EXIT_OK;
    if (!settings_text || !counts_text) {
        status = fail("out of memory");
    } else {
        const char *metadata[3][2] = {{"format", FORMAT}, {"settings", settings_text}, {"progress", counts_text}};
        if (lw_tensors_write(path, list->tensors, list->count, (const char *const(*)[2])metadata, 3) != LW_OK)
            status = fail_library(path);
    }
    free(settings_text);
    free(counts_text);
    json_decref(identity);
    json_decref(counts);
    return status;
}

int checkpoint_save(const struct trainer *trainer, const char *path)
{
    struct list list;
    const struct history *history = &trainer->history;
    size_t optimiser_bytes = lw_optimiser_bytes(trainer->optimiser);
    size_t state_bytes = trainer->state ? lw_state_bytes(trainer->state) : 0;
    void *optimiser = allocate(optimiser_bytes, 1), *state = allocate(state_bytes, 1);
    int status = list_create(&list, 2 * trainer->count + 4);
    if (status == EXIT_OK && (!optimiser || !state))
        status = fail("%s: out of memory", path);
    if (status == EXIT_OK && (lw_optimiser_save(trainer->optimiser, optimiser, optimiser_bytes) != LW_OK ||
                              (trainer->state && lw_state_save(trainer->state, state, state_bytes) != LW_OK)))
        status = fail_library(path);
    for (size_t i = 0; status == EXIT_OK && i < trainer->count; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        if (lw_model_parameter(trainer->model, i, &parameter) != LW_OK) {
            status = fail_training();
            break;
        }
        list_add(&list, "parameter.", parameter.name, "F32", trainer->parameters[i], trainer->counts[i], sizeof(float));
        list_add(&list, "best.", parameter.name, "F32", trainer->best[i], trainer->counts[i], sizeof(float));
    }
    if (status == EXIT_OK) {
        list_add(&list, "optimiser", "", "U8", optimiser, optimiser_bytes, 1);
        list_add(&list, "state", "", "U8", state, state_bytes, 1);
        list_add(&list, "history.updates", "", "F64", history->records, history->record_count * RECORD_WIDTH,
                 sizeof(double));
        list_add(&list, "history.validations", "", "F64", history->checks, history->check_count * CHECK_WIDTH,
                 sizeof(double));
        status = write_list(trainer, path, &list);
    }
    list_free(&list);
    free(optimiser);
    free(state);
    return status;
}

/* The raw bytes of a tensor, of exactly that type and number; NULL with a message. */
static const void *tensor_bytes(const lw_tensors *file, const char *path, const char *prefix, const char *name,
                                const char *type, size_t count)
{
    char full[NAME_ROOM];
    lw_tensor tensor = LW_TENSOR_INIT;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    if (lw_tensors_find(file, full, &tensor) != LW_OK) {
        fail_library(path);
        return NULL;
    }
    if (strcmp(tensor.type, type) != 0 || tensor.count != count) {
        fail("%s: the tensor '%s' has %zu numbers of type %s; expected %zu of %s", path, full, tensor.count,
             tensor.type, count, type);
        return NULL;
    }
    return tensor.data;
}

static int compare_settings(const struct trainer *trainer, const char *path, json_t *stored)
{
    json_t *mine = settings_identity(trainer->settings), *value;
    const char *key;
    int status = mine ? EXIT_OK : fail("out of memory");
    json_object_foreach(mine, key, value)
    {
        json_t *theirs = json_object_get(stored, key);
        if (status != EXIT_OK || (theirs && json_equal(theirs, value)))
            continue;
        char *was = theirs ? json_dumps(theirs, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
        char *is = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        status = fail("%s: the checkpoint is of a run whose '%s' was %s; this one's is %s", path, key,
                      was ? was : "another", is ? is : "another");
        free(was);
        free(is);
    }
    if (status == EXIT_OK && json_object_size(stored) != json_object_size(mine))
        status = fail("%s: the checkpoint is of a run with another --schedule", path);
    json_decref(mine);
    return status;
}

static int restore_counters(struct trainer *trainer, const char *path, json_t *stored)
{
    struct progress *progress = &trainer->progress;
    json_int_t updates, best_update, stale;
    const char *ending, *data;
    char digest[17];
    json_error_t error;
    if (json_unpack_ex(stored, &error, 0, "{s:I, s:F, s:I, s:I, s:s, s:s}", "updates", &updates, "seconds",
                       &progress->seconds, "best_update", &best_update, "stale", &stale, "ending", &ending, "data",
                       &data) != 0 ||
        updates < 0 || best_update < 0 || stale < 0)
        return fail("%s: the checkpoint's counters are damaged", path);
    snprintf(digest, sizeof digest, "%016" PRIx64, trainer->task->digest);
    if (strcmp(digest, data) != 0)
        return fail("%s: the checkpoint is of a run over other data", path);
    progress->updates = (uint64_t)updates;
    progress->best_update = (uint64_t)best_update;
    progress->stale = (uint64_t)stale;
    json_t *best = json_object_get(stored, "best_loss");
    progress->best_loss = json_is_number(best) ? json_number_value(best) : HUGE_VAL;
    for (progress->ending = ENDING_NONE; progress->ending < ENDING_PATIENCE; progress->ending++)
        if (strcmp(ending, ending_name(progress->ending)) == 0)
            break;
    if (progress->ending == ENDING_UPDATES) /* more of them may be asked for now */
        progress->ending = ENDING_NONE;
    return EXIT_OK;
}

/* The rows of a table of the history, which must be there before memory is taken for them. */
static int find_rows(const lw_tensors *file, const char *path, const char *name, size_t rows, size_t width,
                     const void **bytes)
{
    *bytes = NULL;
    if (rows)
        *bytes = tensor_bytes(file, path, name, "", "F64", product(rows, width));
    return rows && !*bytes ? EXIT_WORK : EXIT_OK;
}

static int restore_history(struct trainer *trainer, const lw_tensors *file, const char *path)
{
    struct history *history = &trainer->history;
    lw_tensor found = LW_TENSOR_INIT;
    size_t updates = (size_t)trainer->progress.updates, check_count = 0;
    const void *records, *checks;
    if (lw_tensors_find(file, "history.validations", &found) == LW_OK)
        check_count = found.count / CHECK_WIDTH;
    int status = find_rows(file, path, "history.updates", updates, RECORD_WIDTH, &records);
    if (status == EXIT_OK)
        status = find_rows(file, path, "history.validations", check_count, CHECK_WIDTH, &checks);
    if (status == EXIT_OK)
        status = history_reserve(history, updates, check_count);
    if (status != EXIT_OK)
        return status;
    if (records)
        memcpy(history->records, records, updates * RECORD_WIDTH * sizeof(double));
    if (checks)
        memcpy(history->checks, checks, check_count * CHECK_WIDTH * sizeof(double));
    history->record_count = updates;
    history->check_count = check_count;
    return EXIT_OK;
}

static int restore_tensors(struct trainer *trainer, const lw_tensors *file, const char *path)
{
    for (size_t i = 0; i < trainer->count; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        if (lw_model_parameter(trainer->model, i, &parameter) != LW_OK)
            return fail_training();
        const void *value = tensor_bytes(file, path, "parameter.", parameter.name, "F32", trainer->counts[i]);
        const void *best = value ? tensor_bytes(file, path, "best.", parameter.name, "F32", trainer->counts[i]) : NULL;
        if (!best)
            return EXIT_WORK;
        memcpy(trainer->parameters[i], value, trainer->counts[i] * sizeof(float));
        memcpy(trainer->best[i], best, trainer->counts[i] * sizeof(float));
    }
    size_t size = lw_optimiser_bytes(trainer->optimiser);
    const void *bytes = tensor_bytes(file, path, "optimiser", "", "U8", size);
    if (!bytes)
        return EXIT_WORK;
    if (lw_optimiser_restore(trainer->optimiser, bytes, size) != LW_OK)
        return fail_library(path);
    if (!trainer->state)
        return EXIT_OK;
    size = lw_state_bytes(trainer->state);
    bytes = tensor_bytes(file, path, "state", "", "U8", size);
    if (!bytes)
        return EXIT_WORK;
    return lw_state_restore(trainer->state, bytes, size) == LW_OK ? EXIT_OK : fail_library(path);
}

int checkpoint_restore(struct trainer *trainer, const char *path)
{
    lw_tensors *file;
    if (lw_tensors_open(path, &file) != LW_OK)
        return fail_library(path);
    const char *format = lw_tensors_metadata(file, "format");
    const char *settings_text = lw_tensors_metadata(file, "settings"), *counts = lw_tensors_metadata(file, "progress");
    int status = EXIT_OK;
    json_t *identity = NULL, *progress = NULL;
    if (!format || strcmp(format, FORMAT) != 0 || !settings_text || !counts)
        status = fail("%s: is no checkpoint of 'latchwork train'", path);
    if (status == EXIT_OK) {
        identity = json_loads(settings_text, 0, NULL);
        progress = json_loads(counts, 0, NULL);
        if (!json_is_object(identity) || !json_is_object(progress))
            status = fail("%s: the checkpoint's settings are damaged", path);
    }
    if (status == EXIT_OK)
        status = compare_settings(trainer, path, identity);
    if (status == EXIT_OK)
        status = restore_counters(trainer, path, progress);
    if (status == EXIT_OK)
        status = restore_tensors(trainer, file, path);
    if (status == EXIT_OK)
        status = restore_history(trainer, file, path);
    json_decref(identity);
    json_decref(progress);
    lw_tensors_close(file);
    return status;
}

/* The architecture as the library reads it back, in one line. */
static char *architecture(const struct trainer *trainer)
{
    json_t *bricks = json_array();
    for (size_t i = 0; i < lw_model_brick_count(trainer->model); i++) {
        lw_brick brick = {.size = sizeof brick};
        if (lw_model_brick(trainer->model, i, &brick) != LW_OK)
            break;
        int dense = brick.kind == LW_DENSE;
        json_t *entry = json_pack("{s:s, s:s, s:I, s:I}", "kind", kind_name(brick.kind), "name", brick.name, "input",
                                  (json_int_t)brick.input, dense ? "output" : "hidden", (json_int_t)brick.hidden);
        if (!dense)
            json_object_set_new(entry, "layers", json_integer((json_int_t)brick.layers));
        json_array_append_new(bricks, entry);
    }
    json_t *root = json_pack("{s:i, s:o}", "version", 1, "bricks", bricks);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

int model_save(const struct trainer *trainer, const char *path)
{
    lw_tensor *tensors = calloc(trainer->count + 4, sizeof *tensors);
    json_t *identity = settings_identity(trainer->settings);
    char *text = architecture(trainer), *training = identity ? json_dumps(identity, JSON_COMPACT) : NULL;
    size_t count = trainer->count;
    int status = tensors && text && training ? EXIT_OK : fail("%s: out of memory", path);
    for (size_t i = 0; status == EXIT_OK && i < trainer->count; i++) {
        lw_parameter parameter = {.size = sizeof parameter};
        if (lw_model_parameter(trainer->model, i, &parameter) != LW_OK)
            status = fail_training();
        tensors[i] = (lw_tensor){.size = sizeof(lw_tensor),
                                 .name = parameter.name,
                                 .type = "F32",
                                 .data = trainer->parameters[i],
                                 .bytes = parameter.count * sizeof(float),
                                 .rank = parameter.rank,
                                 .shape = {parameter.shape[0], parameter.shape[1]},
                                 .count = parameter.count};
    }
    if (status == EXIT_OK && trainer->task->kind->extras)
        count += trainer->task->kind->extras(trainer->task, tensors + count);
    if (status == EXIT_OK) {
        const char *metadata[3][2] = {{"format", "latchwork"}, {"latchwork", text}, {"training", training}};
        if (lw_tensors_write(path, tensors, count, (const char *const(*)[2])metadata, 3) != LW_OK)
            status = fail_library(path);
    }
    free(tensors);
    free(text);
    free(training);
    json_decref(identity);
    return status;
}
