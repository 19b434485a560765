// SPDX-License-Identifier: Apache-2.0
//
// What the files of the binding share: the library's failures as Python exceptions, and the objects behind the classes.
// Invariant: the interpreter lock guards every field here. It is given up only around a call of the library, and what
// such a call uses is marked as in use before and until after it.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <latchwork.h>

namespace nb = nanobind;

namespace binding
{

/// A status of the library with its sentence; becomes a Python exception (module.cc).
struct Failure {
    lw_status status;
    std::string sentence;
    bool key = false;     // LW_ERR_NOT_FOUND of a name: KeyError
    bool missing = false; // LW_ERR_FILE of a file that does not exist: FileNotFoundError
};

inline void check(lw_status status)
{
    if (status != LW_OK)
        throw Failure{status, lw_error()};
}

inline void check_key(lw_status status)
{
    if (status != LW_OK)
        throw Failure{status, lw_error(), status == LW_ERR_NOT_FOUND};
}

[[noreturn]] inline void wrong_value(const std::string &sentence)
{
    throw nb::value_error(sentence.c_str());
}

[[noreturn]] inline void wrong_type(const std::string &sentence)
{
    throw nb::type_error(sentence.c_str());
}

/// "(2, 3)"
std::string shape_text(const std::vector<size_t> &shape);
std::string text(nb::handle object); // str(object)
std::string kind_name(nb::handle object);
/// A number that is not negative, from anything that is an integer to Python.
size_t to_count(nb::handle value, const std::string &what);
uint64_t to_seed(nb::handle value);
/// A number of threads that a context may have.
size_t to_threads(nb::handle value);
/// A path (str, bytes or os.PathLike) as the system wants it.
std::string to_path(nb::handle path);

/// What Python's import of latchwork and NumPy gave; looked up once and kept for good.
struct Names {
    nb::object empty, float32; // numpy.empty, numpy.dtype(float32)
    nb::object bricks;         // latchwork.bricks
    nb::object format_error;   // latchwork.FormatError
};
extern Names *names;
nb::object empty_array(const std::vector<size_t> &shape);

/// Marks an object as in use by one call.
class Use
{
  public:
    Use(bool &flag, const char *what) : flag_(flag)
    {
        if (flag_)
            throw Failure{LW_ERR_BUSY, std::string("another call is using this ") + what + ": give each its own"};
        flag_ = true;
    }
    ~Use()
    {
        flag_ = false;
    }
    Use(const Use &) = delete;
    Use &operator=(const Use &) = delete;

  private:
    bool &flag_;
};

struct ContextDeleter {
    void operator()(lw_context *context) const
    {
        lw_context_destroy(context);
    }
};
using Context = std::unique_ptr<lw_context, ContextDeleter>;

struct Model {
    std::shared_ptr<lw_model> handle;
    bool own_threads = false; // the number was given; otherwise set_threads decides
    size_t threads = 0;
    size_t input = 0, output = 0;
    double step_flops = 0;     // of one row
    std::vector<Context> idle; // contexts that no call uses
    unsigned generation = 0;   // of set_threads when they were made

    Model(lw_model *model, nb::handle threads);
    Model(const Model &) = delete;
    Model &operator=(const Model &) = delete;
    lw_model *get() const
    {
        return handle.get();
    }
    Context take_context();
    void give_context(Context context);
    lw_layer layer(size_t index) const;
};

struct State {
    std::shared_ptr<lw_model> model;
    std::unique_ptr<lw_state, void (*)(lw_state *)> handle{nullptr, lw_state_destroy};
    bool used = false;

    State(const std::shared_ptr<lw_model> &model, size_t batch);
    size_t batch() const
    {
        return lw_state_batch(handle.get());
    }
};

/// The State that `object` is, or NULL for None.
State *to_state(nb::handle object);

/// A context of the model's for as long as a call needs it.
class Lease
{
  public:
    explicit Lease(Model &model) : model_(model), context_(model.take_context())
    {
    }
    ~Lease()
    {
        model_.give_context(std::move(context_));
    }
    Lease(const Lease &) = delete;
    Lease &operator=(const Lease &) = delete;
    lw_context *get() const
    {
        return context_.get();
    }

  private:
    Model &model_;
    Context context_;
};

extern size_t default_threads;
extern unsigned thread_generation;

lw_model_options model_options(nb::handle isa);
/// A model from a list of the dataclasses of latchwork.bricks, and back.
lw_model *build_model(nb::handle bricks, nb::handle isa);
nb::list describe_bricks(const lw_model *model);
nb::list describe_layers(const lw_model *model);

void define_explain(nb::class_<Model> &type);
void define_machine(nb::module_ &module);
void define_model(nb::module_ &module, nb::class_<Model> &type);
void define_run(nb::class_<Model> &type);
void define_state(nb::module_ &module);
void define_stream(nb::module_ &module, nb::class_<Model> &type);
void define_train(nb::module_ &module, nb::class_<Model> &type);

} // namespace binding
