#include "lossmith-torch-shim/src/shim.h"

#include <ATen/Context.h>
#include <ATen/SavedTensorHooks.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/headeronly/version.h>

#include "lossmith-torch-shim/src/bridge.rs.h"

namespace lossmith {

Autocast enter_autocast(bool cuda, bool enabled) {
  const auto device = cuda ? at::kCUDA : at::kCPU;
  const Autocast before{cuda, at::autocast::is_autocast_enabled(device),
                        static_cast<int8_t>(at::autocast::get_autocast_dtype(device))};
  at::autocast::increment_nesting();
  at::autocast::set_autocast_dtype(device, at::kBFloat16);
  at::autocast::set_autocast_enabled(device, enabled);
  return before;
}

void leave_autocast(const Autocast &before) noexcept {
  const auto device = before.cuda ? at::kCUDA : at::kCPU;
  at::autocast::set_autocast_enabled(device, before.enabled);
  at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(before.dtype));
  // The cache has the weights as bfloat16: the next step must not see those of this one.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
}

rust::String version() { return TORCH_VERSION; }

Extent extent(const at::Tensor &tensor) {
  return Extent{static_cast<uint64_t>(tensor.numel()), static_cast<uint64_t>(tensor.dim())};
}

int8_t gradient_mode() noexcept {
  const auto modes = c10::impl::tls_local_dispatch_key_set();
  // Who keeps the tensors of the graph elsewhere, or counts them, expects those of single operations.
  const bool hooked = !at::SavedTensorDefaultHooks::get_tls_state().stack.empty();
  const bool usual =
      modes.included_ == c10::default_included_set && modes.excluded_ == c10::default_excluded_set && !hooked;
  return usual ? static_cast<int8_t>(c10::GradMode::is_enabled()) : int8_t{-1};
}

void set_deterministic(bool on) noexcept {
  auto &context = at::globalContext();
  // A warning only: some kernels on CUDA, such as the running sum of floats, have no deterministic form.
  context.setDeterministicAlgorithms(on, /*warn_only=*/true);
  context.setDeterministicCuDNN(on);
  context.setDeterministicMkldnn(on);
  // Trying out kernels by their speed makes the choice depend on the moment.
  context.setBenchmarkCuDNN(false);
  // Filling every new tensor is for those who read uninitialised memory.
  context.setDeterministicFillUninitializedMemory(false);
}

}  // namespace lossmith
