#include "lossmith-torch-shim/src/shim.h"

#include <sstream>
#include <string>

#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include "lossmith-torch-shim/src/bridge.rs.h"

namespace lossmith {

ScriptModule::ScriptModule(std::shared_ptr<torch::jit::Module> module) : module_(std::move(module)) {}

std::unique_ptr<ScriptModule> load_script(rust::Str path, int32_t device) {
  const auto where = device < 0 ? at::Device(at::kCPU) : at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device));
  auto module = torch::jit::load(std::string(path), where);
  return std::make_unique<ScriptModule>(std::make_shared<torch::jit::Module>(std::move(module)));
}

std::unique_ptr<ScriptModule> define_script(rust::Slice<const NamedPointer> tensors, const ScriptModule *backbone,
                                            rust::Str source) {
  const auto unit = std::make_shared<torch::jit::CompilationUnit>();
  const auto part = [&unit](const char *name) {
    torch::jit::Module made(std::string("__torch__.lossmith.") + name, unit, true);
    // Module::train() stops at a part that has no such attribute.
    made.register_attribute("training", c10::BoolType::get(), false);
    return made;
  };
  auto network = part("Network");
  if (backbone != nullptr) network.register_module("backbone", backbone->module());
  for (const auto &item : tensors) {
    auto owner = network;
    std::istringstream path{std::string(item.name)};
    std::string name, next;
    std::getline(path, name, '.');
    while (std::getline(path, next, '.')) {
      if (!owner.hasattr(name)) owner.register_module(name, part("Part"));
      owner = owner.attr(name).toModule();
      name = next;
    }
    if (item.parameter) {
      owner.register_parameter(name, *item.tensor, false);
    } else {
      owner.register_buffer(name, *item.tensor);
    }
  }
  network.define(std::string(source));
  return std::make_unique<ScriptModule>(std::make_shared<torch::jit::Module>(std::move(network)));
}

std::unique_ptr<std::string> pickle_state(rust::Slice<const NamedPointer> tensors) {
  c10::Dict<std::string, at::Tensor> state;
  for (const auto &item : tensors) state.insert(std::string(item.name), item.tensor->detach());
  // Without the types of containers, which torch::jit::pickle_save adds and Python does not trust in a file of weights.
  std::string program, bytes;
  const auto append = [&program](const char *part, std::size_t size) { program.append(part, size); };
  torch::jit::Pickler pickler(append, nullptr, nullptr, nullptr, nullptr, false);
  pickler.protocol();
  pickler.pushIValue(state);
  pickler.stop();
  caffe2::serialize::PyTorchStreamWriter writer([&bytes](const void *part, std::size_t size) {
    bytes.append(static_cast<const char *>(part), size);
    return size;
  });
  std::size_t number = 0;
  for (const auto &tensor : pickler.tensorData()) {
    const auto data = torch::jit::getWriteableTensorData(tensor);
    writer.writeRecord("data/" + std::to_string(number++), data.data(), data.sizeInBytes());
  }
  writer.writeRecord("data.pkl", program.data(), program.size());
  writer.writeEndOfFile();
  return std::make_unique<std::string>(std::move(bytes));
}

std::unique_ptr<std::string> ScriptModule::save() const {
  std::ostringstream bytes;
  module_->save(bytes);
  return std::make_unique<std::string>(bytes.str());
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
