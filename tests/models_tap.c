/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain runner of the model tests, for architectures where the test framework does not run: the random models of
 * test_cells.c against the reference on every instruction set of this CPU, in the Test Anything Protocol. With --hashes
 * it also prints "hash NAME HEX" over the bits of all outputs and final states, for comparison between machines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

#define CASES 60

static const char *const names[] = {"lstm", "gru", "rnn"};

/* Runs a scenario as it is and hashes what comes out; the reference has nothing to do here. */
static bool hash_scenario(const scenario *s, lw_isa isa, uint64_t *hash, char why[WHY_SIZE])
{
    harness h;
    lw_state *state = NULL;
    bool good = harness_create(&h, s, isa, why) && (state = harness_state(&h, why)) != NULL;
    size_t count = good ? harness_output_count(&h) : 0, bytes = lw_state_bytes(state);
    float *output = ref_alloc(count, sizeof *output);
    char *saved = ref_alloc(bytes, 1);
    good = good && harness_run(&h, state, NULL, 0, output, why) && lw_state_save(state, saved, bytes) == LW_OK;
    *hash = hash_bytes(hash_bytes(*hash, output, count * sizeof *output), saved, bytes);
    free(output);
    free(saved);
    lw_state_destroy(state);
    harness_destroy(&h);
    return good;
}

int main(int argc, char **argv)
{
    bool hashes = argc == 2 && strcmp(argv[1], "--hashes") == 0;
    if (argc > 1 && !hashes) {
        fprintf(stderr, "usage: models_tap [--hashes]\n");
        return 2;
    }
    size_t tests = 0, failures = 0;
    for (int isa = 0; isa < LW_ISA_COUNT; isa++) {
        if (!lw_isa_supported((lw_isa)isa))
            continue;
        for (int kind = 0; kind < 3; kind++) {
            char why[WHY_SIZE] = "";
            bool good = true;
            uint64_t hash = HASH_INIT;
            scenario s;
            for (uint64_t seed = 0; seed < CASES && good; seed++) {
                scenario_random(&s, (lw_kind)(LW_LSTM + kind), seed);
                good = harness_check(&s, (lw_isa)isa, why) && hash_scenario(&s, (lw_isa)isa, &hash, why);
            }
            tests++;
            failures += !good;
            printf("%s %zu - %s %s\n", good ? "ok" : "not ok", tests, lw_isa_name((lw_isa)isa), names[kind]);
            if (!good)
                printf("# %s: %s\n", scenario_text(&s), why);
            if (hashes)
                printf("hash model-%s %016llx\n", names[kind], (unsigned long long)hash);
            fflush(stdout);
        }
    }
    printf("1..%zu\n", tests);
    return failures ? 1 : 0;
}
