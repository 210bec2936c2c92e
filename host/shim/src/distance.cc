#include "lossmith-torch-shim/src/shim.h"

#include <limits>

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>
#include <torch/csrc/autograd/custom_function.h>

#include "lossmith-torch-shim/src/bridge.rs.h"

namespace lossmith {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// |a|^2 + |b|^2 - 2ab, with as few passes over N x M as there can be: most of the time goes into these. Nothing reads a
// transposed N x M matrix, which takes ten times as long on the CPU.
class EuclideanDistances : public torch::autograd::Function<EuclideanDistances> {
 public:
  static at::Tensor forward(AutogradContext *context, const at::Tensor &a, const at::Tensor &b, bool same) {
    const auto squares = [](const at::Tensor &x) { return x.square().sum(-1, /*keepdim=*/true); };
    const auto a2 = squares(a);
    const auto b2 = (same ? a2 : squares(b)).mT();
    auto distances = at::matmul(a * -2, b.mT()).add_(a2).add_(b2);
    // What cancellation leaves of a zero is a few units in the last place of the squares.
    const double noise = 4 * (a.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                             : std::numeric_limits<float>::epsilon());
    const auto above_noise = distances.sub(a2, noise).sub_(b2, noise);
    at::threshold_backward_out(distances, distances, above_noise, 0).sqrt_();
    // In long sums it can be more; of a row and itself it is known.
    if (same) distances.diagonal(0, -2, -1).fill_(0);
    context->save_for_backward({a, b, distances});
    return distances;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &a = saved[0], &b = saved[1], &distances = saved[2];
    // 0 where the distance is.
    const auto smallest = a.scalar_type() == at::kDouble ? std::numeric_limits<double>::min()
                                                         : static_cast<double>(std::numeric_limits<float>::min());
    const auto ratio = at::threshold_backward(gradients[0], distances, 0).div_(distances.clamp_min(smallest));
    at::Tensor to_a, to_b;
    if (context->needs_input_grad(0)) {
      to_a = at::sum_to(a * ratio.sum(-1, /*keepdim=*/true) - at::matmul(ratio, b), a.sizes());
    }
    if (context->needs_input_grad(1)) {
      to_b = at::sum_to(b * ratio.sum(-2).unsqueeze(-1) - at::matmul(ratio.mT(), a), b.sizes());
    }
    return {to_a, to_b, at::Tensor()};
  }
};

}  // namespace

std::unique_ptr<at::Tensor> euclidean_distances(const at::Tensor &a, const at::Tensor &b) {
  return std::make_unique<at::Tensor>(EuclideanDistances::apply(a, b, a.is_same(b)));
}

}  // namespace lossmith
