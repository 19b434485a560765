/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file with OpenMP. A call opens one region; inside it threads meet at the library's own barrier.
 * A child of fork() runs on one thread for good, because OpenMP's threads did not survive the fork and the next
 * region would wait for them for ever. OpenMP ends the process when it cannot start a thread; so a thread that asks for
 * a larger team than its last one tries by itself first, and works alone where the threads cannot be had. A thread was
 * born with the floating-point mode that its creator had at that time: it takes over the caller's for the call and gets
 * its own back, so that results depend on the caller's mode alone.
 */
#define _GNU_SOURCE
#include "parallel.h"

#include <fenv.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define RELAX() _mm_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ volatile("yield")
#else
#define RELAX() ((void)0)
#endif

static atomic_int forked; /* set in a child */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void in_child(void)
{
    atomic_store(&forked, 1);
}

static void watch_fork(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

size_t lw_parallel_threads(size_t wanted)
{
    pthread_once(&once, watch_fork);
    if (atomic_load_explicit(&forked, memory_order_relaxed) || omp_in_parallel())
        return 1;
    size_t most = (size_t)lw_max(1, (size_t)omp_get_max_threads());
    return lw_min(wanted ? wanted : most, LW_THREADS_MAX);
}

struct call {
    lw_task task;
    void *argument;
    size_t count;
    fenv_t mode;            /* the caller's */
    uint64_t end;           /* of the caller's own part */
    atomic_ullong cpus[16]; /* on which a thread of the call runs already */
};

#if defined(__linux__)
/* A thread that slept may be woken on the CPU of a thread of the same call, and the two would then take turns there for
 * several milliseconds, until the kernel looks for balance: at each barrier one of them waits for the other. So it goes
 * to another CPU that it may use; what it may use stays what it was. */
static void go_elsewhere(struct call *call)
{
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    others = allowed;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (call->cpus[cpu / 64] >> cpu % 64 & 1)
            CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof allowed, &allowed);
}

/* True if no thread of the call was here before. */
static bool settle(struct call *call)
{
    const int cpu = sched_getcpu();
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return true;
    const unsigned long long bit = 1ull << cpu % 64;
    return !(atomic_fetch_or_explicit(&call->cpus[cpu / 64], bit, memory_order_relaxed) & bit);
}
#endif

static void find_a_cpu(struct call *call)
{
#if defined(__linux__)
    if (settle(call))
        return;
    go_elsewhere(call);
    settle(call);
#else
    (void)call;
#endif
}

static void run_in_mode(const struct call *call, size_t index, size_t count)
{
    fenv_t own;
    fegetenv(&own);
    fesetenv(&call->mode);
    call->task(call->argument, index, count);
    fesetenv(&own);
}

static void pool_task(void *argument, size_t index)
{
    const struct call *call = argument;
    run_in_mode(call, index, call->count);
}

static _Thread_local size_t team = 1; /* this thread's last one: OpenMP ends what a smaller one leaves over */
static pthread_mutex_t trial = PTHREAD_MUTEX_INITIALIZER;

static void *wait_for_trial(void *argument)
{
    pthread_mutex_lock(&trial);
    pthread_mutex_unlock(&trial);
    return argument;
}

/* Whether those that the last team lacks can run beside it: all of them start, and wait until the last one has. Two
 * things it cannot see: regions of the caller's own on this thread, of which a smaller one ends threads too, and a
 * stack size of OpenMP's threads (OMP_STACKSIZE) for which there is no room, because these have the default one. */
static bool can_start(size_t count)
{
    pthread_t threads[LW_THREADS_MAX];
    size_t started = lw_min(team, count);
    if (started == count) {
        team = count;
        return true;
    }
    pthread_mutex_lock(&trial);
    while (started < count && pthread_create(&threads[started], NULL, wait_for_trial, NULL) == 0)
        started++;
    pthread_mutex_unlock(&trial);
    for (size_t i = team; i < started; i++)
        pthread_join(threads[i], NULL);
    if (started < count)
        return false;
    team = count;
    return true;
}

uint64_t lw_nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define LONG_WAIT ((uint64_t)200000) /* nanoseconds; threads of an idle machine wake within a part of it */

bool lw_parallel_run(size_t count, lw_parallel parallel, void *pool, lw_task task, void *argument)
{
    if (count <= 1) {
        task(argument, 0, 1);
        return false;
    }
    struct call call = {.task = task, .argument = argument, .count = count};
    fegetenv(&call.mode);
    if (parallel) {
        parallel(pool, count, pool_task, &call);
        return false;
    }
    if (!can_start(count)) {
        task(argument, 0, 1);
        return false;
    }
    const uint64_t begin = lw_nanoseconds();
    find_a_cpu(&call);
#pragma omp parallel num_threads((int)count)
    {
        const size_t index = (size_t)omp_get_thread_num();
        if (index > 0)
            find_a_cpu(&call);
        run_in_mode(&call, index, (size_t)omp_get_num_threads());
        if (index == 0)
            call.end = lw_nanoseconds();
    }
    return lw_nanoseconds() - call.end > lw_max(LONG_WAIT, call.end - begin);
}

/* Some 20 to 50 microseconds: the threads of an idle machine never differ by that in a short step. */
#define SPINS ((size_t)2000)
#define SPIN_CYCLES 64.0 /* of one turn */
#define SOON 50          /* turns that ask no clock */
#define YIELDS 200       /* then the others are away for long: sleep */
#define SLEEP_NANOSECONDS 50000
#define LATE_LIMIT 2   /* waits so long that a team forgives: interrupts happen on idle machines too */
#define MOST_LOST 0.25 /* of its time that a team forgives; two threads that lose half are no better than one */

void lw_barrier_begin(struct lw_barrier *barrier, double cycles, uint64_t now)
{
    barrier->spins = lw_max(SPINS, (size_t)(0.5 * cycles / SPIN_CYCLES));
    atomic_store_explicit(&barrier->late, 0, memory_order_relaxed);
    atomic_store_explicit(&barrier->lost, 0, memory_order_relaxed);
    barrier->begin = now;
    barrier->alone = false;
}

/* Has the team of `count` waited too long, up to now? The clock is read only where there were some long waits. */
static bool too_late(const struct lw_barrier *barrier, size_t count)
{
    if (atomic_load_explicit(&barrier->late, memory_order_relaxed) <= LATE_LIMIT)
        return false;
    const double lost = (double)atomic_load_explicit(&barrier->lost, memory_order_relaxed) / (double)(count - 1);
    return lost > MOST_LOST * (double)(lw_nanoseconds() - barrier->begin);
}

/* Waits for the end of `round`. The clock, which costs more than a short wait, is left alone for SOON turns. */
static void wait_for_others(struct lw_barrier *barrier, size_t round)
{
    const size_t spins = lw_max(SPINS, barrier->spins);
    uint64_t begin = 0;
    size_t turn = 0;
    for (; atomic_load_explicit(&barrier->round, memory_order_acquire) == round; turn++) {
        if (turn == SOON)
            begin = lw_nanoseconds();
        if (turn < spins)
            RELAX();
        else if (turn < spins + YIELDS)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = SLEEP_NANOSECONDS}, NULL);
    }
    if (turn <= spins)
        return;
    atomic_fetch_add_explicit(&barrier->late, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&barrier->lost, lw_nanoseconds() - begin, memory_order_relaxed);
}

bool lw_barrier_wait(struct lw_barrier *barrier, size_t count)
{
    if (count <= 1)
        return false;
    size_t round = atomic_load_explicit(&barrier->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 == count) {
        /* The last one decides for all; the others read it before they can arrive at the next barrier. */
        if (!barrier->alone && too_late(barrier, count))
            barrier->alone = true;
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->round, round + 1, memory_order_release);
        return barrier->alone;
    }
    wait_for_others(barrier, round);
    return barrier->alone;
}
