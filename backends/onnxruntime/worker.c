/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers of a kernel: what one call of it needs for itself. Called by kernel.c. The pool is an array of slots that
 * are exchanged atomically, without a lock, so that a child of fork() never waits for a thread that it does not have.
 * More calls at once than slots make workers that live for one call. Buffers grow and are kept.
 */
#include <stdlib.h>

#include "kernel.h"

static void worker_destroy(struct ep_worker *worker)
{
    if (!worker)
        return;
    lw_state_destroy(worker->state);
    lw_context_destroy(worker->context);
    free(worker->lengths);
    free(worker->floats);
    free(worker);
}

static lw_status worker_create(const struct ep_kernel *kernel, struct ep_worker **out)
{
    struct ep_worker *worker = calloc(1, sizeof *worker);
    lw_context_options options = LW_CONTEXT_OPTIONS_INIT;
    options.threads = kernel->threads;
    *out = NULL;
    if (!worker)
        return LW_ERR_MEMORY;
    lw_status status = lw_context_create(kernel->model, &options, &worker->context);
    if (status)
        worker_destroy(worker);
    else
        *out = worker;
    return status;
}

lw_status ep_worker_take(struct ep_kernel *kernel, struct ep_worker **worker)
{
    for (size_t i = 0; i < EP_WORKERS_KEPT; i++)
        if (atomic_load_explicit(&kernel->pool[i], memory_order_relaxed) &&
            (*worker = atomic_exchange(&kernel->pool[i], NULL)))
            return LW_OK;
    return worker_create(kernel, worker);
}

void ep_worker_give(struct ep_kernel *kernel, struct ep_worker *worker)
{
    for (size_t i = 0; worker && i < EP_WORKERS_KEPT; i++) {
        struct ep_worker *none = NULL;
        if (atomic_compare_exchange_strong(&kernel->pool[i], &none, worker))
            return;
    }
    worker_destroy(worker);
}

/* The products are those of tensors that are in memory. */
lw_status ep_worker_floats(struct ep_worker *worker, size_t count, float **floats)
{
    if (worker->float_count < count) {
        free(worker->floats);
        worker->floats = malloc(count * sizeof *worker->floats);
        worker->float_count = worker->floats ? count : 0;
    }
    *floats = worker->floats;
    return worker->floats || count == 0 ? LW_OK : LW_ERR_MEMORY;
}

lw_status ep_worker_lengths(struct ep_worker *worker, size_t count)
{
    if (worker->length_count < count) {
        free(worker->lengths);
        worker->lengths = malloc(count * sizeof *worker->lengths);
        worker->length_count = worker->lengths ? count : 0;
    }
    return worker->lengths ? LW_OK : LW_ERR_MEMORY;
}

lw_status ep_worker_state(const struct ep_kernel *kernel, struct ep_worker *worker, size_t batch)
{
    if (worker->state && lw_state_batch(worker->state) == batch)
        return lw_state_reset(worker->state);
    lw_state_destroy(worker->state);
    worker->state = NULL;
    return lw_state_create(kernel->model, batch, &worker->state);
}

void ep_workers_destroy(struct ep_kernel *kernel)
{
    for (size_t i = 0; i < EP_WORKERS_KEPT; i++)
        worker_destroy(atomic_exchange(&kernel->pool[i], NULL));
}
