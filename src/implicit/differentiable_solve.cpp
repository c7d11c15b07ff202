#include "espalier/implicit/differentiable_solve.hpp"

#include "espalier/implicit/sample_krylov.hpp"
#include "espalier/petsc/sample_vectors.hpp"
#include "krylov.hpp"

namespace espalier::implicit {

namespace {

constexpr double adjoint_tolerance = 1e-12;
// By how much F(x) - F(0) and F_x x may differ: networks may be of single precision.
constexpr double affine_tolerance = 1e-4;

/// The residual at another time while the object lives.
class TimeScope {
 public:
  TimeScope(Residual& residual, double time) : residual_(residual), before_(residual.time()) {
    residual.set_time(time);
  }
  ~TimeScope() { residual_.set_time(before_); }
  TimeScope(const TimeScope&) = delete;
  TimeScope& operator=(const TimeScope&) = delete;

 private:
  Residual& residual_;
  double before_;
};

/// Adds to a number as long as it lives.
class Counted {
 public:
  explicit Counted(std::shared_ptr<double> total) : total_(std::move(total)) {}
  ~Counted() { *total_ -= mine_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  void add(double bytes) {
    mine_ += bytes;
    *total_ += bytes;
  }

 private:
  std::shared_ptr<double> total_;
  double mine_ = 0;
};

}  // namespace

DifferentiableSolve::DifferentiableSolve(std::shared_ptr<Residual> residual, Vec like, std::string prefix)
    : residual_(std::move(residual)), prefix_(std::move(prefix)), failures_(std::make_unique<Failures>()) {
  ESPALIER_ASSERT(residual_ != nullptr, "a solve needs an equation");
  ESPALIER_CALL(VecDuplicate(like, like_.out()));
  ESPALIER_CALL(VecDuplicate(like, lambda_.out()));
  ESPALIER_CALL(VecDuplicate(like, work_.out()));
}

DifferentiableSolve::~DifferentiableSolve() = default;

MPI_Comm DifferentiableSolve::comm() const { return PetscObjectComm(reinterpret_cast<PetscObject>(like_.get())); }

PetscInt DifferentiableSolve::local_size() const {
  PetscInt size = 0;
  ESPALIER_CALL(VecGetLocalSize(like_.get(), &size));
  return size;
}

petsc::VecHandle DifferentiableSolve::make_vec() const {
  petsc::VecHandle vec;
  ESPALIER_CALL(VecDuplicate(like_.get(), vec.out()));
  return vec;
}

void DifferentiableSolve::begin_keeping(Vec y) {
  kept_ = std::make_shared<KeptSolve>();
  auto counted = std::make_shared<Counted>(bytes_);
  counted->add(static_cast<double>(local_size()) * sizeof(PetscScalar));
  kept_->bytes = std::move(counted);
  kept_->y = pool_.copy(y);
  kept_->time = residual_->time();
  kept_->version = residual_->version();
}

void DifferentiableSolve::keep(Vec x) {
  kept_->x.push_back(pool_.copy(x));
  static_cast<Counted*>(kept_->bytes.get())->add(static_cast<double>(local_size()) * sizeof(PetscScalar));
}

std::shared_ptr<GuardedLinearization> DifferentiableSolve::guarded_linearize(Vec x, Vec y) {
  return failures_->guarded(comm(), [&] { return residual_->linearize(x, y); });
}

void DifferentiableSolve::solve(Vec y, Vec x, Record record) {
  failures_->clear();
  kept_.reset();
  if (record == Record::yes) begin_keeping(y);
  try {
    forward(y, x, record);
  } catch (...) {
    kept_.reset();
    throw;
  }
}

void DifferentiableSolve::adjoint(Vec x_bar, Vec y_bar) {
  ESPALIER_REQUIRE(kept_ != nullptr, "adjoint() needs a solve with Record::yes before it, once each");
  const auto kept = take_kept();
  adjoint(*kept, x_bar, y_bar);
}

void DifferentiableSolve::adjoint(const KeptSolve& kept, Vec x_bar, Vec y_bar, Finish finish) {
  ESPALIER_REQUIRE(kept.version == residual_->version(),
                   "the parameters changed between a solve and its adjoint: run the backward pass first");
  const TimeScope time(*residual_, kept.time);
  failures_->clear();
  unfinished_ = true;
  backward(kept, x_bar, y_bar);
  if (finish == Finish::now) finish_adjoint();
}

void DifferentiableSolve::finish_adjoint() {
  if (!std::exchange(unfinished_, false)) return;
  residual_->finish_adjoint();
}

// F_x^T lambda = x_bar;  theta_bar += -F_theta^T lambda;  y_bar = -F_y^T lambda.
void DifferentiableSolve::backward(const KeptSolve& kept, Vec x_bar, Vec y_bar) {
  const auto products = guarded_linearize(kept.x.back()->get(), kept.y->get());
  Krylov& solver = adjoint_solver();
  solver.set_operator(products, *failures_, residual_->has_constant_operator(), kept.version, kept.time);
  solver.solve(x_bar, lambda_.get(), true, *failures_);
  // The last product was taken with a vector of the Krylov method, not with lambda.
  products->vjp(lambda_.get(), work_.get());
  products->accumulate(-1.0);
  products->vjp_data(lambda_.get(), y_bar);
  ESPALIER_CALL(VecScale(y_bar, -1.0));
  failures_->agree(comm());
}

Krylov& DifferentiableSolve::adjoint_solver() {
  if (adjoint_) return *adjoint_;
  adjoint_ =
      std::make_unique<Krylov>(like_.get(), prefix_ + "adjoint_", adjoint_tolerance, adjoint_preconditioner().c_str());
  adjoint_->set_effort(adjoint_effort_);
  implicit::set_samples(adjoint_->ksp(), samples_);
  return *adjoint_;
}

void DifferentiableSolve::set_effort(const Effort& forward, const Effort& adjoint) {
  for (const Effort& effort : {forward, adjoint}) {
    ESPALIER_REQUIRE(effort.iterations >= 0,
                     "the iterations of a solve cannot be negative; 0 leaves them to its options");
    ESPALIER_REQUIRE(effort.tolerance >= 0 && effort.tolerance < 1,
                     "the relative tolerance of a solve must be at least 0 and less than 1");
  }
  set_forward_effort(forward);
  adjoint_effort_ = adjoint;
  if (adjoint_) adjoint_->set_effort(adjoint);
}

void DifferentiableSolve::set_samples(PetscInt samples) {
  petsc::SampleVectors().set(like_.get(), samples);
  samples_ = samples;
  set_forward_samples(samples);
  if (adjoint_) implicit::set_samples(adjoint_->ksp(), samples);
}

void DifferentiableSolve::check_affine(Vec y, Vec x, Vec right, GuardedLinearization& products) {
  if (is_affine_) return;
  Vec value = lambda_.get();
  Vec product = work_.get();
  PetscReal scale = 0;
  PetscReal difference = 0;
  failures_->attempt(value, [&] { residual_->apply(x, y, value); });
  products.jvp(x, product);
  failures_->agree(comm());
  ESPALIER_CALL(VecNorm(right, NORM_2, &scale));
  ESPALIER_CALL(VecAXPY(value, 1.0, right));
  ESPALIER_CALL(VecAXPY(value, -1.0, product));
  ESPALIER_CALL(VecNorm(value, NORM_2, &difference));
  ESPALIER_REQUIRE(difference <= affine_tolerance * scale,
                   "the equation of a linear solve is not linear in x: solve it by a RootSolve");
  is_affine_ = scale > 0;
}

KSP DifferentiableSolve::adjoint_ksp() { return adjoint_solver().ksp(); }

long DifferentiableSolve::ksp_iterations_adjoint() const { return adjoint_ ? adjoint_->iterations() : 0; }

}  // namespace espalier::implicit
