/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the settings of a training run (see train_settings.h). The configuration file is a JSON object whose keys are
 * the names of the options, so that the option table is the one list of both.
 */
#include "train_settings.h"

#include "file.h"
#include "report.h"
#include "train_task.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(settings, option) (*(const char **)((char *)(settings) + (option)->offset))
#define SIZE(settings, option) (*(size_t *)((char *)(settings) + (option)->offset))
#define FLAG(settings, option) (*(int *)((char *)(settings) + (option)->offset))

static const struct option *find_option(const struct command *command, const char *name)
{
    for (size_t i = 0; i < command->option_count; i++)
        if (strcmp(command->options[i].name, name) == 0 && strcmp(name, "config") != 0)
            return &command->options[i];
    return NULL;
}

static int unknown_key(const struct command *command, const char *path, const char *key)
{
    const char *names[64];
    char out[NEAREST_SIZE];
    size_t count = 0;
    for (size_t i = 0; i < command->option_count && count < 63; i++)
        if (strcmp(command->options[i].name, "config") != 0)
            names[count++] = command->options[i].name;
    names[count++] = "task";
    return fail("%s: there is no setting '%s'%s", path, key, nearest(key, names, count, out));
}

/* A number of the file for an option whose value is a text. */
static int number_text(struct settings *settings, const json_t *value, const char **text)
{
    char digits[40];
    snprintf(digits, sizeof digits, "%.17g", json_number_value(value));
    json_t *copy = json_string(digits);
    if (!copy || json_array_append_new(json_object_get(settings->file, "texts"), copy) != 0)
        return fail("out of memory");
    *text = json_string_value(copy);
    return EXIT_OK;
}

static int take_setting(struct settings *settings, const struct option *option, const json_t *value)
{
    const char *path = settings->config;
    json_int_t number = json_integer_value(value);
    switch (option->kind) {
    case OPTION_FLAG:
        if (!json_is_boolean(value))
            return fail("%s: '%s': expected true or false", path, option->name);
        FLAG(settings, option) |= json_is_true(value);
        return EXIT_OK;
    case OPTION_SIZE:
        if (!json_is_integer(value) || number < 0 || (size_t)number < option->least || (size_t)number > option->most)
            return fail("%s: '%s': expected a whole number from %zu up to %zu", path, option->name, option->least,
                        option->most);
        if (SIZE(settings, option) == OPTION_UNSET)
            SIZE(settings, option) = (size_t)number;
        return EXIT_OK;
    case OPTION_TEXT:
        if (TEXT(settings, option))
            return EXIT_OK;
        if (json_is_number(value))
            return number_text(settings, value, &TEXT(settings, option));
        if (!json_is_string(value) || !*json_string_value(value))
            return fail("%s: '%s': expected a text or a number", path, option->name);
        TEXT(settings, option) = json_string_value(value);
        return EXIT_OK;
    case OPTION_LIST: /* training has none */
        break;
    }
    return EXIT_WORK;
}

static int read_file(const struct command *command, struct settings *settings, const char *task)
{
    const char *path = settings->config, *key;
    void *bytes;
    size_t size;
    json_error_t error;
    json_t *value;
    int status = file_read(path, &bytes, &size);
    if (status != EXIT_OK)
        return status;
    json_t *root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    free(bytes);
    if (!root)
        return fail("%s: line %d, column %d: %s", path, error.line, error.column, error.text);
    settings->file = json_pack("{s:o, s:[]}", "root", root, "texts");
    if (!settings->file)
        return fail("out of memory");
    if (!json_is_object(root))
        return fail("%s: expected a JSON object, such as {\"hidden\": 64, \"rate\": 0.01}", path);
    json_object_foreach(root, key, value)
    {
        const struct option *option = find_option(command, key);
        if (strcmp(key, "task") == 0) {
            if (!json_is_string(value) || strcmp(json_string_value(value), task) != 0)
                return fail("%s: is for the task '%s', the command line says '%s'", path,
                            json_is_string(value) ? json_string_value(value) : "?", task);
            continue;
        }
        if (!option)
            return unknown_key(command, path, key);
        status = take_setting(settings, option, value);
        if (status != EXIT_OK)
            return status;
    }
    return EXIT_OK;
}

/* Not a number where the text is none. */
static int parse_number(const char *text, double *value)
{
    locale_t locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    char *end = NULL;
    if (!locale)
        return fail("out of memory");
    *value = strtod_l(text, &end, locale);
    freelocale(locale);
    if (end == text || *end)
        *value = NAN;
    return EXIT_OK;
}

static int parse_real(const char *name, const char *text, double least, double most, double *value)
{
    int status = parse_number(text, value);
    if (status == EXIT_OK && !(*value >= least && *value <= most))
        return misuse("--%s: expected a number from %g to %g, got '%s'", name, least, most, text);
    return status;
}

/* A rate of dropout or zoneout. */
static int parse_rate(struct settings *settings, const char *name, const char *text, double *value)
{
    int status = parse_number(text, value);
    if (status == EXIT_OK && !(*value >= 0 && *value < 1))
        return misuse("--%s: expected a rate of at least 0 and less than 1, got '%s'", name, text);
    settings->regularised |= status == EXIT_OK && *value > 0;
    return status;
}

/* Finds `text` among the names; its place goes to *index. */
static int parse_word(const char *name, const char *text, const char *const *words, size_t count, size_t *index)
{
    char out[NEAREST_SIZE];
    for (*index = 0; *index < count; ++*index)
        if (strcmp(words[*index], text) == 0)
            return EXIT_OK;
    return misuse("--%s: there is no '%s'%s", name, text, nearest(text, words, count, out));
}

static void default_size(size_t *value, size_t standard)
{
    if (*value == OPTION_UNSET)
        *value = standard;
}

static void default_text(const char **value, const char *standard)
{
    if (!*value)
        *value = standard;
}

static void fill_defaults(struct settings *settings)
{
    const struct defaults *defaults = &settings->task->defaults;
    default_text(&settings->cell, "lstm");
    default_text(&settings->optimiser, "adam");
    default_text(&settings->schedule, "constant");
    default_text(&settings->initial, "uniform");
    int plain = strcmp(settings->cell, "rnn") == 0 && defaults->plain_rate;
    default_text(&settings->rate, plain ? defaults->plain_rate : defaults->rate);
    default_text(&settings->clip, defaults->clip);
    default_text(&settings->dropout, "0");
    default_text(&settings->input_dropout, "0");
    default_text(&settings->recurrent_dropout, "0");
    default_text(&settings->zoneout, "0");
    default_text(&settings->zoneout_cell, "0");
    default_size(&settings->hidden, defaults->hidden);
    default_size(&settings->layers, defaults->layers);
    default_size(&settings->length, settings->window != OPTION_UNSET ? settings->window : defaults->length);
    default_size(&settings->batch, defaults->batch);
    default_size(&settings->updates, defaults->updates);
    default_size(&settings->every, defaults->every);
    default_size(&settings->patience, defaults->patience);
    default_size(&settings->warm_up, 0);
    default_size(&settings->seed, 0);
    default_size(&settings->horizon, 1);
    default_size(&settings->chrono, settings->task->memory && settings->length > 2 ? settings->length : 0);
}

static int read_words(struct settings *settings)
{
    static const char *const cells[] = {"lstm", "gru", "rnn"}, *const optimisers[] = {"sgd", "rmsprop", "adam",
                                                                                      "adamw"};
    static const char *const schedules[] = {"constant", "step", "cosine"};
    static const char *const initials[] = {"uniform", "xavier", "orthogonal"};
    static const lw_kind kinds[] = {LW_LSTM, LW_GRU, LW_RNN};
    static const lw_optimiser_kind optimiser_kinds[] = {LW_SGD, LW_RMSPROP, LW_ADAM, LW_ADAMW};
    static const lw_rate_kind rate_kinds[] = {LW_RATE_CONSTANT, LW_RATE_STEP, LW_RATE_COSINE};
    size_t cell = 0, optimiser = 0, schedule = 0, initial;
    int status = parse_word("cell", settings->cell, cells, 3, &cell);
    if (status == EXIT_OK)
        status = parse_word("optimiser", settings->optimiser, optimisers, 4, &optimiser);
    if (status == EXIT_OK)
        status = parse_word("schedule", settings->schedule, schedules, 3, &schedule);
    if (status == EXIT_OK)
        status = parse_word("initial", settings->initial, initials, 3, &initial);
    if (status == EXIT_OK)
        status = parse_real("rate", settings->rate, 1e-12, 1e3, &settings->rate_value);
    if (status == EXIT_OK)
        status = parse_real("clip", settings->clip, 0, 1e30, &settings->clip_value);
    if (status != EXIT_OK)
        return status;
    settings->cell_kind = kinds[cell];
    settings->optimiser_kind = optimiser_kinds[optimiser];
    settings->rate_kind = rate_kinds[schedule];
    return EXIT_OK;
}

/* What is drawn anew for each update. A setting that could do nothing is refused rather than ignored. */
static int read_rates(struct settings *settings)
{
    lw_regularisation *r = &settings->regularisation;
    *r = (lw_regularisation)LW_REGULARISATION_INIT;
    r->seed = settings->seed;
    r->options = settings->variational ? LW_VARIATIONAL : 0;
    int status = parse_rate(settings, "dropout", settings->dropout, &r->output);
    r->between = r->output;
    if (status == EXIT_OK)
        status = parse_rate(settings, "input-dropout", settings->input_dropout, &r->input);
    if (status == EXIT_OK)
        status = parse_rate(settings, "recurrent-dropout", settings->recurrent_dropout, &r->recurrent);
    if (status == EXIT_OK)
        status = parse_rate(settings, "zoneout", settings->zoneout, &r->zoneout_hidden);
    if (status == EXIT_OK)
        status = parse_rate(settings, "zoneout-cell", settings->zoneout_cell, &r->zoneout_cell);
    if (status == EXIT_OK && r->zoneout_cell > 0 && settings->cell_kind != LW_LSTM)
        return misuse("--zoneout-cell: only an LSTM has a cell beside h, a %s has none", settings->cell);
    if (status == EXIT_OK && settings->variational && r->output == 0 && r->input == 0)
        return misuse("--variational: says how --dropout and --input-dropout draw, but neither is above 0");
    return status;
}

/* Options that only some tasks know are refused for the others, rather than ignored. */
static int check_special(const struct command *command, const struct settings *settings)
{
    static const char *const special[] = {"data",    "labels", "lengths", "classes", "window",
                                          "horizon", "length", "chrono",  "sample"};
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        const struct option *option = find_option(command, special[i]);
        const char *const *known = settings->task->options;
        int given = option->kind == OPTION_SIZE ? SIZE(settings, option) != OPTION_UNSET
                                                : TEXT(settings, option) != NULL;
        while (*known && strcmp(*known, special[i]) != 0)
            known++;
        if (given && !*known)
            return misuse("--%s: the task %s does not know it", special[i], settings->task->name);
    }
    if (!settings->task->memory && !settings->data)
        return misuse("train %s: --data FILE is missing; see 'latchwork train --help'", settings->task->name);
    if (settings->resume && !settings->checkpoint)
        return misuse("--resume: --checkpoint FILE is missing, which says where to go on from");
    return EXIT_OK;
}

static int check_outputs(const struct settings *settings)
{
    const struct output_path outputs[] = {{"out", settings->out},
                                          {"log", settings->log},
                                          {"checkpoint", settings->checkpoint},
                                          {"report", settings->report}};
    const char *const inputs[] = {settings->data, settings->labels, settings->lengths, settings->config};
    for (size_t i = 0; i < 4; i++)
        if (output_is_standard(outputs[i].path))
            return misuse("--%s: expected the name of a file, got '-'", outputs[i].option);
    return output_paths_check(outputs, 4, inputs, 4);
}

int settings_read(const struct command *command, int argc, const char **argv, struct settings *settings)
{
    const char *name = NULL;
    size_t index;
    *settings = (struct settings){0};
    int status = arguments_parse(command, argc, argv, settings, &name);
    if (status != EXIT_OK)
        return status;
    size_t kinds = 0;
    char out[NEAREST_SIZE];
    while (task_names[kinds])
        kinds++;
    for (index = 0; index < kinds && strcmp(task_names[index], name) != 0;)
        index++;
    if (index == kinds)
        return misuse("there is no task '%s'%s", name, nearest(name, task_names, kinds, out));
    settings->task = task_kinds[index];
    if (settings->config)
        status = read_file(command, settings, name);
    if (status == EXIT_OK)
        status = check_special(command, settings);
    if (status != EXIT_OK)
        return status;
    status = settings_complete(settings);
    return status == EXIT_OK ? check_outputs(settings) : status;
}

void settings_begin(struct settings *settings, const struct task_kind *task)
{
    *settings = (struct settings){.task = task};
    for (size_t i = 0; i < command_train.option_count; i++)
        if (command_train.options[i].kind == OPTION_SIZE)
            SIZE(settings, &command_train.options[i]) = OPTION_UNSET;
}

int settings_complete(struct settings *settings)
{
    fill_defaults(settings);
    int status = read_words(settings);
    return status == EXIT_OK ? read_rates(settings) : status;
}

void settings_free(struct settings *settings)
{
    json_decref(settings->file);
    settings->file = NULL;
}

json_t *settings_identity(const struct settings *settings)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:s, s:I, s:f, s:s, s:I, s:I, s:I}", "task",
        settings->task->name, "cell", settings->cell, "hidden", (json_int_t)settings->hidden, "layers",
        (json_int_t)settings->layers, "length", (json_int_t)settings->length, "batch", (json_int_t)settings->batch,
        "horizon", (json_int_t)settings->horizon, "seed", (json_int_t)settings->seed, "optimiser", settings->optimiser,
        "rate", settings->rate_value, "schedule", settings->schedule, "warm-up", (json_int_t)settings->warm_up, "clip",
        settings->clip_value, "initial", settings->initial, "chrono", (json_int_t)settings->chrono, "every",
        (json_int_t)settings->every, "patience", (json_int_t)settings->patience);
    const lw_regularisation *r = &settings->regularisation;
    json_t *rates = json_pack("{s:f, s:f, s:f, s:f, s:f, s:b}", "dropout", r->output, "input-dropout", r->input,
                              "recurrent-dropout", r->recurrent, "zoneout", r->zoneout_hidden, "zoneout-cell",
                              r->zoneout_cell, "variational", settings->variational);
    if (!rates || json_object_update(root, rates) != 0) {
        json_decref(root);
        root = NULL;
    }
    json_decref(rates);
    if (root && settings->rate_kind != LW_RATE_CONSTANT)
        json_object_set_new(root, "updates", json_integer((json_int_t)settings->updates));
    return root;
}
