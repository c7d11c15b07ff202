#include "espalier/implicit/infiltration_term.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/session.hpp"
#include "espalier/implicit/linear_solve.hpp"
#include "espalier/model/elliptic_term.hpp"
#include "espalier/petsc/tensor_view.hpp"
#include "espalier/petsc/vec_pool.hpp"
#include "sweep_equation.hpp"

namespace espalier::implicit {

namespace {

using petsc::Access;
using petsc::TensorView;

// A gradient is only as exact as the equations that it differentiates; Jacobi's method takes thousands of sweeps.
constexpr double molarity_tolerance = 1e-13;
constexpr PetscInt molarity_iterations = 100000;

// What the matrices allow, below the options.
void choose_defaults(KSP ksp) {
  PC pc = nullptr;
  ESPALIER_CALL(KSPSetType(ksp, KSPCG));
  ESPALIER_CALL(KSPGetPC(ksp, &pc));
  ESPALIER_CALL(PCSetType(pc, PCBJACOBI));
  ESPALIER_CALL(KSPSetTolerances(ksp, molarity_tolerance, PETSC_CURRENT, PETSC_CURRENT, molarity_iterations));
  ESPALIER_CALL(KSPSetInitialGuessNonzero(ksp, PETSC_TRUE));
  ESPALIER_CALL(KSPSetFromOptions(ksp));
}

at::Tensor values_of(nn::Network& law, const at::Tensor& x, std::unique_ptr<nn::Tape>* tape) {
  const at::Tensor column = x.reshape({-1, 1});
  const at::Tensor y = at::empty_like(column);
  if (tape != nullptr) {
    *tape = law.record(0, column, y);
  } else {
    law.forward(0, column, y);
  }
  return y.view(x.sizes());
}

at::Tensor pulled(nn::Tape& tape, const at::Tensor& w) {
  const at::Tensor x_bar = at::empty({w.numel(), 1}, w.options());
  tape.vjp(w.reshape({-1, 1}), x_bar);
  return x_bar.view(w.sizes());
}

at::Tensor pushed(nn::Tape& tape, const at::Tensor& v) {
  const at::Tensor y_tan = at::empty({v.numel(), 1}, v.options());
  tape.jvp(v.reshape({-1, 1}), y_tan);
  return y_tan.view(v.sizes());
}

at::Tensor tensor_of(Vec vec, at::IntArrayRef shape) { return TensorView(vec, shape, Access::read).tensor().clone(); }

void write(const at::Tensor& values, Vec vec) { TensorView(vec, values.sizes(), Access::write).tensor().copy_(values); }

}  // namespace

/// What the laws give at one state.
struct InfiltrationTerm::Fields {
  at::Tensor diffusivity;                      // [samples, cells]
  at::Tensor surface;                          // [samples, cells]
  at::Tensor rate;                             // [samples, 1]
  at::Tensor reaction;                         // k S
  std::unique_ptr<nn::Tape> of_d, of_s, of_k;  // if recorded
  Fields(const InfiltrationLaws& laws, const at::Tensor& u, bool record);
};

InfiltrationTerm::Fields::Fields(const InfiltrationLaws& laws, const at::Tensor& u, bool record) {
  const std::int64_t cells = u.size(1) - 1;
  const at::Tensor porosity = u.narrow(1, 0, cells).contiguous();
  const auto tape = [&](std::unique_ptr<nn::Tape>& place) { return record ? &place : nullptr; };
  diffusivity = values_of(*laws.diffusivity, porosity, tape(of_d));
  surface = values_of(*laws.surface, porosity, tape(of_s));
  rate = values_of(*laws.rate, u.narrow(1, cells, 1).contiguous(), tape(of_k));
  reaction = rate * surface;
}

/// c at one state; of an unrolled solve with its sweeps.
struct InfiltrationTerm::Solution {
  std::shared_ptr<petsc::VecHandle> c;
  std::shared_ptr<const KeptSolve> sweeps;
};

/// The elliptic equation of one number of samples, and its solver.
struct InfiltrationTerm::Batch {
  Batch(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t samples, const InfiltrationSettings& settings);

  bool unrolled() const { return linear == nullptr; }
  at::IntArrayRef shape() const { return shape_of_fields; }
  void set(const Fields& fields) {
    if (current == fields.reaction.unsafeGetTensorImpl()) return;
    current = nullptr;
    elliptic->set_coefficients(fields.diffusivity, fields.reaction);
    current = fields.reaction.unsafeGetTensorImpl();
    coefficients = fields.reaction;
  }
  at::Tensor tangent(const Solution& solution, const at::Tensor& d_tan, const at::Tensor& r_tan);

  std::vector<std::int64_t> shape_of_fields;
  std::shared_ptr<model::EllipticTerm> elliptic;
  std::unique_ptr<DifferentiableSolve> solver;
  LinearSolve* linear = nullptr;  // the same, unless sweeps are unrolled
  petsc::VecHandle guess;         // 1
  petsc::VecHandle source;        // 0
  petsc::VecHandle work[3];
  petsc::VecPool pool;
  const void* current = nullptr;  // whose coefficients the equation has
  at::Tensor coefficients;        // keeps `current` from being used again
};

InfiltrationTerm::Batch::Batch(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t samples,
                               const InfiltrationSettings& settings)
    : shape_of_fields{samples, grid->local_cells()} {
  using Rows = model::EllipticTerm::Rows;
  const bool unrolls = settings.differentiation == Differentiation::unrolled;
  elliptic = std::make_shared<model::EllipticTerm>(grid, samples, unrolls ? Rows::divided : Rows::plain);
  ESPALIER_CALL(
      VecCreateMPI(grid->comm(), static_cast<PetscInt>(samples * grid->local_cells()), PETSC_DETERMINE, guess.out()));
  ESPALIER_CALL(VecSet(guess.get(), 1.0));
  for (petsc::VecHandle* vec : {&source, &work[0], &work[1], &work[2]})
    ESPALIER_CALL(VecDuplicate(guess.get(), vec->out()));
  ESPALIER_CALL(VecZeroEntries(source.get()));
  if (unrolls) {
    RootSettings sweeps;
    sweeps.prefix = settings.prefix;
    sweeps.solver = RootSolver::fixed_point;
    sweeps.differentiation = Differentiation::unrolled;
    sweeps.iterations = settings.iterations;
    solver = std::make_unique<RootSolve>(std::make_shared<SweepEquation>(elliptic), guess.get(), sweeps);
    return;
  }
  auto solve = std::make_unique<LinearSolve>(std::make_shared<LinearSystem>(elliptic), guess.get(), settings.prefix);
  linear = solve.get();
  choose_defaults(linear->ksp());
  choose_defaults(linear->adjoint_ksp());
  ESPALIER_CALL(KSPSetInitialGuessNonzero(linear->adjoint_ksp(), PETSC_FALSE));
  solver = std::move(solve);
}

// A c_tan = -A_tan c, or the sweeps' tangents one after another: c_tan <- c_tan - (f_c c_tan + f_tan).
at::Tensor InfiltrationTerm::Batch::tangent(const Solution& solution, const at::Tensor& d_tan,
                                            const at::Tensor& r_tan) {
  Vec c_tan = work[0].get();
  Vec f_tan = work[1].get();
  Vec product = work[2].get();
  ESPALIER_CALL(VecZeroEntries(c_tan));
  if (!unrolled()) {
    // The boundary values are part of f: f(c_tan) = b means A c_tan = b - f(0).
    elliptic->apply(0, c_tan, product);
    elliptic->apply_tangent(solution.c->get(), d_tan, r_tan, f_tan);
    ESPALIER_CALL(VecAYPX(f_tan, -1.0, product));
    solver->solve(f_tan, c_tan, Record::no);
    return tensor_of(c_tan, shape());
  }
  for (const auto& c : solution.sweeps->x) {
    elliptic->linearize(0, c->get())->jvp(c_tan, product);
    elliptic->apply_tangent(c->get(), d_tan, r_tan, f_tan);
    ESPALIER_CALL(VecAXPBYPCZ(c_tan, -1.0, -1.0, 1.0, f_tan, product));
  }
  return tensor_of(c_tan, shape());
}

class InfiltrationTerm::Products : public model::Linearization {
 public:
  Products(InfiltrationTerm& term, Batch& batch, Fields fields, std::shared_ptr<const Solution> solution)
      : beta_(term.settings_.consumption), batch_(&batch), fields_(std::move(fields)), solution_(std::move(solution)) {}

  // eps_t = -beta R c, R = k S: its tangent is -beta (R_tan c + R c_tan).
  void jvp(Vec v, Vec y) override {
    const TensorView tangent(v, state_shape(), Access::read);
    const TensorView result(y, state_shape(), Access::write);
    const at::Tensor porosity_tan = tangent.tensor().narrow(1, 0, cells()).contiguous();
    const at::Tensor rate_tan = pushed(*fields_.of_k, tangent.tensor().narrow(1, cells(), 1).contiguous());
    const at::Tensor reaction_tan = rate_tan * fields_.surface + fields_.rate * pushed(*fields_.of_s, porosity_tan);
    batch_->set(fields_);
    const at::Tensor c_tan = batch_->tangent(*solution_, pushed(*fields_.of_d, porosity_tan), reaction_tan);
    result.tensor().narrow(1, 0, cells()).copy_(-beta_ * (reaction_tan * molarity() + fields_.reaction * c_tan));
    result.tensor().narrow(1, cells(), 1).zero_();
  }

  // c_bar = -beta R w goes back through the solve to D_bar and R_bar, to which -beta c w is added; then through the
  // laws.
  void vjp(Vec w, Vec u_bar) override {
    const TensorView cotangent(w, state_shape(), Access::read);
    const at::Tensor rate_bar = -beta_ * cotangent.tensor().narrow(1, 0, cells());
    batch_->set(fields_);
    batch_->elliptic->parameters().front()->zero_gradient();
    write(rate_bar * fields_.reaction, batch_->work[0].get());
    batch_->solver->adjoint(kept(), batch_->work[0].get(), batch_->work[1].get());
    const at::Tensor reaction_bar = rate_bar * molarity() + batch_->elliptic->reaction_gradient();
    const at::Tensor porosity_bar = pulled(*fields_.of_d, batch_->elliptic->diffusivity_gradient()) +
                                    pulled(*fields_.of_s, fields_.rate * reaction_bar);
    const at::Tensor temperature_bar = pulled(*fields_.of_k, (reaction_bar * fields_.surface).sum(1, true));
    const TensorView result(u_bar, state_shape(), Access::write);
    result.tensor().narrow(1, 0, cells()).copy_(porosity_bar);
    result.tensor().narrow(1, cells(), 1).copy_(temperature_bar);
  }

  void accumulate(double alpha) override {
    for (nn::Tape* tape : {fields_.of_d.get(), fields_.of_s.get(), fields_.of_k.get()}) tape->accumulate(alpha);
  }

 private:
  std::int64_t cells() const { return batch_->shape_of_fields[1]; }
  std::vector<std::int64_t> state_shape() const { return {batch_->shape_of_fields[0], cells() + 1}; }
  at::Tensor molarity() const { return tensor_of(solution_->c->get(), batch_->shape()); }

  // The equation has had other coefficients since, and now has these again.
  KeptSolve kept() const {
    KeptSolve again;
    if (batch_->unrolled()) {
      again = *solution_->sweeps;
    } else {
      again.x = {solution_->c};
      again.y = std::make_shared<petsc::VecHandle>(petsc::VecHandle::share(batch_->source.get()));
    }
    again.version = batch_->solver->residual().version();
    return again;
  }

  double beta_;
  Batch* batch_;
  Fields fields_;
  std::shared_ptr<const Solution> solution_;
};

InfiltrationTerm::InfiltrationTerm(std::shared_ptr<const grid::CellGrid> grid, InfiltrationLaws laws,
                                   InfiltrationSettings settings)
    : grid_(std::move(grid)), laws_(std::move(laws)), settings_(std::move(settings)) {
  ESPALIER_ASSERT(grid_ && laws_.diffusivity && laws_.surface && laws_.rate,
                  "infiltration needs a grid and three laws");
  for (const auto* law : {laws_.diffusivity.get(), laws_.surface.get(), laws_.rate.get()})
    ESPALIER_REQUIRE(law->inputs() == 1 && law->outputs() == 1,
                     "a law of infiltration is a function of one number: give its network one input and one output");
  ESPALIER_REQUIRE(settings_.consumption > 0, "the factor beta of the porosity's rate must be positive");
}

InfiltrationTerm::~InfiltrationTerm() = default;

std::vector<nn::FlatParameters*> InfiltrationTerm::parameters() {
  std::vector<nn::FlatParameters*> all;
  for (const auto& law : {laws_.diffusivity, laws_.surface, laws_.rate})
    if (law->parameters().count() > 0) all.push_back(&law->parameters());
  return all;
}

InfiltrationTerm::Batch& InfiltrationTerm::batch_of(Vec u) {
  int size = 1;
  PetscInt length = 0;
  PetscInt total = 0;
  MPI_Comm_size(grid_->comm(), &size);
  ESPALIER_CALL(VecGetLocalSize(u, &length));
  ESPALIER_CALL(VecGetSize(u, &total));
  const std::int64_t entries = grid_->global_cells() + size;
  const std::int64_t samples = total / entries;
  const auto require_whole_samples = [&] {
    ESPALIER_REQUIRE(total == samples * entries && length == samples * (grid_->local_cells() + 1),
                     "a state of " + std::to_string(length) + " entries on this rank holds no whole samples of " +
                         std::to_string(grid_->local_cells()) + " porosities and a temperature");
  };
  auto& batch = batches_[samples];
  if (!batch) {
    // A new number of samples: all ranks come here together.
    core::agree(grid_->comm(), require_whole_samples);
    batch = std::make_unique<Batch>(grid_, samples, settings_);
  }
  require_whole_samples();
  return *batch;
}

// Begun at c = 1 whatever was solved before: the rate is a function of the state alone.
std::shared_ptr<const InfiltrationTerm::Solution> InfiltrationTerm::solve(Batch& batch, const Fields& fields,
                                                                          bool record) {
  batch.set(fields);
  auto solution = std::make_shared<Solution>();
  solution->c = batch.pool.copy(batch.guess.get());
  if (batch.unrolled()) {
    batch.solver->solve(batch.guess.get(), solution->c->get(), record ? Record::yes : Record::no);
    solution->sweeps = batch.solver->take_kept();
  } else {
    batch.solver->solve(batch.source.get(), solution->c->get(), Record::no);
  }
  return solution;
}

// A state with these parameters; the same on all ranks, which find or miss it together.
std::uint64_t InfiltrationTerm::key_of(const at::Tensor& u) {
  int rank = 0;
  MPI_Comm_rank(grid_->comm(), &rank);
  std::uint64_t sum = core::checksum(u.data_ptr<double>(), u.nbytes()) + static_cast<std::uint64_t>(rank);
  for (const auto* all : parameters()) sum = core::mix(sum) + static_cast<std::uint64_t>(all->version());
  sum = core::mix(sum);
  MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_UINT64_T, MPI_SUM, grid_->comm());
  return sum;
}

std::shared_ptr<const InfiltrationTerm::Solution> InfiltrationTerm::find(std::uint64_t key) const {
  const auto found = kept_.find(key);
  return found != kept_.end() ? found->second : nullptr;
}

// Bytes are counted as if all ranks had equal parts, so that they stop keeping together.
void InfiltrationTerm::keep(std::uint64_t key, std::shared_ptr<const Solution> solution) {
  int size = 1;
  MPI_Comm_size(grid_->comm(), &size);
  PetscInt total = 0;
  ESPALIER_CALL(VecGetSize(solution->c->get(), &total));
  const std::size_t vectors = 1 + (solution->sweeps ? solution->sweeps->x.size() + 1 : 0);
  const double bytes = static_cast<double>(vectors) * sizeof(PetscScalar) * total / size;
  if (kept_bytes_ + bytes > static_cast<double>(settings_.keep_bytes)) return;
  kept_.emplace(key, std::move(solution));
  kept_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, kept_bytes_);
}

void InfiltrationTerm::keep_evaluations(bool keep) {
  keep_ = keep;
  kept_.clear();
  kept_bytes_ = 0;
}

void InfiltrationTerm::apply(double /*t*/, Vec u, Vec y) {
  Batch& batch = batch_of(u);
  const std::int64_t cells = grid_->local_cells();
  const TensorView state(u, {batch.shape()[0], cells + 1}, Access::read);
  const Fields fields(laws_, state.tensor(), false);
  const std::uint64_t key = keep_ ? key_of(state.tensor()) : 0;
  auto solution = keep_ ? find(key) : nullptr;
  if (!solution) {
    solution = solve(batch, fields, keep_);
    if (keep_) keep(key, solution);
  }
  const at::Tensor c = tensor_of(solution->c->get(), batch.shape());
  const TensorView result(y, state.tensor().sizes(), Access::write);
  result.tensor().narrow(1, 0, cells).copy_(-settings_.consumption * fields.reaction * c);
  result.tensor().narrow(1, cells, 1).zero_();
}

std::shared_ptr<model::Linearization> InfiltrationTerm::linearize(double /*t*/, Vec u) {
  Batch& batch = batch_of(u);
  const TensorView state(u, {batch.shape()[0], grid_->local_cells() + 1}, Access::read);
  Fields fields(laws_, state.tensor(), true);
  auto solution = find(key_of(state.tensor()));
  if (!solution) solution = solve(batch, fields, true);
  return std::make_shared<Products>(*this, batch, std::move(fields), std::move(solution));
}

at::Tensor InfiltrationTerm::molarity(const at::Tensor& u) {
  petsc::VecHandle state;
  ESPALIER_CALL(VecCreateMPI(grid_->comm(), static_cast<PetscInt>(u.numel()), PETSC_DETERMINE, state.out()));
  Batch& batch = batch_of(state.get());
  const auto solution = solve(batch, Fields(laws_, u, false), false);
  return tensor_of(solution->c->get(), batch.shape());
}

long InfiltrationTerm::iterations_forward() const {
  long total = 0;
  for (const auto& batch : batches_) total += batch.second->solver->iterations_forward();
  return total;
}

long InfiltrationTerm::iterations_adjoint() const {
  long total = 0;
  for (const auto& batch : batches_) total += batch.second->solver->ksp_iterations_adjoint();
  return total;
}

}  // namespace espalier::implicit
