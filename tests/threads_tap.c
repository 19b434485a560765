/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sixteen threads on one model, without the test framework, for whose arena ThreadSanitizer leaves no room: each cell
 * on each instruction set of this CPU, in the Test Anything Protocol. Called by `make test` and tools/sanitize.
 */
#include <stdio.h>

#include "shared_work.h"

int main(void)
{
    static const char *const names[] = {"lstm", "gru", "rnn"};
    size_t tests = 0, failures = 0;
    for (int isa = 0; isa < LW_ISA_COUNT; isa++)
        for (int kind = 0; kind < 3 && lw_isa_supported((lw_isa)isa); kind++) {
            harness h;
            char why[WHY_SIZE];
            bool made = shared_create(&h, (lw_kind)(LW_LSTM + kind), (lw_isa)isa, why);
            bool good = made && shared_check(&h, why);
            if (made)
                harness_destroy(&h);
            failures += !good;
            printf("%s %zu - %s %s\n", good ? "ok" : "not ok", ++tests, lw_isa_name((lw_isa)isa), names[kind]);
            if (!good)
                printf("# %s\n", why);
            fflush(stdout);
        }
    printf("1..%zu\n", tests);
    return failures ? 1 : 0;
}
