/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and opening the drivers of other engines; see peers.h. */
#include "peers.h"

#include "../report.h"
#include "../work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order of the table. */
static const struct known {
    const char *word, *name, *file;
    int python;
} known[] = {
    {"torch", "PyTorch", "torch_driver.py", 1},
    {"onnxruntime", "ONNX Runtime", "onnxruntime_driver.py", 1},
    {"openvino", "OpenVINO", "openvino_driver.py", 1},
    {"onednn", "oneDNN", "onednn_driver", 0},
};
enum { KNOWN = sizeof known / sizeof known[0], PATH_BYTES = 4096 };

static int refuse_peer(const char *what, const char *word)
{
    const char *names[KNOWN + 1];
    char out[NEAREST_SIZE];
    for (size_t i = 0; i < KNOWN; i++)
        names[i] = known[i].word;
    names[KNOWN] = "all";
    return misuse("%s: there is no peer '%s'%s", what, word, nearest(word, names, KNOWN + 1, out));
}

/* ---- where things lie
 * ------------------------------------------------------------------------------------------------ */

/* The folder of this program, "" where the system does not tell. */
static void own_folder(char folder[PATH_BYTES])
{
    const ssize_t length = readlink("/proc/self/exe", folder, PATH_BYTES - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
}

static int try_file(char path[PATH_BYTES], const char *folder, const char *between, const char *file)
{
    return snprintf(path, PATH_BYTES, "%s%s/%s", folder, between, file) < PATH_BYTES && access(path, R_OK) == 0;
}

/* The caller's folder, the installed ones beside bin/, the build directory, the source tree around it. */
static int find_file(char path[PATH_BYTES], const char *file)
{
    static const char *const beside[] = {"/../share/latchwork/peers", "/../libexec/latchwork", "/bench/peers",
                                         "/../bench/peers", "/../../bench/peers"};
    const char *wish = getenv("LATCHWORK_PEERS");
    char folder[PATH_BYTES];
    if (wish && *wish && try_file(path, wish, "", file))
        return 1;
    own_folder(folder);
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++)
        if (try_file(path, folder, beside[i], file))
            return 1;
    return try_file(path, LW_PEERS_FOLDER, "", file);
}

/* "torch=/a/python" speaks of one peer, "/a/python" of all that nothing else speaks of. */
static const char *python_for(const struct texts *pythons, const char *word)
{
    const char *common = "python3";
    const size_t length = strlen(word);
    for (size_t i = 0; i < pythons->count; i++) {
        const char *text = pythons->items[i];
        if (strncmp(text, word, length) == 0 && text[length] == '=')
            return text + length + 1;
        if (!strchr(text, '='))
            common = text;
    }
    return common;
}

static int check_pythons(const struct texts *pythons)
{
    for (size_t i = 0; i < pythons->count; i++) {
        char word[64];
        const char *equals = strchr(pythons->items[i], '=');
        int found = !equals;
        snprintf(word, sizeof word, "%.*s", equals ? (int)(equals - pythons->items[i]) : 0, pythons->items[i]);
        for (size_t k = 0; k < KNOWN; k++)
            found |= strcmp(word, known[k].word) == 0;
        if (!found)
            return refuse_peer("--peer-python", word);
    }
    return EXIT_OK;
}

/* ---- opening
 * ----------------------------------------------------------------------------------------------------------- */

static struct peer *add(struct peers *peers, const char *name)
{
    for (size_t i = 0; i < peers->count; i++)
        if (strcmp(peers->list[i].name, name) == 0) {
            driver_close(peers->list[i].driver);
            peers->list[i].driver = NULL;
            peers->list[i].missing.kind = DRIVER_OK;
            return &peers->list[i];
        }
    char *copy = peers->count < PEERS_MAX ? strdup(name) : NULL;
    if (!copy)
        return NULL;
    peers->list[peers->count] = (struct peer){.name = copy};
    return &peers->list[peers->count++];
}

static int open_known(struct peers *peers, const struct known *which, const struct texts *pythons, double seconds)
{
    char path[PATH_BYTES];
    struct peer *peer = add(peers, which->name);
    if (!peer)
        return misuse("--peers: more than %d peers", PEERS_MAX);
    if (!find_file(path, which->file)) {
        trouble_set(&peer->missing, DRIVER_MISSING, "its driver %s was not found; LATCHWORK_PEERS names the folder",
                    which->file);
        return EXIT_OK;
    }
    const char *argv[3] = {python_for(pythons, which->word), path, NULL};
    peer->driver = driver_open(which->name, which->python ? argv : argv + 1, seconds);
    return peer->driver ? EXIT_OK : fail("out of memory");
}

static int open_named(struct peers *peers, const char *names, const struct texts *pythons, double seconds)
{
    char copy[1024], *rest = NULL;
    int status = EXIT_OK;
    if ((size_t)snprintf(copy, sizeof copy, "%s", names) >= sizeof copy)
        return misuse("--peers: too long");
    for (char *word = strtok_r(copy, ", ", &rest); word && status == EXIT_OK; word = strtok_r(NULL, ", ", &rest)) {
        const int all = strcmp(word, "all") == 0;
        int found = 0;
        for (size_t i = 0; i < KNOWN && status == EXIT_OK; i++)
            if (all || strcasecmp(word, known[i].word) == 0 || strcasecmp(word, known[i].name) == 0) {
                found = 1;
                status = open_known(peers, &known[i], pythons, seconds);
            }
        if (!found)
            return refuse_peer("--peers", word);
    }
    return status;
}

static int open_driver(struct peers *peers, const char *text, double seconds)
{
    char name[64];
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || equals - text >= (int)sizeof name || !equals[1])
        return misuse("--driver: expected NAME=COMMAND, got '%s'", text);
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    struct peer *peer = add(peers, name);
    if (!peer)
        return misuse("--driver: more than %d peers", PEERS_MAX);
    peer->driver = driver_open_command(name, equals + 1, seconds, &peer->missing);
    return peer->driver ? EXIT_OK : misuse("--driver %s: %s", name, peer->missing.text);
}

int peers_open(struct peers *peers, const char *names, const struct texts *drivers, const struct texts *pythons,
               double seconds)
{
    int status = check_pythons(pythons);
    if (status == EXIT_OK && names)
        status = open_named(peers, names, pythons, seconds);
    for (size_t i = 0; status == EXIT_OK && i < drivers->count; i++)
        status = open_driver(peers, drivers->items[i], seconds);
    return status;
}

json_t *driver_introduction(struct driver *driver, const char *name, struct trouble *trouble)
{
    json_t *answer = driver_ask(driver, json_pack("{s:s}", "cmd", "info"), trouble);
    driver_pause(driver);
    if (!answer)
        return NULL;
    const char *version = json_string_value(json_object_get(answer, "version"));
    const char *details = json_string_value(json_object_get(answer, "details"));
    json_t *object = json_pack("{s:o, s:o, s:o}", "name", json_text(name), "version", json_text(version ? version : ""),
                               "details", json_text(details ? details : ""));
    json_decref(answer);
    return object;
}

void peers_introduce(struct peers *peers, json_t *engines)
{
    for (size_t i = 0; i < peers->count; i++) {
        struct peer *peer = &peers->list[i];
        json_t *object = peer->driver ? driver_introduction(peer->driver, peer->name, &peer->missing) : NULL;
        if (!object) {
            const int told = peer->missing.kind == DRIVER_MISSING;
            object = json_pack("{s:o, s:o}", "name", json_text(peer->name), "missing",
                               json_sprintf("%s%s%s", told ? "" : driver_status_word(peer->missing.kind),
                                            told ? "" : ": ", peer->missing.text));
        }
        json_array_append_new(engines, object);
    }
}

void peers_close(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++) {
        driver_close(peers->list[i].driver);
        free(peers->list[i].name);
    }
    *peers = (struct peers){0};
}

struct driver *driver_open_own(const char *name, double seconds)
{
    char path[PATH_BYTES];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    const char *argv[] = {length > 0 ? path : "latchwork", "bench", "serve", NULL};
    struct driver *driver = driver_open(name, argv, seconds);
    if (!driver)
        fail("out of memory");
    return driver;
}
