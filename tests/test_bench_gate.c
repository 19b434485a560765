/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics behind `latchwork bench gate`: intervals, verdicts, change points; and how often the gate errs, with
 * noise that was recorded on a machine on which others worked (tests/noise/pairs.txt) in the machine's place.
 */
#include "../cli/bench/changes.h"
#include "../cli/bench/judge.h"
#include "../cli/bench/statistics.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Uniform in [0, 1). */
static double uniform(uint64_t *state)
{
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

static double normal(uint64_t *state)
{
    const double u = uniform(state), v = uniform(state);
    return sqrt(-2.0 * log(1.0 - u)) * cos(6.283185307179586 * v);
}

Test(statistics, percentiles)
{
    const double values[] = {4.0, 1.0, 3.0, 2.0};
    double sorted[] = {4.0, 1.0, 3.0, 2.0};
    sort_samples(sorted, 4);
    cr_assert_eq(median_of(values, 4), 2.5);
    cr_assert_eq(percentile(sorted, 4, 0.0), 1.0);
    cr_assert_eq(percentile(sorted, 4, 100.0), 4.0);
    cr_assert_float_eq(percentile(sorted, 4, 10.0), 1.3, 1e-12);
    cr_assert(isnan(percentile(sorted, 0, 50.0)));
    cr_assert(isnan(median_of(values, 0)));
}

Test(statistics, the_middle_half_ignores_what_is_wild)
{
    double values[] = {0.0, 1e9, 1.0, 2.0, 3.0, 4.0, 5.0, -1e9};
    cr_assert_float_eq(middle_mean(values, 8), 2.5, 1e-12);
    double few[] = {1.0, 3.0};
    cr_assert_eq(middle_mean(few, 2), 2.0);
    cr_assert(isnan(middle_mean(few, 0)));
}

/* Of intervals at 99 %, few may miss; by the bootstrap's habit some more than 1 % do. */
Test(statistics, intervals_cover_what_they_should)
{
    enum { TRIALS = 300, COUNT = 20 };
    uint64_t state = 7;
    size_t missed = 0;
    for (size_t t = 0; t < TRIALS; t++) {
        double logs[COUNT];
        for (size_t i = 0; i < COUNT; i++)
            logs[i] = log(1.04) + 0.02 * normal(&state);
        const struct effect effect = effect_paired(logs, COUNT, t);
        cr_assert(effect.low <= effect.ratio && effect.ratio <= effect.high);
        missed += effect.low > 1.04 || effect.high < 1.04;
    }
    cr_assert_leq(missed, TRIALS / 25, "%zu of %d intervals miss", missed, TRIALS);
    cr_assert_geq(missed, 1, "no interval misses: they are too wide");
}

Test(statistics, the_same_seed_gives_the_same_interval)
{
    const double logs[] = {0.01, 0.03, -0.02, 0.05, 0.0, 0.02, 0.01};
    const struct effect a = effect_paired(logs, 7, 3), b = effect_paired(logs, 7, 3);
    cr_assert(a.low == b.low && a.high == b.high && a.ratio == b.ratio);
    const struct effect none = effect_paired(logs, 0, 3);
    cr_assert(isnan(none.ratio) && none.count == 0);
}

Test(statistics, unpaired)
{
    const double base[] = {0.0, 0.001, -0.001, 0.002, -0.002, 0.0}, now[] = {0.1, 0.101, 0.099, 0.102, 0.098, 0.1};
    const struct effect effect = effect_unpaired(base, 6, now, 6, 1);
    cr_assert_float_eq(effect.ratio, exp(0.1), 1e-3);
    cr_assert(effect.low > 1.09 && effect.high < 1.12);
}

Test(statistics, verdicts)
{
    const struct {
        double ratio, low, high;
        enum verdict verdict;
    } cases[] = {
        {1.05, 1.02, 1.08, VERDICT_SLOWER}, {1.05, 0.99, 1.11, VERDICT_NOISY}, {1.02, 1.01, 1.029, VERDICT_SAME},
        {1.02, 1.01, 1.04, VERDICT_NOISY},  {1.00, 0.99, 1.01, VERDICT_SAME},  {0.90, 0.88, 0.93, VERDICT_FASTER},
        {0.98, 0.96, 1.00, VERDICT_NOISY},  {NAN, NAN, NAN, VERDICT_NOISY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct effect effect = {cases[i].ratio, cases[i].low, cases[i].high, 0.01, 10};
        cr_assert_eq(verdict_of(&effect, 0.03), cases[i].verdict, "case %zu: %s", i,
                     verdict_word(verdict_of(&effect, 0.03)));
    }
}

/* ---- how often the gate errs ---------------------------------------------------------------------------------- */

enum { RECORDED_MOST = 4000, SERIES_MOST = 32 };

struct noise {
    double logs[RECORDED_MOST];
    size_t begin[SERIES_MOST + 1], series; /* of one workload each, in the order in which they were taken */
};

static void load_noise(struct noise *noise)
{
    char path[1024], line[65536];
    const char *root = getenv("LW_SOURCE_ROOT");
    snprintf(path, sizeof path, "%s/tests/noise/pairs.txt", root ? root : ".");
    FILE *file = fopen(path, "r");
    cr_assert(file, "%s cannot be opened", path);
    size_t used = 0;
    *noise = (struct noise){.series = 0};
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#')
            continue;
        cr_assert_lt(noise->series, SERIES_MOST);
        noise->begin[noise->series++] = used;
        for (char *at = line, *end; used < RECORDED_MOST; at = end) {
            const double ratio = strtod(at, &end);
            if (end == at)
                break;
            noise->logs[used++] = log(ratio);
        }
    }
    noise->begin[noise->series] = used;
    fclose(file);
    cr_assert(noise->series >= 4 && used >= 400, "%zu series, %zu pairs", noise->series, used);
}

struct replay {
    const struct noise *noise;
    size_t begin, end, at; /* it goes round in one series, so that neighbours stay neighbours */
    double sign, slower;
};

static int replay_pair(void *source, enum pairing pairing, double *log_ratio)
{
    struct replay *replay = source;
    *log_ratio = replay->sign * replay->noise->logs[replay->at] +
                 (pairing == PAIR_BASE_NEW ? log(replay->slower) : 0.0);
    replay->at = replay->at + 1 < replay->end ? replay->at + 1 : replay->begin;
    return 1;
}

/* Verdicts of `trials` gates, each from another place of the recording. */
static void count_verdicts(double slower, size_t trials, size_t counts[5])
{
    static struct noise noise;
    uint64_t state = 11;
    load_noise(&noise);
    for (size_t t = 0; t < trials; t++) {
        const size_t series = t % noise.series, begin = noise.begin[series], end = noise.begin[series + 1];
        struct replay replay = {.noise = &noise,
                                .begin = begin,
                                .end = end,
                                .at = begin + random_next(&state) % (end - begin),
                                .sign = random_next(&state) & 1 ? 1.0 : -1.0,
                                .slower = slower};
        const struct judge_plan plan = {.threshold = 0.03, .floor_pairs = 10, .least = 10, .most = 60, .seed = t};
        struct judgement judgement;
        cr_assert(judge(replay_pair, &replay, &plan, &judgement));
        counts[judgement.verdict]++;
        judgement_free(&judgement);
    }
    fprintf(stderr, "%.2f times as slow: %zu slower, %zu too noisy, %zu the same, %zu faster, of %zu\n", slower,
            counts[VERDICT_SLOWER], counts[VERDICT_NOISY], counts[VERDICT_SAME], counts[VERDICT_FASTER], trials);
}

Test(gate, finds_five_percent_in_95_of_100)
{
    size_t counts[5] = {0};
    count_verdicts(1.05, 200, counts);
    cr_assert_geq(counts[VERDICT_SLOWER], 190, "found in %zu of 200", counts[VERDICT_SLOWER]);
}

Test(gate, fails_identical_builds_in_1_of_100_at_most)
{
    size_t counts[5] = {0};
    count_verdicts(1.0, 400, counts);
    cr_assert_leq(counts[VERDICT_SLOWER], 4, "failed %zu of 400", counts[VERDICT_SLOWER]);
}

Test(gate, passes_what_is_below_the_threshold)
{
    size_t counts[5] = {0};
    count_verdicts(1.015, 200, counts);
    cr_assert_leq(counts[VERDICT_SLOWER], 2, "failed %zu of 200", counts[VERDICT_SLOWER]);
}

static int one_spike(void *source, enum pairing pairing, double *log_ratio)
{
    size_t *count = source;
    const size_t before = (*count)++;
    /* The first comparison is disturbed throughout, its repetition is not. */
    *log_ratio = 0.001 * (double)(before % 5) + (pairing == PAIR_BASE_NEW && before < 20 ? 0.2 : 0.0);
    return 1;
}

Test(gate, repeats_a_suspect_before_it_fails)
{
    const struct judge_plan plan = {.threshold = 0.03, .floor_pairs = 10, .least = 10, .most = 60, .seed = 1};
    struct judgement judgement;
    size_t count = 0;
    cr_assert(judge(one_spike, &count, &plan, &judgement));
    cr_assert_eq(judgement.verdict, VERDICT_SAME);
    cr_assert(judgement.effect.ratio > 1.1 && judgement.again.ratio < 1.01 && judgement.again.count >= 10);
    judgement_free(&judgement);
}

static int fails_at_the_15th(void *source, enum pairing pairing, double *log_ratio)
{
    size_t *count = source;
    (void)pairing;
    *log_ratio = 0.0;
    return ++*count < 15;
}

Test(gate, keeps_what_was_measured_before_a_failure)
{
    const struct judge_plan plan = {.threshold = 0.03, .floor_pairs = 10, .least = 10, .most = 60, .seed = 1};
    struct judgement judgement;
    size_t count = 0;
    cr_assert(!judge(fails_at_the_15th, &count, &plan, &judgement));
    cr_assert(judgement.verdict == VERDICT_FAILED && judgement.pairs.count == 4 && judgement.floor_pairs.count == 10);
    judgement_free(&judgement);
}

/* ---- change points -------------------------------------------------------------------------------------------- */

static size_t find(const double *levels, const size_t *lengths, size_t parts, double noise, uint64_t seed,
                   size_t *found)
{
    double series[400];
    size_t count = 0;
    for (size_t p = 0; p < parts; p++)
        for (size_t i = 0; i < lengths[p]; i++)
            series[count++] = log(levels[p]) + noise * normal(&seed);
    return find_changes(series, count, 1, found);
}

Test(changes, finds_a_step_where_it_is)
{
    const double levels[] = {100.0, 105.0, 90.0};
    const size_t lengths[] = {30, 25, 40};
    size_t found[CHANGES_MOST];
    cr_assert_eq(find(levels, lengths, 3, 0.01, 5, found), 2);
    cr_assert(found[0] >= 29 && found[0] <= 31, "%zu", found[0]);
    cr_assert(found[1] >= 54 && found[1] <= 56, "%zu", found[1]);
}

Test(changes, finds_none_in_noise)
{
    const double level = 100.0;
    const size_t length = 60;
    size_t found[CHANGES_MOST], wrong = 0;
    for (uint64_t seed = 0; seed < 50; seed++)
        wrong += find(&level, &length, 1, 0.03, seed + 100, found) > 0;
    cr_assert_leq(wrong, 3, "%zu of 50", wrong);
    cr_assert_eq(find_changes(NULL, 0, 1, found), 0);
}
