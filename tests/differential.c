/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random models and requests against the reference in double precision, as many as one asks for:
 *
 *     differential [COUNT [FIRST_SEED]]
 *
 * Cells, options, directions, layers, lengths, layouts, batches, steps and sizes of 1 to 67 are drawn from the seed;
 * the instruction sets of this CPU take turns. Compared are all outputs at every step and all final states and, in
 * every fourth configuration, the gradient of every parameter, of the input and of the initial states: element by
 * element, within 4 * (1 + backward) * ceil(log2(9 T)) * eps for each layer, relative to the largest of the array and
 * to 1 below it. Results in the Test Anything Protocol; the last lines tell the worst error as a part of what was
 * allowed. A configuration that fails is named by its seed: `differential 1 SEED` is that one again.
 */
#include "gradient_case.h"

#include <stdio.h>
#include <stdlib.h>

#define KINDS 3
#define GRADIENTS_EVERY 4
#define MOST_STEPS_BACK 200 /* steps times rows: the reference's way back takes its time */

static const char *const kind_names[KINDS] = {"lstm", "gru", "rnn"};

struct tally {
    size_t forward, backward, failures;
    char first[WHY_SIZE + 1200]; /* failure */
};

static bool check_back(const scenario *s, lw_isa isa, char why[WHY_SIZE])
{
    gradient_case g;
    gradient_result r = {0};
    bool good = gradient_case_create(&g, s, isa, why) && gradient_result_create(&r, &g, why) &&
                gradient_run(&g, &r, NULL, why);
    if (good) {
        ref_gradients *want = gradient_reference(&g);
        good = gradient_compare_elements(&g, &r, want, 2 * harness_tolerance(&g.h), why);
        ref_gradients_destroy(want);
    }
    gradient_result_destroy(&r);
    gradient_case_destroy(&g);
    return good;
}

static void check(uint64_t seed, lw_kind kind, lw_isa isa, struct tally *tally)
{
    scenario s;
    char why[WHY_SIZE] = "";
    scenario_random(&s, kind, seed);
    bool good = harness_check(&s, isa, why);
    tally->forward++;
    if (good && seed / KINDS % GRADIENTS_EVERY == 0 && s.steps * s.batch <= MOST_STEPS_BACK) {
        gradient_settle(&s);
        good = check_back(&s, isa, why);
        tally->backward++;
    }
    if (!good && tally->failures++ == 0)
        snprintf(tally->first, sizeof tally->first, "seed %llu: %s: %s", (unsigned long long)seed, scenario_text(&s),
                 why);
}

static bool number(const char *text, unsigned long long *value)
{
    char *end;
    *value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end;
}

int main(int argc, char **argv)
{
    unsigned long long count = 300, first = 0;
    if (argc > 3 || (argc > 1 && !number(argv[1], &count)) || (argc > 2 && !number(argv[2], &first))) {
        fprintf(stderr, "usage: differential [COUNT [FIRST_SEED]]\n");
        return 2;
    }
    lw_isa isas[LW_ISA_COUNT];
    size_t isa_count = 0, forward = 0, backward = 0, failures = 0, tests = 0;
    for (int isa = 0; isa < LW_ISA_COUNT; isa++)
        if (lw_isa_supported((lw_isa)isa))
            isas[isa_count++] = (lw_isa)isa;
    static struct tally tallies[LW_ISA_COUNT][KINDS];
    for (uint64_t seed = first; seed < first + count; seed++) {
        /* A seed has the same kind and instruction set in every run: the mixture must not fall in step with either. */
        size_t kind = seed % KINDS, isa = rng_mix(seed) % isa_count;
        check(seed, (lw_kind)(LW_LSTM + (int)kind), isas[isa], &tallies[isa][kind]);
    }
    for (size_t isa = 0; isa < isa_count; isa++)
        for (size_t kind = 0; kind < KINDS; kind++) {
            const struct tally *t = &tallies[isa][kind];
            if (!t->forward)
                continue;
            printf("%s %zu - %s %s: %zu configurations, %zu of them back\n", t->failures ? "not ok" : "ok", ++tests,
                   lw_isa_name(isas[isa]), kind_names[kind], t->forward, t->backward);
            if (t->failures)
                printf("# %zu failed; the first: %s\n", t->failures, t->first);
            forward += t->forward;
            backward += t->backward;
            failures += t->failures;
        }
    printf("# %zu configurations, %zu with gradients, %zu failed; worst error forward %.3f, backward %.3f of what is "
           "allowed\n",
           forward, backward, failures, compare_worst(), gradient_worst_element());
    const bool rare = harness_beyond_float() * 1000 <= forward;
    failures += !rare;
    printf("%s %zu - at most one in 1,000 leaves the range of f32\n# %zu of %zu\n", rare ? "ok" : "not ok", ++tests,
           harness_beyond_float(), forward);
    printf("1..%zu\n", tests);
    return failures || !tests ? 1 : 0;
}
