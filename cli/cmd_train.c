/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `latchwork train TASK`: learns from data of the user's own or from a synthetic memory task. The options below are
 * also the keys of the configuration file. This file is the command line and the summary; train_loop.c does the work.
 */
#include "arguments.h"
#include "progress.h"
#include "report.h"
#include "train_checkpoint.h"
#include "train_loop.h"
#include "train_report.h"
#include "work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) .offset = offsetof(struct settings, field)
#define TEXT_OPTION(name_, field, value_, help_)                                      \
    {                                                                                 \
        .name = name_, .kind = OPTION_TEXT, AT(field), .value = value_, .help = help_ \
    }
#define FILE_OPTION(name_, field, help_)                                                                     \
    {                                                                                                        \
        .name = name_, .kind = OPTION_TEXT, AT(field), .value = "FILE", .values = VALUES_FILE, .help = help_ \
    }
#define SIZE_OPTION(name_, field, least_, most_, help_)                                                            \
    {                                                                                                              \
        .name = name_, .kind = OPTION_SIZE, AT(field), .value = "N", .least = least_, .most = most_, .help = help_ \
    }

static const struct option options[] = {
    FILE_OPTION("config", config, "a JSON object whose keys are these options; the command\nline goes before it"),
    FILE_OPTION("data", data, "series: .csv or .npy, one step a line; classify: (N, T, I)\nas .npy; text: UTF-8"),
    FILE_OPTION("labels", labels, "classify: (N,) as .npy (int32, int64) or .csv, from 0 up"),
    FILE_OPTION("lengths", lengths,
                "classify: steps of each sequence, as the labels are; what\nlies behind them is not looked at"),
    SIZE_OPTION("classes", classes, 2, LW_SIZE_MAX, "classify: how many (default: the largest label and one)"),
    SIZE_OPTION("window", window, 1, LW_SIZE_MAX, "series: steps that a forecast looks at (default: 48)"),
    SIZE_OPTION("horizon", horizon, 1, LW_SIZE_MAX, "series: steps that are forecast (default: 1)"),
    SIZE_OPTION("length", length, 1, LW_SIZE_MAX, "text, latch, adding, copy: steps of a sequence"),
    TEXT_OPTION("cell", cell, "NAME", "lstm (default), gru or rnn"),
    SIZE_OPTION("hidden", hidden, 1, LW_SIZE_MAX, "units of a layer"),
    SIZE_OPTION("layers", layers, 1, LW_LAYERS_MAX - 1, "recurrent layers (default: 1)"),
    SIZE_OPTION("batch", batch, 1, LW_SIZE_MAX, "sequences of an update (default: 32)"),
    SIZE_OPTION("updates", updates, 1, (size_t)1 << 40, "updates at most"),
    TEXT_OPTION("optimiser", optimiser, "NAME", "adam (default), adamw, rmsprop or sgd (momentum 0.9)"),
    TEXT_OPTION("rate", rate, "R",
                "learning rate (latch: 0.02; adding, copy: 0.01; a plain RNN\non these: 0.001; others: 0.003)"),
    TEXT_OPTION("schedule", schedule, "NAME",
                "constant (default), step (a tenth after each third of\nthe updates) or cosine (to 0 at the last)"),
    SIZE_OPTION("warm-up", warm_up, 0, (size_t)1 << 40, "updates over which the rate grows first (default: 0)"),
    TEXT_OPTION("clip", clip, "NORM", "the gradient's norm is cut down to it (default: 1; 0: off)"),
    TEXT_OPTION(
        "dropout", dropout, "R",
        "share of each recurrent layer's outputs that an update\ndrops, at least 0 and less than 1 (default: 0)"),
    TEXT_OPTION("input-dropout", input_dropout, "R", "the same of the input"),
    {.name = "variational",
     .kind = OPTION_FLAG,
     AT(variational),
     .help = "--dropout, --input-dropout: the same units at each step"},
    TEXT_OPTION("recurrent-dropout", recurrent_dropout, "R",
                "the same of the h that is fed back, at each step the same"),
    TEXT_OPTION("zoneout", zoneout, "R", "share of h that an update leaves as it was, drawn at each\nstep"),
    TEXT_OPTION("zoneout-cell", zoneout_cell, "R", "the same of an LSTM's c"),
    TEXT_OPTION("initial", initial, "NAME", "uniform (default), xavier or orthogonal first values"),
    SIZE_OPTION("chrono", chrono, 0, LW_SIZE_MAX,
                "latch, adding, copy: chrono initialisation for so many\nsteps (default: --length; 0: off)"),
    SIZE_OPTION("every", every, 1, (size_t)1 << 40, "updates from one validation to the next"),
    SIZE_OPTION("patience", patience, 0, (size_t)1 << 40, "validations without a better one that end it (0: off)"),
    {.name = "seed",
     .letter = 's',
     .kind = OPTION_SIZE,
     AT(seed),
     .value = "N",
     .most = (size_t)INT64_MAX,
     .help = "of first values, data and order (default: 0)"},
    {.name = "threads",
     .letter = 't',
     .kind = OPTION_SIZE,
     AT(threads),
     .value = "N",
     .least = 1,
     .most = LW_THREADS_MAX,
     .help = "at most so many (default: all); changes no bit"},
    FILE_OPTION("out", out, "the trained model, .safetensors"),
    FILE_OPTION("log", log, "each update and validation, as .csv or .jsonl"),
    FILE_OPTION("checkpoint", checkpoint, "saved at each validation and when a signal stops the run"),
    {.name = "resume",
     .kind = OPTION_FLAG,
     AT(resume),
     .help = "go on from the checkpoint, with the same bits; from the\nstart where there is none yet"},
    FILE_OPTION("report", report, "loss curves, gates and the way of the gradient, as .html"),
    SIZE_OPTION("sample", sample, 1, (size_t)1 << 30, "text: print so many characters that the model makes up"),
    {.name = "json", .letter = 'j', .kind = OPTION_FLAG, AT(json), .help = "print the summary as one line of JSON"},
};

static int run(int argc, const char **argv);

const struct command command_train = {
    .name = "train",
    .operand = "TASK",
    .summary = "train a network on a series, sequences, a text or a memory task",
    .details = "Tasks:\n"
               "  series    forecast a table of numbers; held to persistence (the last line, repeated) and a linear\n"
               "            autoregression\n"
               "  classify  one class for each sequence\n"
               "  text      the next character of a text; the state goes on from piece to piece\n"
               "  latch     a bit shown at the first step, asked for at the last; solved when 99 % of fresh sequences "
               "are right and\n"
               "            the mean loss is at most 0.1\n"
               "  adding    two marked numbers of a sequence are added; solved at a mean squared error of 0.01\n"
               "  copy      symbols are repeated after a pause; solved when 99 % of fresh symbols are right\n"
               "The model with the best validation loss is kept. The same seed gives the same bits for any number of "
               "threads.\n"
               "Examples:\n"
               "  latchwork train latch --length 1000 --cell lstm --hidden 64 --seed 7 --json\n"
               "  latchwork train text --data book.txt --out model.safetensors --sample 300\n"
               "  latchwork train series --data sunspots.csv --horizon 12 --report report.html",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .operand_names = task_names,
    .run = run,
};

static json_t *number_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static int print_json(const struct trainer *trainer, const struct measure *final, const char *sample)
{
    const struct settings *settings = trainer->settings;
    const struct progress *progress = &trainer->progress;
    double seconds = progress->seconds > 0 ? progress->seconds : 1e-9, updates = (double)progress->updates;
    double steps = updates * (double)trainer->task->steps * (double)trainer->task->batch;
    json_t *root = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:b, s:s, s:o, s:o, s:I, s:I, s:f, s:f, s:f}", "task",
        settings->task->name, "cell", settings->cell, "hidden", (json_int_t)settings->hidden, "layers",
        (json_int_t)settings->layers, "length", (json_int_t)trainer->task->steps, "batch", (json_int_t)settings->batch,
        "seed", (json_int_t)settings->seed, "threads", (json_int_t)trainer->threads, "parameters",
        (json_int_t)trainer->parameter_total, "isa", lw_isa_name(lw_model_isa(trainer->model)), "solved",
        progress->ending == ENDING_SOLVED, "ended_by", ending_name(progress->ending), "accuracy",
        number_or_null(final->accuracy), "loss", number_or_null(final->loss), "updates", (json_int_t)progress->updates,
        "best_update", (json_int_t)progress->best_update, "seconds", progress->seconds, "steps_per_second",
        steps / seconds, "flops_per_second", updates * trainer->flops / seconds);
    if (root && settings->task == &task_series)
        json_object_update_new(root,
                               json_pack("{s:o, s:o}", "persistence_loss", number_or_null(trainer->task->baseline),
                                         "autoregression_loss", number_or_null(trainer->task->linear)));
    if (root && settings->task == &task_text)
        json_object_set_new(root, "bits_per_character", number_or_null(final->loss / log(2.0)));
    if (root && sample)
        json_object_set_new(root, "sample", json_string(sample));
    int bad = !root || json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0;
    json_decref(root);
    if (bad)
        return fail("the JSON text could not be written");
    putchar('\n');
    return EXIT_OK;
}

static void print_text(const struct trainer *trainer, const struct measure *final)
{
    static const char *const endings[] = {"", "all updates made", "solved", "no better validation any more"};
    const struct settings *settings = trainer->settings;
    const struct progress *progress = &trainer->progress;
    double updates = (double)progress->updates, seconds = progress->seconds > 0 ? progress->seconds : 1e-9;
    printf("%s: %s, loss %.4g", settings->task->name, endings[progress->ending], final->loss);
    if (isfinite(final->accuracy))
        printf(", accuracy %.2f %%", 100 * final->accuracy);
    if (settings->task == &task_text)
        printf(", %.4g bits a character", final->loss / log(2.0));
    if (settings->task == &task_series)
        printf(" (persistence %.4g, linear autoregression %.4g)", trainer->task->baseline, trainer->task->linear);
    printf(" after %llu updates in %.3g s (%s %zu, %zu parameters, %.3g GFLOP/s, up to %zu threads)\n",
           (unsigned long long)progress->updates, progress->seconds, settings->cell, settings->hidden,
           trainer->parameter_total, updates * trainer->flops / seconds * 1e-9, trainer->threads);
}

static int summarise(const struct trainer *trainer, const struct measure *final)
{
    const struct settings *settings = trainer->settings;
    lw_model *model = NULL;
    char *sample = NULL;
    int status = EXIT_OK;
    if (settings->sample != OPTION_UNSET) {
        status = trainer_model(trainer, &model);
        if (status == EXIT_OK)
            status = text_sample(trainer->task, model, settings->seed, settings->sample, &sample);
        lw_model_destroy(model);
    }
    if (status == EXIT_OK && settings->json) {
        status = print_json(trainer, final, sample);
    } else if (status == EXIT_OK) {
        print_text(trainer, final);
        if (sample)
            printf("%s\n", sample);
    }
    free(sample);
    return status;
}

static int run(int argc, const char **argv)
{
    struct settings settings;
    struct task task = {0};
    struct trainer trainer = {0};
    struct measure final = {0};
    int status = settings_read(&command_train, argc, argv, &settings);
    if (status == EXIT_OK)
        status = task_open(&task, &settings);
    if (status == EXIT_OK)
        status = trainer_open(&trainer, &settings, &task, settings.cell_kind, settings.chrono);
    if (status == EXIT_OK)
        status = loop_run(&trainer, &final);
    if (status == EXIT_OK && settings.out)
        status = model_save(&trainer, settings.out);
    if (status == EXIT_OK && settings.report)
        status = report_write(&trainer, &final, settings.report);
    if (status == EXIT_OK)
        status = summarise(&trainer, &final);
    trainer_close(&trainer);
    task_close(&task);
    settings_free(&settings);
    return status < 0 ? EXIT_OK : status;
}
