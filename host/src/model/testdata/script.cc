// Made script.pt, once, with libtorch 2.13:
//   g++ -std=c++17 script.cc -isystem $LIBTORCH/include -isystem $LIBTORCH/include/torch/csrc/api/include \
//       -L$LIBTORCH/lib -Wl,-rpath,$LIBTORCH/lib -ltorch_cpu -lc10 && ./a.out script.pt
// A convolution, a batch normalisation without parameters, and a scale that does not require a gradient: 1 channel in, 6
// features out.
#include <ATen/ATen.h>
#include <torch/csrc/jit/api/module.h>

int main(int, char **argv) {
  torch::jit::Module module("Net");
  module.register_attribute("training", c10::BoolType::get(), true);
  const auto weight = (at::arange(24, at::kFloat).reshape({6, 1, 2, 2}) - 11.5) / 12;
  module.register_parameter("weight", weight.set_requires_grad(true), false);
  module.register_parameter("scale", at::full({1}, 2.0), false);
  module.register_buffer("running_mean", at::zeros({6}));
  module.register_buffer("running_var", at::ones({6}));
  module.define(R"(
def forward(self, x):
    x = torch.conv2d(x, self.weight, None, [2, 2])
    x = torch.batch_norm(x, None, None, self.running_mean, self.running_var, self.training, 0.1, 1e-5, False)
    return torch.mean(torch.relu(x), [2, 3]) * self.scale
)");
  module.save(argv[1]);
}
