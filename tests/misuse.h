/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of misuse share: the macro that expects a refusal, and a fixture whose objects work, are misused, and
 * must work afterwards as if nothing had happened.
 */
#ifndef LW_TESTS_MISUSE_H
#define LW_TESTS_MISUSE_H

#include <criterion/criterion.h>
#include <latchwork.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The call is refused with that status and a sentence that holds `fragment`. */
#define REFUSED(call, status_, fragment)                                                                              \
    do {                                                                                                              \
        lw_status got_ = (call);                                                                                      \
        cr_expect_eq(got_, status_, "%s: %s, expected %s (%s)", #call, lw_status_name(got_), lw_status_name(status_), \
                     lw_error());                                                                                     \
        cr_expect(strstr(lw_error(), fragment), "%s: \"%s\" does not say \"%s\"", #call, lw_error(), fragment);       \
    } while (0)

#define OK(call) cr_assert_eq((call), LW_OK, "%s: %s", #call, lw_error())

#define BRICK(kind_, ...) ((lw_brick){.size = sizeof(lw_brick), .kind = kind_, .layers = 1, __VA_ARGS__})
#define LSTM(...) BRICK(LW_LSTM, .input = 3, .hidden = 4, __VA_ARGS__)

/* Objects that work, to be misused: a bidirectional LSTM with a dense head. */
enum { B = 2, T = 3, I = 3, O = 5 };

struct fixture {
    lw_model *model;
    lw_model *other; /* of the same shape */
    lw_context *context;
    lw_state *state;
    float x[18], y[30];
    lw_io io;
    char *before; /* the state as it was */
};

static inline void fixture_create(struct fixture *f)
{
    lw_brick bricks[2] = {BRICK(LW_LSTM, .input = 3, .hidden = 4, .name = "lstm", .direction = LW_BIDIRECTIONAL),
                          BRICK(LW_DENSE, .hidden = 5, .name = "head")};
    OK(lw_model_create(bricks, 2, NULL, &f->model));
    OK(lw_model_create(bricks, 2, NULL, &f->other));
    OK(lw_model_initialise(f->model, 7));
    OK(lw_context_create(f->model, NULL, &f->context));
    OK(lw_state_create(f->model, B, &f->state));
    for (size_t k = 0; k < 18; k++)
        f->x[k] = 0.1f * (float)k;
    f->io = (lw_io)LW_IO_INIT;
    f->io.steps = T;
    f->io.batch = B;
    f->io.input = f->x;
    f->io.output = f->y;
    OK(lw_run(f->context, f->state, &f->io));
    f->before = malloc(lw_state_bytes(f->state));
    OK(lw_state_save(f->state, f->before, lw_state_bytes(f->state)));
}

/* The state is as it was, and a run from it gives the same as ever. */
static inline void fixture_destroy(struct fixture *f)
{
    size_t bytes = lw_state_bytes(f->state);
    char *after = malloc(bytes);
    OK(lw_state_save(f->state, after, bytes));
    cr_expect(memcmp(after, f->before, bytes) == 0, "a refused call changed the state");
    float fresh[30], again[30];
    lw_io io = LW_IO_INIT;
    io.steps = T;
    io.batch = B;
    io.input = f->x;
    io.output = fresh;
    OK(lw_run(f->context, NULL, &io));
    io.output = again;
    OK(lw_state_reset(f->state));
    OK(lw_run(f->context, f->state, &io));
    cr_expect(memcmp(fresh, again, sizeof fresh) == 0);
    for (size_t k = 0; k < T * B * O; k++)
        cr_expect(isfinite(fresh[k]) && fresh[k] != 0.0f);
    free(after);
    free(f->before);
    lw_state_destroy(f->state);
    lw_context_destroy(f->context);
    lw_model_destroy(f->model);
    lw_model_destroy(f->other);
}

#endif
