/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that runs out: this program brings its own malloc, of which allocation number k fails, once or with all after
 * it, in everything that the library does. Each time there is a status, no block is lost, and the same work done again
 * gives the same bits. On glibc only.
 */
#include "random.h"

#include "files.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

#define INTERPOSED __attribute__((visibility("default")))

static int armed;
static size_t calls, fail_at; /* fail_at 0: none */
static int fail_on;           /* and all after it */
static long live;             /* blocks taken while armed and not given back */

static int strike(void)
{
    if (!armed)
        return 0;
    calls++;
    if (fail_at && (fail_on ? calls >= fail_at : calls == fail_at)) {
        errno = ENOMEM;
        return 1;
    }
    live++;
    return 0;
}

INTERPOSED void *malloc(size_t size)
{
    return strike() ? NULL : __libc_malloc(size);
}

INTERPOSED void *calloc(size_t count, size_t size)
{
    return strike() ? NULL : __libc_calloc(count, size);
}

INTERPOSED void *realloc(void *block, size_t size)
{
    if (strike())
        return NULL;
    if (armed && block)
        live--;
    return __libc_realloc(block, size);
}

INTERPOSED void *aligned_alloc(size_t alignment, size_t size)
{
    return strike() ? NULL : __libc_memalign(alignment, size);
}

INTERPOSED void free(void *block)
{
    if (armed && block)
        live--;
    __libc_free(block);
}

/* What a job works on: made beforehand, without faults. */
struct rig {
    lw_model *model, *two_way;
    lw_context *context;
    lw_tape *tape;
    lw_optimiser *optimiser;
    lw_tensors *tensors;
    float *parameters[16], *gradients[16];
    size_t counts[16], count;
    char folder[PATH_BYTES], path[PATH_BYTES], elsewhere[PATH_BYTES], link[PATH_BYTES];
    bytes file, plain;
    float x[120], y[240];
    uint64_t hash; /* of what the job gave */
};

enum { STEPS = 5, ROWS = 3, WIDTH = 4 };

static void rig_create(struct rig *r)
{
    lw_brick bricks[] = {LW_BRICK_INIT(LW_LSTM), LW_BRICK_INIT(LW_GRU), LW_BRICK_INIT(LW_DENSE)};
    char other[PATH_BYTES];
    bricks[0].name = "a,b:{c},d,[e],f,\"g"; /* separators in a string too long for jansson's first buffer */
    bricks[0].input = WIDTH, bricks[0].hidden = 6, bricks[0].layers = 2;
    bricks[1].name = "gru", bricks[1].hidden = 5;
    bricks[2].name = "head", bricks[2].hidden = 2;
    ASSERT_OK(lw_model_create(bricks, 3, NULL, &r->model));
    ASSERT_OK(lw_model_initialise(r->model, 3));
    bricks[1].direction = LW_BIDIRECTIONAL;
    ASSERT_OK(lw_model_create(bricks, 3, NULL, &r->two_way));
    ASSERT_OK(lw_model_initialise(r->two_way, 4));
    make_folder(r->folder);
    ASSERT_OK(lw_model_save(r->model, join(r->folder, "model", r->path)));
    make_folder(r->elsewhere);
    cr_assert_eq(symlink(r->path, join(r->elsewhere, "link", r->link)), 0);
    r->file = read_all(r->path);
    r->plain = read_all(corpus_path("lstm_two_layers_both_ways", other));
    r->count = lw_model_parameter_count(r->model);
    cr_assert_leq(r->count, 16);
    for (size_t i = 0; i < r->count; i++) {
        lw_parameter p = {.size = sizeof p};
        ASSERT_OK(lw_model_parameter(r->model, i, &p));
        r->counts[i] = p.count;
        r->parameters[i] = calloc(p.count, sizeof(float));
        r->gradients[i] = calloc(p.count, sizeof(float));
        ASSERT_OK(lw_model_parameter_get(r->model, i, r->parameters[i], p.count));
    }
    for (size_t k = 0; k < 120; k++)
        r->x[k] = (float)(k % 11) * 0.1f - 0.5f;
}

static void rig_destroy(struct rig *r)
{
    lw_model_destroy(r->model);
    lw_model_destroy(r->two_way);
    for (size_t i = 0; i < r->count; i++) {
        free(r->parameters[i]);
        free(r->gradients[i]);
    }
    free(r->file.data);
    free(r->plain.data);
    remove_folder(r->folder);
    remove_folder(r->elsewhere);
}

static void add_hash(struct rig *r, const void *data, size_t count)
{
    r->hash = hash_bytes(r->hash, data, count);
}

static lw_io io_of(struct rig *r)
{
    lw_io io = LW_IO_INIT;
    io.steps = STEPS;
    io.batch = ROWS;
    io.input = r->x;
    io.output = r->y;
    return io;
}

static const lw_context_options one_thread = {.size = sizeof(lw_context_options), .threads = 1};

/* Each job is done from nothing, gives back everything, and adds what it computed to the hash. */

static lw_status job_create(struct rig *r)
{
    lw_brick bricks[] = {LW_BRICK_INIT(LW_LSTM), LW_BRICK_INIT(LW_DENSE)};
    lw_model *model = NULL;
    lw_state *state = NULL, *copy = NULL;
    bricks[0].input = 3, bricks[0].hidden = 5, bricks[0].projection = 2, bricks[0].direction = LW_BIDIRECTIONAL;
    bricks[1].hidden = 4;
    lw_initialise_options options = LW_INITIALISE_OPTIONS_INIT;
    options.recurrent = LW_INITIAL_ORTHOGONAL;
    options.input = LW_INITIAL_XAVIER_NORMAL;
    lw_status status = lw_model_create(bricks, 2, NULL, &model);
    if (!status)
        status = lw_model_initialise_with(model, &options);
    if (!status)
        status = lw_state_create(model, 2, &state);
    if (!status)
        status = lw_state_create(model, 2, &copy);
    float values[64];
    lw_parameter p = {.size = sizeof p};
    for (size_t i = 0; !status && i < lw_model_parameter_count(model); i++)
        if (!lw_model_parameter(model, i, &p) && p.count <= 64 && !lw_model_parameter_get(model, i, values, p.count))
            add_hash(r, values, p.count * sizeof(float));
    lw_state_destroy(state);
    lw_state_destroy(copy);
    lw_model_destroy(model);
    return status;
}

static lw_status run_on(struct rig *r, const lw_model *model, const lw_context_options *options)
{
    lw_context *context = NULL;
    lw_state *state = NULL;
    lw_io io = io_of(r);
    lw_status status = lw_context_create(model, options, &context);
    if (!status)
        status = lw_state_create(model, ROWS, &state);
    if (!status)
        status = lw_context_reserve(context, 2, 1);
    if (!status)
        status = lw_run(context, state, &io);
    if (!status)
        add_hash(r, r->y, STEPS * ROWS * lw_model_output_size(model) * sizeof(float));
    if (!status)
        status = lw_step(context, state, r->x, r->y);
    if (!status)
        add_hash(r, r->y, ROWS * lw_model_output_size(model) * sizeof(float));
    lw_state_destroy(state);
    lw_context_destroy(context);
    return status;
}

static lw_status job_run(struct rig *r)
{
    return run_on(r, r->model, &one_thread);
}

static lw_status job_run_both_ways(struct rig *r)
{
    return run_on(r, r->two_way, &one_thread);
}

static lw_status train(struct rig *r, size_t segment, const lw_regularisation *regularisation)
{
    lw_tape *tape = NULL;
    lw_optimiser *optimiser = NULL;
    lw_optimiser_options rule = LW_OPTIMISER_OPTIONS_INIT(LW_ADAM);
    lw_gradients g = LW_GRADIENTS_INIT;
    lw_io io = io_of(r);
    float dx[STEPS * ROWS * WIDTH];
    g.output = r->x;
    g.parameters = r->gradients;
    g.input = dx;
    lw_status status = lw_tape_create(r->model, &one_thread, &tape);
    if (!status)
        status = lw_tape_set_segment(tape, segment);
    if (!status)
        status = lw_tape_set_regularisation(tape, regularisation);
    if (!status)
        status = lw_optimiser_create(&rule, r->counts, r->count, &optimiser);
    for (int times = 0; times < 2 && !status; times++) {
        status = lw_tape_forward(tape, (const float *const *)r->parameters, NULL, &io);
        if (!status)
            status = lw_tape_backward(tape, &g);
        if (!status)
            add_hash(r, dx, sizeof dx);
        for (size_t i = 0; !status && i < r->count; i++)
            add_hash(r, r->gradients[i], r->counts[i] * sizeof(float));
        /* The second time with less memory needed, and with more. */
        io.steps = times ? STEPS : STEPS - 2;
    }
    double norm = 0;
    if (!status)
        status = lw_optimiser_norm(optimiser, (const float *const *)r->gradients, &norm);
    add_hash(r, &norm, sizeof norm);
    lw_optimiser_destroy(optimiser);
    lw_tape_destroy(tape);
    return status;
}

static lw_status job_train(struct rig *r)
{
    return train(r, 0, NULL);
}

static lw_status job_train_in_segments(struct rig *r)
{
    return train(r, 2, NULL);
}

static const lw_regularisation rates = {
    .size = sizeof(lw_regularisation), .between = 0.2, .recurrent = 0.3, .zoneout_hidden = 0.1, .zoneout_cell = 0.2};

static lw_status job_train_with_masks(struct rig *r)
{
    return train(r, 2, &rates);
}

static lw_status load(struct rig *r, bytes file)
{
    lw_tensors *tensors = NULL;
    lw_model *model = NULL;
    lw_status status = lw_tensors_parse(file.data, file.count, &tensors);
    if (!status)
        status = lw_model_from_tensors(tensors, NULL, &model);
    for (size_t i = 0; !status && i < lw_model_parameter_count(model); i++) {
        lw_parameter p = {.size = sizeof p};
        lw_model_parameter(model, i, &p);
        add_hash(r, p.name, strlen(p.name));
        add_hash(r, p.shape, sizeof p.shape);
    }
    for (size_t i = 0; !status && i < lw_model_brick_count(model); i++) {
        lw_brick brick = {.size = sizeof brick};
        lw_model_brick(model, i, &brick);
        add_hash(r, brick.name, strlen(brick.name));
        add_hash(r, &brick.hidden, sizeof brick.hidden);
    }
    lw_tensors_close(tensors);
    lw_model_destroy(model);
    return status;
}

static lw_status job_load(struct rig *r)
{
    return load(r, r->file);
}

static lw_status job_load_plain(struct rig *r)
{
    return load(r, r->plain);
}

static lw_status job_load_file(struct rig *r)
{
    lw_model *model = NULL;
    lw_status status = lw_model_load(r->path, NULL, &model);
    size_t facts[] = {status ? 0 : lw_model_bytes(model), status ? 0 : lw_model_layer_count(model)};
    add_hash(r, facts, sizeof facts);
    lw_model_destroy(model);
    return status;
}

static lw_status job_save(struct rig *r)
{
    return lw_model_save(r->model, r->path);
}

static lw_status job_save_through_link(struct rig *r)
{
    return lw_model_save(r->model, r->link);
}

static lw_status job_measure(struct rig *r)
{
    lw_limits limits = {.size = sizeof limits};
    lw_status status = lw_machine_limits(1, &limits);
    const int measured[] = {limits.threads == 1, limits.flops > 0.0, limits.dram > 0.0};
    add_hash(r, measured, sizeof measured);
    return status;
}

/* The file is the old or the new one, which are the same; and nothing lies beside it. */
static void check_file(struct rig *r, const char *name, size_t at)
{
    bytes now = read_all(r->path);
    cr_assert(same_bytes(now, r->file), "%s, allocation %zu: the file is not what it was", name, at);
    free(now.data);
    cr_assert_eq(count_files(r->folder), 1, "something lies beside the file");
}

static const struct job {
    const char *name;
    lw_status (*work)(struct rig *r);
} jobs[] = {{"create", job_create},
            {"run", job_run},
            {"run both ways", job_run_both_ways},
            {"train", job_train},
            {"train in segments", job_train_in_segments},
            {"train in segments with masks", job_train_with_masks},
            {"load", job_load},
            {"load a state_dict", job_load_plain},
            {"load a file", job_load_file},
            {"save", job_save},
            {"save through a link", job_save_through_link},
            {"measure the machine", job_measure}};

/* Does the job with allocation `at` failing. */
static lw_status attempt(struct rig *r, const struct job *job, size_t at, int on)
{
    r->hash = HASH_INIT;
    calls = 0;
    live = 0;
    fail_at = at;
    fail_on = on;
    armed = 1;
    lw_status status = job->work(r);
    armed = 0;
    cr_assert_eq(live, 0, "%s, allocation %zu: %ld blocks are lost (%s)", job->name, at, live, lw_error());
    return status;
}

Test(allocation_faults, every_allocation, .timeout = 120)
{
    static struct rig r;
    size_t faults = 0;
    rig_create(&r);
    for (size_t j = 0; j < sizeof jobs / sizeof *jobs; j++) {
        cr_assert_eq(attempt(&r, &jobs[j], 0, 0), LW_OK, "%s: %s", jobs[j].name, lw_error());
        const uint64_t expected = r.hash;
        const size_t total = calls;
        cr_assert_geq(total, 2, "%s allocates %zu times", jobs[j].name, total);
        for (int on = 0; on <= 1; on++)
            for (size_t at = 1; at <= total; at++) {
                lw_status status = attempt(&r, &jobs[j], at, on);
                /* One failure may be made good; what comes out then is right. */
                cr_assert(status == LW_ERR_MEMORY || (status == LW_OK && r.hash == expected),
                          "%s, allocation %zu of %zu%s: %s: %s", jobs[j].name, at, total, on ? " and all after it" : "",
                          lw_status_name(status), lw_error());
                cr_assert(status == LW_OK || strstr(lw_error(), "memory"), "%s", lw_error());
                check_file(&r, jobs[j].name, at);
                cr_assert_eq(attempt(&r, &jobs[j], 0, 0), LW_OK, "%s again: %s", jobs[j].name, lw_error());
                cr_assert_eq(r.hash, expected, "%s after allocation %zu failed: other bits", jobs[j].name, at);
                faults++;
            }
    }
    cr_assert_gt(faults, 400, "%zu faults", faults);
    cr_log_info("%zu faults\n", faults);
    rig_destroy(&r);
}

/* It has no status: 0 says that there is no figure. */
Test(allocation_faults, no_peak_without_memory)
{
    calls = 0;
    fail_at = 1;
    armed = 1;
    const double peak = lw_machine_peak(1);
    armed = 0;
    cr_assert_eq(peak, 0.0, "%g flop/s", peak);
    cr_assert_eq(calls, 1);
    cr_assert_gt(lw_machine_peak(1), 0.0);
}

/* The way back through the last run, as a hash; 0 where there is none. */
static uint64_t back(struct rig *r, lw_tape *tape)
{
    lw_gradients g = LW_GRADIENTS_INIT;
    g.output = r->x;
    g.parameters = r->gradients;
    lw_status status = lw_tape_backward(tape, &g);
    cr_assert(status == LW_OK || (status == LW_ERR_ARGUMENT && strstr(lw_error(), "no forward run")), "%s", lw_error());
    r->hash = HASH_INIT;
    for (size_t i = 0; i < r->count; i++)
        add_hash(r, r->gradients[i], r->counts[i] * sizeof(float));
    return status ? 0 : r->hash;
}

/* A forward run for which there is no memory, with other parameters and more rows, leaves the run before it, or says
 * that it is gone: `steps` of that one, which is kept in one piece up to three steps. */
static void fail_behind(struct rig *r, const lw_regularisation *regularisation, size_t steps)
{
    size_t faults = 0;
    for (lw_status status = LW_ERR_MEMORY; status == LW_ERR_MEMORY; faults++) {
        lw_tape *tape;
        lw_io io = io_of(r);
        ASSERT_OK(lw_tape_create(r->model, &one_thread, &tape));
        ASSERT_OK(lw_tape_set_segment(tape, 3));
        ASSERT_OK(lw_tape_set_regularisation(tape, regularisation));
        io.steps = steps;
        ASSERT_OK(lw_tape_forward(tape, (const float *const *)r->parameters, NULL, &io));
        const uint64_t expected = back(r, tape);
        io.steps = STEPS;
        io.batch = 2 * ROWS;
        for (size_t k = 0; k < r->counts[0]; k++)
            r->parameters[0][k] *= 2;
        calls = 0;
        fail_at = faults + 1;
        fail_on = 1;
        armed = 1;
        status = lw_tape_forward(tape, (const float *const *)r->parameters, NULL, &io);
        armed = 0;
        for (size_t k = 0; k < r->counts[0]; k++)
            r->parameters[0][k] /= 2;
        cr_assert(status == LW_OK || status == LW_ERR_MEMORY, "%s", lw_error());
        const uint64_t now = back(r, tape);
        if (status)
            cr_assert(now == expected || (now == 0 && steps > 3), "%zu steps, allocation %zu: other gradients", steps,
                      faults + 1);
        lw_tape_destroy(tape);
    }
    cr_assert_gt(faults, 3, "%zu steps: %zu allocations", steps, faults);
}

Test(allocation_faults, the_last_run_stays, .timeout = 120)
{
    static struct rig r;
    rig_create(&r);
    for (size_t steps = 3; steps <= 4; steps++) {
        fail_behind(&r, NULL, steps);
        fail_behind(&r, &rates, steps);
    }
    rig_destroy(&r);
}
