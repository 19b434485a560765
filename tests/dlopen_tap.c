/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that does not link the library but opens it, works on two threads and closes it again, over and over:
 *
 *     dlopen_tap LIBRARY [ROUNDS]
 *
 * as plug-in hosts do. The bits are the same in each round, no thread is left to run into nothing, and neither threads
 * nor memory grow. Results in the Test Anything Protocol.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <latchwork.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"

#define STEPS 4
#define ROWS 24
#define HIDDEN 160

struct functions {
    lw_status (*model_create)(const lw_brick *, size_t, const lw_model_options *, lw_model **);
    lw_status (*initialise)(lw_model *, uint64_t);
    lw_status (*context_create)(const lw_model *, const lw_context_options *, lw_context **);
    lw_status (*run)(lw_context *, lw_state *, const lw_io *);
    void (*context_destroy)(lw_context *);
    void (*model_destroy)(lw_model *);
};

/* POSIX promises that a function's address fits an object pointer; C does not. */
static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static uint64_t work(const struct functions *f)
{
    static float x[STEPS * ROWS * HIDDEN], y[STEPS * ROWS * HIDDEN];
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    lw_io io = LW_IO_INIT;
    lw_model *model = NULL;
    lw_context *context = NULL;
    uint64_t hash = 0;
    brick.input = brick.hidden = HIDDEN;
    options.threads = 2;
    rng_fill(&(rng){.seed = 1}, x, STEPS * ROWS * HIDDEN, 1);
    io.steps = STEPS;
    io.batch = ROWS;
    io.input = x;
    io.output = y;
    if (!f->model_create(&brick, 1, NULL, &model) && !f->initialise(model, 1) &&
        !f->context_create(model, &options, &context) && !f->run(context, NULL, &io))
        hash = hash_bytes(HASH_INIT, y, sizeof y);
    f->context_destroy(context);
    f->model_destroy(model);
    return hash;
}

/* 0: it failed. */
static uint64_t open_work_close(const char *path)
{
    struct functions f;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        printf("# %s\n", dlerror());
        return 0;
    }
    bool found = find(library, "lw_model_create", &f.model_create) &&
                 find(library, "lw_model_initialise", &f.initialise) &&
                 find(library, "lw_context_create", &f.context_create) && find(library, "lw_run", &f.run) &&
                 find(library, "lw_context_destroy", &f.context_destroy) &&
                 find(library, "lw_model_destroy", &f.model_destroy);
    uint64_t hash = found ? work(&f) : 0;
    return dlclose(library) ? 0 : hash;
}

static size_t threads(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count;
}

static long resident_pages(void)
{
    long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%ld %ld", &all, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident;
}

static size_t failures;

static void report(size_t number, bool good, const char *name)
{
    printf("%s %zu - %s\n", good ? "ok" : "not ok", number, name);
    failures += !good;
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 100, same = 0;
    if (argc < 2 || argc > 3 || rounds < 1) {
        fprintf(stderr, "usage: dlopen_tap LIBRARY [ROUNDS]\n");
        return 2;
    }
    uint64_t want = open_work_close(argv[1]);
    for (size_t k = 0; k < 10; k++)
        open_work_close(argv[1]);
    size_t threads_before = threads();
    long pages_before = resident_pages();
    for (size_t k = 0; k < rounds; k++)
        same += open_work_close(argv[1]) == want;
    report(1, want && same == rounds, "the same bits each time");
    report(2, threads() <= threads_before, "no thread more");
    report(3, resident_pages() - pages_before <= 64, "no memory more");
    printf("# %zu rounds, %zu threads, %ld pages more\n1..3\n", rounds, threads(), resident_pages() - pages_before);
    return failures ? 1 : 0;
}
