/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction sets and the machine: the list, what the names mean, choosing one, LW_ISA in a process of its own, and
 * what is said about the machine.
 */
#include "every_isa.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const names[LW_ISA_COUNT] = {"scalar", "neon", "avx2", "avx512"};

Test(machine, names_and_numbers)
{
    for (int k = 0; k < LW_ISA_COUNT; k++) {
        lw_isa isa = (lw_isa)-1;
        cr_assert_str_eq(lw_isa_name((lw_isa)k), names[k]);
        cr_assert_eq(lw_isa_find(names[k], &isa), LW_OK);
        cr_assert_eq((int)isa, k);
        if (lw_isa_supported((lw_isa)k))
            cr_assert(lw_isa_built((lw_isa)k));
    }
    for (int k = -3; k < 100; k += k == -1 ? LW_ISA_COUNT + 1 : 1) {
        cr_assert_str_eq(lw_isa_name((lw_isa)k), "unknown");
        cr_assert_eq(lw_isa_built((lw_isa)k), 0);
        cr_assert_eq(lw_isa_supported((lw_isa)k), 0);
    }
}

Test(machine, find_refuses)
{
    lw_isa isa = LW_ISA_AVX2;
    cr_assert_eq(lw_isa_find("sse9", &isa), LW_ERR_NOT_FOUND);
    for (int k = 0; k < LW_ISA_COUNT; k++)
        cr_assert(strstr(lw_error(), names[k]), "the sentence does not list %s: %s", names[k], lw_error());
    cr_assert(strstr(lw_error(), "sse9"), "%s", lw_error());
    cr_assert_eq(isa, LW_ISA_AVX2, "a failure changed the result");
    cr_assert_eq(lw_isa_find(NULL, &isa), LW_ERR_ARGUMENT);
    cr_assert_eq(lw_isa_find("scalar", NULL), LW_ERR_ARGUMENT);
    cr_assert_eq(lw_isa_find("", &isa), LW_ERR_NOT_FOUND);
    cr_assert_eq(lw_isa_find("AVX2 ", &isa), LW_ERR_NOT_FOUND);
}

/* What the kernel of the operating system says about the processor must agree with the library's own detection. */
Test(machine, detection_agrees)
{
    cr_assert(lw_isa_built(LW_ISA_SCALAR) && lw_isa_supported(LW_ISA_SCALAR));
#if defined(__x86_64__)
    cr_assert_eq(lw_isa_supported(LW_ISA_NEON), 0);
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    cr_assert_eq(lw_isa_supported(LW_ISA_AVX2), avx2 && lw_isa_built(LW_ISA_AVX2));
    cr_assert_eq(lw_isa_supported(LW_ISA_AVX512), avx512 && lw_isa_built(LW_ISA_AVX512));
#elif defined(__aarch64__)
    cr_assert(lw_isa_built(LW_ISA_NEON) && lw_isa_supported(LW_ISA_NEON));
#endif
}

static lw_model *small_model(int isa, lw_status *status)
{
    lw_brick brick = LW_BRICK_INIT(LW_LSTM);
    brick.input = brick.hidden = 3;
    lw_model_options options = LW_MODEL_OPTIONS_INIT;
    options.isa = isa;
    lw_model *model = NULL;
    *status = lw_model_create(&brick, 1, &options, &model);
    return model;
}

Test(machine, set_and_get)
{
    lw_isa isas[LW_ISA_COUNT];
    size_t count = supported_isas(isas);
    if (!getenv("LW_ISA"))
        cr_assert_eq(lw_isa_get(), isas[count - 1], "the best one is chosen first");
    lw_model *models[LW_ISA_COUNT];
    lw_status status;
    for (size_t k = 0; k < count; k++) {
        cr_assert_eq(lw_isa_set(isas[k]), LW_OK, "%s", lw_error());
        cr_assert_eq(lw_isa_get(), isas[k]);
        models[k] = small_model(-1, &status);
        cr_assert_eq(status, LW_OK);
    }
    for (size_t k = 0; k < count; k++) {
        cr_assert_eq(lw_model_isa(models[k]), isas[k], "a model keeps the set that it was packed for");
        lw_model_destroy(models[k]);
    }
    for (int k = 0; k < LW_ISA_COUNT; k++) {
        lw_isa before = lw_isa_get();
        if (lw_isa_supported((lw_isa)k))
            continue;
        cr_assert_eq(lw_isa_set((lw_isa)k), LW_ERR_UNSUPPORTED);
        cr_assert(strstr(lw_error(), names[k]), "%s", lw_error());
        cr_assert_eq(lw_isa_get(), before);
        cr_assert_null(small_model(k, &status));
        cr_assert_eq(status, LW_ERR_UNSUPPORTED);
    }
    lw_isa before = lw_isa_get();
    cr_assert_eq(lw_isa_set((lw_isa)17), LW_ERR_ARGUMENT);
    cr_assert_eq(lw_isa_set((lw_isa)-1), LW_ERR_ARGUMENT);
    cr_assert_eq(lw_isa_get(), before);
    cr_assert_null(small_model(17, &status));
    cr_assert_eq(status, LW_ERR_ARGUMENT);
    cr_assert_null(small_model(-2, &status));
    cr_assert_eq(status, LW_ERR_ARGUMENT);
}

/* Set in one thread, seen in another. */
static void *get_in_thread(void *result)
{
    *(lw_isa *)result = lw_isa_get();
    return NULL;
}

Test(machine, set_reaches_every_thread)
{
    lw_isa isas[LW_ISA_COUNT], seen;
    size_t count = supported_isas(isas);
    for (size_t k = 0; k < count; k++) {
        pthread_t thread;
        cr_assert_eq(lw_isa_set(isas[k]), LW_OK);
        cr_assert_eq(pthread_create(&thread, NULL, get_in_thread, &seen), 0);
        pthread_join(thread, NULL);
        cr_assert_eq(seen, isas[k]);
    }
}

/* The set that a fresh process chooses with LW_ISA=value (NULL: not set). The child of a fork has not chosen yet,
 * because nothing in this test did before. */
static int chosen_with(const char *value)
{
    pid_t child = fork();
    if (child == 0) {
        if (value)
            setenv("LW_ISA", value, 1);
        else
            unsetenv("LW_ISA");
        _exit((int)lw_isa_get());
    }
    int status = 0;
    waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status), "the child died");
    return WEXITSTATUS(status);
}

Test(machine, environment_caps)
{
    lw_isa isas[LW_ISA_COUNT];
    size_t count = supported_isas(isas);
    cr_assert_eq(chosen_with(NULL), (int)isas[count - 1]);
    for (size_t k = 0; k < count; k++)
        cr_assert_eq(chosen_with(names[isas[k]]), (int)isas[k], "LW_ISA=%s", names[isas[k]]);
    /* Nonsense does not end the program: it is as if nothing was set. */
    cr_assert_eq(chosen_with("nonsense"), (int)isas[count - 1]);
    cr_assert_eq(chosen_with(""), (int)isas[count - 1]);
}

#if defined(__x86_64__) && defined(__linux__)
/* As the kernel tells it, but for spaces around it. */
Test(machine, name)
{
    lw_machine machine = {.size = sizeof machine};
    cr_assert_eq(lw_machine_query(&machine), LW_OK, "%s", lw_error());
    char line[512] = "", *name = NULL;
    FILE *file = fopen("/proc/cpuinfo", "r");
    cr_assert(file);
    while (!name && fgets(line, sizeof line, file))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':'))
            name = strchr(line, ':') + 2;
    fclose(file);
    if (!name)
        cr_skip_test("/proc/cpuinfo names no CPU");
    name[strcspn(name, "\n")] = '\0';
    cr_expect_eq(strncmp(machine.cpu_name, name, strlen(name)), 0, "\"%s\", not \"%s\"", machine.cpu_name, name);
    cr_expect_eq(strspn(machine.cpu_name + strlen(name), " "), strlen(machine.cpu_name) - strlen(name), "\"%s\"",
                 machine.cpu_name);
}
#endif

ParameterizedTestParameters(machine, query)
{
    return every_isa(1);
}

ParameterizedTest(struct parameter *p, machine, query)
{
    static const size_t lanes[LW_ISA_COUNT] = {1, 4, 8, 16};
    cr_assert_eq(lw_isa_set(p->isa), LW_OK);
    lw_machine machine = {.size = sizeof machine};
    cr_assert_eq(lw_machine_query(&machine), LW_OK, "%s", lw_error());
    cr_assert_geq(machine.cpus, 1);
    cr_assert_leq(machine.cpus, (size_t)sysconf(_SC_NPROCESSORS_CONF));
    cr_assert_eq(machine.lanes, lanes[p->isa]);
    cr_assert(memchr(machine.cpu_name, 0, sizeof machine.cpu_name), "the name does not end");
    if (machine.l1_bytes && machine.l2_bytes)
        cr_assert_lt(machine.l1_bytes, machine.l2_bytes);
    double peak = lw_machine_peak(1);
    cr_assert_gt(peak, 1e7 * (double)machine.lanes, "%g flop/s cannot be", peak);
    cr_assert_lt(peak, 1e12, "%g flop/s on one core cannot be", peak);
}

/* Figures that one thread of a machine can have; a cache is measured when there is one. */
ParameterizedTestParameters(machine, limits)
{
    return every_isa(1);
}

ParameterizedTest(struct parameter *p, machine, limits)
{
    cr_assert_eq(lw_isa_set(p->isa), LW_OK);
    lw_machine machine = {.size = sizeof machine};
    lw_limits limits = {.size = sizeof limits};
    cr_assert_eq(lw_machine_query(&machine), LW_OK);
    cr_assert_eq(lw_machine_limits(1, &limits), LW_OK, "%s", lw_error());
    cr_assert_eq(limits.threads, 1);
    cr_expect(limits.flops > 1e7 * (double)machine.lanes && limits.flops < 1e12, "%g flop/s", limits.flops);
    const struct {
        const char *name;
        size_t there;
        double rate;
    } levels[] = {{"l1", machine.l1_bytes, limits.l1},
                  {"l2", machine.l2_bytes, limits.l2},
                  {"l3", machine.l3_bytes, limits.l3},
                  {"dram", 1, limits.dram}};
    for (size_t k = 0; k < sizeof levels / sizeof *levels; k++) {
        if (levels[k].there)
            cr_expect(levels[k].rate > 1e8 && levels[k].rate < 1e13, "%s: %g byte/s", levels[k].name, levels[k].rate);
        else
            cr_expect_eq(levels[k].rate, 0.0, "%s: %g byte/s of a cache that is not there", levels[k].name,
                         levels[k].rate);
    }
}

Test(machine, query_refuses)
{
    lw_machine machine = {.size = 3};
    cr_assert_eq(lw_machine_query(NULL), LW_ERR_ARGUMENT);
    cr_assert_eq(lw_machine_query(&machine), LW_ERR_ARGUMENT);
    cr_assert(strstr(lw_error(), "size"), "%s", lw_error());
    machine.size = 0;
    cr_assert_eq(lw_machine_query(&machine), LW_ERR_ARGUMENT);
}

Test(machine, version)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", LW_VERSION_MAJOR, LW_VERSION_MINOR, LW_VERSION_PATCH);
    cr_assert_str_eq(text, LW_VERSION_STRING);
    cr_assert_str_eq(lw_version(), LW_VERSION_STRING);
}

/* The third level as the operating system's kernel tells it: sysconf() multiplies it on some processors. */
Test(machine, caches_are_the_kernels)
{
    lw_machine machine = {.size = sizeof machine};
    cr_assert_eq(lw_machine_query(&machine), LW_OK);
    for (int i = 0, level; i < 8; i++) {
        char path[96], type[16];
        size_t kib;
        const char *const facts[] = {"level", "type", "size"};
        FILE *files[3];
        for (int k = 0; k < 3; k++) {
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", i, facts[k]);
            files[k] = fopen(path, "r");
        }
        if (files[0] && files[1] && files[2] && fscanf(files[0], "%d", &level) == 1 &&
            fscanf(files[1], "%15s", type) == 1 && fscanf(files[2], "%zuK", &kib) == 1 && type[0] != 'I') {
            if (level == 1)
                cr_expect_eq(machine.l1_bytes, 1024 * kib);
            else if (level == 2)
                cr_expect_eq(machine.l2_bytes, 1024 * kib);
            else if (level == 3)
                cr_expect_eq(machine.l3_bytes, 1024 * kib);
        }
        for (int k = 0; k < 3; k++)
            if (files[k])
                fclose(files[k]);
    }
}
