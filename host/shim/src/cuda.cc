#include "lossmith-torch-shim/src/shim.h"

#include <dlfcn.h>

#include <stdexcept>

#include <ATen/Context.h>
#include <ATen/ops/empty.h>

namespace lossmith {

namespace {

constexpr const char *LIBRARY = "libtorch_cuda.so";

// The folder of the libtorch that this process has loaded, with a slash at the end.
std::string folder() {
  Dl_info found;
  if (dladdr(reinterpret_cast<void *>(&at::globalContext), &found) == 0 || found.dli_fname == nullptr) return "";
  const std::string file = found.dli_fname;
  return file.substr(0, file.rfind('/') + 1);
}

}  // namespace

// libtorch asks once for its part for CUDA, at the first question about a device, and keeps the answer.
void load_cuda() {
  if (dlopen(LIBRARY, RTLD_NOW | RTLD_NOLOAD) != nullptr) return;
  // Never one of another libtorch, which the loader's own search could find.
  if (dlopen((folder() + LIBRARY).c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) throw std::runtime_error(dlerror());
}

std::unique_ptr<at::Tensor> pinned(rust::Slice<const int64_t> shape) {
  const at::IntArrayRef sizes(shape.data(), shape.size());
  return std::make_unique<at::Tensor>(at::empty(sizes, at::TensorOptions(at::kFloat).pinned_memory(true)));
}

}  // namespace lossmith
