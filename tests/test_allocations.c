/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The third promise: a step after set-up allocates nothing, takes no lock and makes no system call. This program brings
 * its own malloc and pthread functions, which count while they are armed; and it walks steps under a seccomp
 * filter that answers every system call with SIGSYS, whose handler reports the number. On glibc and Linux only.
 */
#include "every_isa.h"
#include "scenario.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- interposed functions: the ones of glibc behind a counter ---- */

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
extern void __libc_free(void *block);

/* The library must find these before glibc's. */
#define INTERPOSED __attribute__((visibility("default")))

static atomic_bool armed;
static atomic_size_t allocations, locks;

static void count_allocation(void)
{
    if (atomic_load_explicit(&armed, memory_order_relaxed))
        atomic_fetch_add(&allocations, 1);
}

INTERPOSED void *malloc(size_t bytes)
{
    count_allocation();
    return __libc_malloc(bytes);
}

INTERPOSED void *calloc(size_t count, size_t size)
{
    count_allocation();
    return __libc_calloc(count, size);
}

INTERPOSED void *realloc(void *block, size_t bytes)
{
    count_allocation();
    return __libc_realloc(block, bytes);
}

INTERPOSED void *aligned_alloc(size_t alignment, size_t bytes)
{
    count_allocation();
    return __libc_memalign(alignment, bytes);
}

INTERPOSED int posix_memalign(void **block, size_t alignment, size_t bytes)
{
    count_allocation();
    *block = __libc_memalign(alignment, bytes);
    return *block ? 0 : ENOMEM;
}

INTERPOSED void free(void *block)
{
    if (block)
        count_allocation();
    __libc_free(block);
}

static int forward_lock(const char *name, void *object)
{
    if (atomic_load_explicit(&armed, memory_order_relaxed))
        atomic_fetch_add(&locks, 1);
    int (*real)(void *) = NULL;
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(&real, &symbol, sizeof real);
    return real(object);
}

INTERPOSED int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    return forward_lock("pthread_mutex_lock", mutex);
}

INTERPOSED int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    return forward_lock("pthread_mutex_trylock", mutex);
}

INTERPOSED int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    return forward_lock("pthread_rwlock_rdlock", lock);
}

INTERPOSED int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    return forward_lock("pthread_rwlock_wrlock", lock);
}

INTERPOSED int pthread_spin_lock(pthread_spinlock_t *lock)
{
    return forward_lock("pthread_spin_lock", (void *)lock);
}

Test(allocations, counters_count)
{
    atomic_store(&armed, true);
    void *volatile block = malloc(10);
    free(block);
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    atomic_store(&armed, false);
    cr_assert_eq(allocations, 2);
    cr_assert_eq(locks, 1);
}

/* What the library allocates is counted too, or the tests below would show nothing. */
Test(allocations, counters_see_the_library)
{
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    brick.input = brick.hidden = 3;
    lw_model *model;
    atomic_store(&armed, true);
    lw_status status = lw_model_create(&brick, 1, NULL, &model);
    lw_model_destroy(model);
    atomic_store(&armed, false);
    cr_assert_eq(status, LW_OK);
    cr_assert_geq(allocations, 4);
}

/* ---- steps ---- */

static char why[WHY_SIZE];

/* What a real-time thread would hold: everything made beforehand. */
struct rig {
    harness h;
    lw_state *state;
    lw_state *streams[4];
    float *x;
    float *y;
};

static void rig_create(struct rig *g, lw_isa isa, size_t kind, size_t threads, lw_direction direction, size_t hidden)
{
    scenario s = SCENARIO_INIT;
    s.bricks[0] = (lw_brick)LW_BRICK_INIT(cell_kind(kind));
    s.bricks[0].input = 9;
    s.bricks[0].hidden = hidden;
    s.bricks[0].layers = 2;
    s.bricks[0].direction = direction;
    s.bricks[0].options = kind == 1 ? LW_RESET_BEFORE : 0;
    s.bricks[0].projection = kind == 0 ? 20 : 0;
    s.bricks[1] = (lw_brick)LW_BRICK_INIT(LW_DENSE);
    s.bricks[1].hidden = 2;
    s.bricks[2] = (lw_brick)LW_BRICK_INIT(LW_ACTIVATION);
    s.bricks[2].function = LW_TANH;
    s.brick_count = 3;
    s.batch = 3;
    s.start = true;
    s.threads = threads;
    cr_assert(harness_create(&g->h, &s, isa, why), "%s", why);
    cr_assert(g->state = harness_state(&g->h, why), "%s", why);
    for (size_t k = 0; k < 4; k++)
        cr_assert_eq(lw_state_create(g->h.model, 1, &g->streams[k]), LW_OK);
    g->x = ref_alloc(4 * 9, sizeof *g->x);
    g->y = ref_alloc(4 * 2, sizeof *g->y);
}

static void rig_destroy(struct rig *g)
{
    lw_state_destroy(g->state);
    for (size_t k = 0; k < 4; k++)
        lw_state_destroy(g->streams[k]);
    free(g->x);
    free(g->y);
    harness_destroy(&g->h);
}

/* The number of steps that failed. */
static size_t walk(struct rig *g, size_t steps, int many)
{
    size_t failed = 0;
    for (size_t t = 0; t < steps; t++) {
        g->x[t % 27] = (float)(t % 100) * 0.01f;
        failed += lw_step(g->h.context, g->state, g->x, g->y) != LW_OK;
        if (many)
            failed += lw_step_many(g->h.context, g->streams, 1 + t % 4, g->x, g->y) != LW_OK;
    }
    return failed;
}

ParameterizedTestParameters(allocations, none_in_steps)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, allocations, none_in_steps)
{
    for (size_t threads = 1; threads <= 2; threads++)
        for (int direction = LW_FORWARD; direction <= LW_BIDIRECTIONAL; direction++) {
            struct rig g;
            rig_create(&g, p->isa, p->kind, threads, (lw_direction)direction, 40);
            atomic_store(&armed, true);
            /* From the very first step: set-up is over when the objects exist. */
            size_t failed = walk(&g, 1000, direction == LW_FORWARD);
            atomic_store(&armed, false);
            cr_assert_eq(failed, 0, "%s", lw_error());
            cr_assert_eq(allocations, 0, "%zu allocations in 1000 steps", allocations);
            cr_assert_eq(locks, 0, "%zu locks in 1000 steps", locks);
            rig_destroy(&g);
        }
}

/* A run over a reserved shape allocates nothing either, whatever its shape. On one thread: a team of threads is
 * OpenMP's to make. */
ParameterizedTestParameters(allocations, none_in_reserved_runs)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, allocations, none_in_reserved_runs)
{
    for (int direction = LW_FORWARD; direction <= LW_BIDIRECTIONAL; direction++) {
        struct rig g;
        rig_create(&g, p->isa, p->kind, 1, (lw_direction)direction, 40);
        cr_assert_eq(lw_context_reserve(g.h.context, 20, 3), LW_OK, "%s", lw_error());
        float *x = ref_alloc(20 * 3 * 9, sizeof *x), *y = ref_alloc(20 * 3 * 2, sizeof *y);
        lw_status status = LW_OK;
        atomic_store(&armed, true);
        for (size_t steps = 0; steps <= 20 && !status; steps++) {
            lw_io io = LW_IO_INIT;
            io.steps = steps;
            io.batch = 3;
            io.input = x;
            io.output = y;
            status = lw_run(g.h.context, g.state, &io);
        }
        atomic_store(&armed, false);
        cr_assert_eq(status, LW_OK, "%s", lw_error());
        cr_assert_eq(allocations, 0, "%zu allocations in runs over a reserved shape", allocations);
        free(x);
        free(y);
        rig_destroy(&g);
    }
}

/* ---- system calls ---- */

/* In memory that the parent shares with the child. */
struct report {
    size_t walked;
    size_t failed;
    long number; /* of the system call that was made; -1: none */
};
static struct report *report;

static void on_system_call(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    report->number = info->si_syscall;
    syscall(SYS_exit_group, 3);
}

/* From here on every system call but leaving and returning from the handler raises SIGSYS. */
static int forbid_system_calls(void)
{
    struct sigaction action = {.sa_sigaction = on_system_call, .sa_flags = SA_SIGINFO};
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    sigaction(SIGSYS, &action, NULL);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* What a child does: a rig of its own, for the library runs on one thread in the child of a process that has used it.
 * */
struct walk_plan {
    lw_isa isa;
    size_t kind, threads, hidden, steps;
    int many, misbehave;
};

/* Returns how the child ended: 0, 3 after a system call, 4 without seccomp. */
static int walk_in_child(const struct walk_plan *plan)
{
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(report, MAP_FAILED);
    report->number = -1;
    pid_t child = fork();
    if (child == 0) {
        struct rig g;
        rig_create(&g, plan->isa, plan->kind, plan->threads, LW_FORWARD, plan->hidden);
        if (forbid_system_calls())
            syscall(SYS_exit_group, 4);
        report->failed = walk(&g, plan->steps, plan->many);
        if (plan->misbehave)
            syscall(SYS_getppid);
        report->walked = plan->steps;
        syscall(SYS_exit_group, 0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status), "the child died of signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void expect_no_system_call(const struct walk_plan *plan)
{
    int ended = walk_in_child(plan);
    if (ended == 4)
        cr_skip_test("this system has no seccomp filters");
    cr_assert_eq(ended, 0, "H %zu, %zu threads: system call %ld in a step", plan->hidden, plan->threads,
                 report->number);
    cr_assert_eq(report->walked, plan->steps);
    cr_assert_eq(report->failed, 0);
}

ParameterizedTestParameters(allocations, no_system_calls)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, allocations, no_system_calls)
{
    for (size_t threads = 1; threads <= 2; threads++)
        expect_no_system_call(&(struct walk_plan){p->isa, p->kind, threads, 40, 5000, 1, 0});
}

ParameterizedTestParameters(allocations, no_system_calls_in_large_steps)
{
    return every_isa(CELL_KINDS);
}

/* A step that is large enough for threads to pay stays on the calling thread; a gathered one does with one thread. */
ParameterizedTest(struct parameter *p, allocations, no_system_calls_in_large_steps)
{
    for (size_t threads = 1; threads <= 2; threads++)
        expect_no_system_call(&(struct walk_plan){p->isa, p->kind, threads, 500, 10, threads == 1, 0});
}

Test(allocations, the_filter_sees)
{
    int ended = walk_in_child(&(struct walk_plan){LW_ISA_SCALAR, 0, 1, 40, 1, 0, 1});
    if (ended == 4)
        cr_skip_test("this system has no seccomp filters");
    cr_assert_eq(ended, 3);
    cr_assert_eq(report->number, SYS_getppid);
}
