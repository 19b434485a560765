/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library inside other people's processes: sixteen threads on one model, children forked after and in the middle
 * of parallel work, calls inside somebody's parallel region, and every floating-point mode of the caller's. Each
 * result has the bits of the same work on one thread. LW_ROUNDS sets the number of forks (30): `make check-all` makes
 * 1,000.
 */
#include "every_isa.h"
#include "shared_work.h"

#include <dirent.h>
#include <fenv.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static char why[WHY_SIZE];

static void shared_model(harness *h, lw_kind kind, lw_isa isa)
{
    cr_assert(shared_create(h, kind, isa, why), "%s", why);
}

ParameterizedTestParameters(processes, sixteen_threads_on_one_model)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, processes, sixteen_threads_on_one_model)
{
    harness h;
    shared_model(&h, cell_kind(p->kind), p->isa);
    cr_assert(shared_check(&h, why), "%s", why);
    harness_destroy(&h);
}

static size_t rounds(void)
{
    const char *text = getenv("LW_ROUNDS");
    size_t count = text ? strtoul(text, NULL, 10) : 0;
    return count ? count : 30;
}

/* Children whose work has the bits of the parent's. One that hangs is ended by its alarm. */
static void expect_children(const harness *h, uint64_t want, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        pid_t child = fork();
        cr_assert_geq(child, 0, "no child could be forked");
        if (child == 0) {
            signal(SIGALRM, SIG_DFL);
            alarm(20);
            _exit(shared_work(h, 2) == want ? 0 : 1);
        }
        int status = 0;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(!WIFSIGNALED(status), "child %zu of %zu was ended by signal %d (%d: it hung)", k, count,
                  WTERMSIG(status), SIGALRM);
        cr_assert_eq(WEXITSTATUS(status), 0, "child %zu of %zu had other bits", k, count);
    }
}

Test(processes, fork_after_parallel_work)
{
    harness h;
    shared_model(&h, LW_LSTM, lw_isa_get());
    uint64_t want = shared_work(&h, 1);
    cr_assert_eq(shared_work(&h, 2), want);
    expect_children(&h, want, rounds());
    cr_assert_eq(shared_work(&h, 2), want, "the parent works on");
    harness_destroy(&h);
}

Test(processes, fork_in_the_middle_of_parallel_work)
{
    harness h;
    shared_model(&h, LW_GRU, lw_isa_get());
    atomic_bool stop = false;
    struct worker workers[2];
    pthread_t ids[2];
    uint64_t want = shared_work(&h, 1);
    for (size_t k = 0; k < 2; k++) {
        workers[k] = (struct worker){.h = &h, .want = want, .stop = &stop};
        cr_assert_eq(pthread_create(&ids[k], NULL, worker_run, &workers[k]), 0);
    }
    expect_children(&h, want, rounds());
    atomic_store(&stop, true);
    for (size_t k = 0; k < 2; k++) {
        pthread_join(ids[k], NULL);
        cr_expect_eq(workers[k].wrong, 0);
    }
    harness_destroy(&h);
}

static size_t threads_of_process(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        count += entry->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count;
}

/* Threads that wake on one CPU part; on which CPUs each may run is what it was, also where there is only one. */
Test(processes, cpus_stay_the_callers)
{
    harness h;
    shared_model(&h, LW_LSTM, lw_isa_get());
    uint64_t want = shared_work(&h, 1);
    cpu_set_t all, one;
    cr_assert_eq(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    for (int k = 0; k < 20; k++) {
        const cpu_set_t *mask = k % 5 == 4 ? &one : &all;
        for (int pass = 0; pass < 2; pass++) {
            DIR *folder = opendir("/proc/self/task");
            cr_assert(folder);
            for (struct dirent *entry; (entry = readdir(folder));) {
                cpu_set_t now;
                int id = atoi(entry->d_name);
                if (id == 0)
                    continue;
                if (pass == 0)
                    cr_assert_eq(sched_setaffinity(id, sizeof *mask, mask), 0);
                else if (sched_getaffinity(id, sizeof now, &now) == 0)
                    cr_expect(CPU_EQUAL(&now, mask), "round %d: thread %d may run elsewhere than before", k, id);
            }
            closedir(folder);
            if (pass == 0)
                cr_assert_eq(shared_work(&h, 2), want);
        }
        usleep(2000);
    }
    harness_destroy(&h);
}

/* Inside a region of the caller's each call stays on its thread: no teams of teams. */
Test(processes, inside_the_callers_region)
{
    harness h;
    shared_model(&h, LW_LSTM, lw_isa_get());
    uint64_t want = shared_work(&h, 1);
    size_t wrong = 0, before = 0;
    omp_set_max_active_levels(4); /* nesting is allowed, as far as OpenMP goes */
    for (int round = 0; round < 3; round++) {
#pragma omp parallel num_threads(3) reduction(+ : wrong)
        {
            for (int k = 0; k < 4; k++)
                wrong += shared_work(&h, 2) != want;
        }
        size_t now = threads_of_process();
        cr_assert(round == 0 || now == before, "%zu threads, %zu in the round before", now, before);
        before = now;
    }
    cr_assert_eq(wrong, 0, "%zu of 36 runs had other bits", wrong);
    cr_assert_leq(before, 4, "%zu threads: calls inside a region made teams of their own", before);
    harness_destroy(&h);
}

/* Sanitizers' frames are many times larger, as are those that nobody optimised. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define STACK_BYTES ((size_t)64 << 10)
#else
#define STACK_BYTES ((size_t)1 << 20)
#endif

static void *small_stack(void *argument)
{
    const harness *h = argument;
    char reason[WHY_SIZE];
    lw_tape *tape = NULL;
    lw_state *state = harness_state(h, reason);
    float *y = ref_alloc(harness_output_count(h), sizeof *y);
    float **parameters = ref_alloc(lw_model_parameter_count(h->model), sizeof *parameters);
    bool good = state && shared_work(h, 1) && shared_work(h, 2) && !lw_step(h->context, state, h->input, y);
    for (size_t k = 0; k < lw_model_parameter_count(h->model); k++) {
        lw_parameter p = {.size = sizeof p};
        good = good && !lw_model_parameter(h->model, k, &p);
        parameters[k] = ref_alloc(p.count, sizeof **parameters);
    }
    lw_io io = LW_IO_INIT;
    lw_gradients gradients = LW_GRADIENTS_INIT;
    io.steps = h->s.steps;
    io.batch = h->s.batch;
    io.input = h->input;
    io.output = y;
    gradients.output = y;
    gradients.parameters = parameters;
    good = good && !lw_tape_create(h->model, NULL, &tape) &&
           !lw_tape_forward(tape, (const float *const *)parameters, state, &io) && !lw_tape_backward(tape, &gradients);
    for (size_t k = 0; k < lw_model_parameter_count(h->model); k++)
        free(parameters[k]);
    free(parameters);
    free(y);
    lw_tape_destroy(tape);
    lw_state_destroy(state);
    return good ? argument : NULL;
}

ParameterizedTestParameters(processes, a_small_stack)
{
    return every_isa(CELL_KINDS);
}

/* Everything, training included, in a thread with a stack of STACK_BYTES, behind which a page ends the process. */
ParameterizedTest(struct parameter *p, processes, a_small_stack)
{
    harness h;
    pthread_t id;
    pthread_attr_t attributes;
    void *good = NULL;
    shared_model(&h, cell_kind(p->kind), p->isa);
    pthread_attr_init(&attributes);
    cr_assert_eq(pthread_attr_setstacksize(&attributes, STACK_BYTES), 0);
    cr_assert_eq(pthread_create(&id, &attributes, small_stack, &h), 0);
    pthread_join(id, &good);
    cr_assert(good, "%s", lw_error());
    pthread_attr_destroy(&attributes);
    harness_destroy(&h);
}

#if defined(__x86_64__)
#define MODE_BITS 0xffc0u /* of MXCSR: rounding, exception masks, flush to zero, denormals are zero */
static unsigned mode(void)
{
    return _mm_getcsr() & MODE_BITS;
}
#else
static int mode(void)
{
    return fegetround();
}
#endif

/* Results in another rounding mode, or with denormals flushed, are that mode's: not the usual bits, yet the same on any
 * number of threads and as near to the reference as ever; the mode stays as it was, and the next call in the usual mode
 * has the usual bits. */
static void expect_near_in_this_mode(const harness *h, const char *name)
{
    size_t count = harness_output_count(h);
    float *output = ref_alloc(count, sizeof *output);
    lw_state *state = harness_state(h, why);
    cr_assert(state, "%s", why);
    int rounding = fegetround();
    __auto_type before = mode();
    bool ran = harness_run(h, state, NULL, 0, output, why);
    uint64_t alone = shared_work(h, 1), shared = shared_work(h, 2);
    cr_assert_eq(mode(), before, "%s: the mode was changed", name);
    cr_assert_eq(fegetround(), rounding, "%s: the rounding mode was changed", name);
    fesetround(FE_TONEAREST);
    cr_assert(ran, "%s: %s", name, why);
    cr_expect_eq(alone, shared, "%s: other bits on two threads, which were born in another mode", name);
    ref_state *want = harness_ref_state(h);
    ref_trace *trace = harness_reference(h, want);
    /* A directed mode errs by up to an eps a rounding, not half of one, and always to the same side. */
    cr_expect(compare(name, output, trace->output, count, 2 * harness_tolerance(h), why), "%s", why);
    ref_trace_destroy(trace);
    ref_state_destroy(want);
    lw_state_destroy(state);
    free(output);
}

ParameterizedTestParameters(processes, rounding_modes)
{
    return every_isa(CELL_KINDS);
}

ParameterizedTest(struct parameter *p, processes, rounding_modes)
{
    static const struct {
        int mode;
        const char *name;
    } modes[] = {{FE_UPWARD, "upward"}, {FE_DOWNWARD, "downward"}, {FE_TOWARDZERO, "toward zero"}};
    harness h;
    shared_model(&h, cell_kind(p->kind), p->isa);
    uint64_t want = shared_work(&h, 1);
    for (size_t k = 0; k < sizeof modes / sizeof *modes; k++) {
        fesetround(modes[k].mode);
        expect_near_in_this_mode(&h, modes[k].name);
        cr_assert_eq(shared_work(&h, 2), want, "after %s: other bits in the usual mode", modes[k].name);
    }
#if defined(__x86_64__)
    unsigned usual = _mm_getcsr();
    _mm_setcsr(usual | 0x8040u); /* flush to zero, denormals are zero */
    expect_near_in_this_mode(&h, "denormals flushed");
    cr_assert_eq(_mm_getcsr() & 0x8040u, 0x8040u, "the caller's flushing of denormals was undone");
    _mm_setcsr(usual);
    cr_assert_eq(shared_work(&h, 2), want, "after flushing denormals: other bits in the usual mode");
#endif
    harness_destroy(&h);
}
