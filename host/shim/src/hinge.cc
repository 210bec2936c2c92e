#include "lossmith-torch-shim/src/shim.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "lossmith-torch-shim/src/bridge.rs.h"
#include "lossmith-torch-shim/src/rows.h"

namespace lossmith {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The active weights of the rows of x, their sums and those of the hinges, in one pass.
template <typename Float>
void fill(const at::Tensor &x, const at::Tensor &weights, Float limit, bool above, at::Tensor &active, at::Tensor &sums,
          at::Tensor &counts) {
  const auto columns = x.size(-1);
  const auto *const all_values = x.const_data_ptr<Float>(), *const all_weights = weights.const_data_ptr<Float>();
  auto *const all_active = active.mutable_data_ptr<Float>();
  auto *const all_sums = sums.mutable_data_ptr<Float>(), *const all_counts = counts.mutable_data_ptr<Float>();
  const Float sign = above ? 1 : -1;
  over_rows<Float>(sums, columns, [&](int64_t begin, int64_t end) {
    for (auto row = begin; row < end; ++row) {
      const auto *const values = all_values + row * columns, *const of_row = all_weights + row * columns;
      auto *const out = all_active + row * columns;
      Float sum = 0, count = 0;
#pragma omp simd reduction(+ : sum, count)
      for (int64_t column = 0; column < columns; ++column) {
        const auto excess = sign * (values[column] - limit), weight = of_row[column];
        // NaN stays.
        const auto counted = excess <= 0 ? Float(0) : weight;
        out[column] = counted;
        sum += counted * excess;
        count += counted;
      }
      all_sums[row] = sum;
      all_counts[row] = count;
    }
  });
}

// As single operations, each with a backward pass of its own, this takes twice as long.
class HingeSums : public torch::autograd::Function<HingeSums> {
 public:
  static variable_list forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &weights, double limit,
                               bool above) {
    // The weight where the hinge is above 0, else 0.
    at::Tensor active, sums, counts;
    const auto kind = x.scalar_type();
    const bool one_pass = x.is_cpu() && x.is_contiguous() && weights.is_contiguous() && x.sizes() == weights.sizes() &&
                          kind == weights.scalar_type() && (kind == at::kFloat || kind == at::kDouble);
    if (one_pass) {
      active = at::empty_like(x);
      sums = at::empty(x.sizes().slice(0, x.dim() - 1), x.options());
      counts = at::empty_like(sums);
      if (kind == at::kFloat) {
        fill<float>(x, weights, limit, above, active, sums, counts);
      } else {
        fill<double>(x, weights, limit, above, active, sums, counts);
      }
    } else {
      auto excess = above ? x.sub(limit) : at::rsub(x, limit);
      active = at::threshold_backward(weights, excess, 0);
      counts = active.sum(-1);
      sums = excess.mul_(active).sum(-1);
    }
    context->save_for_backward({active});
    context->saved_data["above"] = above;
    context->mark_non_differentiable({counts});
    return {sums, counts};
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    const auto active = context->get_saved_variables()[0];
    const auto of_row = context->saved_data["above"].toBool() ? gradients[0] : gradients[0].neg();
    return {active * of_row.unsqueeze(-1), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Hinges hinge_sums(const at::Tensor &x, const at::Tensor &weights, double limit, bool above) {
  auto both = HingeSums::apply(x, weights, limit, above);
  return {std::make_unique<at::Tensor>(both[0]), std::make_unique<at::Tensor>(both[1])};
}

}  // namespace lossmith
