#include "espalier/nn/pointwise_network.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "espalier/core/error.hpp"

namespace espalier::nn {

namespace {

/// From [samples, fields * cells] to [samples * cells, fields].
at::Tensor by_cell(const at::Tensor& fields, std::int64_t cells) {
  return fields.view({fields.size(0), -1, cells}).transpose(1, 2).reshape({fields.size(0) * cells, -1});
}

/// The reverse, into `fields`.
void copy_by_field(const at::Tensor& by_cell, std::int64_t cells, const at::Tensor& fields) {
  fields.view({fields.size(0), -1, cells}).copy_(by_cell.view({fields.size(0), cells, -1}).transpose(1, 2));
}

class PointwiseTape : public Tape {
 public:
  PointwiseTape(at::Tensor input, std::unique_ptr<Tape> in_cell, std::int64_t cells)
      : input_(std::move(input)), in_cell_(std::move(in_cell)), cells_(cells) {}

  const at::Tensor& input() const override { return input_; }
  void vjp(const at::Tensor& w, const at::Tensor& u_bar) override {
    const at::Tensor result = at::empty({input_.size(0) * cells_, input_.size(1) / cells_}, u_bar.options());
    in_cell_->vjp(by_cell(w, cells_), result);
    copy_by_field(result, cells_, u_bar);
  }
  void accumulate(double alpha) override { in_cell_->accumulate(alpha); }
  void jvp(const at::Tensor& v, const at::Tensor& y) override {
    const at::Tensor result = at::empty({y.size(0) * cells_, y.size(1) / cells_}, y.options());
    in_cell_->jvp(by_cell(v, cells_), result);
    copy_by_field(result, cells_, y);
  }

 private:
  at::Tensor input_;
  std::unique_ptr<Tape> in_cell_;
  std::int64_t cells_;
};

}  // namespace

PointwiseNetwork::PointwiseNetwork(std::shared_ptr<Network> in_cell, std::int64_t cells)
    : in_cell_(std::move(in_cell)), cells_(cells) {
  ESPALIER_ASSERT(in_cell_ != nullptr && in_cell_->comm() == MPI_COMM_NULL,
                  "a pointwise network needs a network that each rank evaluates by itself");
  ESPALIER_REQUIRE(cells > 0, "a pointwise network needs at least one cell");
}

void PointwiseNetwork::forward(double t, const at::Tensor& u, const at::Tensor& y) {
  const at::Tensor result = at::empty({u.size(0) * cells_, in_cell_->outputs()}, y.options());
  in_cell_->forward(t, by_cell(u, cells_), result);
  copy_by_field(result, cells_, y);
}

std::unique_ptr<Tape> PointwiseNetwork::record(double t, const at::Tensor& u, const at::Tensor& y) {
  const at::Tensor result = at::empty({u.size(0) * cells_, in_cell_->outputs()}, y.options());
  auto tape = in_cell_->record(t, by_cell(u, cells_), result);
  copy_by_field(result, cells_, y);
  const auto type = parameters().values().scalar_type();
  return std::make_unique<PointwiseTape>(u.detach().to(type, /*non_blocking=*/false, /*copy=*/true), std::move(tape),
                                         cells_);
}

std::size_t PointwiseNetwork::tape_bytes(std::int64_t samples) const {
  const std::int64_t input = samples * inputs() * in_cell_->parameters().values().element_size();
  return in_cell_->tape_bytes(samples * cells_) + static_cast<std::size_t>(input);
}

}  // namespace espalier::nn
