// SPDX-License-Identifier: Apache-2.0
//
// Google Benchmark speaks C++ only: this is the one place where the benchmarks do. See shim.h. No exception leaves a
// function of this file, since its callers are C.
#include "shim.h"

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

using clock_type = std::chrono::steady_clock;

struct bench {
    benchmark::State &state;
    clock_type::time_point begin;
    double seconds;
    bool started;
};

namespace
{

std::atomic<bool> some_case_failed{false};

std::string text_of(const char *format, va_list arguments)
{
    char text[512];
    std::vsnprintf(text, sizeof text, format, arguments);
    return text;
}

benchmark::TimeUnit unit_of(enum bench_unit unit)
{
    switch (unit) {
    case BENCH_NANOSECONDS:
        return benchmark::kNanosecond;
    case BENCH_MILLISECONDS:
        return benchmark::kMillisecond;
    default:
        return benchmark::kMicrosecond;
    }
}

} // namespace

extern "C" void bench_register(const char *name, bench_function function, void *argument, size_t threads,
                               enum bench_unit unit)
{
    benchmark::internal::Benchmark *registered = benchmark::RegisterBenchmark(
        name, [function, argument](benchmark::State &state) {
            bench b{state, {}, 0.0, false};
            function(&b, argument);
        });
    registered->UseRealTime()->Unit(unit_of(unit));
    if (threads > 1)
        registered->Threads(static_cast<int>(threads));
}

// The time of the loop is taken here as well, because a case wants it for its counters, and State does not give it.
extern "C" int bench_loop(bench *b, size_t batch)
{
    if (b->state.KeepRunningBatch(static_cast<benchmark::IterationCount>(batch))) {
        if (!b->started) {
            b->started = true;
            b->begin = clock_type::now();
        }
        return 1;
    }
    if (b->started && b->state.iterations() > 0) {
        const std::chrono::duration<double> elapsed = clock_type::now() - b->begin;
        b->seconds = elapsed.count() / static_cast<double>(b->state.iterations());
    }
    return 0;
}

extern "C" double bench_seconds(const bench *b)
{
    return b->seconds;
}

extern "C" void bench_keep(const void *value)
{
    benchmark::DoNotOptimize(value);
    benchmark::ClobberMemory();
}

extern "C" void bench_counter(bench *b, const char *name, double value)
{
    b->state.counters[name] = benchmark::Counter(value);
}

extern "C" void bench_rate(bench *b, const char *name, double amount)
{
    // Not the rate that multiplies by iterations itself: that one counts those of all threads for each thread.
    const double all = amount * static_cast<double>(b->state.iterations());
    b->state.counters[name] = benchmark::Counter(all, benchmark::Counter::kIsRate);
}

extern "C" void bench_label(bench *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    b->state.SetLabel(text_of(format, arguments).c_str());
    va_end(arguments);
}

extern "C" void bench_fail(bench *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    b->state.SkipWithError(text_of(format, arguments).c_str());
    va_end(arguments);
    some_case_failed = true;
}

extern "C" void bench_context(const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    benchmark::AddCustomContext(key, text_of(format, arguments));
    va_end(arguments);
}

extern "C" int bench_run(int argc, char **argv, void (*before)(void))
{
    // Hundreds of cases: a shorter time for each than Google Benchmark's own half second. The caller's word comes later
    // in the list and wins.
    static char program[] = "latchwork_bench", shorter[] = "--benchmark_min_time=0.2";
    std::vector<char *> arguments{argc > 0 ? argv[0] : program, shorter};
    bool list = false;
    for (int i = 1; i < argc; i++) {
        arguments.push_back(argv[i]);
        list = list || !std::strcmp(argv[i], "--benchmark_list_tests") ||
               !std::strcmp(argv[i], "--benchmark_list_tests=true");
    }
    int count = static_cast<int>(arguments.size());
    arguments.push_back(nullptr);
    benchmark::Initialize(&count, arguments.data());
    if (benchmark::ReportUnrecognizedArguments(count, arguments.data()))
        return 1;
    if (before && !list)
        before();
    const bool ran = benchmark::RunSpecifiedBenchmarks() > 0;
    benchmark::Shutdown();
    return ran && !some_case_failed ? 0 : 1;
}
