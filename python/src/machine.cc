// SPDX-License-Identifier: Apache-2.0
//
// What latchwork says about itself and the machine: version, instruction sets, threads.
#include "core.hpp"

namespace binding
{

static lw_isa find_isa(const char *name)
{
    lw_isa isa;
    check_key(lw_isa_find(name, &isa));
    return isa;
}

static nb::list supported()
{
    nb::list result;
    for (int i = 0; i < LW_ISA_COUNT; i++)
        if (lw_isa_supported(static_cast<lw_isa>(i)))
            result.append(lw_isa_name(static_cast<lw_isa>(i)));
    return result;
}

static nb::dict info()
{
    lw_machine machine{};
    machine.size = sizeof machine;
    check(lw_machine_query(&machine));
    nb::list built;
    for (int i = 0; i < LW_ISA_COUNT; i++)
        if (lw_isa_built(static_cast<lw_isa>(i)))
            built.append(lw_isa_name(static_cast<lw_isa>(i)));
    nb::dict result;
    result["version"] = lw_version();
    result["isa"] = lw_isa_name(lw_isa_get());
    result["isas"] = supported();
    result["isas_built"] = built;
    result["lanes"] = machine.lanes;
    result["cpu"] = nb::str(machine.cpu_name);
    result["cpus"] = machine.cpus;
    result["threads"] = default_threads ? default_threads : machine.cpus;
    result["l1_bytes"] = machine.l1_bytes;
    result["l2_bytes"] = machine.l2_bytes;
    result["l3_bytes"] = machine.l3_bytes;
    return result;
}

static void set_threads(nb::handle threads)
{
    size_t count = threads.is_none() ? 0 : to_threads(threads);
    if (count == 0 && !threads.is_none())
        wrong_value("threads is 0, expected 1 or more, or None for as many as the process may use");
    default_threads = count;
    thread_generation++;
}

void define_machine(nb::module_ &module)
{
    using nb::literals::operator""_a;
    module.attr("__version__") = lw_version();
    module.def(
        "isa", [] { return lw_isa_name(lw_isa_get()); }, "The instruction set that the next model will use.");
    module.def(
        "set_isa", [](const char *name) { check(lw_isa_set(find_isa(name))); }, "name"_a,
        "Chooses the instruction set of models made afterwards.");
    module.def("isas", supported, "The instruction sets that this machine runs, the best last.");
    module.def("set_threads", set_threads, "threads"_a.none(),
               "The most threads that a run uses, for models that were not told otherwise. None: all.");
    module.def("info", info, "Version, instruction sets, threads and caches.");
}

} // namespace binding
