/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain runner of the kernel tests, for architectures where the test framework does not run: the same cases as
 * test_kernels.c and test_math.c, results in the Test Anything Protocol. With --hashes it also prints a line
 * "hash NAME HEX" for each group of cases, over the bits of every result of the best instruction set, so that two
 * machines can be compared by diff. Needs the kernels and the C library, nothing else.
 */
#include <stdio.h>
#include <string.h>

#include "cases.h"
#include "math_case.h"
#include "random.h"

static bool hashes;
static size_t tests, failures;

static void report(bool good, const char *table, const char *name, const char *why)
{
    tests++;
    failures += !good;
    printf("%s %zu - %s %s\n", good ? "ok" : "not ok", tests, table, name);
    if (!good)
        printf("# %s\n", why);
    fflush(stdout);
}

static void print_hash(bool best, const char *name, uint64_t hash)
{
    if (hashes && best)
        printf("hash %s %016llx\n", name, (unsigned long long)hash);
}

static void run_cells(const struct lw_kernels *table, bool best)
{
    for (size_t v = 0; v < VARIANT_COUNT; v++) {
        kernel_case c;
        char why[WHY_SIZE];
        bool good = true;
        uint64_t all = HASH_INIT, one;
        for (size_t k = 0; good && kernel_case_number(&kernel_variants[v], k, &c); k++) {
            good = kernel_case_check(&c, table, &one, why);
            all = hash_bytes(all, &one, sizeof one);
        }
        report(good, table->name, kernel_variants[v].name, why);
        print_hash(best, kernel_variants[v].name, all);
    }
}

static void run_matrices(const struct lw_kernels *table, bool best)
{
    matrix_case c;
    char why[WHY_SIZE];
    bool good = true;
    uint64_t all = HASH_INIT, one;
    for (size_t k = 0; good && matrix_case_number(k, &c); k++) {
        good = matrix_case_check(&c, table, &one, why);
        all = hash_bytes(all, &one, sizeof one);
    }
    report(good, table->name, "matrices", why);
    print_hash(best, "matrices", all);
}

static void run_functions(const struct lw_kernels *table, bool best)
{
    char why[WHY_SIZE];
    for (size_t k = 0; k < MATH_FUNCTION_COUNT; k++) {
        const math_function *f = &math_functions[k];
        double worst = 0;
        uint64_t hash = HASH_INIT;
        /* Wider apart than in the native suite: this runs in an emulator. */
        bool good = math_strided_check(f, table, 64, 4001, &worst, &hash, why) && math_special_check(f, table, why);
        report(good, table->name, f->name, why);
        if (good)
            printf("# worst %.4f ulp of %.1f\n", worst, f->ulp);
        print_hash(best, f->name, hash);
    }
    for (int f = LW_K_LINEAR; f <= LW_K_EXP; f++)
        report(math_array_check((enum lw_kernel_function)f, table, why), table->name, "arrays", why);
}

int main(int argc, char **argv)
{
    hashes = argc == 2 && strcmp(argv[1], "--hashes") == 0;
    if (argc > 1 && !hashes) {
        fprintf(stderr, "usage: kernels_tap [--hashes]\n");
        return 2;
    }
    const struct lw_kernels *tables[MAX_TABLES];
    size_t count = kernel_tables(tables);
    for (size_t t = 0; t < count; t++) {
        run_matrices(tables[t], t + 1 == count);
        run_cells(tables[t], t + 1 == count);
        run_functions(tables[t], t + 1 == count);
    }
    printf("1..%zu\n", tests);
    return failures ? 1 : 0;
}
