/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading whole files and writing atomically (see file.h).
 * Invariant: at any moment at most one temporary file exists, and its name is where the signal handler finds it; the
 * handler only unlinks, writes and exits, so it is safe wherever it strikes.
 */
#include "file.h"

#include "report.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe has no size to check against, so that a runaway producer must be stopped somewhere. */
#define PIPE_MAX ((size_t)1 << 32)

static char *volatile live_temporary;

static void on_signal(int number)
{
    static const char text[] = "\nlatchwork: stopped by a signal; nothing was written\n";
    char *path = live_temporary;
    if (path)
        unlink(path);
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(128 + number);
}

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
#define CAUGHT (sizeof caught / sizeof caught[0])

void signals_catch(void)
{
    struct sigaction action, old;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < CAUGHT; i++) {
        sigaction(caught[i], NULL, &old);
        if (old.sa_handler != SIG_IGN) /* nohup and background jobs keep what they asked for */
            sigaction(caught[i], &action, NULL);
    }
}

static void signals_block(sigset_t *old)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaddset(&set, caught[i]);
    sigprocmask(SIG_BLOCK, &set, old);
}

static int read_stream(FILE *stream, const char *path, size_t expected, void **bytes, size_t *size)
{
    size_t capacity = expected + 1, used = 0; /* one more, so that the end is seen without growing */
    unsigned char *buffer = allocate(capacity, 1);
    while (buffer) {
        used += fread(buffer + used, 1, capacity - used, stream);
        if (used < capacity)
            break;
        if (used > PIPE_MAX && used > expected) {
            free(buffer);
            return fail("%s: more than 4 GiB came through; expected a file", path);
        }
        unsigned char *larger = realloc(buffer, capacity * 2);
        if (!larger)
            free(buffer);
        buffer = larger;
        capacity *= 2;
    }
    if (!buffer)
        return fail("%s: out of memory after %zu bytes", path, used);
    if (ferror(stream)) {
        int error = errno;
        free(buffer);
        return fail("%s: cannot be read: %s", path, strerror(error));
    }
    *bytes = buffer;
    *size = used;
    return EXIT_OK;
}

int file_read(const char *path, void **bytes, size_t *size)
{
    if (strcmp(path, "-") == 0)
        return read_stream(stdin, "standard input", 65535, bytes, size);
    FILE *stream = fopen(path, "rb");
    struct stat info;
    if (!stream || fstat(fileno(stream), &info) != 0) {
        int error = errno;
        if (stream)
            fclose(stream);
        return fail("%s: cannot be opened: %s", path, strerror(error));
    }
    int status;
    if (S_ISDIR(info.st_mode))
        status = fail("%s: is a folder; expected a file", path);
    else
        status = read_stream(stream, path, S_ISREG(info.st_mode) ? (size_t)info.st_size : 65535, bytes, size);
    fclose(stream);
    return status;
}

/* Where the new file is to stand: links are followed, so that a link stays one. NULL with a message on failure;
 * *direct is set for what is no regular file. */
static char *resolve(const char *path, int *direct)
{
    struct stat info;
    *direct = 0;
    char *target = realpath(path, NULL);
    if (target) {
        if (stat(target, &info) == 0 && S_ISDIR(info.st_mode)) {
            free(target);
            fail("%s: is a folder; expected the name of a file", path);
            return NULL;
        }
        *direct = !S_ISREG(info.st_mode);
    } else if (errno == ENOENT) {
        target = strdup(path);
    }
    if (!target) {
        fail("%s: cannot be written: %s", path, strerror(errno));
        return NULL;
    }
    return target;
}

int output_is_standard(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

int output_spares(const char *option, const char *path, const char *const *inputs, size_t count)
{
    struct stat out, in;
    if (output_is_standard(path) || stat(path, &out) != 0 || !S_ISREG(out.st_mode))
        return EXIT_OK;
    for (size_t i = 0; i < count; i++)
        if (inputs[i] && stat(inputs[i], &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
            return misuse("--%s: '%s' would take the place of '%s', which this command reads; give it another name",
                          option, path, inputs[i]);
    return EXIT_OK;
}

int output_check(const char *path)
{
    int direct;
    if (strcmp(path, "-") == 0)
        return EXIT_OK;
    char *target = resolve(path, &direct);
    if (!target)
        return EXIT_WORK;
    if (direct) {
        int refused = access(target, W_OK) != 0;
        free(target);
        return refused ? fail("%s: cannot be written: %s", path, strerror(errno)) : EXIT_OK;
    }
    char *slash = strrchr(target, '/');
    const char *folder = slash == target ? "/" : slash ? target : ".";
    if (slash && slash[1] == '\0') {
        free(target);
        return fail("%s: is a folder; expected the name of a file", path);
    }
    if (slash && slash != target)
        *slash = '\0';
    int status = EXIT_OK;
    if (access(folder, W_OK | X_OK) != 0)
        status = fail("%s: cannot be created in the folder '%s': %s", path, folder, strerror(errno));
    free(target);
    return status;
}

static int open_temporary(struct output *output)
{
    size_t length = strlen(output->target) + sizeof ".latchwork-XXXXXX";
    char *name = malloc(length);
    if (!name)
        return fail("out of memory");
    snprintf(name, length, "%s.latchwork-XXXXXX", output->target);
    struct stat info;
    mode_t mask = umask(0);
    umask(mask);
    mode_t mode = stat(output->target, &info) == 0 ? info.st_mode & 0777 : 0666 & ~mask;
    sigset_t old;
    signals_block(&old);
    int file = mkstemp(name);
    int error = errno;
    if (file >= 0)
        live_temporary = name;
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (file < 0) {
        free(name);
        return fail("%s: cannot be created: %s", output->path, strerror(error));
    }
    output->temporary = name;
    if (fchmod(file, mode) != 0 || !(output->stream = fdopen(file, "wb"))) {
        error = errno;
        close(file);
        return fail("%s: cannot be created: %s", output->path, strerror(error));
    }
    return EXIT_OK;
}

int output_paths_check(const struct output_path *outputs, size_t count, const char *const *inputs, size_t input_count)
{
    size_t standard = 0;
    for (size_t i = 0; i < count; i++) {
        const char *path = outputs[i].path;
        if (output_is_standard(path) && standard++)
            return misuse("only one of the outputs can go to standard output");
        if (!path || output_is_standard(path))
            continue;
        for (size_t k = 0; k < i; k++)
            if (outputs[k].path && strcmp(outputs[k].path, path) == 0)
                return misuse("--%s and --%s name the same file '%s'", outputs[k].option, outputs[i].option, path);
        int status = output_spares(outputs[i].option, path, inputs, input_count);
        if (status == EXIT_OK)
            status = output_check(path);
        if (status != EXIT_OK)
            return status;
    }
    return EXIT_OK;
}

int output_open(struct output *output, const char *path)
{
    *output = (struct output){.path = path};
    int direct;
    if (strcmp(path, "-") == 0) {
        output->stream = stdout;
        return EXIT_OK;
    }
    output->target = resolve(path, &direct);
    if (!output->target)
        return EXIT_WORK;
    if (direct) {
        free(output->target);
        output->target = NULL;
        output->stream = fopen(path, "wb");
        return output->stream ? EXIT_OK : fail("%s: cannot be written: %s", path, strerror(errno));
    }
    int status = open_temporary(output);
    if (status != EXIT_OK)
        output_abandon(output);
    return status;
}

void output_abandon(struct output *output)
{
    sigset_t old;
    if (output->stream && output->stream != stdout)
        fclose(output->stream);
    signals_block(&old);
    if (output->temporary)
        unlink(output->temporary);
    live_temporary = NULL;
    sigprocmask(SIG_SETMASK, &old, NULL);
    free(output->temporary);
    free(output->target);
    *output = (struct output){.path = output->path};
}

int output_commit(struct output *output)
{
    FILE *stream = output->stream;
    int bad = ferror(stream) || fflush(stream) != 0;
    if (!bad && output->temporary)
        bad = fsync(fileno(stream)) != 0;
    int error = errno;
    if (stream != stdout && fclose(stream) != 0 && !bad) {
        bad = 1;
        error = errno;
    }
    output->stream = NULL;
    if (!bad && output->temporary) {
        sigset_t old;
        signals_block(&old);
        bad = rename(output->temporary, output->target) != 0;
        error = errno;
        if (!bad) {
            live_temporary = NULL;
            free(output->temporary);
            output->temporary = NULL;
        }
        sigprocmask(SIG_SETMASK, &old, NULL);
    }
    const char *path = stream == stdout ? "standard output" : output->path;
    output_abandon(output);
    return bad ? fail("%s: cannot be written: %s", path, strerror(error)) : EXIT_OK;
}

int output_write(const char *path, const void *bytes, size_t size)
{
    struct output output;
    int status = output_open(&output, path);
    if (status != EXIT_OK)
        return status;
    fwrite(bytes, 1, size, output.stream); /* commit looks at the stream's error flag */
    return output_commit(&output);
}

void temporary_pattern(char *path, size_t size, const char *name)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, size, "%.4000s/latchwork-%s-XXXXXX", folder && *folder ? folder : "/tmp", name);
}
