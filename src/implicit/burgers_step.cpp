#include "espalier/implicit/burgers_step.hpp"

#include <algorithm>

#include "espalier/petsc/vec_pool.hpp"
#include "grid_batch.hpp"

namespace espalier::implicit {

namespace {

/// What batches of one number of samples need.
struct Batch {
  static constexpr std::int64_t fields = 1;

  Batch(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t samples)
      : halo(grid, samples),
        first(static_cast<std::size_t>(halo.length())),
        second(first.size()),
        row(static_cast<std::size_t>(grid->local_cells()) + 1) {
    ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, static_cast<PetscInt>(halo.length()), winds.out()));
  }
  const double* fill(Vec u, std::vector<double>& buffer) const {
    halo.fill(ReadArray(u).data(), grid::Beyond::zero, buffer.data());
    return buffer.data();
  }

  grid::Halo halo;
  std::vector<double> first;  // ghosted buffers
  std::vector<double> second;
  std::vector<double> row;  // of faces
  petsc::VecHandle winds;   // of faces, at the place of the cell above each: the model of others
  petsc::VecPool pool;
};

}  // namespace

struct BurgersStep::Implementation {
  Implementation(std::shared_ptr<const grid::CellGrid> on, const BurgersStepSettings& settings)
      : grid(std::move(on)),
        cells(grid->local_cells()),
        courant(settings.step / grid->spacing(0)),
        diffusion(settings.viscosity * courant / grid->spacing(0)),
        batches(grid) {}

  // Made at its first use.
  SampleRows& sample_rows() {
    if (!rows) rows = std::make_unique<SampleRows>(grid, 1);
    return *rows;
  }

  // m_i = dt/h (y_(i-1) + y_i) / 2
  std::shared_ptr<petsc::VecHandle> winds_at(Batch& batch, Vec y) const {
    auto winds = batch.pool.take(batch.winds.get());
    const WriteArray result(winds->get());
    const double* all = batch.fill(y, batch.first);
    for (std::int64_t s = 0; s < batch.halo.samples(); ++s) {
      const std::int64_t start = s * batch.halo.ghosted_cells() + batch.halo.first();
      const double* u = all + start;
      double* m = result.data() + start;
      for (std::int64_t i = 0; i <= cells; ++i) m[i] = 0.5 * courant * (u[i - 1] + u[i]);
    }
    return winds;
  }

  std::shared_ptr<const grid::CellGrid> grid;
  std::int64_t cells;
  double courant;    // dt/h
  double diffusion;  // nu dt/h^2
  Batches<Batch> batches;
  std::unique_ptr<SampleRows> rows;
};

class BurgersStep::Products : public ResidualLinearization {
 public:
  Products(std::shared_ptr<Implementation> step, Vec x, Vec y)
      : step_(std::move(step)),
        batch_(step_->batches.of(x)),
        winds_(step_->winds_at(*batch_, y)),
        cells_(step_->cells),
        diffusion_(step_->diffusion),
        x_(x) {
    ESPALIER_ASSERT(step_->batches.of(y) == batch_, "two states of a step have different numbers of samples");
  }

  void jvp(Vec v, Vec f_tan) override;
  void vjp(Vec w, Vec x_bar) override;
  void vjp_data(Vec w, Vec y_bar) override;
  std::int64_t matrices() const override { return batch_->halo.samples(); }
  petsc::MatHandle create_matrix() const override;
  void add_to_matrix(std::int64_t k, double scale, Mat matrix) const override;

 private:
  /// Place of the first cell of this rank in sample s.
  std::int64_t start(std::int64_t s) const { return s * batch_->halo.ghosted_cells() + batch_->halo.first(); }

  std::shared_ptr<Implementation> step_;
  std::shared_ptr<Batch> batch_;
  std::shared_ptr<petsc::VecHandle> winds_;
  std::int64_t cells_;
  double diffusion_;
  Vec x_;
};

// f_i = v_i + max(m_i, 0) (v_i - v_(i-1)) + min(m_(i+1), 0) (v_(i+1) - v_i) - d (v_(i-1) - 2 v_i + v_(i+1))
void BurgersStep::Products::jvp(Vec v, Vec f_tan) {
  const double* all = batch_->fill(v, batch_->first);
  const ReadArray winds(winds_->get());
  const WriteArray result(f_tan);
  for (std::int64_t s = 0; s < batch_->halo.samples(); ++s) {
    const double* u = all + start(s);
    const double* m = winds.data() + start(s);
    double* f = result.data() + s * cells_;
    for (std::int64_t i = 0; i < cells_; ++i)
      f[i] = u[i] + (std::max(m[i], 0.0) + diffusion_) * (u[i] - u[i - 1]) +
             (std::min(m[i + 1], 0.0) - diffusion_) * (u[i + 1] - u[i]);
  }
}

// x_bar_i = w_i + max(m_i, 0) w_i - max(m_(i+1), 0) w_(i+1) + min(m_i, 0) w_(i-1) - min(m_(i+1), 0) w_i
//           - d (w_(i-1) - 2 w_i + w_(i+1))
void BurgersStep::Products::vjp(Vec w, Vec x_bar) {
  const double* all = batch_->fill(w, batch_->first);
  const ReadArray winds(winds_->get());
  const WriteArray result(x_bar);
  for (std::int64_t s = 0; s < batch_->halo.samples(); ++s) {
    const double* u = all + start(s);
    const double* m = winds.data() + start(s);
    double* f = result.data() + s * cells_;
    for (std::int64_t i = 0; i < cells_; ++i)
      f[i] = u[i] + (std::max(m[i], 0.0) + diffusion_) * u[i] - (std::max(m[i + 1], 0.0) + diffusion_) * u[i + 1] +
             (std::min(m[i], 0.0) - diffusion_) * u[i - 1] - (std::min(m[i + 1], 0.0) - diffusion_) * u[i];
  }
}

// m_bar_i = (x_i - x_(i-1)) (w_i where m_i > 0, else w_(i-1));  y_bar_i = dt/h (m_bar_i + m_bar_(i+1)) / 2 - w_i
void BurgersStep::Products::vjp_data(Vec w, Vec y_bar) {
  const double* all_x = batch_->fill(x_, batch_->first);
  const double* all_w = batch_->fill(w, batch_->second);
  const ReadArray winds(winds_->get());
  const WriteArray result(y_bar);
  double* m_bar = batch_->row.data();
  for (std::int64_t s = 0; s < batch_->halo.samples(); ++s) {
    const double* u = all_x + start(s);
    const double* lambda = all_w + start(s);
    const double* m = winds.data() + start(s);
    double* bar = result.data() + s * cells_;
    for (std::int64_t i = 0; i <= cells_; ++i) m_bar[i] = (u[i] - u[i - 1]) * (m[i] > 0 ? lambda[i] : lambda[i - 1]);
    for (std::int64_t i = 0; i < cells_; ++i) bar[i] = 0.5 * step_->courant * (m_bar[i] + m_bar[i + 1]) - lambda[i];
  }
}

petsc::MatHandle BurgersStep::Products::create_matrix() const {
  petsc::MatHandle matrix = step_->sample_rows().create(3);
  add_to_matrix(0, 0, matrix.get());
  return matrix;
}

void BurgersStep::Products::add_to_matrix(std::int64_t k, double scale, Mat matrix) const {
  SampleRows& rows = step_->sample_rows();
  const ReadArray winds(winds_->get());
  const double* m = winds.data() + start(k);
  for (std::int64_t i = 0; i < cells_; ++i) {
    const std::int64_t place = batch_->halo.first() + i;
    const double below = -std::max(m[i], 0.0) - diffusion_;
    const double above = std::min(m[i + 1], 0.0) - diffusion_;
    rows.begin_row(place);
    rows.add(place, scale * (1 - below - above));
    rows.add(place - 1, scale * below);
    rows.add(place + 1, scale * above);
    rows.end_row(matrix);
  }
  assemble(matrix);
}

BurgersStep::BurgersStep(std::shared_ptr<const grid::CellGrid> grid, BurgersStepSettings settings)
    : grid_(std::move(grid)), settings_(settings) {
  ESPALIER_ASSERT(grid_ != nullptr, "a step needs a grid");
  check_step(*grid_, 1, settings_.step, settings_.viscosity, "Burgers' equation");
  implementation_ = std::make_shared<Implementation>(grid_, settings_);
}

// f = A(y) x - y
void BurgersStep::apply(Vec x, Vec y, Vec f) {
  Products(implementation_, x, y).jvp(x, f);
  ESPALIER_CALL(VecAXPY(f, -1.0, y));
}

std::shared_ptr<ResidualLinearization> BurgersStep::linearize(Vec x, Vec y) {
  return std::make_shared<Products>(implementation_, x, y);
}

}  // namespace espalier::implicit
