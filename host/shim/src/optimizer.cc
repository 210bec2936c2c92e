#include "lossmith-torch-shim/src/shim.h"

#include <cmath>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include "lossmith-torch-shim/src/bridge.rs.h"

namespace lossmith {
namespace {

// The kernels walk raw memory and trust that all lists look alike.
void check_like(const at::Tensor &parameter, const at::Tensor &other, const char *name) {
  TORCH_CHECK(other.defined() && other.sizes() == parameter.sizes() && other.strides() == parameter.strides() &&
                  other.scalar_type() == parameter.scalar_type() && other.device() == parameter.device(),
              "the optimizer's ", name, " does not have the shape, layout, type and device of its parameter, which is ",
              parameter.toString(), parameter.sizes());
}

void check_alike(const std::vector<at::Tensor> &parameters) {
  for (const auto &parameter : parameters) {
    TORCH_CHECK(parameter.is_non_overlapping_and_dense(), "a parameter of shape ", parameter.sizes(), " is not dense");
    TORCH_CHECK(parameter.device() == parameters[0].device() && parameter.scalar_type() == parameters[0].scalar_type(),
                "the parameters of one optimizer group lie on ", parameters[0].device(), " as ",
                parameters[0].scalar_type(), " and on ", parameter.device(), " as ", parameter.scalar_type());
  }
}

// The gradient in the layout of its parameter. Autograd keeps it so but for a gradient that somebody set.
at::Tensor gradient_of(const at::Tensor &parameter) {
  const auto &gradient = parameter.grad();
  if (!gradient.defined() || gradient.strides() == parameter.strides()) return gradient;
  return at::empty_strided(parameter.sizes(), parameter.strides(), parameter.options()).copy_(gradient);
}

}  // namespace

void fused_adam(rust::Slice<const AdamSlot> slots, const AdamSettings &settings) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> parameters, gradients, averages, squares, steps;
  for (auto *list : {&parameters, &gradients, &averages, &squares, &steps}) list->reserve(slots.size());
  for (const auto &slot : slots) {
    auto gradient = gradient_of(*slot.parameter);
    if (!gradient.defined()) continue;
    check_like(*slot.parameter, gradient, "gradient");
    check_like(*slot.parameter, *slot.average, "first moment");
    check_like(*slot.parameter, *slot.square, "second moment");
    TORCH_CHECK(slot.step->scalar_type() == at::kFloat && slot.step->numel() == 1 &&
                    slot.step->device() == slot.parameter->device(),
                "the optimizer's step count is not one float32 on the parameter's device");
    parameters.push_back(*slot.parameter);
    gradients.push_back(std::move(gradient));
    averages.push_back(*slot.average);
    squares.push_back(*slot.square);
    steps.push_back(*slot.step);
  }
  if (parameters.empty()) return;
  check_alike(parameters);
  at::_foreach_add_(steps, 1);
  const auto update = [&](auto kernel) {
    kernel(parameters, gradients, averages, squares, at::TensorList(), steps, settings.learning_rate, settings.beta1,
           settings.beta2, settings.weight_decay, settings.epsilon);
  };
  if (settings.decoupled) {
    update([](auto &&...list) { at::_fused_adamw_(list..., /*amsgrad=*/false, /*maximize=*/false); });
  } else {
    update([](auto &&...list) { at::_fused_adam_(list..., /*amsgrad=*/false, /*maximize=*/false); });
  }
}

void fused_sgd(rust::Slice<const SgdSlot> slots, const SgdSettings &settings) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> parameters, gradients, momenta;
  for (auto *list : {&parameters, &gradients, &momenta}) list->reserve(slots.size());
  for (const auto &slot : slots) {
    auto gradient = gradient_of(*slot.parameter);
    if (!gradient.defined()) continue;
    check_like(*slot.parameter, gradient, "gradient");
    if (settings.momentum != 0) {
      TORCH_CHECK(slot.momentum != nullptr, "the optimizer has no momentum for a parameter of shape ",
                  slot.parameter->sizes());
      check_like(*slot.parameter, *slot.momentum, "momentum");
      momenta.push_back(*slot.momentum);
    }
    parameters.push_back(*slot.parameter);
    gradients.push_back(std::move(gradient));
  }
  if (parameters.empty()) return;
  check_alike(parameters);
  // Without dampening a first step and a step from a momentum of zero are the same.
  at::_fused_sgd_(parameters, gradients, momenta, settings.weight_decay, settings.momentum, settings.learning_rate,
                  /*dampening=*/0, /*nesterov=*/false, /*maximize=*/false, /*is_first_step=*/false);
}

std::unique_ptr<at::Tensor> clip_gradients(rust::Slice<const TensorPointer> parameters, double maximum) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters.size());
  for (const auto &parameter : parameters) {
    const auto &gradient = parameter.tensor->grad();
    if (gradient.defined()) gradients.push_back(gradient);
  }
  if (gradients.empty()) return std::make_unique<at::Tensor>(at::zeros({}));
  auto norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)));
  if (std::isfinite(maximum)) {
    // The 1e-6 is PyTorch's clip_grad_norm_. A coefficient of 1 multiplies too: asking would wait for the device.
    at::_foreach_mul_(gradients, (maximum / (norm + 1e-6)).clamp_max(1));
  }
  return std::make_unique<at::Tensor>(std::move(norm));
}

void clear_gradients(rust::Slice<const TensorPointer> parameters) {
  for (const auto &parameter : parameters) {
    parameter.tensor->mutable_grad() = at::Tensor();
  }
}

void retain_gradient(const at::Tensor &tensor) { tensor.retain_grad(); }

}  // namespace lossmith
