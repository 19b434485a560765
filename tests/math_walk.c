/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over all 2^32 floats, in as many threads as it is told to use: every function's scalar kernel beside the
 * exact value, and the kernels of the other instruction sets beside the scalar bits, so that what the one keeps they
 * all keep. Called by tools/check-all, since it takes minutes: math_walk [THREADS] [FUNCTION [TABLE]]. Prints the worst
 * error of each function, in the Test Anything Protocol.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "math_case.h"

#define MAX_THREADS 256

struct part {
    const math_function *f;
    const struct lw_kernels *table;
    uint32_t first, step; /* blocks */
    double worst;
    bool good;
    char why[WHY_SIZE];
};

static void *walk(void *argument)
{
    struct part *p = argument;
    p->good = true;
    for (uint64_t at = (uint64_t)p->first * MATH_BLOCK; at < MATH_FLOATS && p->good;
         at += (uint64_t)p->step * MATH_BLOCK) {
        uint64_t left = MATH_FLOATS - at;
        uint32_t first = (uint32_t)at, count = left < MATH_BLOCK ? (uint32_t)left : MATH_BLOCK;
        p->good = p->table == &lw_kernels_scalar
                      ? math_block_check(p->f, p->table, first, count, &p->worst, NULL, p->why)
                      : math_bits_check(p->f, p->table, first, count, p->why);
    }
    return NULL;
}

static bool walk_all(const math_function *f, const struct lw_kernels *table, size_t threads, size_t number)
{
    static struct part parts[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    for (size_t k = 0; k < threads; k++) {
        parts[k] = (struct part){.f = f, .table = table, .first = (uint32_t)k, .step = (uint32_t)threads};
        if (pthread_create(&ids[k], NULL, walk, &parts[k])) {
            fprintf(stderr, "thread %zu of %zu could not be created\n", k, threads);
            exit(2);
        }
    }
    char why[WHY_SIZE];
    bool good = math_special_check(f, table, why);
    double worst = 0;
    for (size_t k = 0; k < threads; k++) {
        pthread_join(ids[k], NULL);
        worst = parts[k].worst > worst ? parts[k].worst : worst;
        if (good && !parts[k].good)
            memcpy(why, parts[k].why, sizeof why);
        good = good && parts[k].good;
    }
    printf("%s %zu - %s %s: ", good ? "ok" : "not ok", number, table->name, f->name);
    if (table == &lw_kernels_scalar)
        printf("worst %.4f ulp of %.1f over %u floats\n", worst, f->ulp, MATH_FLOATS);
    else
        printf("the scalar bits over %u floats\n", MATH_FLOATS);
    if (!good)
        printf("# %s\n", why);
    fflush(stdout);
    return good;
}

int main(int argc, char **argv)
{
    size_t threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    if (threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: math_walk [THREADS, 1 to %d] [FUNCTION [TABLE]]\n", MAX_THREADS);
        return 2;
    }
    const struct lw_kernels *tables[MAX_TABLES];
    size_t count = kernel_tables(tables), walks = 0;
    bool good = true;
    for (size_t f = 0; f < MATH_FUNCTION_COUNT; f++)
        for (size_t t = 0; t < count; t++)
            if ((argc < 3 || strcmp(argv[2], math_functions[f].name) == 0) &&
                (argc < 4 || strcmp(argv[3], tables[t]->name) == 0))
                good = walk_all(&math_functions[f], tables[t], threads, ++walks) && good;
    printf("1..%zu\n", walks);
    return good ? 0 : 1;
}
