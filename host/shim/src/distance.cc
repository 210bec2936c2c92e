#include "lossmith-torch-shim/src/shim.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/ExpandUtils.h>
#include <torch/csrc/autograd/custom_function.h>

#include "lossmith-torch-shim/src/bridge.rs.h"
#include "lossmith-torch-shim/src/rows.h"

namespace lossmith {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Adds |a|^2 + |b|^2 to the products -2ab, N x M and contiguous, and takes the root of what is above the rounding error, in one pass.
// As five operations of libtorch this takes twice as long as the matrix product.
template <typename Float>
void finish(at::Tensor &products, const at::Tensor &a2, const at::Tensor &b2, double noise) {
  const auto rows = products.size(-2), columns = products.size(-1);
  const auto *const of_rows = a2.const_data_ptr<Float>(), *const of_columns = b2.const_data_ptr<Float>();
  auto *const all = products.mutable_data_ptr<Float>();
  const auto smallest = static_cast<Float>(noise);
  over_rows<Float>(a2, columns, [&](int64_t begin, int64_t end) {
    for (auto row = begin; row < end; ++row) {
      const auto square = of_rows[row];
      const auto *const squares = of_columns + row / rows * columns;
      auto *const distances = all + row * columns;
#pragma omp simd
      for (int64_t column = 0; column < columns; ++column) {
        const auto sum = square + squares[column], distance = distances[column] + sum;
        // NaN stays.
        distances[column] = std::sqrt(distance <= smallest * sum ? Float(0) : distance);
      }
    }
  });
}

// |a|^2 + |b|^2 - 2ab, with as few passes over N x M as there can be: most of the time goes into these. Nothing reads a
// transposed N x M matrix, which takes ten times as long on the CPU.
class EuclideanDistances : public torch::autograd::Function<EuclideanDistances> {
 public:
  static at::Tensor forward(AutogradContext *context, const at::Tensor &a, const at::Tensor &b, bool same) {
    const auto squares = [](const at::Tensor &x) { return x.square().sum(-1, /*keepdim=*/true).contiguous(); };
    const auto a2 = squares(a);
    const auto b2 = same ? a2 : squares(b);
    auto distances = at::matmul(a * -2, b.mT());
    const auto kind = distances.scalar_type();
    // What cancellation leaves of a zero is a few units in the last place of the squares.
    const double noise = 4 * (kind == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                  : std::numeric_limits<float>::epsilon());
    const bool alike = a.dim() == b.dim() && a.sizes().slice(0, a.dim() - 2) == b.sizes().slice(0, b.dim() - 2);
    if (distances.is_cpu() && distances.is_contiguous() && alike && kind == at::kFloat) {
      finish<float>(distances, a2, b2, noise);
    } else if (distances.is_cpu() && distances.is_contiguous() && alike && kind == at::kDouble) {
      finish<double>(distances, a2, b2, noise);
    } else {
      distances.add_(a2).add_(b2.mT());
      const auto above_noise = distances.sub(a2, noise).sub_(b2.mT(), noise);
      at::threshold_backward_out(distances, distances, above_noise, 0).sqrt_();
    }
    // In long sums it can be more; of a row and itself it is known.
    if (same) distances.diagonal(0, -2, -1).fill_(0);
    context->save_for_backward({a, b, distances});
    return distances;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &a = saved[0], &b = saved[1], &distances = saved[2];
    // 0 where the distance is, whatever the quotient.
    auto ratio = at::div(gradients[0], distances);
    at::threshold_backward_out(ratio, ratio, distances, 0);
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
