/* SPDX-License-Identifier: Apache-2.0 */
/* Finding, building and removing the sides of a comparison; see side.h. */
#include "side.h"
#include "../file.h"

#include "results.h"
#include "stop.h"

#include "../report.h"

#include <errno.h>
#include <popt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- programs that are asked once ----------------------------------------------------------------------------- */

/* Runs it to its end in `folder` (NULL: here); what it says goes to the open file `out`. The exit status, or -1. */
static int run_words(const char *const *words, const char *folder, int out)
{
    int status = -1;
    const pid_t child = fork();
    if (child == 0) {
        if ((!folder || chdir(folder) == 0) && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0)
            execvp(words[0], (char *const *)words);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        if (stop_signal())
            kill(child, SIGTERM);
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Its words into `line`: the first line that it said, or the last one that is not empty. */
static int ask_words(const char *const *words, const char *folder, int last, char line[SIDE_PATH])
{
    char next[SIDE_PATH];
    FILE *said = tmpfile();
    line[0] = '\0';
    if (!said)
        return -1;
    const int status = run_words(words, folder, fileno(said));
    fseek(said, 0, SEEK_SET);
    while ((last || !*line) && fgets(next, sizeof next, said)) {
        next[strcspn(next, "\n")] = '\0';
        if (*next)
            memcpy(line, next, sizeof next);
    }
    fclose(said);
    return status;
}

/* ---- building ------------------------------------------------------------------------------------------------- */

/* The last lines of what a build said. */
static void show_end(FILE *said)
{
    enum { SHOWN = 20 };
    char line[SIDE_PATH];
    size_t lines = 0, at = 0;
    rewind(said);
    while (fgets(line, sizeof line, said))
        lines++;
    rewind(said);
    while (fgets(line, sizeof line, said)) {
        line[strcspn(line, "\n")] = '\0';
        if (at++ + SHOWN >= lines)
            fprintf(stderr, "  %s\n", clean_text(line));
    }
}

/* `failed`: the exit code when the source cannot be built; without meson and ninja it is EXIT_WORK. */
static int build(struct side *side, const char *source, int failed)
{
    char target[SIDE_PATH];
    if (snprintf(target, sizeof target, "%.4000s/build", side->folder) >= (int)sizeof target)
        return fail("%s: the path is too long", side->folder);
    const char *set_up[] = {"meson",
                            "setup",
                            target,
                            source,
                            "--buildtype=release",
                            "-Dtests=disabled",
                            "-Dbench=disabled",
                            "-Dexamples=disabled",
                            NULL};
    const char *make[] = {"ninja", "-C", target, "latchwork", NULL};
    fprintf(stderr, "building %s\n", side->name);
    FILE *said = tmpfile();
    if (!said)
        return fail("%s cannot be built: %s", side->name, strerror(errno));
    int status = run_words(set_up, NULL, fileno(said));
    if (status == 0)
        status = run_words(make, NULL, fileno(said));
    if (status && status != 127 && !stop_signal())
        show_end(said);
    fclose(said);
    if (stop_signal())
        return EXIT_WORK; /* whoever interrupts knows why */
    if (status == 127)
        return fail("%s cannot be built: meson and ninja are needed on the PATH", side->name);
    if (status) {
        fail("%s cannot be built", side->name);
        return failed;
    }
    snprintf(side->program, sizeof side->program, "%.4000s/latchwork", target);
    return EXIT_OK;
}

static int make_folder(struct side *side)
{
    temporary_pattern(side->folder, sizeof side->folder, "gate");
    if (mkdtemp(side->folder))
        return EXIT_OK;
    const int status = fail("%s: cannot be made: %s", side->folder, strerror(errno));
    side->folder[0] = '\0';
    return status;
}

static int find_top(char top[SIDE_PATH])
{
    const char *words[] = {"git", "rev-parse", "--show-toplevel", NULL};
    return ask_words(words, NULL, 0, top);
}

static int open_commit(struct side *side)
{
    char line[SIDE_PATH], commit[300];
    snprintf(commit, sizeof commit, "%.200s^{commit}", side->name);
    const char *check[] = {"git", "rev-parse", "--verify", "--quiet", "--end-of-options", commit, NULL};
    if (ask_words(check, NULL, 1, line) != 0)
        return fail("%s: this is no file, no folder of a build and no commit of a repository here", side->name);
    int status = make_folder(side);
    if (status != EXIT_OK)
        return status;
    snprintf(side->worktree, sizeof side->worktree, "%.4000s/source", side->folder);
    const char *add[] = {"git", "worktree", "add", "--detach", "--quiet", side->worktree, line, NULL};
    char said[SIDE_PATH];
    if (ask_words(add, NULL, 1, said) != 0) {
        side->worktree[0] = '\0';
        return fail("%s cannot be checked out: %s", side->name, said);
    }
    return build(side, side->worktree, EXIT_BASE);
}

int side_open_tree(struct side *side)
{
    char top[SIDE_PATH];
    *side = (struct side){.name = "the working tree"};
    if (find_top(top) != 0)
        return fail("the working tree was not found: %s", top);
    const int status = make_folder(side);
    return status == EXIT_OK ? build(side, top, EXIT_WORK) : status;
}

/* ---- words of the command line -------------------------------------------------------------------------------- */

enum { SIDE_WORDS = 200 };

int side_open_own(struct side *side)
{
    *side = (struct side){.name = "this build"};
    const ssize_t length = readlink("/proc/self/exe", side->program, sizeof side->program - 1);
    if (length <= 0)
        return fail("the path of this program is not known; name it");
    side->program[length] = '\0';
    return EXIT_OK;
}

void side_open_command(struct side *side, const char *command)
{
    *side = (struct side){.name = command, .command = command};
}

static int open_path(struct side *side, const struct stat *is)
{
    const int folder = S_ISDIR(is->st_mode);
    if (snprintf(side->program, sizeof side->program, folder ? "%s/latchwork" : "%s", side->name) >=
        (int)sizeof side->program)
        return misuse("%.80s...: the path is too long", side->name);
    if (folder && access(side->program, X_OK) != 0)
        return fail("%s: there is no command 'latchwork' in this folder: expected a build", side->name);
    if (access(side->program, X_OK) == 0)
        return EXIT_OK;
    side->program[0] = '\0';
    return results_load(side->name, &side->results);
}

int side_open(struct side *side, const char *text)
{
    struct stat is;
    *side = (struct side){.name = text};
    if (stat(text, &is) == 0)
        return open_path(side, &is);
    return fail("%s: there is no such file or folder; expected results, a build's folder or its command", text);
}

int side_open_base(struct side *side, const char *text)
{
    struct stat is;
    *side = (struct side){.name = text};
    return stat(text, &is) == 0 ? open_path(side, &is) : open_commit(side);
}

int side_is_commit(const struct side *side)
{
    return side->worktree[0] != '\0';
}

void side_close(struct side *side)
{
    char said[SIDE_PATH];
    const char *leave[] = {"git", "worktree", "remove", "--force", side->worktree, NULL};
    const char *clear[] = {"rm", "-rf", "--", side->folder, NULL};
    const char *prune[] = {"git", "worktree", "prune", NULL};
    if (side->worktree[0])
        ask_words(leave, NULL, 1, said);
    if (side->folder[0])
        ask_words(clear, NULL, 1, said);
    if (side->worktree[0])
        ask_words(prune, NULL, 1, said);
    json_decref(side->results);
    *side = (struct side){0};
}

struct driver *side_driver(const struct side *side, const char *const *prefix, const char *name, double seconds)
{
    const char *own[] = {side->program, "bench", "serve", NULL}, *list[SIDE_WORDS + 1];
    const char **split = NULL, *const *words = own;
    size_t used = 0;
    int count = 3;
    if (!side->program[0]) {
        if (poptParseArgvString(side->command, &count, &split) || count < 1)
            return misuse("the command is empty or has an open quote: %s", side->command), NULL;
        words = split;
    }
    for (; prefix && prefix[used] && used < SIDE_WORDS; used++)
        list[used] = prefix[used];
    for (int i = 0; i < count && used < SIDE_WORDS; i++)
        list[used++] = words[i];
    list[used] = NULL;
    struct driver *driver = used < SIDE_WORDS ? driver_open(name, list, seconds) : NULL;
    if (!driver)
        fail(used < SIDE_WORDS ? "out of memory" : "the command has too many words");
    free(split);
    return driver;
}
