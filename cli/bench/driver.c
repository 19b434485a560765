/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driver processes; see driver.h. Each runs in a session of its own, so that a wrapper and what it started are stopped
 * and ended together, and ends with this process even when it is paused.
 */
#include "driver.h"

#include "../progress.h"
#include "../report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <popt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

/* Longer answers are rubbish. */
#define ANSWER_MOST ((size_t)256 << 20)

struct driver {
    char *name;
    char **argv;
    double seconds;
    pid_t process; /* 0: none */
    int paused;
    int to, from;
    FILE *words; /* what it writes to standard error */
    char *buffer;
    size_t used, room;
};

static const volatile sig_atomic_t *stop_flag;

void driver_stop_when(const volatile sig_atomic_t *flag)
{
    stop_flag = flag;
}

const char *driver_status_word(enum driver_status kind)
{
    static const char *const words[] = {"ok",      "missing", "unsupported", "error",  "crashed",
                                        "timeout", "rubbish", "differs",     "stopped"};
    return words[kind];
}

int trouble_set(struct trouble *trouble, enum driver_status kind, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(trouble->text, sizeof trouble->text, format, list);
    va_end(list);
    clean_text(trouble->text);
    trouble->kind = kind;
    return 0;
}

struct driver *driver_open(const char *name, const char *const *argv, double seconds)
{
    size_t count = 0;
    while (argv[count])
        count++;
    struct driver *driver = calloc(1, sizeof *driver);
    if (!driver)
        return NULL;
    *driver = (struct driver){.seconds = seconds, .to = -1, .from = -1};
    driver->name = strdup(name);
    driver->argv = calloc(count + 1, sizeof *driver->argv);
    int good = driver->name && driver->argv;
    for (size_t i = 0; good && i < count; i++)
        good = (driver->argv[i] = strdup(argv[i])) != NULL;
    if (good)
        return driver;
    driver_close(driver);
    return NULL;
}

struct driver *driver_open_command(const char *name, const char *command, double seconds, struct trouble *trouble)
{
    int count;
    const char **argv;
    if (poptParseArgvString(command, &count, &argv) || count < 1) {
        trouble_set(trouble, DRIVER_MISSING, "the command is empty or has an open quote: %s", command);
        return NULL;
    }
    struct driver *driver = driver_open(name, argv, seconds);
    free(argv);
    if (!driver)
        trouble_set(trouble, DRIVER_MISSING, "out of memory");
    return driver;
}

const char *driver_name(const struct driver *driver)
{
    return driver->name;
}

int driver_process(const struct driver *driver)
{
    return (int)driver->process;
}

/* ---- the process ---------------------------------------------------------------------------------------------------
 */

static void close_file(int *file)
{
    if (*file >= 0)
        close(*file);
    *file = -1;
}

/* In the child; `report` tells the parent why the program could not be started. */
static void become(const struct driver *driver, int in, int out, int report)
{
    const int words = fileno(driver->words);
    int error;
    setsid();
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(words, STDERR_FILENO) >= 0)
        execvp(driver->argv[0], driver->argv);
    error = errno;
    ssize_t ignored = write(report, &error, sizeof error);
    (void)ignored;
    _exit(127);
}

static int make_pipe(int ends[2])
{
    if (pipe(ends))
        return 0;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 1;
}

static void close_pair(int ends[2])
{
    close_file(&ends[0]);
    close_file(&ends[1]);
}

static int start(struct driver *driver, struct trouble *trouble)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, report[2] = {-1, -1}, error = 0;
    signal(SIGPIPE, SIG_IGN); /* a driver that has gone is a failed write */
    driver->words = tmpfile();
    if (driver->words && make_pipe(in) && make_pipe(out) && make_pipe(report)) {
        driver->process = fork();
        if (driver->process == 0)
            become(driver, in[0], out[1], report[1]);
    } else {
        driver->process = -1;
    }
    if (driver->process < 0)
        error = errno;
    close_file(&report[1]);
    ssize_t said = driver->process > 0 ? read(report[0], &error, sizeof error) : 0;
    close_pair(report);
    close_file(&in[0]);
    close_file(&out[1]);
    driver->to = in[1];
    driver->from = out[0];
    driver->used = 0;
    driver->paused = 0;
    if (driver->process > 0 && said <= 0)
        return 1;
    if (driver->process < 0)
        driver->process = 0;
    driver_end(driver);
    return trouble_set(trouble, DRIVER_MISSING, "%s cannot be started: %s", driver->argv[0], strerror(error));
}

static void send_signal(struct driver *driver, int number)
{
    if (driver->process > 0 && kill(-driver->process, number) != 0)
        kill(driver->process, number); /* it has not made its session yet */
}

void driver_end(struct driver *driver)
{
    if (driver->process > 0) {
        send_signal(driver, SIGKILL);
        while (waitpid(driver->process, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    driver->process = 0;
    driver->paused = 0;
    close_file(&driver->to);
    close_file(&driver->from);
    if (driver->words)
        fclose(driver->words);
    driver->words = NULL;
}

int driver_finish(struct driver *driver)
{
    const double deadline = clock_seconds() + driver->seconds;
    int ended = 0;
    driver_resume(driver);
    close_file(&driver->to);
    while (driver->process > 0 && !ended && clock_seconds() < deadline && !(stop_flag && *stop_flag)) {
        ended = waitpid(driver->process, NULL, WNOHANG) == driver->process;
        if (!ended)
            poll(NULL, 0, 5);
    }
    if (ended) {
        send_signal(driver, SIGKILL); /* what it may have started */
        driver->process = 0;
    }
    driver_end(driver);
    return ended;
}

void driver_close(struct driver *driver)
{
    if (!driver)
        return;
    driver_end(driver);
    for (size_t i = 0; driver->argv && driver->argv[i]; i++)
        free(driver->argv[i]);
    free(driver->argv);
    free(driver->name);
    free(driver->buffer);
    free(driver);
}

void driver_pause(struct driver *driver)
{
    if (driver && driver->process > 0 && !driver->paused) {
        send_signal(driver, SIGSTOP);
        driver->paused = 1;
    }
}

void driver_resume(struct driver *driver)
{
    if (driver && driver->process > 0 && driver->paused) {
        send_signal(driver, SIGCONT);
        driver->paused = 0;
    }
}

/* ---- troubles
 * -------------------------------------------------------------------------------------------------------- */

/* The last line that it wrote to standard error. */
static const char *last_words(const struct driver *driver, char words[200])
{
    char line[160], last[160] = "";
    fseek(driver->words, 0, SEEK_SET);
    while (fgets(line, sizeof line, driver->words)) {
        line[strcspn(line, "\n")] = '\0';
        if (strspn(line, " \t\r") < strlen(line))
            memcpy(last, line, sizeof last);
    }
    words[0] = '\0';
    if (*last)
        snprintf(words, 200, "; its last words: \"%s\"", last);
    return words;
}

/* The pipe ends a moment before the process does. */
static int died(struct driver *driver, struct trouble *trouble)
{
    char words[200];
    int status = 0, ended = 0;
    for (const double end = clock_seconds() + 5.0; !ended && clock_seconds() < end;) {
        ended = waitpid(driver->process, &status, WNOHANG) == driver->process;
        if (!ended)
            poll(NULL, 0, 5);
    }
    last_words(driver, words);
    if (ended) {
        send_signal(driver, SIGKILL); /* what it may have started */
        driver->process = 0;
    }
    driver_end(driver);
    if (!ended)
        return trouble_set(trouble, DRIVER_CRASHED, "it closed its output%s", words);
    if (WIFSIGNALED(status))
        return trouble_set(trouble, DRIVER_CRASHED, "it was ended by signal %d%s", WTERMSIG(status), words);
    return trouble_set(trouble, DRIVER_CRASHED, "it ended with status %d%s", WEXITSTATUS(status), words);
}

static int rubbish(struct driver *driver, const char *what, const char *line, struct trouble *trouble)
{
    driver_end(driver);
    return trouble_set(trouble, DRIVER_RUBBISH, "%s: \"%.80s\"", what, line);
}

/* ---- questions
 * ------------------------------------------------------------------------------------------------------- */

static int send_line(struct driver *driver, const char *line, struct trouble *trouble)
{
    for (size_t left = strlen(line); left;) {
        const ssize_t sent = write(driver->to, line, left);
        if (sent < 0 && errno == EINTR && !(stop_flag && *stop_flag))
            continue;
        if (sent < 0)
            return died(driver, trouble);
        line += sent;
        left -= (size_t)sent;
    }
    return 1;
}

static int make_room(struct driver *driver)
{
    if (driver->room - driver->used > 65536)
        return 1;
    const size_t room = driver->room ? 2 * driver->room : 1 << 18;
    char *larger = room <= ANSWER_MOST ? realloc(driver->buffer, room) : NULL;
    if (!larger)
        return 0;
    driver->buffer = larger;
    driver->room = room;
    return 1;
}

/* 1 when there is something to read. */
static int wait_for_answer(struct driver *driver, double deadline, struct trouble *trouble)
{
    for (;;) {
        struct pollfd wait = {.fd = driver->from, .events = POLLIN};
        const double left = deadline - clock_seconds();
        if (stop_flag && *stop_flag) {
            driver_end(driver);
            return trouble_set(trouble, DRIVER_STOPPED, "the run was interrupted");
        }
        if (left <= 0.0) {
            driver_end(driver);
            return trouble_set(trouble, DRIVER_TIMEOUT, "no answer within %g s", driver->seconds);
        }
        if (poll(&wait, 1, left < 1000.0 ? (int)(left * 1000.0) + 1 : 1000000) > 0)
            return 1;
    }
}

/* The next line, in the buffer and without its end; what follows it is dropped, since one answer belongs to one
 * question. */
static char *read_line(struct driver *driver, struct trouble *trouble)
{
    const double deadline = clock_seconds() + driver->seconds;
    driver->used = 0;
    for (;;) {
        if (!make_room(driver))
            return rubbish(driver, "the answer is too long", driver->buffer ? driver->buffer : "", trouble), NULL;
        if (!wait_for_answer(driver, deadline, trouble))
            return NULL;
        const ssize_t got = read(driver->from, driver->buffer + driver->used, driver->room - driver->used - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return died(driver, trouble), NULL;
        char *end = memchr(driver->buffer + driver->used, '\n', (size_t)got);
        driver->used += (size_t)got;
        driver->buffer[driver->used] = '\0';
        if (end) {
            *end = '\0';
            return driver->buffer;
        }
    }
}

/* An answer that says that something went wrong. */
static int complaint(const json_t *answer, struct trouble *trouble)
{
    static const enum driver_status kinds[] = {DRIVER_MISSING, DRIVER_UNSUPPORTED, DRIVER_ERROR};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const json_t *text = json_object_get(answer, driver_status_word(kinds[i]));
        if (text) {
            trouble_set(trouble, kinds[i], "%.300s",
                        json_is_string(text) ? json_string_value(text) : "no reason given");
            return 1;
        }
    }
    return 0;
}

static json_t *ask_line(struct driver *driver, const char *line, struct trouble *trouble)
{
    if (driver->process <= 0 && !start(driver, trouble))
        return NULL;
    driver_resume(driver);
    if (!send_line(driver, line, trouble) || !send_line(driver, "\n", trouble))
        return NULL;
    char *text = read_line(driver, trouble);
    if (!text)
        return NULL;
    json_t *answer = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!json_is_object(answer)) {
        rubbish(driver, answer ? "the answer is no JSON object" : "the answer is no JSON", text, trouble);
    } else if (!complaint(answer, trouble)) {
        return answer;
    }
    json_decref(answer);
    return NULL;
}

json_t *driver_ask(struct driver *driver, json_t *command, struct trouble *trouble)
{
    char *line = command ? json_dumps(command, JSON_COMPACT) : NULL;
    json_decref(command);
    if (!line) {
        trouble_set(trouble, DRIVER_ERROR, "out of memory for the question");
        return NULL;
    }
    json_t *answer = ask_line(driver, line, trouble);
    free(line);
    return answer;
}
