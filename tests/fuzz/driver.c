/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plain main() for a fuzz target, where there is no libFuzzer: replays files and folders, then as many inputs as
 * asked for that are mutations of them, always the same ones. Prints TAP; a crash ends the report early.  fuzz_csv
 * --runs 10000 --seed 1 FOLDER FILE ...
 */
#include "fuzz.h"

#include "../random.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_INPUTS 4096
#define MOST_BYTES ((size_t)1 << 16)

static struct input {
    uint8_t *data;
    size_t size;
} inputs[MOST_INPUTS];
static size_t input_count;

static void add_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || input_count == MOST_INPUTS) {
        fprintf(stderr, "%s: cannot be opened, or more than %d inputs\n", path, MOST_INPUTS);
        exit(1);
    }
    struct input *input = &inputs[input_count++];
    input->data = malloc(MOST_BYTES);
    MUST(input->data);
    input->size = fread(input->data, 1, MOST_BYTES, file);
    fclose(file);
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* In the order of their names, so that the mutations are the same everywhere. */
static void add_path(const char *path)
{
    struct stat facts;
    struct dirent **entries;
    if (stat(path, &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        add_file(path);
        return;
    }
    int count = scandir(path, &entries, not_hidden, alphasort);
    for (int i = 0; i < count; i++) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        add_path(inner);
        free(entries[i]);
    }
    free(entries);
}

static void run(const uint8_t *data, size_t size)
{
    /* A block of its own, so that a sanitizer sees a read beyond. */
    uint8_t *copy = malloc(size + (size == 0));
    MUST(copy);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* One change of `size` bytes in place; the new size. */
static size_t change(rng *random, uint8_t *data, size_t size)
{
    static const char alphabet[] = "{}[]\":,0123456789eE+-.\\u \n()'nul";
    size_t at = rng_range(random, 0, size), count = rng_range(random, 1, 8);
    switch (rng_range(random, 0, 5)) {
    case 0: /* a bit */
        if (at < size)
            data[at] ^= (uint8_t)(1u << rng_range(random, 0, 7));
        return size;
    case 1: /* a byte */
        if (at < size)
            data[at] = (uint8_t)rng_next(random);
        return size;
    case 2: /* a letter of the formats */
        if (at < size)
            data[at] = (uint8_t)alphabet[rng_range(random, 0, sizeof alphabet - 2)];
        return size;
    case 3: /* bytes are gone */
        count = count > size - at ? size - at : count;
        memmove(data + at, data + at + count, size - at - count);
        return size - count;
    case 4: /* bytes are there twice */
        if (size + count > MOST_BYTES || at + count > size)
            return size;
        memmove(data + at + count, data + at, size - at);
        return size + count;
    default: /* bytes of another input */
    {
        const struct input *other = &inputs[rng_range(random, 0, input_count - 1)];
        size_t from = rng_range(random, 0, other->size);
        count = rng_range(random, 1, 64);
        count = count > other->size - from ? other->size - from : count;
        count = count > size - at ? size - at : count;
        memcpy(data + at, other->data + from, count);
        return size;
    }
    }
}

static void mutate(size_t runs, uint64_t seed)
{
    static uint8_t data[MOST_BYTES];
    rng random = {seed, 0};
    for (size_t k = 0; k < runs; k++) {
        const struct input *input = &inputs[rng_range(&random, 0, input_count - 1)];
        size_t size = input->size, changes = rng_range(&random, 1, 5);
        memcpy(data, input->data, size);
        for (size_t i = 0; i < changes; i++)
            size = change(&random, data, size);
        run(data, size);
    }
}

int main(int argc, char **argv)
{
    size_t runs = 0;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
            runs = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            add_path(argv[i]);
    if (input_count == 0) {
        fprintf(stderr, "usage: %s [--runs N] [--seed N] FILE|FOLDER ...\n", argv[0]);
        return 2;
    }
    /* Sentences about refused inputs are not the report. */
    int null = open("/dev/null", O_WRONLY), errors = dup(STDERR_FILENO);
    if (!getenv("FUZZ_VERBOSE") && null >= 0 && errors >= 0)
        dup2(null, STDERR_FILENO);
    printf("1..2\n");
    for (size_t i = 0; i < input_count; i++)
        run(inputs[i].data, inputs[i].size);
    printf("ok 1 - %zu inputs replayed\n", input_count);
    fflush(stdout);
    mutate(runs, seed);
    printf("ok 2 - %zu mutations of them\n", runs);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].data);
    return 0;
}
