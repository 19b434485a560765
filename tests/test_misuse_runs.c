/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Misuse of lw_run, lw_step and lw_step_many: arguments, strides, overlapping buffers, lengths, probes; what happens
 * when there is nothing to do; the order in which objects are given up; and the error sentences themselves.
 */
#include "misuse.h"

Test(misuse, run_arguments)
{
    struct fixture f;
    fixture_create(&f);
    lw_state *three, *others;
    OK(lw_state_create(f.model, 3, &three));
    OK(lw_state_create(f.other, B, &others));
    REFUSED(lw_run(NULL, f.state, &f.io), LW_ERR_ARGUMENT, "context");
    REFUSED(lw_run(f.context, f.state, NULL), LW_ERR_ARGUMENT, "io");
    REFUSED(lw_run(f.context, three, &f.io), LW_ERR_SHAPE, "3");
    REFUSED(lw_run(f.context, others, &f.io), LW_ERR_SHAPE, "model");
    lw_io io = f.io;
    io.size = 8;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "size");
    io = f.io;
    io.input = NULL;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "input");
    io = f.io;
    io.output_kind = (lw_output)2;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "output_kind");
    io = f.io;
    io.batch = 3;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_SHAPE, "batch");
    io.batch = SIZE_MAX;
    REFUSED(lw_run(f.context, NULL, &io), LW_ERR_ARGUMENT, "batch");
    io = f.io;
    io.steps = SIZE_MAX;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_SHAPE, "overflow");
    io.steps = SIZE_MAX / 4 / B / I;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_SHAPE, "overflow");
    lw_state_destroy(three);
    lw_state_destroy(others);
    fixture_destroy(&f);
}

Test(misuse, run_strides)
{
    struct fixture f;
    fixture_create(&f);
    const struct {
        size_t step, row;
        const char *fragment;
    } cases[] = {
        {5, 3, "overlap"},
        {6, 2, "overlap"},
        {0, 3, "overlap"},
        {6, 0, "overlap"},
        {SIZE_MAX, 3, "overflow"},
        {6, SIZE_MAX, "overflow"},
        {SIZE_MAX / 2, SIZE_MAX / 2, "overflow"},
        {3, 8, "overlap"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        lw_io io = f.io;
        io.input_step_stride = cases[k].step;
        io.input_row_stride = cases[k].row;
        REFUSED(lw_run(f.context, f.state, &io), LW_ERR_SHAPE, cases[k].fragment);
    }
    lw_io io = f.io;
    io.output_step_stride = 9;
    io.output_row_stride = 5;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_SHAPE, "output");
    fixture_destroy(&f);
}

Test(misuse, run_overlap)
{
    struct fixture f;
    fixture_create(&f);
    float both[64] = {0};
    lw_io io = f.io;
    io.input = both;
    for (size_t at = 0; at < 18; at += 17) {
        io.output = both + at;
        REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "overlap");
    }
    io.input = both + 29;
    io.output = both;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "overlap");
    lw_probe probe = LW_PROBE_INIT;
    probe.unit_count = 1;
    probe.capacity = 36;
    io = f.io;
    io.probes = &probe;
    io.probe_count = 1;
    probe.values = f.x + 17;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "overlap");
    probe.values = f.y + 29;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "overlap");
    float values[72];
    lw_probe two[2] = {probe, probe};
    two[0].values = values;
    two[1].values = values + 35;
    io.probes = two;
    io.probe_count = 2;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "overlap");
    float *x = both;
    REFUSED(lw_step(f.context, f.state, x, x + 5), LW_ERR_ARGUMENT, "overlap");
    fixture_destroy(&f);
}

/* B7: a length beyond T; a "negative" one is a huge one. */
Test(misuse, lengths)
{
    struct fixture f;
    fixture_create(&f);
    const size_t bad[] = {4, SIZE_MAX, (size_t)1 << 63, (size_t)-2};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        for (size_t row = 0; row < B; row++) {
            size_t lengths[2] = {3, 3};
            lengths[row] = bad[k];
            lw_io io = f.io;
            io.lengths = lengths;
            REFUSED(lw_run(f.context, f.state, &io), LW_ERR_SHAPE, row ? "lengths[1]" : "lengths[0]");
        }
    fixture_destroy(&f);
}

Test(misuse, probes)
{
    struct fixture f;
    fixture_create(&f);
    float values[3 * 2 * 6 * 2];
    const size_t good[2] = {3, 0}, bad[2] = {0, 4};
    const lw_probe fine = {.size = sizeof(lw_probe), .units = good, .unit_count = 2, .values = values, .capacity = 72};
#define PROBE(field, value, status, fragment)                       \
    do {                                                            \
        lw_probe probe = fine;                                      \
        probe.field = value;                                        \
        lw_io io = f.io;                                            \
        io.probes = &probe;                                         \
        io.probe_count = 1;                                         \
        REFUSED(lw_run(f.context, f.state, &io), status, fragment); \
    } while (0)
    PROBE(size, 3, LW_ERR_ARGUMENT, "size");
    PROBE(layer, 1, LW_ERR_NOT_FOUND, "layer 1");
    PROBE(layer, SIZE_MAX, LW_ERR_NOT_FOUND, "layer");
    PROBE(direction, LW_BIDIRECTIONAL, LW_ERR_NOT_FOUND, "direction");
    PROBE(direction, (lw_direction)-1, LW_ERR_NOT_FOUND, "direction");
    PROBE(units, bad, LW_ERR_ARGUMENT, "unit 4");
    PROBE(values, NULL, LW_ERR_ARGUMENT, "values");
    PROBE(capacity, 71, LW_ERR_SHAPE, "71");
    PROBE(capacity, 0, LW_ERR_SHAPE, "72");
#undef PROBE
    lw_probe probe = fine;
    probe.units = NULL;
    probe.unit_count = SIZE_MAX;
    lw_io io = f.io;
    io.probes = &probe;
    io.probe_count = 1;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "unit");
    probe = (lw_probe)LW_PROBE_INIT; /* no units: nothing to record, and no room for it */
    OK(lw_run(f.context, NULL, &io));
    io.probes = NULL;
    io.probe_count = 1;
    REFUSED(lw_run(f.context, f.state, &io), LW_ERR_ARGUMENT, "probes");
    fixture_destroy(&f);
}

Test(misuse, steps)
{
    struct fixture f;
    fixture_create(&f);
    lw_state *one, *two, *others;
    OK(lw_state_create(f.model, 1, &one));
    OK(lw_state_create(f.model, 1, &two));
    OK(lw_state_create(f.other, 1, &others));
    float y[10];
    REFUSED(lw_step(NULL, f.state, f.x, y), LW_ERR_ARGUMENT, "context");
    REFUSED(lw_step(f.context, NULL, f.x, y), LW_ERR_ARGUMENT, "state");
    REFUSED(lw_step(f.context, f.state, NULL, y), LW_ERR_ARGUMENT, "x");
    REFUSED(lw_step(f.context, others, f.x, y), LW_ERR_SHAPE, "model");
    lw_state *states[2] = {one, two};
    OK(lw_step_many(f.context, states, 2, f.x, y));
    OK(lw_step_many(f.context, states, 0, f.x, y));
    OK(lw_step_many(f.context, NULL, 0, NULL, NULL));
    REFUSED(lw_step_many(NULL, states, 2, f.x, y), LW_ERR_ARGUMENT, "context");
    REFUSED(lw_step_many(f.context, NULL, 2, f.x, y), LW_ERR_ARGUMENT, "states");
    REFUSED(lw_step_many(f.context, states, 2, NULL, y), LW_ERR_ARGUMENT, "NULL");
    size_t bytes = lw_state_bytes(one);
    char *before = malloc(bytes), *after = malloc(bytes);
    OK(lw_state_save(one, before, bytes));
    states[1] = NULL;
    REFUSED(lw_step_many(f.context, states, 2, f.x, y), LW_ERR_ARGUMENT, "states[1]");
    states[1] = others;
    REFUSED(lw_step_many(f.context, states, 2, f.x, y), LW_ERR_SHAPE, "states[1]");
    states[1] = f.state;
    REFUSED(lw_step_many(f.context, states, 2, f.x, y), LW_ERR_SHAPE, "one row");
    states[1] = one;
    lw_status status = lw_step_many(f.context, states, 2, f.x, y);
    cr_expect(status == LW_ERR_ARGUMENT || status == LW_ERR_BUSY, "a state named twice: %s", lw_status_name(status));
    OK(lw_state_save(one, after, bytes));
    cr_expect(memcmp(before, after, bytes) == 0, "a refused step moved a state");
    states[1] = two;
    OK(lw_step_many(f.context, states, 2, f.x, y));
    free(before);
    free(after);
    lw_state_destroy(one);
    lw_state_destroy(two);
    lw_state_destroy(others);
    fixture_destroy(&f);
}

/* B6: a batch of no rows, no steps, no output wanted: defined, and nothing is touched. */
Test(misuse, nothing_to_do)
{
    struct fixture f;
    fixture_create(&f);
    lw_io io = f.io;
    float before[30];
    memcpy(before, f.y, sizeof before);
    io.steps = 0;
    OK(lw_run(f.context, f.state, &io));
    io.input = NULL;
    OK(lw_run(f.context, f.state, &io));
    io = f.io;
    lw_state *empty;
    OK(lw_state_create(f.model, 0, &empty));
    cr_expect_eq(lw_state_batch(empty), 0);
    io.batch = 0;
    OK(lw_run(f.context, empty, &io));
    OK(lw_run(f.context, NULL, &io));
    cr_expect(memcmp(before, f.y, sizeof before) == 0, "an empty run wrote");
    lw_state_destroy(empty);
    io = f.io;
    io.output = NULL;
    OK(lw_run(f.context, NULL, &io));
    fixture_destroy(&f);
}

/* The last step of no steps: where no state could tell one, it is zero. */
Test(misuse, the_last_of_no_steps)
{
    lw_brick dense = LW_BRICK_INIT(LW_DENSE);
    dense.input = 2, dense.hidden = 3;
    lw_model *model;
    lw_context *context;
    OK(lw_model_create(&dense, 1, NULL, &model));
    OK(lw_model_initialise(model, 1));
    OK(lw_context_create(model, NULL, &context));
    float y[12];
    for (size_t k = 0; k < 12; k++)
        y[k] = 7;
    lw_io io = LW_IO_INIT;
    io.batch = 3;
    io.output = y;
    io.output_kind = LW_OUTPUT_LAST;
    OK(lw_run(context, NULL, &io));
    for (size_t k = 0; k < 12; k++)
        cr_expect_eq(y[k], k < 9 ? 0.0f : 7.0f, "output %zu is %g", k, (double)y[k]);
    lw_context_destroy(context);
    lw_model_destroy(model);
}

/* Objects may be given up in any order; what is still there goes on working. */
Test(misuse, any_order)
{
    struct fixture f;
    fixture_create(&f);
    lw_model_destroy(f.model);
    float y[30];
    lw_io io = f.io;
    io.output = y;
    OK(lw_run(f.context, NULL, &io));
    lw_context_destroy(f.context);
    OK(lw_state_reset(f.state));
    lw_state_destroy(f.state);
    lw_model_destroy(f.other);
    free(f.before);
}

Test(misuse, errors)
{
    cr_assert_str_eq(lw_error(), "", "nothing failed yet");
    for (int k = LW_OK; k <= LW_ERR_NOT_FOUND; k++)
        cr_expect_eq(strncmp(lw_status_name((lw_status)k), "LW_", 3), 0);
    cr_assert_str_eq(lw_status_name(LW_ERR_SHAPE), "LW_ERR_SHAPE");
    cr_assert_str_eq(lw_status_name((lw_status)-1), "unknown status");
    cr_assert_str_eq(lw_status_name((lw_status)1000), "unknown status");
    /* A sentence stays until the next failure. */
    lw_isa isa;
    cr_assert_eq(lw_isa_find("first", &isa), LW_ERR_NOT_FOUND);
    cr_assert_eq(lw_isa_find("scalar", &isa), LW_OK);
    cr_assert(strstr(lw_error(), "first"));
    char name[5000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    cr_assert_eq(lw_isa_find(name, &isa), LW_ERR_NOT_FOUND);
    cr_assert_lt(strlen(lw_error()), 1000);
}
