#include <ATen/ATen.h>

#include "lossmith-torch-shim/src/shim.h"

namespace lossmith {

std::unique_ptr<at::Tensor> meta(const at::Tensor &tensor) {
  auto alike = at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(at::kMeta));
  return std::make_unique<at::Tensor>(alike.set_requires_grad(tensor.requires_grad()));
}

}  // namespace lossmith
