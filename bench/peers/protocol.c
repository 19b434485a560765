/* SPDX-License-Identifier: Apache-2.0 */
/* See protocol.h. Whatever line comes, one line goes back; a bad line is answered by a sentence. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "protocol.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MOST_SIZE ((json_int_t)1 << 24)
#define MOST_FLOATS 4e9

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t key_of(uint64_t seed, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return mix(seed ^ hash);
}

static uint64_t bits_of(uint64_t key, size_t index)
{
    return mix(key + ((uint64_t)index + 1) * 0x9e3779b97f4a7c15u);
}

size_t workload_gates(const struct workload *w)
{
    static const size_t gates[] = {[CELL_LSTM] = 4, [CELL_GRU] = 3, [CELL_RNN] = 1};
    return gates[w->cell];
}

size_t workload_width(const struct workload *w)
{
    return w->dense ? w->dense : w->directions * w->hidden;
}

size_t workload_parameters(const struct workload *w)
{
    const size_t rows = w->directions * workload_gates(w) * w->hidden;
    const size_t first = rows * (w->input + w->hidden + 2), other = rows * ((w->directions + 1) * w->hidden + 2);
    return first + (w->layers - 1) * other + (w->dense ? w->dense * (w->directions * w->hidden + 1) : 0);
}

float *workload_draw(const struct workload *w, const char *name, size_t count, size_t fan)
{
    const uint64_t key = key_of(w->seed, name);
    const float scale = (float)(1.0 / sqrt((double)fan));
    float *values = malloc((count ? count : 1) * sizeof *values);
    for (size_t i = 0; values && i < count; i++)
        values[i] = ((float)(bits_of(key, i) >> 40) * 0x1p-23f - 1.0f) * scale;
    return values;
}

size_t *workload_lengths(const struct workload *w)
{
    const uint64_t key = key_of(w->lengths_seed, "lengths");
    size_t *lengths = malloc(w->batch * sizeof *lengths);
    for (size_t b = 0; lengths && b < w->batch; b++)
        lengths[b] = 1 + (size_t)((bits_of(key, b) >> 33) % w->steps);
    return lengths;
}

/* ---- reading a workload ---------------------------------------------------------------------------------------- */

static int read_size(const json_t *object, const char *name, json_int_t least, size_t *value, char *reason)
{
    const json_t *field = json_object_get(object, name);
    if (!json_is_integer(field) || json_integer_value(field) < least || json_integer_value(field) > MOST_SIZE) {
        snprintf(reason, REASON_BYTES, "the workload's field \"%s\" must be an integer from %d to %d", name, (int)least,
                 (int)MOST_SIZE);
        return 0;
    }
    *value = (size_t)json_integer_value(field);
    return 1;
}

/* The index of the field's word in `words`, which ends with NULL. */
static int read_word(const json_t *object, const char *name, const char *const *words, int *value, char *reason)
{
    const char *word = json_string_value(json_object_get(object, name));
    for (int i = 0; word && words[i]; i++)
        if (!strcmp(word, words[i])) {
            *value = i;
            return 1;
        }
    snprintf(reason, REASON_BYTES, "the workload's field \"%s\" is %.40s; \"%s\" is a value that it may have", name,
             word ? word : "no string", words[0]);
    return 0;
}

static int read_seed(const json_t *object, const char *name, uint64_t *value, char *reason)
{
    const json_t *field = json_object_get(object, name);
    if (!json_is_integer(field) || json_integer_value(field) < 0) {
        snprintf(reason, REASON_BYTES, "the workload's field \"%s\" must be an integer of at least 0", name);
        return 0;
    }
    *value = (uint64_t)json_integer_value(field);
    return 1;
}

static enum engine_status read_train(const json_t *field, struct workload *w, char *reason)
{
    const char *word = json_string_value(field);
    if (word && !strcmp(word, "update"))
        w->train = TRAIN_UPDATE;
    else if (json_is_true(field))
        w->train = TRAIN_GRADIENTS;
    else if (field && !json_is_false(field)) {
        snprintf(reason, REASON_BYTES, "the workload's field \"train\" must be false, true or \"update\"");
        return ENGINE_FAILED;
    }
    if (w->train && w->mode != MODE_SEQUENCE) {
        snprintf(reason, REASON_BYTES, "training is for the mode \"sequence\"");
        return ENGINE_FAILED;
    }
    return ENGINE_OK;
}

enum engine_status workload_read(const json_t *object, struct workload *w, char *reason)
{
    static const char *const modes[] = {"sequence", "step", "streams", NULL}, *const cells[] = {"lstm", "gru", "rnn",
                                                                                                NULL};
    static const char *const directions[] = {"forward", "bidirectional", NULL};
    int mode, cell, direction;
    const json_t *lengths = json_object_get(object, "lengths");
    memset(w, 0, sizeof *w);
    if (!read_word(object, "mode", modes, &mode, reason) || !read_word(object, "cell", cells, &cell, reason) ||
        !read_word(object, "direction", directions, &direction, reason) ||
        !read_size(object, "layers", 1, &w->layers, reason) || !read_size(object, "steps", 1, &w->steps, reason) ||
        !read_size(object, "batch", 1, &w->batch, reason) || !read_size(object, "input", 1, &w->input, reason) ||
        !read_size(object, "hidden", 1, &w->hidden, reason) || !read_size(object, "dense", 0, &w->dense, reason) ||
        !read_size(object, "threads", 1, &w->threads, reason) || !read_seed(object, "seed", &w->seed, reason))
        return ENGINE_FAILED;
    if (lengths && !json_is_null(lengths)) {
        w->ragged = 1;
        if (!read_seed(object, "lengths", &w->lengths_seed, reason))
            return ENGINE_FAILED;
    }
    w->mode = (enum workload_mode)mode;
    w->cell = (enum workload_cell)cell;
    w->directions = (size_t)direction + 1;
    w->together = json_is_true(json_object_get(object, "together"));
    /* In double, where no product of these overflows; what is below the limit fits a size_t with room to spare. */
    const double rows = (double)w->steps * (double)w->batch, widest = (double)(w->input + 2 * w->hidden + w->dense);
    if (rows * widest > MOST_FLOATS || 4.0 * (double)w->hidden * widest > MOST_FLOATS) {
        snprintf(reason, REASON_BYTES, "the workload needs more than %.0f numbers in one array", MOST_FLOATS);
        return ENGINE_FAILED;
    }
    if (w->mode != MODE_SEQUENCE && (w->ragged || w->directions == 2)) {
        snprintf(reason, REASON_BYTES, "lengths and two directions are for the mode \"sequence\"");
        return ENGINE_FAILED;
    }
    w->model = json_string_value(json_object_get(object, "model"));
    return read_train(json_object_get(object, "train"), w, reason);
}

/* ---- commands -------------------------------------------------------------------------------------------------- */

struct session {
    const struct engine *engine;
    struct workload workload;
    float *input;
    int ready;
    size_t next; /* number of the next call */
};

static json_t *answer_of(enum engine_status status, const char *reason)
{
    return json_pack("{s:s}", status == ENGINE_UNSUPPORTED ? "unsupported" : "error", reason);
}

static double clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static json_t *prepare(struct session *s, const json_t *command)
{
    char reason[REASON_BYTES] = "";
    struct workload workload;
    enum engine_status status = workload_read(json_object_get(command, "workload"), &workload, reason);
    s->ready = 0;
    if (status)
        return answer_of(status, reason);
    float *input = workload_draw(&workload, "input", workload.steps * workload.batch * workload.input, 1);
    if (!input)
        return answer_of(ENGINE_FAILED, "no memory for the input");
    status = s->engine->prepare(&workload, input, reason);
    free(s->input);
    s->input = input;
    s->workload = workload;
    s->next = 0;
    s->ready = status == ENGINE_OK;
    return s->ready ? json_pack("{s:b}", "ok", 1) : answer_of(status, reason);
}

/* `count` calls in a row, each with its own step's input. */
static enum engine_status calls(struct session *s, size_t count, char *reason)
{
    const size_t steps = s->workload.mode == MODE_SEQUENCE ? 1 : s->workload.steps;
    size_t step = s->next % steps;
    enum engine_status status = ENGINE_OK;
    for (size_t i = 0; !status && i < count; i++) {
        status = s->engine->call(step, reason);
        step = step + 1 == steps ? 0 : step + 1;
    }
    s->next = step;
    return status;
}

static json_t *run(struct session *s, const json_t *command)
{
    char reason[REASON_BYTES] = "";
    size_t repeat, inner, warmup;
    if (!read_size(command, "repeat", 1, &repeat, reason) || !read_size(command, "inner", 1, &inner, reason) ||
        !read_size(command, "warmup", 0, &warmup, reason))
        return answer_of(ENGINE_FAILED, reason);
    double *times = malloc(repeat * sizeof *times);
    if (!times)
        return answer_of(ENGINE_FAILED, "no memory for so many times");
    /* Updates would carry the parameters away in the course of many runs. */
    enum engine_status status = s->workload.train == TRAIN_UPDATE ? s->engine->reset(reason) : ENGINE_OK;
    if (!status)
        status = calls(s, warmup, reason);
    const double cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; !status && i < repeat; i++) {
        const double begin = clock_us(CLOCK_MONOTONIC);
        status = calls(s, inner, reason);
        times[i] = clock_us(CLOCK_MONOTONIC) - begin;
    }
    json_t *answer = status ? answer_of(status, reason)
                            : json_pack("{s:[], s:f}", "times_us", "cpu_us",
                                        (clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)inner / (double)repeat);
    for (size_t i = 0; !status && i < repeat; i++)
        json_array_append_new(json_object_get(answer, "times_us"), json_real(times[i] / (double)inner));
    free(times);
    return answer;
}

static json_t *output(struct session *s, const json_t *command)
{
    char reason[REASON_BYTES] = "";
    const char *path = json_string_value(json_object_get(command, "file"));
    const struct workload *w = &s->workload;
    const size_t calls_needed = w->mode == MODE_SEQUENCE ? 1 : w->steps;
    const size_t outputs = (w->mode == MODE_SEQUENCE ? w->steps : 1) * w->batch * workload_width(w);
    const size_t count = w->train ? workload_parameters(w) : outputs;
    FILE *file = path ? fopen(path, "wb") : NULL;
    if (!file)
        return answer_of(ENGINE_FAILED, "the field \"file\" must be the path of a file that can be written");
    enum engine_status status = s->engine->reset(reason);
    s->next = 0;
    for (size_t i = 0; !status && i < calls_needed; i++) {
        status = calls(s, 1, reason);
        if (!status && fwrite(s->engine->result(), sizeof(float), count, file) != count) {
            status = ENGINE_FAILED;
            snprintf(reason, sizeof reason, "the output file cannot be written");
        }
    }
    if (fclose(file) && !status) {
        status = ENGINE_FAILED;
        snprintf(reason, sizeof reason, "the output file cannot be written");
    }
    return status ? answer_of(status, reason) : json_pack("{s:I}", "count", (json_int_t)(count * calls_needed));
}

/* ru_maxrss is in kibibytes, on macOS in bytes. */
static json_t *memory(void)
{
#ifdef __APPLE__
    const json_int_t unit = 1;
#else
    const json_int_t unit = 1024;
#endif
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage))
        return answer_of(ENGINE_FAILED, "the system does not tell how much memory is in use");
    return json_pack("{s:I}", "peak_bytes", (json_int_t)usage.ru_maxrss * unit);
}

static json_t *answer(struct session *s, const json_t *command)
{
    const struct engine *e = s->engine;
    const char *name = json_string_value(json_object_get(command, "cmd"));
    if (!name)
        return answer_of(ENGINE_FAILED, "a command is a JSON object with a string \"cmd\"");
    if (!strcmp(name, "info"))
        return json_pack("{s:s,s:s,s:s}", "engine", e->name, "version", e->version(), "details", e->details());
    if (!strcmp(name, "memory"))
        return memory();
    if (!strcmp(name, "prepare"))
        return prepare(s, command);
    if (strcmp(name, "run") && strcmp(name, "output"))
        return answer_of(ENGINE_FAILED, "the command must be info, prepare, run, output or memory");
    if (!s->ready)
        return answer_of(ENGINE_FAILED, "no workload is prepared");
    return !strcmp(name, "run") ? run(s, command) : output(s, command);
}

int engine_serve(const struct engine *engine)
{
    struct session session = {.engine = engine};
    char *line = NULL;
    size_t size = 0;
    /* Libraries print on standard output; only answers may go there. */
    const int answers = dup(STDOUT_FILENO);
    FILE *out = answers < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ? NULL : fdopen(answers, "w");
    if (!out)
        return perror("driver"), 1;
    while (getline(&line, &size, stdin) > 0) {
        json_error_t error;
        json_t *command = json_loads(line, 0, &error);
        json_t *reply = command ? answer(&session, command) : answer_of(ENGINE_FAILED, error.text);
        if (!reply)
            reply = answer_of(ENGINE_FAILED, "the answer cannot be written as JSON");
        if (json_dumpf(reply, out, JSON_COMPACT) || fputc('\n', out) == EOF || fflush(out))
            return fprintf(stderr, "driver: the answer could not be written\n"), 1;
        json_decref(reply);
        json_decref(command);
    }
    free(line);
    free(session.input);
    return 0;
}
