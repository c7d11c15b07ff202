#include "espalier/grid/sample_exchange.hpp"

#include <petscsf.h>
#include <torch/autograd.h>

#include "espalier/core/error.hpp"

namespace espalier::grid {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Move : public torch::autograd::Function<Move> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& from, const SampleExchange* exchange,
                            bool to_parts) {
    context->saved_data["exchange"] = reinterpret_cast<std::int64_t>(exchange);
    context->saved_data["to_parts"] = to_parts;
    return exchange->move(from, to_parts);
  }
  // The transpose of a permutation is its inverse.
  static variable_list backward(AutogradContext* context, const variable_list& cotangents) {
    const auto* exchange = reinterpret_cast<const SampleExchange*>(context->saved_data["exchange"].toInt());
    return {exchange->move(cotangents[0], !context->saved_data["to_parts"].toBool()), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

SampleExchange::SampleExchange(std::shared_ptr<const CellGrid> grid, const std::vector<int>& samples,
                               std::int64_t fields)
    : grid_(std::move(grid)), fields_(fields), identity_(samples.size() == 1) {
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(grid_->comm(), &rank);
  MPI_Comm_size(grid_->comm(), &size);
  ESPALIER_ASSERT(samples.size() == static_cast<std::size_t>(size), "one number of samples for each rank");
  own_samples_ = samples[static_cast<std::size_t>(rank)];
  for (std::size_t r = 0; r < samples.size(); ++r) {
    if (static_cast<int>(r) == rank) first_sample_ = all_samples_;
    all_samples_ += samples[r];
  }
  if (!identity_) connect(samples);
}

void SampleExchange::connect(const std::vector<int>& samples) {
  const std::int64_t cells = grid_->global_cells();
  const std::int64_t local = grid_->local_cells();
  const auto* natural = grid_->natural_indices().data_ptr<std::int64_t>();
  std::vector<PetscSFNode> roots;
  roots.reserve(static_cast<std::size_t>(all_samples_ * fields_ * local));
  for (std::size_t rank = 0; rank < samples.size(); ++rank)
    for (std::int64_t row = 0; row < samples[rank] * fields_; ++row)
      for (std::int64_t cell = 0; cell < local; ++cell)
        roots.push_back({static_cast<PetscInt>(rank), static_cast<PetscInt>(row * cells + natural[cell])});
  ESPALIER_CALL(PetscSFCreate(grid_->comm(), moves_.out()));
  ESPALIER_CALL(PetscSFSetGraph(moves_.get(), static_cast<PetscInt>(own_samples_ * fields_ * cells),
                                static_cast<PetscInt>(roots.size()), nullptr, PETSC_OWN_POINTER, roots.data(),
                                PETSC_COPY_VALUES));
}

at::Tensor SampleExchange::move(const at::Tensor& from, bool to_parts) const {
  const std::int64_t whole = fields_ * grid_->global_cells();
  const std::int64_t part = fields_ * grid_->local_cells();
  const std::vector<std::int64_t> of_whole = {own_samples_, whole};
  const std::vector<std::int64_t> of_parts = {all_samples_, part};
  ESPALIER_REQUIRE(from.scalar_type() == at::kDouble && from.sizes() == (to_parts ? of_whole : of_parts),
                   "samples to be exchanged between ranks have another shape or type");
  if (identity_) return from;
  const at::Tensor source = from.contiguous();
  const at::Tensor target = at::empty(to_parts ? of_parts : of_whole, at::kDouble);
  const auto* x = source.data_ptr<double>();
  auto* y = target.data_ptr<double>();
  if (to_parts) {
    ESPALIER_CALL(PetscSFBcastBegin(moves_.get(), MPIU_SCALAR, x, y, MPI_REPLACE));
    ESPALIER_CALL(PetscSFBcastEnd(moves_.get(), MPIU_SCALAR, x, y, MPI_REPLACE));
  } else {
    ESPALIER_CALL(PetscSFReduceBegin(moves_.get(), MPIU_SCALAR, x, y, MPI_REPLACE));
    ESPALIER_CALL(PetscSFReduceEnd(moves_.get(), MPIU_SCALAR, x, y, MPI_REPLACE));
  }
  return target;
}

at::Tensor SampleExchange::to_parts(const at::Tensor& whole) const {
  return identity_ ? move(whole, true) : Move::apply(whole, this, true);
}
at::Tensor SampleExchange::to_whole(const at::Tensor& parts) const {
  return identity_ ? move(parts, false) : Move::apply(parts, this, false);
}

}  // namespace espalier::grid
