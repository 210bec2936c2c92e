// Processes that train one run together: libtorch's own store and its collective operations over Gloo.
//
// A file of its own, as the macro and the stand-ins for Gloo's headers are for it alone.
#define USE_C10D_GLOO

#include "lossmith-torch-shim/src/shim.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <utility>

#include <ATen/ATen.h>
#include <c10/util/Logging.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "lossmith-torch-shim/src/bridge.rs.h"

namespace lossmith {

namespace {

using std::chrono::milliseconds;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::string text(rust::Str text) { return std::string(text.data(), text.size()); }

// c10d writes whole C++ stacks to the standard error output before it throws; the exceptions say the same.
void quiet() {
  c10::initLogging();
  FLAGS_caffe2_log_level = c10::GLOG_FATAL;
}

}  // namespace

// Neither is ever freed: a destructor would wait for an operation that a lost rank does not end. They are few, and live
// as long as the process.
struct Store::Inner {
  c10::intrusive_ptr<c10d::TCPStore> server;
  c10::intrusive_ptr<c10d::Store> store;
};

struct Group::Inner {
  Inner(c10::intrusive_ptr<c10d::Backend> backend, int64_t size) : backend(std::move(backend)), size(size) {}

  // Waits for what was sent.
  void finish(const c10::intrusive_ptr<c10d::Work> &work, const at::Tensor &sent) {
    const auto begun = std::chrono::steady_clock::now();
    try {
      work->wait();
    } catch (const std::exception &) {
      failed = true;
      throw;
    }
    bytes += sent.nbytes();
    nanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begun).count();
  }

  c10::intrusive_ptr<c10d::Backend> backend;
  int64_t size;
  std::atomic<bool> failed{false};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> nanoseconds{0};
};

struct Pending::Inner {
  c10::intrusive_ptr<c10d::Work> work;
};

std::unique_ptr<Store> join_store(rust::Str host, uint16_t port, int32_t listener, rust::Str prefix, uint64_t timeout) {
  quiet();
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = listener >= 0;
  options.waitWorkers = false;
  options.timeout = milliseconds(timeout);
  if (listener >= 0) options.masterListenFd = listener;
  auto server = c10::make_intrusive<c10d::TCPStore>(text(host), options);
  auto store = c10::make_intrusive<c10d::PrefixStore>(text(prefix), server);
  return std::make_unique<Store>(new Store::Inner{std::move(server), std::move(store)});
}

void Store::set(rust::Str key, rust::Slice<const uint8_t> value) const {
  inner_->store->set(text(key), std::vector<uint8_t>(value.begin(), value.end()));
}

rust::Vec<uint8_t> Store::get(rust::Str key, uint64_t timeout) const {
  inner_->store->wait({text(key)}, milliseconds(timeout));
  const auto value = inner_->store->get(text(key));
  rust::Vec<uint8_t> bytes;
  bytes.reserve(value.size());
  for (const auto byte : value) bytes.push_back(byte);
  return bytes;
}

std::unique_ptr<Group> join_group(const Store &store, uint32_t rank, uint32_t size, bool loopback, uint64_t timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(milliseconds(timeout));
  if (loopback) {
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  } else {
    options = c10d::ProcessGroupGloo::Options::create_default(milliseconds(timeout));
  }
  c10::intrusive_ptr<c10d::Backend> backend = c10::make_intrusive<c10d::ProcessGroupGloo>(
      store.inner().store, static_cast<int>(rank), static_cast<int>(size), options);
  return std::make_unique<Group>(new Group::Inner(std::move(backend), static_cast<int64_t>(size)));
}

void Group::sum(const at::Tensor &tensor) const {
  const at::NoGradGuard no_grad;
  auto here = tensor.detach().to(at::kCPU).contiguous();
  std::vector<at::Tensor> tensors{here};
  inner_->finish(inner_->backend->allreduce(tensors), here);
  if (!here.is_alias_of(tensor)) tensor.detach().copy_(here);
}

std::unique_ptr<at::Tensor> Group::gather(const at::Tensor &rows) const {
  const at::NoGradGuard no_grad;
  auto here = rows.detach().to(at::kCPU).contiguous();
  auto sizes = here.sizes().vec();
  sizes.at(0) *= inner_->size;
  auto all = at::empty(sizes, here.options());
  inner_->finish(inner_->backend->_allgather_base(all, here), here);
  return std::make_unique<at::Tensor>(all.to(rows.device()));
}

void Group::broadcast(const at::Tensor &tensor) const {
  const at::NoGradGuard no_grad;
  auto here = tensor.detach().to(at::kCPU).contiguous();
  std::vector<at::Tensor> tensors{here};
  inner_->finish(inner_->backend->broadcast(tensors), here);
  if (!here.is_alias_of(tensor)) tensor.detach().copy_(here);
}

std::unique_ptr<Pending> Group::begin_broadcast(const at::Tensor &tensor, uint64_t timeout) const {
  c10d::BroadcastOptions options;
  options.timeout = milliseconds(timeout);
  std::vector<at::Tensor> tensors{tensor};
  return std::make_unique<Pending>(new Pending::Inner{inner_->backend->broadcast(tensors, options)});
}

std::unique_ptr<Pending> Group::begin_sum(const at::Tensor &tensor, uint64_t timeout) const {
  c10d::AllreduceOptions options;
  options.timeout = milliseconds(timeout);
  std::vector<at::Tensor> tensors{tensor};
  return std::make_unique<Pending>(new Pending::Inner{inner_->backend->allreduce(tensors, options)});
}

bool Group::failed() const noexcept { return inner_->failed; }

uint64_t Group::bytes() const noexcept { return inner_->bytes; }

uint64_t Group::nanoseconds() const noexcept { return inner_->nanoseconds; }

bool Pending::wait(uint64_t timeout) const {
  try {
    return inner_->work->wait(milliseconds(timeout));
  } catch (const std::exception &) {
    // It was only this wait that ended.
    if (!inner_->work->isCompleted()) return false;
    throw;
  }
}

namespace {

// Batch normalisation of the rows of all ranks. A group lives as long as the process, so that the graph can have its
// address.
struct BatchNorm : public torch::autograd::Function<BatchNorm> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias,
                            const at::Tensor &running_mean, const at::Tensor &running_variance, int64_t group,
                            double momentum, double epsilon) {
    const auto [own_mean, own_variance] = at::batch_norm_update_stats(x, {}, {}, 0);
    const double own = static_cast<double>(x.numel() / x.size(1));
    const auto count = at::full({1}, own, own_mean.options().dtype(at::kDouble));
    const auto mine = at::cat({count, own_mean.to(at::kDouble), own_variance.to(at::kDouble)}).unsqueeze(0);
    const auto all = *reinterpret_cast<const Group *>(group)->gather(mine);
    const auto counts = all.narrow(1, 0, 1);
    const auto means = all.narrow(1, 1, x.size(1)), variances = all.narrow(1, 1 + x.size(1), x.size(1));
    const auto total = counts.sum();
    const auto mean = (means * counts).sum(0) / total;
    const auto variance = ((variances + (means - mean).square()) * counts).sum(0) / total;
    running_mean.mul_(1 - momentum).add_(mean.to(running_mean.scalar_type()), momentum);
    const auto unbiased = variance * (total / (total - 1).clamp_min(1));
    running_variance.mul_(1 - momentum).add_(unbiased.to(running_variance.scalar_type()), momentum);
    const auto of_parameters = weight.scalar_type();
    const auto mean_here = mean.to(of_parameters), variance_here = variance.to(of_parameters);
    auto result =
        std::get<0>(at::native_batch_norm(x, weight, bias, mean_here, variance_here, false, momentum, epsilon));
    context->save_for_backward({x, weight, mean_here, variance_here, total});
    context->saved_data["group"] = group;
    context->saved_data["epsilon"] = epsilon;
    return result;
  }

  static variable_list backward(AutogradContext *context, const variable_list &given) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &mean = saved[2], &variance = saved[3], &total = saved[4];
    const auto *const group = reinterpret_cast<const Group *>(context->saved_data["group"].toInt());
    const double epsilon = context->saved_data["epsilon"].toDouble();
    const auto gradient = given[0].contiguous(x.suggest_memory_format());
    const auto [none, of_weight, of_bias] = at::native_batch_norm_backward(gradient, x, weight, mean, variance, {}, {}, false,
                                                                           epsilon, {false, true, true});
    const auto sums = at::stack({of_bias, of_weight}).to(at::kDouble);
    group->sum(sums);
    // (gradient - mean of it - normal * mean of its product with normal) * weight / deviation, as x * slope + rest +
    // gradient * scale.
    const auto over = (variance.to(at::kDouble) + epsilon).rsqrt();
    const auto scale = over * weight.to(at::kDouble);
    const auto slope = -scale * over * sums[1] / total;
    const auto rest = -scale * sums[0] / total - slope * mean.to(at::kDouble);
    std::vector<int64_t> shape(x.dim(), 1);
    shape[1] = x.size(1);
    const auto channels = [&](const at::Tensor &numbers) { return numbers.to(x.scalar_type()).view(shape); };
    const auto of_x = at::addcmul(channels(rest), x, channels(slope)).addcmul_(gradient, channels(scale));
    return {of_x, of_weight, of_bias, {}, {}, {}, {}, {}};
  }
};

}  // namespace

std::unique_ptr<at::Tensor> Group::batch_norm(const at::Tensor &x, const Normalisation &with) const {
  const auto group = static_cast<int64_t>(reinterpret_cast<intptr_t>(this));
  return std::make_unique<at::Tensor>(BatchNorm::apply(x, *with.weight, *with.bias, *with.mean, *with.variance, group,
                                                       with.momentum, with.epsilon));
}

}  // namespace lossmith
