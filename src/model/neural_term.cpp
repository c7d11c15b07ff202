#include "espalier/model/neural_term.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/model/shell_operators.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::model {

namespace {

using petsc::Access;
using petsc::TensorView;

// The adjoint computes a stage's time from the other end of the step: equal up to rounding only.
constexpr double time_tolerance = 1e-10;
// Theta methods go back and forth between two states of a step.
constexpr std::size_t recent_capacity = 2;

std::vector<std::int64_t> batch_shape(Vec u, std::int64_t width) {
  PetscInt length = 0;
  ESPALIER_CALL(VecGetLocalSize(u, &length));
  ESPALIER_REQUIRE(length % width == 0, "the local state of " + std::to_string(length) +
                                            " entries is no multiple of the network's width " + std::to_string(width));
  return {length / width, width};
}

std::vector<std::int64_t> batch_shape(Vec u, std::int64_t width, std::int64_t samples) {
  auto shape = batch_shape(u, width);
  ESPALIER_REQUIRE(shape.front() == samples, "a network's argument has " + std::to_string(samples) +
                                                 " samples on this rank, the vector for its result " +
                                                 std::to_string(shape.front()));
  return shape;
}

bool same_entries(const at::Tensor& a, const at::Tensor& b) {
  if (!a.sizes().equals(b.sizes()) || a.scalar_type() != b.scalar_type()) return false;
  if (a.numel() == 0) return true;
  if (a.is_cpu() && b.is_cpu() && a.is_contiguous() && b.is_contiguous())
    return std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0;
  return at::equal(a, b);
}

class NeuralLinearization : public Linearization {
 public:
  NeuralLinearization(nn::Network& network, std::unique_ptr<nn::Tape> tape, NetworkCounters& counters)
      : network_(&network), tape_(std::move(tape)), counters_(&counters) {}

  void jvp(Vec v, Vec y) override {
    const core::EventScope event(core::Event::network_tangent);
    const std::int64_t samples = tape_->input().size(0);
    const TensorView tangent(v, batch_shape(v, network_->inputs(), samples), Access::read);
    const TensorView result(y, batch_shape(y, network_->outputs(), samples), Access::write);
    tape_->jvp(tangent.tensor(), result.tensor());
    ++counters_->tangent;
  }

  void vjp(Vec w, Vec u_bar) override {
    const core::EventScope event(core::Event::network_adjoint);
    const std::int64_t samples = tape_->input().size(0);
    const TensorView cotangent(w, batch_shape(w, network_->outputs(), samples), Access::read);
    const TensorView result(u_bar, batch_shape(u_bar, network_->inputs(), samples), Access::write);
    tape_->vjp(cotangent.tensor(), result.tensor());
    ++counters_->adjoint;
  }

  void accumulate(double alpha) override {
    const core::EventScope event(core::Event::network_adjoint);
    tape_->accumulate(alpha);
  }

 private:
  nn::Network* network_;
  std::unique_ptr<nn::Tape> tape_;
  NetworkCounters* counters_;
};

}  // namespace

struct NeuralTerm::Kept {
  double t;
  at::Tensor input;
  std::shared_ptr<Linearization> linearization;
};

NeuralTerm::NeuralTerm(std::shared_ptr<nn::Network> network, std::size_t keep_bytes)
    : network_(std::move(network)), keep_bytes_(keep_bytes) {
  ESPALIER_ASSERT(network_ != nullptr, "a neural term needs a network");
}

NeuralTerm::~NeuralTerm() = default;

void NeuralTerm::apply(double t, Vec u, Vec y) {
  const core::EventScope event(core::Event::network_forward);
  const TensorView state(u, batch_shape(u, network_->inputs()), Access::read);
  const TensorView value(y, batch_shape(y, network_->outputs(), state.tensor().size(0)), Access::write);
  ++(repeat_ ? counters_.recomputed : counters_.forward);
  forget_outdated();
  // What was repeated for the last adjoint is not needed in a new forward run.
  if (!repeat_) recent_.clear();
  const std::size_t bytes = network_->tape_bytes(state.tensor().size(0));
  const bool keep = repeat_ ? latest_ > 0 : keep_ && kept_bytes_ + bytes <= keep_bytes_;
  if (!keep) {
    network_->forward(t, state.tensor(), value.tensor());
    return;
  }
  auto tape = network_->record(t, state.tensor(), value.tensor());
  const at::Tensor input = tape->input();
  Kept evaluation{t, input, std::make_shared<NeuralLinearization>(*network_, std::move(tape), counters_)};
  if (repeat_) return note_recent(std::move(evaluation));
  kept_bytes_ += bytes;
  kept_.push_back(std::move(evaluation));
  cursor_ = kept_.size();
}

void NeuralTerm::note_recent(Kept evaluation) {
  while (recent_.size() >= std::max(latest_, recent_capacity)) recent_.pop_front();
  recent_.push_back(std::move(evaluation));
}

void NeuralTerm::repeat_evaluations(bool repeat, std::size_t latest) {
  repeat_ = repeat;
  latest_ = latest;
}

// Parts of a state may be equal on one rank and different on another, and ranks that evaluate a network together must
// take the same tape. What is kept is the same on all of them, since tape_bytes() is.
bool NeuralTerm::on_all_ranks(bool match) const {
  if (network_->comm() == MPI_COMM_NULL) return match;
  int everywhere = match ? 1 : 0;
  MPI_Allreduce(MPI_IN_PLACE, &everywhere, 1, MPI_INT, MPI_LAND, network_->comm());
  return everywhere == 1;
}

// The adjoint meets the points in reverse order: the search starts where the last one ended.
std::shared_ptr<Linearization> NeuralTerm::find_kept(double t, const at::Tensor& input) {
  const auto matches = [&](const Kept& kept) {
    return std::abs(kept.t - t) <= time_tolerance * (1 + std::abs(t)) && same_entries(kept.input, input);
  };
  const std::size_t count = kept_.size();
  for (std::size_t n = 0; n < count; ++n) {
    const std::size_t i = (cursor_ + count - 1 - n) % count;
    if (!on_all_ranks(matches(kept_[i]))) continue;
    cursor_ = i + 1;
    return kept_[i].linearization;
  }
  for (auto entry = recent_.rbegin(); entry != recent_.rend(); ++entry)
    if (on_all_ranks(matches(*entry))) return entry->linearization;
  return nullptr;
}

std::shared_ptr<Linearization> NeuralTerm::linearize(double t, Vec u) {
  const TensorView state(u, batch_shape(u, network_->inputs()), Access::read);
  forget_outdated();
  const at::Tensor input = state.tensor().to(network_->parameters().values().scalar_type());
  if (auto kept = find_kept(t, input)) return kept;
  const core::EventScope event(core::Event::network_forward);
  ++counters_.recomputed;
  const at::Tensor value = at::empty({input.size(0), network_->outputs()}, state.tensor().options());
  auto tape = network_->record(t, state.tensor(), value);
  const at::Tensor recorded_input = tape->input();
  note_recent({t, recorded_input, std::make_shared<NeuralLinearization>(*network_, std::move(tape), counters_)});
  return recent_.back().linearization;
}

void NeuralTerm::keep_evaluations(bool keep) {
  keep_ = keep;
  if (keep) forget();
}

// An evaluation with other parameters says nothing about these.
void NeuralTerm::forget_outdated() {
  if (network_->parameters().version() != version_) forget();
}

void NeuralTerm::forget() {
  version_ = network_->parameters().version();
  kept_.clear();
  recent_.clear();
  kept_bytes_ = 0;
  cursor_ = 0;
}

petsc::VecHandle NeuralTerm::create_mu(MPI_Comm comm) {
  petsc::VecHandle mu;
  ESPALIER_CALL(VecCreateMPI(comm, static_cast<PetscInt>(network_->parameters().count()), PETSC_DETERMINE, mu.out()));
  return mu;
}

}  // namespace espalier::model
