// What a program of several operations needs: matrix products on the thread that calls, libtorch's threads, and a place in its graph.
#include "lossmith-torch-shim/src/shim.h"

#include <dlfcn.h>

#include <stdexcept>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include "lossmith-torch-shim/src/bridge.rs.h"
#include "lossmith-torch-shim/src/rows.h"

namespace lossmith {

namespace {

using torch::autograd::variable_list;

// The BLAS that libtorch has: its own products take 2 us longer each, for what they ask before.
template <typename Float>
using Gemm = void (*)(const char *, const char *, const int *, const int *, const int *, const Float *, const Float *,
                      const int *, const Float *, const int *, const Float *, Float *, const int *);

template <typename Float>
Gemm<Float> find_gemm(const char *name) {
  return reinterpret_cast<Gemm<Float>>(dlsym(RTLD_DEFAULT, name));
}

template <typename Float>
at::Tensor matrix(const Float *data, int64_t rows, int64_t columns, int64_t leading, bool transposed) {
  const auto options = at::TensorOptions(c10::CppTypeToScalarType<Float>::value);
  auto *const start = const_cast<Float *>(data);
  return transposed ? at::from_blob(start, {rows, columns}, {1, leading}, options)
                    : at::from_blob(start, {rows, columns}, {leading, 1}, options);
}

template <typename Float>
void multiply(Gemm<Float> gemm, const MatrixProduct &product, const Float *a, const Float *b, Float *c) {
  if (gemm == nullptr) {
    const at::NoGradGuard no_grad;
    auto result = matrix<Float>(c, product.rows, product.columns, product.columns, false);
    const auto left = matrix<Float>(a, product.rows, product.inner, product.a_leading, product.a_transposed);
    const auto right = matrix<Float>(b, product.inner, product.columns, product.b_leading, product.b_transposed);
    at::addmm_out(result, result, left, right, product.add ? 1 : 0);
    return;
  }
  // Its matrices are columns after columns: the transposed of ours.
  const int rows = static_cast<int>(product.rows), columns = static_cast<int>(product.columns),
            inner = static_cast<int>(product.inner), a_leading = static_cast<int>(product.a_leading),
            b_leading = static_cast<int>(product.b_leading);
  const Float one = 1, add = product.add ? 1 : 0;
  gemm(product.b_transposed ? "T" : "N", product.a_transposed ? "T" : "N", &columns, &rows, &inner, &one, b, &b_leading,
       a, &a_leading, &add, c, &columns);
}

// A program in the graph.
struct ProgramNode : public torch::autograd::Node {
  explicit ProgramNode(rust::Box<GradientFunction> function) : function(std::move(function)) {}

  std::string name() const override { return "LossmithProgram"; }

  variable_list apply(variable_list &&gradients) override {
    if (released) {
      throw std::runtime_error("the graph was used by a backward pass before, which did not keep it");
    }
    if (c10::GradMode::is_enabled()) {
      throw std::runtime_error(
          "what a program computed can be differentiated once; with `programs = 0` in [limits] nothing is a program");
    }
    variable_list values;
    values.reserve(inputs.size());
    for (auto &input : inputs) values.push_back(input.unpack());
    std::vector<TensorPointer> of_inputs, given;
    for (const auto &value : values) of_inputs.push_back({&value});
    for (const auto &gradient : gradients) given.push_back({gradient.defined() ? &gradient : nullptr});
    auto made = function->gradients(rust::Slice<const TensorPointer>(of_inputs.data(), of_inputs.size()),
                                    rust::Slice<const TensorPointer>(given.data(), given.size()));
    variable_list results(inputs.size());
    for (auto &gradient : made) results[gradient.place] = std::move(*gradient.tensor);
    return results;
  }

  void release_variables() override {
    for (auto &input : inputs) input.reset_data();
    function->release();
    released = true;
  }

  rust::Box<GradientFunction> function;
  std::vector<torch::autograd::SavedVariable> inputs;
  bool released = false;
};

// Until libtorch 2.12 a node is shared as anything in C++ is.
template <typename Owner>
Owner own(ProgramNode *node) {
  if constexpr (std::is_same_v<Owner, std::shared_ptr<torch::autograd::Node>>) {
    return Owner(node);
  } else {
    return Owner::unsafe_steal_from_new(node);
  }
}

}  // namespace

void multiply_single(const MatrixProduct &product, rust::Slice<const float> a, rust::Slice<const float> b,
                     rust::Slice<float> c) {
  static const auto gemm = find_gemm<float>("sgemm_");
  multiply<float>(gemm, product, a.data(), b.data(), c.data());
}

void multiply_double(const MatrixProduct &product, rust::Slice<const double> a, rust::Slice<const double> b,
                     rust::Slice<double> c) {
  static const auto gemm = find_gemm<double>("dgemm_");
  multiply<double>(gemm, product, a.data(), b.data(), c.data());
}

void parallel(std::size_t count, const Jobs &jobs) {
  auto numbers = at::empty({static_cast<int64_t>(count)}, at::kChar);
  const auto *const first = numbers.const_data_ptr<int8_t>();
  auto all = at::TensorIterator::nullary_op(numbers);
  all.for_each(
      [&](char **data, const int64_t *, int64_t size, int64_t times) {
        const auto begin = reinterpret_cast<const int8_t *>(data[0]) - first;
        for (auto job = begin; job < begin + size * times; ++job) jobs.run(static_cast<std::size_t>(job));
      },
      1);
}

std::unique_ptr<at::Tensor> share(const at::Tensor &tensor) { return std::make_unique<at::Tensor>(tensor); }

void set_gradient(rust::Slice<const TensorPointer> inputs, rust::Slice<const TensorPointer> outputs,
                  rust::Box<GradientFunction> function) {
  variable_list of_inputs;
  of_inputs.reserve(inputs.size());
  for (const auto &input : inputs) of_inputs.push_back(*input.tensor);
  auto *const made = new ProgramNode(std::move(function));
  const auto node = own<decltype(torch::autograd::Edge::function)>(made);
  node->set_next_edges(torch::autograd::collect_next_edges(of_inputs));
  for (const auto &input : of_inputs) made->inputs.emplace_back(input, false);
  for (const auto &output : outputs) torch::autograd::set_history(*output.tensor, node);
}

}  // namespace lossmith
