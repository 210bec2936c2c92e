// What the bridge declares, in C++. src/bridge.rs has the other half; src/lib.rs the documentation.
#pragma once

#include <exception>
#include <memory>
#include <string>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include "rust/cxx.h"

namespace torch::jit {
struct Module;
}

namespace rust::behavior {

// libtorch's messages without the C++ stack, which says nothing to a user.
template <typename Try, typename Fail>
static void trycatch(Try &&func, Fail &&fail) noexcept try {
  func();
} catch (const c10::Error &error) {
  fail(error.what_without_backtrace());
} catch (const std::exception &error) {
  fail(error.what());
}

}  // namespace rust::behavior

namespace lossmith {

struct AdamSlot;
struct AdamSettings;
struct SgdSlot;
struct SgdSettings;
struct TensorPointer;
struct Autocast;
struct Extent;
struct NamedTensor;
struct NamedPointer;
struct Hinges;
struct MatrixProduct;
struct PlacedTensor;
struct Jobs;
struct GradientFunction;
struct Normalisation;
struct Wait;

void fused_adam(rust::Slice<const AdamSlot> slots, const AdamSettings &settings);
void fused_sgd(rust::Slice<const SgdSlot> slots, const SgdSettings &settings);
std::unique_ptr<at::Tensor> clip_gradients(rust::Slice<const TensorPointer> parameters, double maximum);
void clear_gradients(rust::Slice<const TensorPointer> parameters);
void retain_gradient(const at::Tensor &tensor);

Autocast enter_autocast(bool cuda, bool enabled);
void leave_autocast(const Autocast &before) noexcept;
int8_t gradient_mode() noexcept;
void set_deterministic(bool on) noexcept;
rust::String version();
Extent extent(const at::Tensor &tensor);
void load_cuda();
std::unique_ptr<at::Tensor> meta(const at::Tensor &tensor);
std::unique_ptr<at::Tensor> pinned(rust::Slice<const int64_t> shape);

std::unique_ptr<at::Tensor> euclidean_distances(const at::Tensor &a, const at::Tensor &b);
Hinges hinge_sums(const at::Tensor &x, const at::Tensor &weights, double limit, bool above);

void multiply_single(const MatrixProduct &product, rust::Slice<const float> a, rust::Slice<const float> b,
                     rust::Slice<float> c);
void multiply_double(const MatrixProduct &product, rust::Slice<const double> a, rust::Slice<const double> b,
                     rust::Slice<double> c);
void parallel(std::size_t count, const Jobs &jobs);
void set_gradient(rust::Slice<const TensorPointer> inputs, rust::Slice<const TensorPointer> outputs,
                  rust::Box<GradientFunction> function);
std::unique_ptr<at::Tensor> share(const at::Tensor &tensor);

// Counts from its making to its end, both on one thread.
class WaitCounter {
 public:
  explicit WaitCounter(bool cuda);
  WaitCounter(const WaitCounter &) = delete;
  WaitCounter &operator=(const WaitCounter &) = delete;
  ~WaitCounter();
  rust::Vec<Wait> counts() const;

 private:
  std::shared_ptr<c10::DebugInfoBase> found_;
  uint64_t callback_ = 0;
};

std::unique_ptr<WaitCounter> count_waits(bool cuda);

std::unique_ptr<at::Tensor> tensor_at(std::size_t address);
bool is_usual(const at::Tensor &tensor);
std::size_t address_of(const at::Tensor &tensor) noexcept;
std::size_t python_object(const at::Tensor &tensor);

class ScriptModule {
 public:
  explicit ScriptModule(std::shared_ptr<torch::jit::Module> module);
  rust::Vec<NamedTensor> tensors() const;
  std::unique_ptr<at::Tensor> forward(const at::Tensor &input, bool train) const;
  std::unique_ptr<std::string> save() const;
  const torch::jit::Module &module() const { return *module_; }

 private:
  std::shared_ptr<torch::jit::Module> module_;
};

// What is inside of the next three is in ranks.cc, and is never freed: see there.
class Store {
 public:
  struct Inner;
  explicit Store(Inner *inner) : inner_(inner) {}
  void set(rust::Str key, rust::Slice<const uint8_t> value) const;
  rust::Vec<uint8_t> get(rust::Str key, uint64_t timeout) const;
  const Inner &inner() const { return *inner_; }

 private:
  Inner *inner_;
};

class Pending {
 public:
  struct Inner;
  explicit Pending(Inner *inner) : inner_(inner) {}
  bool wait(uint64_t timeout) const;

 private:
  Inner *inner_;
};

class Group {
 public:
  struct Inner;
  explicit Group(Inner *inner) : inner_(inner) {}
  void sum(const at::Tensor &tensor) const;
  std::unique_ptr<at::Tensor> gather(const at::Tensor &rows) const;
  void broadcast(const at::Tensor &tensor) const;
  std::unique_ptr<Pending> begin_broadcast(const at::Tensor &tensor, uint64_t timeout) const;
  std::unique_ptr<Pending> begin_sum(const at::Tensor &tensor, uint64_t timeout) const;
  bool failed() const noexcept;
  uint64_t bytes() const noexcept;
  uint64_t nanoseconds() const noexcept;
  std::unique_ptr<at::Tensor> batch_norm(const at::Tensor &x, const Normalisation &with) const;

 private:
  Inner *inner_;
};

std::unique_ptr<Store> join_store(rust::Str host, uint16_t port, int32_t listener, rust::Str prefix, uint64_t timeout);
std::unique_ptr<Group> join_group(const Store &store, uint32_t rank, uint32_t size, bool loopback, uint64_t timeout);

std::unique_ptr<ScriptModule> load_script(rust::Str path, int32_t device);
std::unique_ptr<ScriptModule> define_script(rust::Slice<const NamedPointer> tensors, const ScriptModule *backbone,
                                            rust::Str source);
std::unique_ptr<std::string> pickle_state(rust::Slice<const NamedPointer> tensors);

}  // namespace lossmith
