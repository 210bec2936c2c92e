#include "lossmith-torch-shim/src/shim.h"

#include <string>

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include "lossmith-torch-shim/src/bridge.rs.h"

namespace lossmith {

ScriptModule::ScriptModule(std::shared_ptr<torch::jit::Module> module) : module_(std::move(module)) {}

std::unique_ptr<ScriptModule> load_script(rust::Str path, int32_t device) {
  const auto where = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device));
  auto module = torch::jit::load(std::string(path), where);
  return std::make_unique<ScriptModule>(std::make_shared<torch::jit::Module>(std::move(module)));
}

rust::Vec<NamedTensor> ScriptModule::tensors() const {
  rust::Vec<NamedTensor> all;
  const auto add = [&all](const auto &item, bool parameter) {
    all.push_back(NamedTensor{item.name, std::make_unique<at::Tensor>(item.value), parameter});
  };
  for (const auto &item : module_->named_parameters()) add(item, true);
  for (const auto &item : module_->named_buffers()) add(item, false);
  return all;
}

std::unique_ptr<at::Tensor> ScriptModule::forward(const at::Tensor &input, bool train) const {
  // Module::train() stops at a traced part, which has no such attribute.
  for (auto part : module_->modules()) {
    if (part.hasattr("training")) part.setattr("training", train);
  }
  // The optimizing executor changes its plan after the first calls, and with it the last bits of the result.
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  const auto output = module_->forward({input});
  TORCH_CHECK(output.isTensor(), "the module's forward returns a ", output.tagKind(), ", not one tensor");
  return std::make_unique<at::Tensor>(output.toTensor());
}

}  // namespace lossmith
