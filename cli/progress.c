/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The progress bar: a small thread wakes ten times a second and draws from the second second on, so that even one long
 * call of the library, which reports nothing, shows that the program is alive. The work only stores a number.
 */
#include "progress.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BAR 30
#define NOTE 96

static struct {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    int active, ending, drawn;
    const char *what;
    size_t total;
    atomic_size_t done;
    double start;
    char note[NOTE]; /* under the mutex */
} bar = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void duration(double seconds, char out[32])
{
    unsigned long s = seconds < 0 ? 0 : seconds > 1e9 ? 1000000000ul : (unsigned long)(seconds + 0.5);
    if (s < 60)
        snprintf(out, 32, "%lu s", s);
    else if (s < 3600)
        snprintf(out, 32, "%lu min %02lu s", s / 60, s % 60);
    else
        snprintf(out, 32, "%lu h %02lu min", s / 3600, s / 60 % 60);
}

static void draw(double elapsed)
{
    char text[32], blocks[BAR + 1];
    size_t done = atomic_load(&bar.done);
    if (bar.total == 0) {
        duration(elapsed, text);
        fprintf(stderr, "\r%s: %s so far\x1b[K", bar.what, text);
    } else {
        double part = (double)done / (double)bar.total;
        for (int i = 0; i < BAR; i++)
            blocks[i] = part * BAR >= i + 1 ? '#' : '.';
        blocks[BAR] = '\0';
        if (done > 0)
            duration(elapsed / part - elapsed, text);
        fprintf(stderr, "\r%s [%s] %3.0f %%%s%s%s%s%s\x1b[K", bar.what, blocks, 100 * part, done ? ", " : "",
                done ? text : "", done ? " left" : "", *bar.note ? ", " : "", bar.note);
    }
    fflush(stderr);
    bar.drawn = 1;
}

static void *tick(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&bar.mutex);
    while (!bar.ending) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&bar.wake, &bar.mutex, &until);
        double elapsed = clock_seconds() - bar.start;
        if (!bar.ending && elapsed >= 1.0)
            draw(elapsed);
    }
    pthread_mutex_unlock(&bar.mutex);
    return NULL;
}

void progress_begin(const char *what, size_t total)
{
    if (!isatty(STDERR_FILENO))
        return;
    bar.what = what;
    bar.total = total;
    atomic_store(&bar.done, 0);
    bar.start = clock_seconds();
    bar.ending = bar.drawn = 0;
    bar.note[0] = '\0';
    bar.active = pthread_create(&bar.thread, NULL, tick, NULL) == 0; /* without a thread: no bar, the work goes on */
}

void progress_set(size_t done)
{
    atomic_store(&bar.done, done);
}

void progress_note(const char *format, ...)
{
    va_list list;
    if (!bar.active)
        return;
    va_start(list, format);
    pthread_mutex_lock(&bar.mutex);
    vsnprintf(bar.note, sizeof bar.note, format, list);
    pthread_mutex_unlock(&bar.mutex);
    va_end(list);
}

void progress_end(void)
{
    if (!bar.active)
        return;
    pthread_mutex_lock(&bar.mutex);
    bar.ending = 1;
    pthread_cond_signal(&bar.wake);
    pthread_mutex_unlock(&bar.mutex);
    pthread_join(bar.thread, NULL);
    bar.active = 0;
    if (bar.drawn)
        fprintf(stderr, "\r\x1b[K");
}
