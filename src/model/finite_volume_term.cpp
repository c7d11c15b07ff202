#include "espalier/model/finite_volume_term.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "espalier/core/session.hpp"
#include "finite_volume_implementation.hpp"

namespace espalier::model {

namespace {

// Stages and the adjoint compute a time in different ways: equal up to rounding only.
constexpr double time_tolerance = 1e-12;
// An implicit step goes back and forth between its ends and stages.
constexpr std::size_t recent_capacity = 4;

constexpr const char* velocity_names[] = {"velocity_x", "velocity_y", "velocity_z"};
constexpr const char* diffusivity_name = "diffusivity";

long version_of(CoefficientFields& fields) {
  long version = 0;
  for (const auto* parameters : fields.parameters()) version += parameters->version();
  return version;
}

petsc::VecHandle host_vector(std::int64_t length) {
  petsc::VecHandle vec;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, static_cast<PetscInt>(length), vec.out()));
  return vec;
}

}  // namespace

const std::vector<std::string>& advection_names() {
  static const std::vector<std::string> names = {"none", "linear", "burgers"};
  return names;
}

const std::vector<std::string>& face_scheme_names() {
  static const std::vector<std::string> names = {"central", "upwind", "limited"};
  return names;
}

FiniteVolumeTerm::Batch::Batch(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t samples,
                               std::int64_t length)
    : halo(grid, samples), work(host_vector(halo.length())), derivatives(host_vector(samples * length)) {}

FiniteVolumeTerm::FiniteVolumeTerm(std::shared_ptr<const grid::CellGrid> grid, FiniteVolumeSettings settings,
                                   std::shared_ptr<CoefficientFields> fields)
    : grid_(std::move(grid)), settings_(std::move(settings)), fields_(std::move(fields)) {
  ESPALIER_ASSERT(grid_ != nullptr, "a finite-volume term needs a grid");
  const auto dimension = static_cast<std::size_t>(grid_->dimension());
  if (settings_.velocity.empty()) settings_.velocity.assign(dimension, 0.0);
  check_settings();
  find_fields();
  const auto count = static_cast<std::int64_t>(fields_ ? fields_->names().size() : 0);
  discretisation_ = std::make_unique<Discretisation>(grid_, count, flux_scheme(settings_.advection, settings_.scheme));
  discretisation_->threshold = settings_.limiter_threshold * settings_.limiter_threshold;
}

FiniteVolumeTerm::~FiniteVolumeTerm() = default;

void FiniteVolumeTerm::check_settings() const {
  const bool limited = settings_.advection != Advection::none && settings_.scheme == FaceScheme::limited;
  ESPALIER_REQUIRE(!limited || grid_->stencil_width() >= 2,
                   "the limited scheme looks two cells far: make the grid with stencil width 2");
  ESPALIER_REQUIRE(settings_.velocity.size() == static_cast<std::size_t>(grid_->dimension()),
                   "a grid of " + std::to_string(grid_->dimension()) + " dimensions needs as many velocities, not " +
                       std::to_string(settings_.velocity.size()));
  for (const double v : settings_.velocity) ESPALIER_REQUIRE(std::isfinite(v), "a velocity must be a finite number");
  ESPALIER_REQUIRE(std::isfinite(settings_.diffusivity) && settings_.diffusivity >= 0,
                   "the diffusivity must be a finite number that is not negative");
  ESPALIER_REQUIRE(!settings_.diffusivity_floor || *settings_.diffusivity_floor > 0,
                   "the floor of the diffusivity must be positive");
  ESPALIER_REQUIRE(settings_.limiter_threshold > 0, "the limiter's threshold must be positive");
}

void FiniteVolumeTerm::find_fields() {
  const int dimension = grid_->dimension();
  const std::vector<std::string> none;
  const auto& names = fields_ ? fields_->names() : none;
  std::vector<std::string> known;
  for (int d = 0; settings_.advection != Advection::none && d < dimension; ++d) known.emplace_back(velocity_names[d]);
  known.emplace_back(diffusivity_name);
  // Constants lie behind the fields.
  const int count = static_cast<int>(names.size());
  slots_.clear();
  for (int d = 0; d <= dimension; ++d) slots_.push_back(count + d);
  for (int k = 0; k < count; ++k) {
    const std::string& name = names[static_cast<std::size_t>(k)];
    ESPALIER_REQUIRE(std::count(names.begin(), names.end(), name) == 1, "the field \"" + name + "\" is given twice");
    const auto found = std::find(known.begin(), known.end(), name);
    ESPALIER_REQUIRE(found != known.end(),
                     "this equation has no coefficient \"" + name + "\": fields may be called " + core::join(known));
    if (name == diffusivity_name) diffusivity_field_ = k;
    slots_[static_cast<std::size_t>(name == diffusivity_name ? dimension : found - known.begin())] = k;
  }
}

std::vector<nn::FlatParameters*> FiniteVolumeTerm::parameters() {
  return fields_ ? fields_->parameters() : std::vector<nn::FlatParameters*>();
}

bool FiniteVolumeTerm::affine() const { return discretisation_->scheme.linear; }

void FiniteVolumeTerm::finish_adjoint() {
  if (fields_) fields_->finish();
}

std::shared_ptr<FiniteVolumeTerm::Coefficients> FiniteVolumeTerm::coefficients(double t) {
  const long version = fields_ ? version_of(*fields_) : 0;
  const bool moves = fields_ && fields_->moves();
  for (const auto& known : recent_)
    if (known->version == version && (!moves || std::abs(known->t - t) <= time_tolerance * (1 + std::abs(t))))
      return known;
  auto fresh = new_coefficients();
  fresh->t = t;
  fresh->version = version;
  fresh->reading = ++readings_;
  fresh->derivatives.clear();
  if (fields_) read_fields(*fresh);
  recent_.push_back(fresh);
  return fresh;
}

// The oldest, if no linearisation holds it, is written over.
std::shared_ptr<FiniteVolumeTerm::Coefficients> FiniteVolumeTerm::new_coefficients() {
  if (recent_.size() == recent_capacity) {
    auto oldest = std::move(recent_.front());
    recent_.pop_front();
    if (oldest.use_count() == 1) return oldest;
  }
  auto fresh = std::make_shared<Coefficients>();
  const auto cells = static_cast<std::size_t>(discretisation_->fields_halo.ghosted_cells());
  const auto fields = static_cast<std::size_t>(discretisation_->fields_halo.samples());
  fresh->arrays.resize((fields + slots_.size()) * cells);
  for (std::size_t d = 0; d < slots_.size(); ++d) {
    const double constant = d + 1 < slots_.size() ? settings_.velocity[d] : settings_.diffusivity;
    std::fill_n(fresh->arrays.data() + (fields + d) * cells, cells, constant);
    fresh->of.push_back(fresh->arrays.data() + static_cast<std::size_t>(slots_[d]) * cells);
  }
  if (diffusivity_field_ >= 0 && settings_.diffusivity_floor)
    fresh->active.resize(static_cast<std::size_t>(grid_->local_cells()));
  return fresh;
}

void FiniteVolumeTerm::read_fields(Coefficients& c) {
  const at::Tensor& given = fields_->values(c.t);
  core::agree(grid_->comm(), [&] { check_fields(given); });
  const at::Tensor values = given.contiguous();
  discretisation_->fields_halo.fill(values.data_ptr<double>(), grid::Beyond::nearest, c.arrays.data());
  if (!c.active.empty()) clip_diffusivity(c, values);
}

void FiniteVolumeTerm::check_fields(const at::Tensor& values) const {
  const auto fields = static_cast<std::int64_t>(fields_->names().size());
  const std::int64_t cells = grid_->local_cells();
  ESPALIER_REQUIRE(values.defined() && values.is_cpu() && values.scalar_type() == at::kDouble && values.dim() == 2 &&
                       values.size(0) == fields && values.size(1) == cells,
                   "the values of coefficient fields must be float64 of the shape [" + std::to_string(fields) + ", " +
                       std::to_string(cells) + "]: fields x cells of the rank");
  if (diffusivity_field_ < 0) return;
  const at::Tensor diffusivity = values[diffusivity_field_].contiguous();
  const double* d = diffusivity.data_ptr<double>();
  const bool may_be_low = settings_.diffusivity_floor.has_value();
  const double* bad =
      std::find_if(d, d + cells, [&](double value) { return !std::isfinite(value) || (!may_be_low && !(value > 0)); });
  if (bad == d + cells) return;
  int rank = 0;
  MPI_Comm_rank(grid_->comm(), &rank);
  std::int64_t rest = bad - d;
  std::vector<std::string> cell;
  for (std::size_t axis = 0; static_cast<int>(axis) < grid_->dimension(); ++axis) {
    cell.push_back(std::to_string(grid_->corner()[axis] + rest % grid_->extent()[axis]));
    rest /= grid_->extent()[axis];
  }
  throw NumericalError("the diffusivity of cell (" + core::join(cell) + ") on rank " + std::to_string(rank) + " is " +
                           std::to_string(*bad) + "; it must be " +
                           (may_be_low ? "finite: take a smaller learning rate"
                                       : "positive: give it a floor, or fields that cannot become negative"),
                       __FILE__, __LINE__);
}

// max(D, floor)
void FiniteVolumeTerm::clip_diffusivity(Coefficients& c, const at::Tensor& values) const {
  const double floor = *settings_.diffusivity_floor;
  const double* raw = values.data_ptr<double>() + diffusivity_field_ * grid_->local_cells();
  for (std::size_t i = 0; i < c.active.size(); ++i) c.active[i] = raw[i] > floor ? 1 : 0;
  const std::int64_t cells = discretisation_->fields_halo.ghosted_cells();
  double* d = c.arrays.data() + diffusivity_field_ * cells;
  for (std::int64_t i = 0; i < cells; ++i) d[i] = std::max(d[i], floor);
}

std::shared_ptr<FiniteVolumeTerm::Batch> FiniteVolumeTerm::batch_of(Vec u) {
  PetscInt length = 0;
  PetscInt total = 0;
  ESPALIER_CALL(VecGetLocalSize(u, &length));
  ESPALIER_CALL(VecGetSize(u, &total));
  const std::int64_t samples = total / grid_->global_cells();
  const auto require_whole_samples = [&] {
    ESPALIER_REQUIRE(length == samples * grid_->local_cells() && total == samples * grid_->global_cells(),
                     "a state of " + std::to_string(length) + " entries on this rank, " + std::to_string(total) +
                         " in all, holds no whole samples of a grid with " + std::to_string(grid_->local_cells()) +
                         " and " + std::to_string(grid_->global_cells()) + " cells");
  };
  const auto known = batches_.find(samples);
  if (known != batches_.end() && total == samples * grid_->global_cells()) {
    require_whole_samples();
    return known->second;
  }
  // A new number of samples: all ranks come here together.
  core::agree(grid_->comm(), require_whole_samples);
  const std::int64_t derivatives = discretisation_->scheme.linear ? 0 : discretisation_->total;
  return batches_[samples] = std::make_shared<Batch>(grid_, samples, derivatives);
}

void FiniteVolumeTerm::apply(double t, Vec u, Vec y) {
  const auto batch = batch_of(u);
  ESPALIER_ASSERT(batch_of(y) == batch, "a finite-volume term's argument and result have different numbers of samples");
  const auto c = coefficients(t);
  const WriteArray work(batch->work.get());
  const ReadArray state(u);
  batch->halo.fill(state.data(), grid::Beyond::values, work.data());
  const WriteArray result(y);
  for (std::int64_t s = 0; s < batch->samples(); ++s)
    discretisation_->evaluate(*c, work.data() + s * batch->halo.ghosted_cells(),
                              result.data() + s * grid_->local_cells());
}

std::shared_ptr<Linearization> FiniteVolumeTerm::linearize(double t, Vec u) { return product_at(t, u, false); }

std::shared_ptr<Linearization> FiniteVolumeTerm::linearize_frozen(double t, Vec u) { return product_at(t, u, true); }

std::shared_ptr<Linearization> FiniteVolumeTerm::product_at(double t, Vec u, bool frozen) {
  const auto batch = batch_of(u);
  const auto c = coefficients(t);
  const bool linear = discretisation_->scheme.linear;
  std::shared_ptr<petsc::VecHandle> ghosted;
  std::shared_ptr<petsc::VecHandle> derivatives;
  if (linear && c->derivatives.empty()) {
    // Any numbers do for u.
    c->derivatives.resize(static_cast<std::size_t>(discretisation_->total));
    discretisation_->differentiate(*c, c->of.front(), c->derivatives.data());
  }
  if (!linear || fields_) {
    ghosted = batch->ghosted_pool.take(batch->work.get());
    const ReadArray state(u);
    batch->halo.fill(state.data(), grid::Beyond::values, WriteArray(ghosted->get()).data());
  }
  if (!linear) {
    derivatives = batch->derivatives_pool.take(batch->derivatives.get());
    const ReadArray state(ghosted->get());
    const WriteArray result(derivatives->get());
    for (std::int64_t s = 0; s < batch->samples(); ++s)
      discretisation_->differentiate(*c, state.data() + s * batch->halo.ghosted_cells(),
                                     result.data() + s * discretisation_->total, frozen);
  }
  if (!fields_) ghosted.reset();
  return std::make_shared<Product>(*this, c, batch, std::move(ghosted), std::move(derivatives));
}

}  // namespace espalier::model
