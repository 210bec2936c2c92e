#include "lossmith-torch-shim/src/shim.h"

#include <map>
#include <mutex>
#include <string_view>
#include <unordered_set>

#include <ATen/record_function.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include "lossmith-torch-shim/src/bridge.rs.h"

namespace lossmith {

namespace {

// What gives back a number, or a tensor whose size depends on numbers: the host must know them, so it waits for the
// device. Boolean indexing calls `nonzero`. `bincount`, `equal` and `histc` read numbers inside of their kernels for CUDA.
const std::unordered_set<std::string_view> WAITING{
    "aten::item",     "aten::_local_scalar_dense", "aten::nonzero",     "aten::masked_select",
    "aten::_unique",  "aten::_unique2",            "aten::unique_dim",  "aten::unique_consecutive",
    "aten::bincount", "aten::equal",               "aten::histc",       "aten::multinomial",
    "aten::allclose", "aten::is_nonzero",          "aten::linalg_eigh", "aten::_linalg_eigh"};

// On the CPU alone these read numbers: for error messages, and how many steps were made.
const std::unordered_set<std::string_view> READING_ON_CPU{"aten::one_hot", "aten::_fused_adam_", "aten::_fused_adamw_"};

// How deep this thread is in operations that are counted as a whole, or not at all.
thread_local int inside = 0;

class Found : public c10::DebugInfoBase {
 public:
  explicit Found(bool cuda) : device(cuda ? at::kCUDA : at::kCPU) {}

  void add(const char *name) {
    const std::lock_guard<std::mutex> guard(lock_);
    ++counts_[name];
  }

  std::map<std::string, uint64_t> counts() const {
    const std::lock_guard<std::mutex> guard(lock_);
    return counts_;
  }

  const at::DeviceType device;

 private:
  mutable std::mutex lock_;
  std::map<std::string, uint64_t> counts_;
};

bool lies_on(const at::IValue &value, at::DeviceType device) {
  return value.isTensor() && value.toTensor().defined() && value.toTensor().device().type() == device;
}

// A copy between the host and the device for which the host waits. Where all is on the CPU, each move that names a device
// and does not say `non_blocking` would be one.
bool copies(std::string_view name, c10::ArrayRef<const at::IValue> inputs, at::DeviceType device) {
  if (name == "aten::copy_" && inputs.size() > 2 && inputs[0].isTensor() && inputs[1].isTensor()) {
    const bool one_side = lies_on(inputs[0], device) != lies_on(inputs[1], device);
    return one_side && inputs[2].isBool() && !inputs[2].toBool();
  }
  if (name != "aten::to" || device != at::kCPU) return false;
  for (size_t place = 1; place + 2 < inputs.size(); ++place) {
    if (!inputs[place].isDevice()) continue;
    // `toType` names the dtype first, and the device that the tensor is on.
    const bool converts = place > 1 && !inputs[1].isNone();
    // In both forms of `to` with a device, `non_blocking` is the second after it.
    return !converts && inputs[place + 2].isBool() && !inputs[place + 2].toBool();
  }
  return false;
}

struct Entered : public at::ObserverContext {};

// Found by the thread's debug information, which libtorch hands on to the threads of a backward pass together with the callbacks.
std::unique_ptr<at::ObserverContext> start(const at::RecordFunction &function) {
  auto *const found = static_cast<Found *>(c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::TEST_INFO_2));
  if (found == nullptr || inside > 0) return nullptr;
  const std::string_view name = function.name();
  const auto inputs = function.inputs();
  const bool waiting = WAITING.count(name) > 0 && !inputs.empty() && lies_on(inputs[0], found->device);
  if (waiting || copies(name, inputs, found->device)) {
    found->add(function.name());
  } else if (found->device != at::kCPU || READING_ON_CPU.count(name) == 0) {
    return nullptr;
  }
  ++inside;
  return std::make_unique<Entered>();
}

void end(const at::RecordFunction &, at::ObserverContext *context) {
  if (context != nullptr) --inside;
}

}  // namespace

WaitCounter::WaitCounter(bool cuda) : found_(std::make_shared<Found>(cuda)) {
  c10::ThreadLocalDebugInfo::_push(c10::DebugInfoKind::TEST_INFO_2, found_);
  callback_ = at::addThreadLocalCallback(at::RecordFunctionCallback(start, end).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
}

WaitCounter::~WaitCounter() {
  at::removeCallback(callback_);
  c10::ThreadLocalDebugInfo::_pop(c10::DebugInfoKind::TEST_INFO_2);
}

rust::Vec<Wait> WaitCounter::counts() const {
  rust::Vec<Wait> waits;
  for (const auto &[name, count] : static_cast<const Found &>(*found_).counts()) waits.push_back(Wait{name, count});
  return waits;
}

std::unique_ptr<WaitCounter> count_waits(bool cuda) { return std::make_unique<WaitCounter>(cuda); }

}  // namespace lossmith
