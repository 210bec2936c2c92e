// Tensors of PyTorch in Python.
#include "lossmith-torch-shim/src/shim.h"

#include <dlfcn.h>

#include <stdexcept>

#include <ATen/Functions.h>

struct _object;

namespace lossmith {

namespace {

using Wrap = _object *(*)(const at::TensorBase &);

// Of the libtorch_python that the process has loaded already. Nothing links it, so that one library serves the command, which runs
// without Python, and every Python.
Wrap find_wrap() {
  void *library = dlopen("libtorch_python.so", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) {
    throw std::runtime_error("torch is not imported in this process");
  }
  void *symbol = dlsym(library, "_Z16THPVariable_WrapRKN2at10TensorBaseE");
  if (symbol == nullptr) {
    throw std::runtime_error("this torch has no THPVariable_Wrap");
  }
  return reinterpret_cast<Wrap>(symbol);
}

}  // namespace

std::unique_ptr<at::Tensor> tensor_at(std::size_t address) {
  auto *tensor = reinterpret_cast<c10::TensorImpl *>(address);
  return std::make_unique<at::Tensor>(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim_copy(tensor));
}

bool is_usual(const at::Tensor &tensor) {
  static const auto usual = at::empty({0}).key_set();
  const auto dtype = tensor.scalar_type();
  if (dtype != at::kFloat && dtype != at::kDouble && dtype != at::kLong) {
    return false;
  }
  if (tensor.key_set() != usual || !tensor.is_contiguous() || tensor._fw_grad(0).defined()) {
    return false;
  }
  // Some tools free the memory of a tensor that lies elsewhere.
  const auto end = (tensor.storage_offset() + tensor.numel()) * static_cast<int64_t>(tensor.itemsize());
  return tensor.numel() > 0 && static_cast<int64_t>(tensor.storage().nbytes()) >= end;
}

std::size_t address_of(const at::Tensor &tensor) noexcept {
  return reinterpret_cast<std::size_t>(tensor.unsafeGetTensorImpl());
}

std::size_t python_object(const at::Tensor &tensor) {
  static const Wrap wrap = find_wrap();
  auto *object = wrap(tensor);
  if (object == nullptr) {
    throw std::runtime_error("Python made no object of a tensor");
  }
  return reinterpret_cast<std::size_t>(object);
}

}  // namespace lossmith
