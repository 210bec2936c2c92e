#include "lossmith-torch-shim/src/shim.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "lossmith-torch-shim/src/bridge.rs.h"

namespace lossmith {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The same from single operations, each with a backward pass of its own, reads and writes twice as many elements.
class HingeSums : public torch::autograd::Function<HingeSums> {
 public:
  static variable_list forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &weights, double limit,
                               bool above) {
    auto excess = above ? x.sub(limit) : at::rsub(x, limit);
    // The weight where the hinge is above 0, else 0.
    const auto active = at::threshold_backward(weights, excess, 0);
    context->save_for_backward({active});
    context->saved_data["above"] = above;
    auto weight = active.sum(-1);
    context->mark_non_differentiable({weight});
    return {excess.mul_(active).sum(-1), weight};
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
