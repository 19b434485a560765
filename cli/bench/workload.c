/* SPDX-License-Identifier: Apache-2.0 */
/* The three forms of a workload; see workload.h. A text that is parsed, named and parsed again gives the same workload.
 */
#include "workload.h"

#include "../arguments.h"
#include "../report.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const cell_words[] = {[CELL_LSTM] = "lstm", [CELL_GRU] = "gru", [CELL_RNN] = "rnn"};
static const char *const mode_words[] = {
    [MODE_SEQUENCE] = "sequence", [MODE_STEP] = "step", [MODE_STREAMS] = "streams"};

/* Words that a number follows. */
static const struct numbered {
    const char *word;
    size_t offset;
    size_t least, usual; /* `usual` is left out of the name */
} numbered[] = {
    {"T", offsetof(struct workload, steps), 1, 16},        {"B", offsetof(struct workload, batch), 1, 0},
    {"I", offsetof(struct workload, input), 1, 0},         {"H", offsetof(struct workload, hidden), 1, 0},
    {"L", offsetof(struct workload, layers), 1, 1},        {"dense", offsetof(struct workload, dense), 1, 0},
    {"threads", offsetof(struct workload, threads), 1, 0},
};
enum { NUMBERED = sizeof numbered / sizeof numbered[0], SIZE_MOST = 1 << 24 };

struct workload workload_default(void)
{
    return (struct workload){.cell = CELL_LSTM,
                             .directions = 1,
                             .layers = 1,
                             .steps = 16,
                             .batch = 1,
                             .threads = 1,
                             .seed = 1,
                             .lengths_seed = 1,
                             .together = 1};
}

const char *workload_cell_name(const struct workload *w)
{
    return cell_words[w->cell];
}

size_t workload_outputs(const struct workload *w)
{
    if (w->train)
        return workload_parameters(w);
    return product(product(w->steps, w->batch), workload_width(w));
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static int starts_with(const char *word, const char *start)
{
    return strncasecmp(word, start, strlen(start)) == 0;
}

/* The number behind `start`; 0 when there is none. */
static int read_number(const char *word, const char *start, unsigned long long *number)
{
    const char *digits = word + strlen(start);
    char *end;
    if (!starts_with(word, start) || !isdigit((unsigned char)*digits))
        return 0;
    errno = 0;
    *number = strtoull(digits, &end, 10);
    return !*end && !errno;
}

static int take_flag(const char *word, struct workload *w)
{
    for (size_t i = 0; i < 3; i++) {
        if (strcasecmp(word, cell_words[i]) == 0)
            return w->cell = (enum workload_cell)i, 1;
        if (strcasecmp(word, mode_words[i]) == 0)
            return w->mode = (enum workload_mode)i, 1;
    }
    if (strcasecmp(word, "bidirectional") == 0)
        w->directions = 2;
    else if (strcasecmp(word, "ragged") == 0)
        w->ragged = 1;
    else if (strcasecmp(word, "singly") == 0)
        w->together = 0;
    else if (strcasecmp(word, "train") == 0)
        w->train = w->train ? w->train : TRAIN_GRADIENTS;
    else if (strcasecmp(word, "update") == 0)
        w->train = TRAIN_UPDATE;
    else
        return 0;
    return 1;
}

static int take_number(const char *word, struct workload *w)
{
    unsigned long long number;
    if (read_number(word, "ragged", &number) && number <= INT64_MAX)
        return w->ragged = 1, w->lengths_seed = number, 1;
    if (read_number(word, "seed", &number) && number <= INT64_MAX)
        return w->seed = number, 1;
    for (size_t i = 0; i < NUMBERED; i++)
        if (read_number(word, numbered[i].word, &number) && number >= numbered[i].least && number <= SIZE_MOST)
            return *(size_t *)((char *)w + numbered[i].offset) = (size_t)number, 1;
    return 0;
}

static int refuse_word(const char *word, const char *text)
{
    static const char *const words[] = {"lstm",   "gru",   "rnn",    "bidirectional", "ragged", "step",    "streams",
                                        "singly", "train", "update", "sequence",      "dense",  "threads", "seed"};
    char out[NEAREST_SIZE];
    if (strchr("TtBbIiHhLl", *word) && isdigit((unsigned char)word[1]))
        return misuse("shape '%s': %c must be a whole number from 1 to %d, got '%s'", text,
                      toupper((unsigned char)*word), SIZE_MOST, word + 1);
    for (size_t i = 11; i < 14; i++)
        if (starts_with(word, words[i]))
            return misuse("shape '%s': %s must be followed by a whole number, as in %s2; got '%s'", text, words[i],
                          words[i], word);
    nearest(word, words, 11, out);
    return misuse(
        "shape '%s': there is no word '%s'%s", text, word,
        strncmp(out, "; did", 5) == 0 ? out : "; a shape is written as in 'lstm T50 B1 I1024 H1024 L2 bidirectional'");
}

static int check(const struct workload *w, const char *text)
{
    char reason[REASON_BYTES] = "";
    struct workload seen;
    json_t *object = workload_json(w);
    if (!object)
        return fail("out of memory");
    enum engine_status status = workload_read(object, &seen, reason);
    json_decref(object);
    return status ? misuse("shape '%s': %s", text, reason) : EXIT_OK;
}

int workload_parse(const char *text, struct workload *w)
{
    char copy[WORKLOAD_NAME], *rest = NULL;
    *w = workload_default();
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy)
        return misuse("shape '%.60s...': longer than %d characters", text, WORKLOAD_NAME - 1);
    for (char *word = strtok_r(copy, " ,\t", &rest); word; word = strtok_r(NULL, " ,\t", &rest))
        if (!take_flag(word, w) && !take_number(word, w))
            return refuse_word(word, text);
    if (!w->input && !w->hidden)
        return misuse("shape '%s': the width is missing; add I (inputs) and H (hidden units), as in 'lstm T50 B1 I1024 "
                      "H1024'",
                      text);
    w->input = w->input ? w->input : w->hidden;
    w->hidden = w->hidden ? w->hidden : w->input;
    return check(w, text);
}

const char *workload_name(const struct workload *w, char name[WORKLOAD_NAME])
{
    size_t used = 0;
    const char *file = w->model ? strrchr(w->model, '/') : NULL;
#define ADD(...) used += (size_t)snprintf(name + used, WORKLOAD_NAME - used, __VA_ARGS__)
    if (w->model)
        ADD("%.100s", file ? file + 1 : w->model);
    else
        ADD("%s", cell_words[w->cell]);
    if (w->mode != MODE_SEQUENCE)
        ADD(" %s", mode_words[w->mode]);
    if (w->mode == MODE_STREAMS && !w->together)
        ADD(" singly");
    if (w->mode == MODE_SEQUENCE || w->steps != numbered[0].usual)
        ADD(" T%zu", w->steps);
    ADD(" B%zu", w->batch);
    if (!w->model) {
        ADD(" I%zu H%zu", w->input, w->hidden);
        if (w->layers > 1)
            ADD(" L%zu", w->layers);
        if (w->directions == 2)
            ADD(" bidirectional");
        if (w->dense)
            ADD(" dense%zu", w->dense);
    }
    if (w->ragged && w->lengths_seed == 1)
        ADD(" ragged");
    else if (w->ragged)
        ADD(" ragged%llu", (unsigned long long)w->lengths_seed);
    if (w->train)
        ADD(" train");
    if (w->train == TRAIN_UPDATE)
        ADD(" update");
    if (w->seed != 1)
        ADD(" seed%llu", (unsigned long long)w->seed);
#undef ADD
    return name;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

json_t *workload_json(const struct workload *w)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:b, s:I, s:o}", "mode", mode_words[w->mode], "cell",
        cell_words[w->cell], "direction", w->directions == 2 ? "bidirectional" : "forward", "layers",
        (json_int_t)w->layers, "steps", (json_int_t)w->steps, "batch", (json_int_t)w->batch, "input",
        (json_int_t)w->input, "hidden", (json_int_t)w->hidden, "dense", (json_int_t)w->dense, "seed",
        (json_int_t)w->seed, "lengths", w->ragged ? json_integer((json_int_t)w->lengths_seed) : json_null(), "together",
        w->together, "threads", (json_int_t)w->threads, "train",
        w->train == TRAIN_UPDATE ? json_string("update") : json_boolean(w->train));
    if (object && w->model)
        json_object_set_new(object, "model", json_string(w->model));
    return object;
}

int workload_from_json(const json_t *object, const char *where, struct workload *w)
{
    char reason[REASON_BYTES] = "";
    const struct workload usual = workload_default();
    json_t *whole = workload_json(&usual);
    if (!whole || !json_is_object(object) || json_object_update(whole, (json_t *)object)) {
        json_decref(whole);
        return fail("%s: a workload must be a JSON object", where);
    }
    enum engine_status status = workload_read(whole, w, reason);
    json_decref(whole);
    if (w->model)
        w->model = json_string_value(json_object_get(object, "model"));
    return status ? fail("%s: %s", where, reason) : EXIT_OK;
}
