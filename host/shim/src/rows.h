// Loops over the rows of matrices on libtorch's own threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include <ATen/TensorIterator.h>

namespace lossmith {

// Runs `run(begin, end)` on parts of the rows of a contiguous tensor on the CPU. `of_rows` has an element for each, contiguous, too;
// nothing is done to it. (`at::parallel_for` is compiled where it is used, so it would need an OpenMP of our own beside libtorch's.)
template <typename Float, typename Run>
void over_rows(at::Tensor of_rows, int64_t columns, Run run) {
  const auto *const first = of_rows.const_data_ptr<Float>();
  auto rows = at::TensorIterator::nullary_op(of_rows);
  rows.for_each(
      [&](char **data, const int64_t *, int64_t count, int64_t times) {
        const auto begin = reinterpret_cast<const Float *>(data[0]) - first;
        run(begin, begin + count * times);
      },
      std::max<int64_t>(1, at::internal::GRAIN_SIZE / std::max<int64_t>(1, columns)));
}

}  // namespace lossmith
