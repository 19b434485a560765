/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kernel on every instruction set of this CPU: sizes, offsets, guard pages, canaries, unwritten outputs, the
 * double-precision reference, and the same bits as the scalar kernels. The cases are those of cases.h.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "cases.h"
#include "every_table.h"

ParameterizedTestParameters(kernels, cells)
{
    return every_table(VARIANT_COUNT);
}

ParameterizedTest(struct parameter *p, kernels, cells)
{
    kernel_case c;
    char why[WHY_SIZE];
    size_t number = 0;
    for (; kernel_case_number(&kernel_variants[p->kind], number, &c); number++)
        cr_assert(kernel_case_check(&c, table_of(p), NULL, why), "%s", why);
    cr_assert_gt(number, 12 * SIZE_SWEEP);
}

ParameterizedTestParameters(kernels, matrices)
{
    return every_table(1);
}

ParameterizedTest(struct parameter *p, kernels, matrices)
{
    matrix_case c;
    char why[WHY_SIZE];
    size_t number = 0;
    for (; matrix_case_number(number, &c); number++)
        cr_assert(matrix_case_check(&c, table_of(p), NULL, why), "%s", why);
    cr_assert_gt(number, 5 * 7 * SIZE_SWEEP);
}

/* The guards themselves: they must see what they are there for, or all of the above says nothing. */
Test(guards, canaries_and_unwritten)
{
    for (size_t offset = 1; offset < OFFSETS; offset++)
        for (int side = GUARD_BEFORE; side <= GUARD_AFTER; side++) {
            guard g = guard_create(7, (guard_side)side, offset);
            cr_assert(guard_intact(&g));
            cr_assert_eq(guard_unwritten(&g), 7);
            g.data[3] = 1;
            cr_assert_eq(guard_unwritten(&g), 6);
            cr_assert(guard_intact(&g));
            g.data[side == GUARD_BEFORE ? -1 : 7] = 0;
            cr_assert(!guard_intact(&g));
            guard_clear(&g);
            g.data[side == GUARD_BEFORE ? 7 : -1] = 0;
            cr_assert(!guard_intact(&g));
            guard_destroy(&g);
        }
}

/* Does a process that touches the buffer so die? (Of a signal, or of a sanitizer that catches it.) */
static bool dies(guard_side side, bool read_only, ptrdiff_t index, bool write)
{
    pid_t child = fork();
    if (child == 0) {
        guard g = guard_create(5, side, 0);
        volatile float *data = g.data;
        if (read_only)
            guard_read_only(&g);
        if (write)
            data[index] = 0;
        else
            (void)data[index];
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

Test(guards, forbidden_pages)
{
    cr_assert(dies(GUARD_AFTER, false, 5, false));
    cr_assert(dies(GUARD_AFTER, false, 5, true));
    cr_assert(dies(GUARD_BEFORE, false, -1, false));
    cr_assert(dies(GUARD_BEFORE, false, -1, true));
    cr_assert(dies(GUARD_BEFORE, true, 2, true));
    cr_assert(!dies(GUARD_BEFORE, true, 2, false));
    cr_assert(!dies(GUARD_AFTER, false, 4, true));
    cr_assert(!dies(GUARD_BEFORE, false, 0, true));
}
