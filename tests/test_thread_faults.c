/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that cannot be started, and signals that arrive all the time. This program brings its own pthread_create,
 * which OpenMP and the library find before the system's and which refuses when k threads run. The results have the
 * same bits, however many threads there were.
 */
#include "files.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

static atomic_int allowed = -1; /* threads that may run beside the first; negative: any number */
static atomic_int running, refused;

struct start {
    void *(*function)(void *);
    void *argument;
};

static void *run_and_count(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    void *result = start.function(start.argument);
    atomic_fetch_sub(&running, 1);
    return result;
}

__attribute__((visibility("default"))) int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                                          void *(*function)(void *), void *argument)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&real, &symbol, sizeof real);
    int most = atomic_load(&allowed);
    if (most >= 0 && atomic_load(&running) >= most) {
        atomic_fetch_add(&refused, 1);
        return EAGAIN;
    }
    struct start *start = malloc(sizeof *start);
    *start = (struct start){function, argument};
    atomic_fetch_add(&running, 1);
    return real(thread, attributes, run_and_count, start);
}

enum { STEPS = 30, ROWS = 32, WIDTH = 64, HIDDEN = 160 };

/* A model large enough for threads to pay, and a training step of it. */
struct rig {
    lw_model *model;
    lw_tape *tape;
    float *x, *y, *dy, *dx, *parameters[8], *gradients[8];
    size_t counts[8];
};

static void rig_create(struct rig *r, size_t threads)
{
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    brick.input = WIDTH;
    brick.hidden = HIDDEN;
    brick.layers = 2;
    options.threads = threads;
    ASSERT_OK(lw_model_create(&brick, 1, NULL, &r->model));
    ASSERT_OK(lw_model_initialise(r->model, 5));
    cr_assert_eq(lw_model_parameter_count(r->model), 8);
    for (size_t i = 0; i < 8; i++) {
        lw_parameter p = {.size = sizeof p};
        ASSERT_OK(lw_model_parameter(r->model, i, &p));
        r->counts[i] = p.count;
        r->parameters[i] = malloc(p.count * sizeof(float));
        r->gradients[i] = calloc(p.count, sizeof(float));
        ASSERT_OK(lw_model_parameter_get(r->model, i, r->parameters[i], p.count));
    }
    r->x = malloc(STEPS * ROWS * WIDTH * sizeof(float));
    r->dx = calloc(STEPS * ROWS * WIDTH, sizeof(float));
    r->y = calloc(STEPS * ROWS * HIDDEN, sizeof(float));
    r->dy = malloc(STEPS * ROWS * HIDDEN * sizeof(float));
    for (size_t k = 0; k < STEPS * ROWS * WIDTH; k++)
        r->x[k] = (float)(k % 13) * 0.1f - 0.6f;
    for (size_t k = 0; k < STEPS * ROWS * HIDDEN; k++)
        r->dy[k] = (float)(k % 7) * 0.1f - 0.3f;
    ASSERT_OK(lw_tape_create(r->model, &options, &r->tape));
}

static void rig_destroy(struct rig *r)
{
    for (size_t i = 0; i < 8; i++) {
        free(r->parameters[i]);
        free(r->gradients[i]);
    }
    free(r->x);
    free(r->dx);
    free(r->y);
    free(r->dy);
    lw_tape_destroy(r->tape);
    lw_model_destroy(r->model);
}

static uint64_t add_bits(uint64_t hash, const float *values, size_t count)
{
    const unsigned char *p = (const unsigned char *)values;
    for (size_t k = 0; k < count * sizeof *values; k++)
        hash = (hash ^ p[k]) * 0x100000001b3u;
    return hash;
}

static lw_io io_of(struct rig *r)
{
    lw_io io = LW_IO_INIT;
    io.steps = STEPS;
    io.batch = ROWS;
    io.input = r->x;
    io.output = r->y;
    return io;
}

static uint64_t run(struct rig *r, size_t threads)
{
    lw_context *context;
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    lw_io io = io_of(r);
    options.threads = threads;
    ASSERT_OK(lw_context_create(r->model, &options, &context));
    memset(r->y, 0, STEPS * ROWS * HIDDEN * sizeof(float));
    ASSERT_OK(lw_run(context, NULL, &io));
    lw_context_destroy(context);
    return add_bits(0xcbf29ce484222325u, r->y, STEPS * ROWS * HIDDEN);
}

static uint64_t train(struct rig *r)
{
    lw_gradients g = LW_GRADIENTS_INIT;
    lw_io io = io_of(r);
    uint64_t hash = 0xcbf29ce484222325u;
    g.output = r->dy;
    g.parameters = r->gradients;
    g.input = r->dx;
    ASSERT_OK(lw_tape_forward(r->tape, (const float *const *)r->parameters, NULL, &io));
    ASSERT_OK(lw_tape_backward(r->tape, &g));
    for (size_t i = 0; i < 8; i++)
        hash = add_bits(hash, r->gradients[i], r->counts[i]);
    return add_bits(add_bits(hash, r->dx, STEPS * ROWS * WIDTH), r->y, STEPS * ROWS * HIDDEN);
}

/* In a thread of its own, which no team has served yet. */
struct task {
    struct rig *rig;
    size_t threads;
    uint64_t bits[2];
    int refused;
};

static void *work(void *argument)
{
    struct task *task = argument;
    task->bits[0] = run(task->rig, task->threads);
    task->bits[1] = train(task->rig);
    return NULL;
}

Test(thread_faults, threads_that_cannot_be_started, .timeout = 120)
{
    struct rig r;
    rig_create(&r, 1);
    const uint64_t expected[] = {run(&r, 1), train(&r)};
    lw_tape_destroy(r.tape);
    for (size_t threads = 2; threads <= 4; threads++) {
        lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
        options.threads = threads;
        ASSERT_OK(lw_tape_create(r.model, &options, &r.tape));
        for (int can = 0; can <= (int)threads; can++) {
            struct task task = {.rig = &r, .threads = threads};
            pthread_t thread;
            atomic_store(&allowed, atomic_load(&running) + 1 + can); /* one is the thread below */
            cr_assert_eq(pthread_create(&thread, NULL, work, &task), 0);
            pthread_join(thread, NULL);
            atomic_store(&allowed, -1);
            cr_assert(task.bits[0] == expected[0] && task.bits[1] == expected[1],
                      "%zu threads, of which %d could be started: other bits", threads, can);
        }
        lw_tape_destroy(r.tape);
    }
    cr_assert_gt(refused, 5, "only %d threads were refused", refused);
    r.tape = NULL;
    rig_destroy(&r);
}

/* A smaller team ends the threads that it leaves over (libgomp's does): those that a larger one then lacks may be
 * refused, and are asked for alone. */
static void *shrink_and_grow(void *argument)
{
    struct task *task = argument;
    const int before = atomic_load(&running);
    task->bits[0] = run(task->rig, 4);
    run(task->rig, 2);
    for (int wait = 0; wait < 500 && atomic_load(&running) > before + 1; wait++)
        usleep(1000);
    atomic_store(&allowed, before + 3);
    atomic_store(&refused, 0);
    task->bits[0] = task->bits[0] == run(task->rig, 4) ? task->bits[0] : 0;
    task->refused = atomic_load(&refused);
    run(task->rig, 2);
    for (int wait = 0; wait < 500 && atomic_load(&running) > before + 1; wait++)
        usleep(1000);
    atomic_store(&allowed, atomic_load(&running));
    task->bits[1] = run(task->rig, 4);
    return NULL;
}

Test(thread_faults, larger_team_after_a_smaller_one, .timeout = 120)
{
    struct rig r;
    rig_create(&r, 1);
    const uint64_t expected = run(&r, 1);
    struct task task = {.rig = &r};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, shrink_and_grow, &task), 0);
    pthread_join(thread, NULL);
    atomic_store(&allowed, -1);
    cr_assert_eq(task.refused, 0, "%d threads were refused, though the two that the team lacked could be had",
                 task.refused);
    cr_assert(task.bits[0] == expected && task.bits[1] == expected, "other bits");
    rig_destroy(&r);
}

static void *measure_alone(void *argument)
{
    lw_limits *limits = argument;
    limits->size = sizeof *limits;
    atomic_store(&allowed, atomic_load(&running));
    cr_expect_eq(lw_machine_peak(2), 0.0, "the peak of two threads without the second");
    cr_expect_eq(lw_machine_limits(2, limits), LW_OK);
    return NULL;
}

/* A figure that is said to be of two threads is of two threads. */
Test(thread_faults, limits_are_of_the_threads_that_ran, .timeout = 120)
{
    lw_limits limits = {0};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, measure_alone, &limits), 0);
    pthread_join(thread, NULL);
    atomic_store(&allowed, -1);
    cr_assert_eq(limits.threads, 1, "%zu threads", limits.threads);
    cr_assert(limits.flops > 0.0 && limits.dram > 0.0);
}

static atomic_long alarms;

static void on_alarm(int number)
{
    (void)number;
    atomic_fetch_add(&alarms, 1);
}

static void storm(long microseconds)
{
    struct itimerval timer = {{0, microseconds}, {0, microseconds}};
    cr_assert_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* Without SA_RESTART, so that every system call that can be interrupted is. */
Test(thread_faults, signals_all_the_time, .timeout = 120)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct rig r;
    char folder[PATH_BYTES], path[PATH_BYTES];
    rig_create(&r, 2);
    make_folder(folder);
    const uint64_t expected[] = {run(&r, 2), train(&r)};
    ASSERT_OK(lw_model_save(r.model, join(folder, "model", path)));
    bytes saved = read_all(path);
    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    storm(100);
    for (int times = 0; times < 20; times++) {
        cr_assert_eq(run(&r, 2), expected[0], "a run: other bits after %ld signals", atomic_load(&alarms));
        cr_assert_eq(train(&r), expected[1], "a training step: other bits after %ld signals", atomic_load(&alarms));
        lw_model *model;
        ASSERT_OK(lw_model_save(r.model, path));
        ASSERT_OK(lw_model_load(path, NULL, &model));
        lw_model_destroy(model);
    }
    storm(0);
    bytes now = read_all(path);
    cr_assert(same_bytes(now, saved));
    cr_assert_eq(count_files(folder), 1);
    cr_assert_gt(alarms, 200, "only %ld signals came", alarms);
    free(saved.data);
    free(now.data);
    remove_folder(folder);
    rig_destroy(&r);
}
