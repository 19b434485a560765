/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the report (see train_report.h): how the loss fell, what the gates do over one sequence that was not learnt
 * from, and for a memory task how far back the gradient reaches, beside a plain RNN of the same size that has learnt
 * for as many updates.
 */
#include "train_report.h"

#include "file.h"
#include "picture.h"
#include "report.h"
#include "train_chart.h"
#include "train_loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 1000
#define UNITS 64

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Latchwork training</title>\n<style>\n"
    "body{margin:1.5rem auto;max-width:1100px;padding:0 1rem;background:#fff;color:#222;"
    "font-family:system-ui,Helvetica,Arial,sans-serif;line-height:1.45}\nsvg{width:100%;height:auto;display:block}\n"
    "table{border-collapse:collapse}td{padding:.1rem 1.4rem .1rem 0}td:nth-child(odd){color:#666}\n"
    ".chart text{font-size:11px;fill:#555}.grid{stroke:#e4e4e4}.chart .frame{fill:none;stroke:#888;stroke-width:.7}\n"
    "</style>\n</head>\n<body>\n";

static void write_summary(FILE *stream, const struct trainer *trainer, const struct measure *final)
{
    const struct settings *settings = trainer->settings;
    const struct progress *progress = &trainer->progress;
    json_t *identity = settings_identity(settings), *value;
    const char *key;
    size_t column = 0;
    fprintf(stream, "<h1>%s: %s of %zu units</h1>\n<p>%s after %llu updates and %.3g s. Loss over validation data %.4g",
            settings->task->name, settings->cell, settings->hidden,
            progress->ending == ENDING_SOLVED ? "Solved" : "Ended", (unsigned long long)progress->updates,
            progress->seconds, final->loss);
    if (isfinite(final->accuracy))
        fprintf(stream, ", accuracy %.2f %%", 100 * final->accuracy);
    if (isfinite(trainer->task->baseline))
        fprintf(stream, "; the loss of the simplest forecast is %.4g", trainer->task->baseline);
    if (isfinite(trainer->task->linear))
        fprintf(stream, ", that of a linear autoregression %.4g", trainer->task->linear);
    fprintf(stream, ".</p>\n<table><tr>");
    json_object_foreach(identity, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        fprintf(stream, "%s<td>%s</td><td>%s</td>", column && column % 4 == 0 ? "</tr>\n<tr>" : "", key,
                text ? text : "");
        column++;
        free(text);
    }
    fputs("</tr></table>\n", stream);
    json_decref(identity);
}

static void write_curves(FILE *stream, const struct trainer *trainer)
{
    const struct history *history = &trainer->history;
    struct chart chart = {.x_label = "updates", .y_label = "loss", .curve_count = 1};
    double least = HUGE_VAL, most = 0;
    int accurate = 0;
    for (size_t i = 0; i < history->record_count; i++) {
        least = fmin(least, history->records[RECORD_WIDTH * i]);
        most = fmax(most, history->records[RECORD_WIDTH * i]);
    }
    chart.logarithmic = least > 0 && most > 30 * least;
    chart.curves[0] = (struct curve){.name = "training, a batch each",
                                     .colour = "#9db7d5",
                                     .y = history->records,
                                     .count = history->record_count,
                                     .y_stride = RECORD_WIDTH};
    if (history->check_count)
        chart.curves[chart.curve_count++] = (struct curve){.name = "validation",
                                                           .colour = "#c1440e",
                                                           .x = history->checks,
                                                           .y = history->checks + 1,
                                                           .count = history->check_count,
                                                           .x_stride = CHECK_WIDTH,
                                                           .y_stride = CHECK_WIDTH,
                                                           .dots = history->check_count < 60};
    fputs("<h2>Loss</h2>\n", stream);
    chart_write(stream, &chart);
    for (size_t i = 0; i < history->check_count; i++)
        accurate |= isfinite(history->checks[CHECK_WIDTH * i + 2]);
    if (!accurate)
        return;
    struct curve accuracy = chart.curves[1];
    accuracy.y = history->checks + 2;
    accuracy.name = "validation";
    chart = (struct chart){.x_label = "updates", .y_label = "accuracy", .curve_count = 1, .curves = {accuracy}};
    fputs("<h2>Accuracy</h2>\n", stream);
    chart_write(stream, &chart);
}

/* Brings (steps, signals, units) down to the picture's columns, by means. */
static void take_means(struct picture *picture, const float *values)
{
    size_t first, last, units = picture->unit_count, signals = picture->signal_count;
    for (size_t s = 0; s < signals; s++)
        for (size_t u = 0; u < units; u++)
            for (size_t c = 0; c < picture->columns; c++) {
                double sum = 0;
                picture_column_steps(picture, c, &first, &last);
                for (size_t t = first; t <= last; t++)
                    sum += (double)values[(t * signals + s) * units + u];
                picture->values[(s * units + u) * picture->columns + c] = (float)(sum / (double)(last - first + 1));
            }
}

/* Runs the first row of the batch through the model and records its first layer. */
static int record(const struct trainer *trainer, lw_model *model, struct picture *picture, float *values)
{
    const struct task *task = trainer->task;
    lw_context *context = NULL;
    if (lw_context_create(model, NULL, &context) != LW_OK)
        return fail_training();
    lw_probe probe = LW_PROBE_INIT;
    probe.unit_count = picture->unit_count;
    probe.values = values;
    probe.capacity = product(product(task->steps, picture->signal_count), picture->unit_count);
    lw_io io = LW_IO_INIT;
    io.steps = task->steps;
    io.batch = 1;
    io.input = trainer->batch.input;
    io.input_step_stride = task->batch * task->input;
    io.input_row_stride = task->input;
    io.lengths = trainer->batch.lengths;
    io.probes = &probe;
    io.probe_count = 1;
    int status = lw_run(context, NULL, &io) == LW_OK ? EXIT_OK : fail_training();
    lw_context_destroy(context);
    if (status == EXIT_OK)
        take_means(picture, values);
    return status;
}

static int write_gates(FILE *stream, struct trainer *trainer)
{
    const struct task *task = trainer->task;
    struct picture picture = {.steps = task->steps, .columns = task->steps < COLUMNS ? task->steps : COLUMNS};
    lw_layer layer = {.size = sizeof layer};
    lw_model *model = NULL;
    size_t units[UNITS];
    char title[96], caption[96];
    if (lw_model_layer(trainer->model, 0, &layer) != LW_OK)
        return fail_training();
    picture.unit_count = layer.hidden < UNITS ? layer.hidden : UNITS;
    picture.units = units;
    picture.signal_count = layer.signals < PICTURE_SIGNALS ? layer.signals : PICTURE_SIGNALS;
    for (size_t u = 0; u < picture.unit_count; u++)
        units[u] = u;
    for (size_t s = 0; s < picture.signal_count; s++)
        picture.signals[s] = lw_layer_signal(trainer->model, 0, s);
    snprintf(title, sizeof title, "Gates over a validation sequence");
    snprintf(caption, sizeof caption, "%zu steps in %zu columns, %zu of %zu units.", picture.steps, picture.columns,
             picture.unit_count, layer.hidden);
    picture.title = title;
    picture.subtitle = caption;
    picture.caption = (char[]){""};
    size_t rows = picture.signal_count * picture.unit_count;
    float *values = allocate(product(rows, picture.steps), sizeof(float));
    picture.values = allocate(product(rows, picture.columns), sizeof(float));
    int status = values && picture.values ? trainer_model(trainer, &model)
                                          : fail("out of memory for a picture of gates");
    if (status == EXIT_OK) {
        memset(trainer->batch.mask, 1, task->batch * (task->output_kind == LW_OUTPUT_LAST ? 1 : task->steps));
        task->kind->fill(task, PART_FINAL, 0, &trainer->batch);
        status = record(trainer, model, &picture, values);
    }
    fputs("<h2>Gates</h2>\n", stream);
    if (status == EXIT_OK)
        status = picture_write_svg(stream, &picture);
    free(values);
    free(picture.values);
    lw_model_destroy(model);
    return status;
}

/* The norms by lag instead of by step: lag 0 is the last step. */
static void turn_round(double *norms, size_t steps)
{
    for (size_t t = 0; t < steps / 2; t++) {
        double other = norms[steps - 1 - t];
        norms[steps - 1 - t] = norms[t];
        norms[t] = other;
    }
}

static void describe_reach(FILE *stream, const char *name, const double *norms, size_t steps)
{
    fprintf(stream, "%s: %.2g at lag 0, %.2g at lag %zu. ", name, norms[0], norms[steps - 1], steps - 1);
}

static int write_gradient(FILE *stream, struct trainer *trainer)
{
    const struct settings *settings = trainer->settings;
    const size_t steps = trainer->task->steps;
    const int alone = settings->cell_kind == LW_RNN;
    double *mine = allocate(steps, sizeof(double)), *theirs = allocate(steps, sizeof(double));
    struct trainer other = {0};
    struct settings plain = *settings;
    plain.rate_value = strtod(settings->task->defaults.plain_rate, NULL);
    char names[2][64];
    int status = mine && theirs ? trainer_input_gradient(trainer, mine) : fail("out of memory for %zu steps", steps);
    if (status == EXIT_OK && !alone)
        status = trainer_open(&other, &plain, trainer->task, LW_RNN, 0);
    if (status == EXIT_OK && !alone)
        status = loop_run_quietly(&other, trainer->progress.updates);
    if (status == EXIT_OK && !alone)
        status = trainer_input_gradient(&other, theirs);
    if (status == EXIT_OK) {
        snprintf(names[0], sizeof names[0], "%s, %zu units", settings->cell, settings->hidden);
        snprintf(names[1], sizeof names[1], "plain rnn, %zu units, rate %g", settings->hidden, plain.rate_value);
        struct chart chart = {.x_label = "steps back in time",
                              .y_label = "norm of the gradient",
                              .logarithmic = 1,
                              .curve_count = alone ? 1 : 2};
        const double *const norms[2] = {mine, theirs};
        static const char *const colours[2] = {"#1d5fa8", "#c1440e"};
        turn_round(mine, steps);
        turn_round(theirs, alone ? 0 : steps);
        fputs(
            "<h2>The gradient on its way back through time</h2>\n<p>Norm of the gradient of the last output with "
            "respect to the input so many steps before, the mean over a batch, after training. A curve ends where the "
            "gradient is exactly 0 in f32.</p>\n",
            stream);
        for (size_t i = 0; i < chart.curve_count; i++)
            chart.curves[i] = (struct curve){
                .name = names[i], .colour = colours[i], .y = norms[i], .count = steps, .y_stride = 1};
        chart_write(stream, &chart);
        fputs("<p>", stream);
        for (size_t i = 0; i < chart.curve_count; i++)
            describe_reach(stream, names[i], norms[i], steps);
        fputs("</p>\n", stream);
    }
    trainer_close(&other);
    free(mine);
    free(theirs);
    return status;
}

int report_write(struct trainer *trainer, const struct measure *final, const char *path)
{
    struct output output;
    int status = output_open(&output, path);
    if (status != EXIT_OK)
        return status;
    fputs(head, output.stream);
    write_summary(output.stream, trainer, final);
    write_curves(output.stream, trainer);
    if (trainer->task->kind->memory)
        status = write_gradient(output.stream, trainer);
    if (status == EXIT_OK)
        status = write_gates(output.stream, trainer);
    fputs("</body>\n</html>\n", output.stream);
    if (status == EXIT_OK)
        return output_commit(&output);
    output_abandon(&output);
    return status;
}
