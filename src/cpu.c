/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the CPU: CPUID with XGETBV on x86 (an instruction set counts only if the operating system saves its
 * registers), the auxiliary vector on aarch64. Called by dispatch.c, machine.c and plan.c. Remembers the cache sizes,
 * because a virtual machine takes tens of microseconds to answer.
 */
#define _GNU_SOURCE
#include "cpu.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* Register state that the operating system saves (XCR0): bits 1 and 2 for AVX, 5 to 7 besides for AVX-512. */
static uint64_t saved_state(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27)))
        return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

bool lw_cpu_has(lw_isa isa)
{
    if (isa == LW_ISA_SCALAR)
        return true;
    unsigned a, b, c, d, b7, c7, d7;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7))
        return false;
    uint64_t saved = saved_state();
    bool fma = c & (1u << 12), avx = c & (1u << 28), f16c = c & (1u << 29), avx2 = b7 & (1u << 5);
    bool avx2_set = fma && avx && f16c && avx2 && (saved & 0x6) == 0x6;
    if (isa == LW_ISA_AVX2)
        return avx2_set;
#ifdef LW_SIMDE
    return isa == LW_ISA_AVX512 && avx2_set; /* written in AVX2 */
#else
    unsigned needed = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    if (isa == LW_ISA_AVX512)
        return avx2_set && (b7 & needed) == needed && (saved & 0xe6) == 0xe6;
    return false;
#endif
}

void lw_cpu_name(char *name, size_t size)
{
    unsigned words[12];
    char text[sizeof words + 1] = {0};
    if ((unsigned)__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
        for (unsigned i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
        memcpy(text, words, sizeof words);
    }
    snprintf(name, size, "%s", text + strspn(text, " "));
}

#else

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define HWCAP_ASIMD_BIT (1ul << 1)
#endif

bool lw_cpu_has(lw_isa isa)
{
#if defined(__aarch64__) && defined(__linux__)
    if (isa == LW_ISA_NEON)
        return getauxval(AT_HWCAP) & HWCAP_ASIMD_BIT;
#elif defined(__aarch64__)
    if (isa == LW_ISA_NEON)
        return true; /* part of the architecture wherever floating point is */
#endif
#ifdef LW_SIMDE
    if (isa == LW_ISA_AVX512)
        return true; /* written in NEON */
#endif
    return isa == LW_ISA_SCALAR;
}

void lw_cpu_name(char *name, size_t size)
{
    snprintf(name, size, "%s", "");
}

#endif

static size_t from_sysconf(int key)
{
    long value = sysconf(key);
    return value > 0 ? (size_t)value : 0;
}

static struct lw_caches caches;
static pthread_once_t caches_once = PTHREAD_ONCE_INIT;

#if defined(__linux__)
/* One line of what the kernel tells of a cache of the first CPU; false where there is none. */
static bool read_fact(int index, const char *fact, char *line, size_t size)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, fact);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, line, size - 1);
    close(file);
    line[length > 0 ? length : 0] = '\0';
    return length > 0;
}

/* The kernel knows what a virtual machine was given; sysconf() multiplies the third level by guessed sharers. */
static void read_caches_of_kernel(void)
{
    size_t *const levels[] = {&caches.l1, &caches.l2, &caches.l3};
    char level[16], type[16], size[32];
    for (int i = 0; read_fact(i, "level", level, sizeof level); i++) {
        size_t number = strtoul(level, NULL, 10);
        if (number < 1 || number > 3 || !read_fact(i, "type", type, sizeof type) || type[0] == 'I' ||
            !read_fact(i, "size", size, sizeof size))
            continue;
        char *unit;
        size_t bytes = strtoul(size, &unit, 10);
        *levels[number - 1] = bytes * (*unit == 'K' ? 1024u : *unit == 'M' ? 1024u * 1024u : 1u);
    }
}
#endif

static void read_caches(void)
{
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    caches.l1 = from_sysconf(_SC_LEVEL1_DCACHE_SIZE);
    caches.l2 = from_sysconf(_SC_LEVEL2_CACHE_SIZE);
    caches.l3 = from_sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
#if defined(__linux__)
    read_caches_of_kernel();
#endif
}

struct lw_caches lw_cpu_caches(void)
{
    pthread_once(&caches_once, read_caches);
    return caches;
}

size_t lw_cpu_count(void)
{
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return lw_max(1, (size_t)CPU_COUNT(&set));
#endif
    return lw_max(1, from_sysconf(_SC_NPROCESSORS_ONLN));
}
