// SPDX-License-Identifier: Apache-2.0
//
// model.explain: what a run of a shape would do and why, as the dataclasses of latchwork/explanation.py.
#include "core.hpp"

namespace binding
{

static nb::object explain(Model &self, nb::handle steps, nb::handle batch)
{
    lw_explanation facts{};
    facts.size = sizeof facts;
    Lease context(self);
    check(lw_explain(context.get(), to_count(steps, "steps"), to_count(batch, "batch"), nullptr, &facts));
    nb::object module = nb::module_::import_("latchwork.explanation");
    nb::list choices;
    for (const lw_choice &choice : facts.choices)
        if (choice.name)
            choices.append(module.attr("Choice")(choice.name, choice.threads, choice.seconds, choice.reason));
    nb::dict fields;
    fields["isa"] = lw_isa_name(facts.isa);
    fields["lanes"] = facts.lanes;
    fields["tile_rows"] = facts.tile_rows;
    fields["tile_vectors"] = facts.tile_vectors;
    fields["threads"] = facts.threads;
    fields["teams"] = facts.teams;
    fields["members"] = facts.members;
    fields["stages"] = facts.stages;
    fields["block_rows"] = facts.block_rows;
    fields["segment_steps"] = facts.segment_steps;
    fields["merged_rows"] = facts.merged_rows;
    fields["flops"] = facts.flops;
    fields["weight_bytes"] = facts.weight_bytes;
    fields["traffic_bytes"] = facts.traffic_bytes;
    fields["seconds"] = facts.seconds;
    fields["bound"] = facts.bound;
    fields["share"] = facts.share;
    fields["workspace_bytes"] = facts.workspace_bytes;
    fields["state_bytes"] = facts.state_bytes;
    fields["choices"] = nb::tuple(choices);
    return module.attr("Explanation")(**fields);
}

void define_explain(nb::class_<Model> &type)
{
    using nb::literals::operator""_a;
    type.def("explain", explain, "steps"_a.none(), "batch"_a.none() = 1,
             "What a run of that shape would do, and why. Runs nothing, but fixes the parameters as a run does.");
}

} // namespace binding
