// SPDX-License-Identifier: Apache-2.0
//
// latchwork.Model but for its runs: making, loading and saving it, its parameters, and its pool of contexts. The pool
// lets Python threads call one model at the same time: each call takes an idle context or makes one.
#include <unistd.h>

#include "array.hpp"

namespace binding
{

constexpr size_t most_idle = 8; // contexts that a model keeps; those beyond are freed after their call

size_t default_threads = 0;
unsigned thread_generation = 0;

Model::Model(lw_model *model, nb::handle number) : handle(model, lw_model_destroy)
{
    own_threads = !number.is_none();
    threads = own_threads ? to_threads(number) : 0;
    input = lw_model_input_size(model);
    output = lw_model_output_size(model);
    for (size_t i = 0; i < lw_model_layer_count(model); i++)
        step_flops += static_cast<double>(layer(i).flops);
    generation = thread_generation;
}

lw_layer Model::layer(size_t index) const
{
    lw_layer layer{};
    layer.size = sizeof layer;
    check(lw_model_layer(get(), index, &layer));
    return layer;
}

Context Model::take_context()
{
    if (!own_threads && generation != thread_generation) {
        idle.clear();
        generation = thread_generation;
    }
    if (!idle.empty()) {
        Context context = std::move(idle.back());
        idle.pop_back();
        return context;
    }
    lw_context_options options{};
    options.size = sizeof options;
    options.threads = own_threads ? threads : default_threads;
    lw_context *context = nullptr;
    check(lw_context_create(get(), &options, &context));
    return Context(context);
}

void Model::give_context(Context context)
{
    // One that was made before the last set_threads may come back after it: it is not kept.
    if (idle.size() < most_idle && (own_threads || generation == thread_generation))
        idle.push_back(std::move(context));
}

lw_model_options model_options(nb::handle isa)
{
    lw_model_options options{};
    options.size = sizeof options;
    options.isa = -1;
    if (!isa.is_none()) {
        if (!nb::isinstance<nb::str>(isa))
            wrong_type("isa is a " + kind_name(isa) + ", expected a name such as 'avx2'");
        lw_isa found;
        check_key(lw_isa_find(text(isa).c_str(), &found));
        options.isa = static_cast<int>(found);
    }
    return options;
}

static lw_model *load_model(nb::handle place, nb::handle isa)
{
    std::string path = to_path(place);
    lw_model_options options = model_options(isa);
    lw_model *model = nullptr;
    lw_status status;
    {
        nb::gil_scoped_release released;
        status = lw_model_load(path.c_str(), &options, &model);
    }
    if (status == LW_ERR_FILE)
        throw Failure{status, lw_error(), false, access(path.c_str(), F_OK) != 0};
    check(status);
    return model;
}

static void save_model(Model &self, nb::handle place)
{
    std::string path = to_path(place);
    nb::gil_scoped_release released; // the sentence of a failure belongs to this thread
    check(lw_model_save(self.get(), path.c_str()));
}

static lw_parameter parameter_at(const lw_model *model, size_t index)
{
    lw_parameter parameter{};
    parameter.size = sizeof parameter;
    check(lw_model_parameter(model, index, &parameter));
    return parameter;
}

static std::vector<size_t> parameter_shape(const lw_parameter &parameter)
{
    return {parameter.shape, parameter.shape + parameter.rank};
}

static nb::object read_parameter(const lw_model *model, size_t index)
{
    lw_parameter parameter = parameter_at(model, index);
    nb::object result = empty_array(parameter_shape(parameter));
    Array values(result, "values", Array::Write);
    check(lw_model_parameter_get(model, index, reinterpret_cast<float *>(values.data), parameter.count));
    return result;
}

static nb::dict parameters(const Model &self)
{
    nb::dict result;
    for (size_t i = 0; i < lw_model_parameter_count(self.get()); i++)
        result[parameter_at(self.get(), i).name] = read_parameter(self.get(), i);
    return result;
}

static size_t find_parameter(const Model &self, const char *name)
{
    size_t index = 0;
    check_key(lw_model_parameter_find(self.get(), name, &index));
    return index;
}

static nb::object parameter(const Model &self, const char *name)
{
    return read_parameter(self.get(), find_parameter(self, name));
}

static void set_parameter(Model &self, const char *name, nb::handle values)
{
    size_t index = find_parameter(self, name);
    lw_parameter parameter = parameter_at(self.get(), index);
    Array array(values, "values", Array::Read);
    if (array.dims() != parameter_shape(parameter))
        wrong_value(std::string(name) + ": values of shape " + shape_text(array.dims()) + ", expected " +
                    shape_text(parameter_shape(parameter)));
    if (array.dense()) {
        check(lw_model_parameter_set(self.get(), index, reinterpret_cast<const float *>(array.data), parameter.count));
        return;
    }
    std::vector<float> copy(parameter.count);
    array.copy_to(copy.data());
    check(lw_model_parameter_set(self.get(), index, copy.data(), copy.size()));
}

static std::string describe(const Model &self)
{
    std::string list;
    for (nb::handle brick : describe_bricks(self.get()))
        list += (list.empty() ? "" : ", ") + text(nb::repr(brick));
    return "Model([" + list + "])";
}

// Pickling and copying: a new model of the same bricks and parameters, packed for the machine that it wakes up on.
static nb::tuple reduce(const Model &self)
{
    nb::object threads = self.own_threads ? nb::object(nb::int_(self.threads)) : nb::none();
    return nb::make_tuple(names->bricks.attr("rebuild"),
                          nb::make_tuple(describe_bricks(self.get()), parameters(self), threads));
}

void define_model(nb::module_ &module, nb::class_<Model> &type)
{
    using nb::literals::operator""_a;
    type.def(
            "__init__",
            [](Model *self, nb::handle bricks, nb::handle isa, nb::handle threads) {
                new (self) Model(build_model(bricks, isa), threads);
            },
            "bricks"_a.none(), "isa"_a = nb::none(), "threads"_a = nb::none(),
            "A model of these bricks, each fed by the one before, with all parameters zero.")
        .def_prop_ro(
            "input_size", [](const Model &self) { return self.input; }, "Width of one step's input.")
        .def_prop_ro(
            "output_size", [](const Model &self) { return self.output; }, "Width of one step's output.")
        .def_prop_ro(
            "bytes", [](const Model &self) { return lw_model_bytes(self.get()); },
            "Memory that the packed weights take.")
        .def_prop_ro(
            "isa", [](const Model &self) { return lw_isa_name(lw_model_isa(self.get())); },
            "The instruction set that it is packed for.")
        .def_prop_ro(
            "bricks", [](const Model &self) { return describe_bricks(self.get()); },
            "Its bricks with every default resolved.")
        .def_prop_ro(
            "layers", [](const Model &self) { return describe_layers(self.get()); },
            "A Layer for each level of the stack: a brick of three layers gives three.")
        .def("parameters", parameters, "All parameters by name, as copies.")
        .def("parameter", parameter, "name"_a, "A copy of one parameter.")
        .def("set_parameter", set_parameter, "name"_a, "values"_a.none(),
             "Sets one parameter. A RuntimeError once a state, a stream or a run has used the model.")
        .def("save", save_model, "path"_a.none(), "Writes the model to a safetensors file in one atomic step.")
        .def("__repr__", describe)
        .def("__reduce__", reduce);
    module.def(
        "load",
        [](nb::handle path, nb::handle isa, nb::handle threads) {
            return std::make_unique<Model>(load_model(path, isa), threads);
        },
        "path"_a.none(), "isa"_a = nb::none(), "threads"_a = nb::none(),
        "Loads a safetensors file: Latchwork's own or a plain PyTorch state_dict of one recurrent module.");
}

} // namespace binding
