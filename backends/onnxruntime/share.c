/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The models that this process has packed, so that sessions and nodes with equal weights share one. Called by
 * kernel.c when a node is compiled and released. A hash finds candidates, a comparison of every bit decides.
 * The list and its counts are guarded by one lock; a model leaves the list with its last user.
 */
#include <pthread.h>
#include <stdlib.h>

#include "provider.h"

struct entry {
    struct entry *next;
    lw_model *model;
    size_t users;
    uint64_t hash;
    lw_isa isa;
    lw_brick bricks[EP_LAYERS_MAX];
    size_t layers;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *entries;

static bool same_brick(const lw_brick *a, const lw_brick *b)
{
    return a->kind == b->kind && a->input == b->input && a->hidden == b->hidden && a->direction == b->direction &&
           a->function == b->function && a->options == b->options && a->gate_clip == b->gate_clip;
}

static lw_status find(const struct ep_stack *stack, const struct ep_weights *weights, lw_isa isa, uint64_t hash,
                      struct entry **found)
{
    *found = NULL;
    for (struct entry *entry = entries; entry; entry = entry->next) {
        bool equal = entry->hash == hash && entry->isa == isa && entry->layers == stack->layers;
        for (size_t i = 0; i < stack->layers && equal; i++)
            equal = same_brick(&entry->bricks[i], &stack->layer[i].brick);
        for (size_t i = 0; i < stack->layers && equal; i++) {
            lw_status status = ep_weights_equal(&stack->layer[i], &weights[i], entry->model, &equal);
            if (status)
                return status;
        }
        if (equal) {
            *found = entry;
            return LW_OK;
        }
    }
    return LW_OK;
}

static lw_status add(const struct ep_stack *stack, const struct ep_weights *weights, lw_isa isa, uint64_t hash,
                     struct entry **added)
{
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return LW_ERR_MEMORY;
    lw_model_options options = LW_MODEL_OPTIONS_INIT;
    options.isa = (int)isa;
    entry->layers = stack->layers;
    for (size_t i = 0; i < stack->layers; i++)
        entry->bricks[i] = stack->layer[i].brick;
    lw_status status = lw_model_create(entry->bricks, entry->layers, &options, &entry->model);
    for (size_t i = 0; i < stack->layers && !status; i++)
        status = ep_weights_set(&stack->layer[i], &weights[i], entry->model);
    if (status) {
        lw_model_destroy(entry->model);
        free(entry);
        return status;
    }
    entry->hash = hash;
    entry->isa = isa;
    entry->next = entries;
    entries = entry;
    *added = entry;
    return LW_OK;
}

lw_status ep_model_take(const struct ep_stack *stack, const struct ep_weights *weights, int isa, lw_model **model,
                        bool *shared)
{
    lw_isa chosen = isa < 0 ? lw_isa_get() : (lw_isa)isa;
    uint64_t hash = 1;
    for (size_t i = 0; i < stack->layers; i++)
        hash = ep_weights_hash(&stack->layer[i], &weights[i], hash);
    struct entry *entry;
    pthread_mutex_lock(&lock);
    lw_status status = find(stack, weights, chosen, hash, &entry);
    *shared = entry != NULL;
    if (!status && !entry)
        status = add(stack, weights, chosen, hash, &entry);
    if (!status) {
        entry->users++;
        *model = entry->model;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void ep_model_give(lw_model *model)
{
    if (!model)
        return;
    pthread_mutex_lock(&lock);
    struct entry **at = &entries;
    while (*at && (*at)->model != model)
        at = &(*at)->next;
    struct entry *entry = *at;
    if (entry && --entry->users == 0) {
        *at = entry->next;
        lw_model_destroy(entry->model);
        free(entry);
    }
    pthread_mutex_unlock(&lock);
}
