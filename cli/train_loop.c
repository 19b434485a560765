/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The training loop (see train_loop.h). What decides about later updates changes only here and in trainer_update, and a
 * checkpoint is written only between two rounds of the loop: that makes a resumed run the same as an uninterrupted one.
 */
#include "train_loop.h"

#include "file.h"
#include "progress.h"
#include "report.h"
#include "train_checkpoint.h"
#include "train_log.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
#define CAUGHT (sizeof caught / sizeof caught[0])
static struct sigaction before[CAUGHT];
static volatile sig_atomic_t stopped_by;

/* The first signal asks for the end after this update; a second one finds the handlers that were there before. */
static void on_signal(int number)
{
    stopped_by = number;
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &before[i], NULL);
}

void loop_catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], NULL, &before[i]);
    for (size_t i = 0; i < CAUGHT; i++)
        if (before[i].sa_handler != SIG_IGN)
            sigaction(caught[i], &action, NULL);
}

void loop_release_signals(void)
{
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &before[i], NULL);
}

/* Looks at the validation data and decides whether it is enough. */
static int validate(struct trainer *trainer)
{
    struct progress *progress = &trainer->progress;
    struct measure measure, fresh;
    const struct task_kind *kind = trainer->task->kind;
    int status = trainer_measure(trainer, PART_CHECK, &measure);
    if (status != EXIT_OK)
        return status;
    double *check = trainer->history.checks + CHECK_WIDTH * trainer->history.check_count++;
    check[0] = (double)progress->updates;
    check[1] = measure.loss;
    check[2] = measure.accuracy;
    if (measure.loss < progress->best_loss) {
        progress->best_loss = measure.loss;
        progress->best_update = progress->updates;
        progress->stale = 0;
        trainer_keep_best(trainer);
    } else {
        progress->stale++;
    }
    if (kind->solved && kind->solved(&measure)) {
        status = trainer_measure(trainer, PART_FINAL, &fresh);
        if (status == EXIT_OK && kind->solved(&fresh)) {
            progress->ending = ENDING_SOLVED;
            progress->best_update = progress->updates;
            trainer_keep_best(trainer);
        }
    }
    if (progress->ending == ENDING_NONE && trainer->settings->patience > 0 &&
        progress->stale >= trainer->settings->patience)
        progress->ending = ENDING_PATIENCE;
    return status;
}

static void show_progress(const struct trainer *trainer, double seconds, uint64_t since)
{
    const struct task *task = trainer->task;
    const struct history *history = &trainer->history;
    size_t from = history->record_count < 20 ? 0 : history->record_count - 20;
    double loss = 0, rate = seconds > 0 ? (double)(trainer->progress.updates - since) / seconds : 0;
    for (size_t i = from; i < history->record_count; i++)
        loss += history->records[RECORD_WIDTH * i] / (double)(history->record_count - from);
    progress_note("loss %.4g, %.3g M steps/s, %.3g GFLOP/s", loss,
                  rate * (double)task->steps * (double)task->batch * 1e-6, rate * trainer->flops * 1e-9);
    progress_set((size_t)(trainer->progress.updates - since));
}

static int run_updates(struct trainer *trainer, struct log *log)
{
    const struct settings *settings = trainer->settings;
    struct progress *progress = &trainer->progress;
    const double began = clock_seconds(), before_this = progress->seconds;
    const uint64_t since = progress->updates;
    int status = EXIT_OK;
    if (settings->checkpoint && !stopped_by)
        status = checkpoint_save(trainer, settings->checkpoint);
    if (settings->updates > since)
        progress_begin("train", (size_t)(settings->updates - since));
    while (status == EXIT_OK && progress->ending == ENDING_NONE && progress->updates < settings->updates &&
           !stopped_by) {
        status = trainer_update(trainer);
        if (status != EXIT_OK)
            break;
        progress->seconds = before_this + clock_seconds() - began;
        trainer->history.records[RECORD_WIDTH * trainer->history.record_count - 1] = progress->seconds;
        int due = progress->updates % settings->every == 0;
        if (due)
            status = validate(trainer);
        progress->seconds = before_this + clock_seconds() - began;
        if (status == EXIT_OK)
            status = log_write(log, &trainer->history);
        if (status == EXIT_OK && due && settings->checkpoint)
            status = checkpoint_save(trainer, settings->checkpoint);
        show_progress(trainer, clock_seconds() - began, since);
    }
    progress_end();
    if (status == EXIT_OK && settings->checkpoint)
        status = checkpoint_save(trainer, settings->checkpoint);
    return status;
}

/* Chooses the parameters and measures them for the last time. Comes after the last checkpoint, because a validation
 * between two rounds must not change what a longer run would do. */
static int finish(struct trainer *trainer, struct measure *final)
{
    struct progress *progress = &trainer->progress;
    if (progress->ending == ENDING_NONE)
        progress->ending = ENDING_UPDATES;
    if (progress->ending != ENDING_SOLVED && progress->updates % trainer->settings->every != 0) {
        struct measure measure;
        int status = trainer_measure(trainer, PART_CHECK, &measure);
        if (status != EXIT_OK)
            return status;
        if (measure.loss < progress->best_loss) {
            progress->best_update = progress->updates;
            trainer_keep_best(trainer);
        }
    }
    trainer_take_best(trainer);
    int status = trainer_measure(trainer, PART_FINAL, final);
    if (status == EXIT_OK && trainer->task->kind->solved && trainer->task->kind->solved(final))
        progress->ending = ENDING_SOLVED;
    return status;
}

int loop_run(struct trainer *trainer, struct measure *final)
{
    const struct settings *settings = trainer->settings;
    struct log log;
    int status = EXIT_OK, resumed = settings->resume && access(settings->checkpoint, F_OK) == 0;
    if (settings->checkpoint)
        loop_catch_signals();
    if (resumed)
        status = checkpoint_restore(trainer, settings->checkpoint);
    if (status == EXIT_OK)
        status = log_open(&log, settings->log);
    else
        log = (struct log){0};
    if (status == EXIT_OK)
        status = log_write(&log, &trainer->history);
    if (status == EXIT_OK)
        status = run_updates(trainer, &log);
    int closed = log_close(&log);
    if (status == EXIT_OK)
        status = closed;
    if (settings->checkpoint)
        loop_release_signals();
    if (status == EXIT_OK && stopped_by) {
        if (settings->checkpoint)
            fail("stopped by a signal after %llu updates; '%s' is up to date: --resume goes on from there",
                 (unsigned long long)trainer->progress.updates, settings->checkpoint);
        return 128 + stopped_by;
    }
    return status == EXIT_OK ? finish(trainer, final) : status;
}

int loop_run_quietly(struct trainer *trainer, uint64_t updates)
{
    int status = EXIT_OK;
    progress_begin("comparison", (size_t)updates);
    while (status == EXIT_OK && trainer->progress.updates < updates) {
        status = trainer_update(trainer);
        progress_set((size_t)trainer->progress.updates);
    }
    progress_end();
    return status;
}
