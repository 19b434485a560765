/* SPDX-License-Identifier: Apache-2.0 */
/* Work of many threads on one model; see shared_work.h. Each thread compares its bits by itself: nothing here locks. */
#include "shared_work.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

bool shared_create(harness *h, lw_kind kind, lw_isa isa, char why[WHY_SIZE])
{
    scenario s = SCENARIO_INIT;
    s.bricks[0] = (lw_brick)LW_BRICK_INIT(kind);
    s.bricks[0].input = 40;
    s.bricks[0].hidden = 120;
    s.bricks[0].layers = 2;
    s.brick_count = 1;
    s.steps = 10;
    s.batch = 12;
    s.start = true;
    s.threads = 2;
    s.seed = 5;
    if (!harness_create(h, &s, isa, why))
        return false;
    lw_explanation explanation = {.size = sizeof explanation};
    if (lw_explain(h->context, s.steps, s.batch, NULL, &explanation) == LW_OK && explanation.threads == 2)
        return true;
    snprintf(why, WHY_SIZE, "the run is too small for two threads: this test shows nothing");
    harness_destroy(h);
    return false;
}

uint64_t shared_work(const harness *h, size_t threads)
{
    harness own = *h;
    char why[WHY_SIZE];
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = threads;
    lw_state *state = harness_state(h, why);
    size_t count = harness_output_count(h), bytes = lw_state_bytes(state);
    float *output = ref_alloc(count, sizeof *output);
    char *saved = ref_alloc(bytes, 1);
    own.context = NULL;
    uint64_t hash = 0;
    if (state && !lw_context_create(h->model, &options, &own.context) &&
        harness_run(&own, state, NULL, 0, output, why) && !lw_state_save(state, saved, bytes))
        hash = hash_bytes(hash_bytes(HASH_INIT, output, count * sizeof *output), saved, bytes);
    lw_context_destroy(own.context);
    lw_state_destroy(state);
    free(output);
    free(saved);
    return hash;
}

void *worker_run(void *worker)
{
    struct worker *w = worker;
    for (size_t round = 0; w->stop ? !atomic_load(w->stop) : round < 5; round++)
        w->wrong += shared_work(w->h, 1 + round % 2) != w->want;
    return NULL;
}

bool shared_check(const harness *h, char why[WHY_SIZE])
{
    struct worker workers[SHARING_THREADS];
    pthread_t ids[SHARING_THREADS];
    const uint64_t want = shared_work(h, 1);
    size_t started = 0, wrong = 0;
    for (; started < SHARING_THREADS; started++) {
        workers[started] = (struct worker){.h = h, .want = want};
        if (pthread_create(&ids[started], NULL, worker_run, &workers[started]))
            break;
    }
    for (size_t k = 0; k < started; k++) {
        pthread_join(ids[k], NULL);
        wrong += workers[k].wrong;
    }
    if (!want)
        snprintf(why, WHY_SIZE, "the work fails on one thread: %s", lw_error());
    else
        snprintf(why, WHY_SIZE, "%zu of %d threads were started, and %zu of their runs had other bits", started,
                 SHARING_THREADS, wrong);
    return want && started == SHARING_THREADS && wrong == 0;
}
