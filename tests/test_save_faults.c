/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of a save, each failing or ending the process in turn: this program brings its own open, write,
 * fsync, rename, close and unlink, which the library finds before the system's. At every moment the name stands for
 * the whole old file or the whole new one, and the next save leaves nothing beside it.
 */
#include "files.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/wait.h>

enum fault { FAULT_ERROR, FAULT_SHORT, FAULT_KILL_BEFORE, FAULT_KILL_AFTER };

static struct plan {
    size_t at;   /* the call that fails, counted from 1; 0: none, the calls are only counted */
    int forever; /* and all after it */
    enum fault fault;
    int error;
} plan;
static size_t calls;
static int armed;

/* True if this call is to fail. */
static int strike(void)
{
    calls++;
    if (!plan.at || (plan.forever ? calls < plan.at : calls != plan.at))
        return 0;
    if (plan.fault == FAULT_KILL_BEFORE)
        _exit(9);
    errno = plan.error;
    return plan.fault == FAULT_ERROR || plan.fault == FAULT_SHORT;
}

static void strike_after(void)
{
    if (plan.fault == FAULT_KILL_AFTER && calls == plan.at)
        _exit(9);
}

/* The library must find these before the system's. */
#define INTERPOSED __attribute__((visibility("default")))
#define REAL(name, type)                        \
    __typeof__(type) real;                      \
    do {                                        \
        void *symbol_ = dlsym(RTLD_NEXT, name); \
        memcpy(&real, &symbol_, sizeof real);   \
    } while (0)

/* With 64-bit offsets both this and the library's calls are glibc's open64. */
INTERPOSED int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    REAL("open", int (*)(const char *, int, ...));
    if (armed && strike() && plan.fault == FAULT_ERROR)
        return -1;
    int result = real(path, flags, mode);
    if (armed)
        strike_after();
    return result;
}

INTERPOSED ssize_t write(int file, const void *data, size_t count)
{
    REAL("write", ssize_t(*)(int, const void *, size_t));
    if (armed && strike()) {
        if (plan.fault == FAULT_ERROR)
            return -1;
        count = (count + 1) / 2;
    }
    ssize_t result = real(file, data, count);
    if (armed)
        strike_after();
    return result;
}

INTERPOSED int fsync(int file)
{
    REAL("fsync", int (*)(int));
    if (armed && strike())
        return plan.fault == FAULT_ERROR ? -1 : real(file);
    int result = real(file);
    if (armed)
        strike_after();
    return result;
}

INTERPOSED int close(int file)
{
    REAL("close", int (*)(int));
    int failed = armed && strike() && plan.fault == FAULT_ERROR;
    int reason = errno, result = real(file); /* it is closed all the same */
    if (armed)
        strike_after();
    errno = reason;
    return failed ? -1 : result;
}

INTERPOSED int rename(const char *from, const char *to)
{
    REAL("rename", int (*)(const char *, const char *));
    if (armed && strike() && plan.fault == FAULT_ERROR)
        return -1;
    int result = real(from, to);
    if (armed)
        strike_after();
    return result;
}

/* What becomes of a file while it is read, beside the plan. */
static struct meddling {
    size_t at_read; /* before this read, counted from 1, the file below gets `length` bytes; 0: never */
    const char *path;
    off_t length;
    int fstat_error; /* of fstat; 0: none */
    mode_t kind;     /* what fstat calls the file; 0: what it is */
    int sizeless;    /* fstat tells a size below 0 */
} meddling;
static size_t reads;

INTERPOSED int fstat(int file, struct stat *facts)
{
    REAL("fstat", int (*)(int, struct stat *));
    int result = real(file, facts);
    if (!armed || result)
        return result;
    if (meddling.kind)
        facts->st_mode = meddling.kind | 0600;
    if (meddling.sizeless)
        facts->st_size = -1;
    errno = meddling.fstat_error;
    return errno ? -1 : 0;
}

INTERPOSED ssize_t read(int file, void *data, size_t count)
{
    REAL("read", ssize_t(*)(int, void *, size_t));
    if (armed && ++reads == meddling.at_read)
        cr_assert_eq(truncate(meddling.path, meddling.length), 0);
    if (armed && strike()) {
        if (plan.fault == FAULT_ERROR)
            return -1;
        count = (count + 1) / 2;
    }
    return real(file, data, count);
}

/* Two models of the same shape with other numbers, and their files. */
struct models {
    lw_model *model[2];
    bytes file[2];
    char folder[PATH_BYTES], path[PATH_BYTES];
};

static void models_create(struct models *m)
{
    make_folder(m->folder);
    join(m->folder, "model", m->path);
    for (int i = 0; i < 2; i++) {
        lw_brick brick = LW_BRICK_INIT(LW_GRU);
        brick.input = 5;
        brick.hidden = 7;
        ASSERT_OK(lw_model_create(&brick, 1, NULL, &m->model[i]));
        ASSERT_OK(lw_model_initialise(m->model[i], (uint64_t)i + 1));
        ASSERT_OK(lw_model_save(m->model[i], m->path));
        m->file[i] = read_all(m->path);
    }
    cr_assert(!same_bytes(m->file[0], m->file[1]));
}

static void models_destroy(struct models *m)
{
    for (int i = 0; i < 2; i++) {
        lw_model_destroy(m->model[i]);
        free(m->file[i].data);
    }
    remove_folder(m->folder);
}

/* Which of the two is there, whole: 0 or 1. */
static int which(const struct models *m, const char *when, size_t at)
{
    bytes now = read_all(m->path);
    int old = same_bytes(now, m->file[0]), new = same_bytes(now, m->file[1]);
    free(now.data);
    cr_assert(old || new, "%s at call %zu: the file is neither the old nor the new one", when, at);
    return new;
}

/* Calls of a save that goes well. */
static size_t count_calls(const struct models *m)
{
    plan = (struct plan){0};
    calls = 0;
    armed = 1;
    lw_status status = lw_model_save(m->model[0], m->path);
    armed = 0;
    cr_assert_eq(status, LW_OK, "%s", lw_error());
    cr_assert_geq(calls, 8, "%zu calls were seen", calls);
    return calls;
}

/* A save of the new over the old model with the plan; its status. */
static lw_status save_with(const struct models *m, struct plan with)
{
    ASSERT_OK(lw_model_save(m->model[0], m->path));
    plan = with;
    calls = 0;
    armed = 1;
    lw_status status = lw_model_save(m->model[1], m->path);
    armed = 0;
    return status;
}

Test(save_faults, every_call_fails)
{
    static const int errors[] = {ENOSPC, EIO, EINTR, EDQUOT, EMFILE};
    struct models m;
    models_create(&m);
    size_t total = count_calls(&m), failures = 0;
    for (size_t e = 0; e < sizeof errors / sizeof *errors; e++)
        for (int forever = 0; forever <= (errors[e] != EINTR); forever++)
            for (size_t at = 1; at <= total; at++) {
                lw_status status = save_with(&m, (struct plan){at, forever, FAULT_ERROR, errors[e]});
                int new = which(&m, strerror(errors[e]), at);
                cr_assert(status == LW_OK || status == LW_ERR_FILE, "%s", lw_status_name(status));
                cr_assert(status == LW_OK ? new : !new || strstr(lw_error(), "is written and in place"),
                          "%s at call %zu of %zu: %s, and the file is the %s one: %s", strerror(errors[e]), at, total,
                          lw_status_name(status), new ? "new" : "old", lw_error());
                /* A rename that was interrupted may have happened or not: it is not done again. */
                if (errors[e] == EINTR)
                    cr_assert(status == LW_OK || strstr(lw_error(), "cannot take the old one's place"),
                              "a signal at call %zu: %s", at, lw_error());
                failures += status != LW_OK;
                ASSERT_OK(lw_model_save(m.model[1], m.path));
                cr_assert_eq(count_files(m.folder), 1, "something was left beside the file");
            }
    cr_assert_geq(failures, 4 * (total - 4), "%zu failures in %zu calls", failures, total);
    models_destroy(&m);
}

Test(save_faults, short_writes)
{
    struct models m;
    models_create(&m);
    size_t total = count_calls(&m);
    for (int forever = 0; forever <= 1; forever++)
        for (size_t at = 1; at <= total; at++) {
            cr_assert_eq(save_with(&m, (struct plan){at, forever, FAULT_SHORT, 0}), LW_OK, "%s", lw_error());
            cr_assert(which(&m, "short", at));
        }
    models_destroy(&m);
}

/* A process that ends in the middle of a save leaves the old file or the new one, and the next save clears away what it
 * left. */
Test(save_faults, killed_at_every_call)
{
    struct models m;
    models_create(&m);
    size_t total = count_calls(&m), kept = 0, left = 0;
    for (int after = 0; after <= 1; after++)
        for (size_t at = 1; at <= total; at++) {
            ASSERT_OK(lw_model_save(m.model[0], m.path));
            pid_t child = fork();
            if (child == 0) {
                plan = (struct plan){at, 0, after ? FAULT_KILL_AFTER : FAULT_KILL_BEFORE, 0};
                calls = 0;
                armed = 1;
                lw_model_save(m.model[1], m.path);
                _exit(0);
            }
            int ended;
            waitpid(child, &ended, 0);
            cr_assert(WIFEXITED(ended) && WEXITSTATUS(ended) == 9, "call %zu of %zu was not reached", at, total);
            kept += !which(&m, "killed", at);
            left += count_files(m.folder) > 1;
            ASSERT_OK(lw_model_save(m.model[1], m.path));
            cr_assert_eq(count_files(m.folder), 1, "killed at call %zu: something is left after the next save", at);
            cr_assert(which(&m, "saved again", at));
        }
    cr_assert(kept > 0 && kept < 2 * total && left > 0, "%zu kept, %zu left of %zu", kept, left, 2 * total);
    models_destroy(&m);
}

/* A load of the model, with the plan and the meddling as they stand. */
static lw_status load_with(const struct models *m, lw_model **model)
{
    calls = reads = 0;
    armed = 1;
    lw_status status = lw_model_load(m->path, NULL, model);
    armed = 0;
    return status;
}

/* Whatever goes wrong with a file while it is read has a sentence that names the file and the trouble. Call 1 opens,
 * 2 reads the head, 3 the rest, 4 looks for more. */
Test(save_faults, reading_is_told)
{
    struct models m;
    models_create(&m);
    const off_t whole = (off_t)m.file[1].count;
    const struct {
        struct plan plan;
        struct meddling meddling;
        lw_status status;
        const char *told;
    } cases[] = {
        {{1, 0, FAULT_ERROR, EMFILE}, {0}, LW_ERR_FILE, "model: cannot be opened: Too many open files"},
        {{2, 0, FAULT_ERROR, EIO}, {0}, LW_ERR_FILE, "model: cannot be read after 0 bytes: Input/output error"},
        {{3, 0, FAULT_ERROR, EIO}, {0}, LW_ERR_FILE, "model: cannot be read after 64 bytes: Input/output error"},
        {{4, 0, FAULT_ERROR, EIO}, {0}, LW_ERR_FILE, "bytes: Input/output error"},
        {{0}, {.fstat_error = EIO}, LW_ERR_FILE, "model: cannot be examined: Input/output error"},
        {{0}, {.sizeless = 1}, LW_ERR_UNSUPPORTED, "model: has -1 bytes, more than this machine can address"},
        {{0}, {.kind = S_IFDIR}, LW_ERR_FILE, "model: is a folder; a regular file is expected"},
        {{0}, {.kind = S_IFBLK}, LW_ERR_FILE, "model: is a device; a regular file is expected"},
        {{0}, {.kind = S_IFSOCK}, LW_ERR_FILE, "model: is no regular file; a regular file is expected"},
        {{0}, {.at_read = 2, .length = whole - 1}, LW_ERR_FILE, "model: shrank while it was read, from"},
        {{0}, {.at_read = 2, .length = 0}, LW_ERR_FILE, "model: shrank while it was read, from"},
        {{0}, {.at_read = 3, .length = whole + 1}, LW_ERR_FILE, "model: grew while it was read, beyond its"},
        {{0}, {.at_read = 3, .length = 0}, LW_OK, ""}, /* everything had come */
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        lw_model *model = NULL;
        ASSERT_OK(lw_model_save(m.model[1], m.path));
        plan = cases[k].plan;
        meddling = cases[k].meddling;
        meddling.path = m.path;
        lw_status status = load_with(&m, &model);
        cr_expect(status == cases[k].status && (model != NULL) == (status == LW_OK) &&
                      (status == LW_OK || strstr(lw_error(), cases[k].told)),
                  "case %zu: %s, not %s: %s, not %s", k, lw_status_name(status), lw_status_name(cases[k].status),
                  lw_error(), cases[k].told);
        lw_model_destroy(model);
    }
    meddling = (struct meddling){0};
    models_destroy(&m);
}

/* Reading: errors are told, signals and short reads make no difference. */
Test(save_faults, reading)
{
    static const int errors[] = {EIO, EINTR, EMFILE};
    struct models m;
    models_create(&m);
    for (int fault = 0; fault < 4; fault++)
        for (size_t at = 1; at <= 5; at++) {
            lw_model *model = NULL;
            plan = fault < 3 ? (struct plan){at, 0, FAULT_ERROR, errors[fault]} : (struct plan){at, 0, FAULT_SHORT, 0};
            lw_status status = load_with(&m, &model);
            if (fault == 1 || fault == 3)
                cr_assert_eq(status, LW_OK, "call %zu: %s", at, lw_error());
            cr_assert(status == LW_OK || (status == LW_ERR_FILE && !model), "%s", lw_status_name(status));
            lw_model_destroy(model);
        }
    models_destroy(&m);
}
