#include "espalier/model/reaction_diffusion_term.hpp"

#include <cmath>
#include <string>

#include "espalier/core/session.hpp"
#include "reaction_diffusion_implementation.hpp"

namespace espalier::model {

namespace {

// Rows of this many cells and of all fields stay in the nearest caches between diffusion and reaction.
constexpr std::int64_t cells_of_block = 1024;

/// A row of cells along x and what stands beside it.
struct StencilRow {
  std::int64_t count;
  std::array<std::int64_t, 3> strides;
  std::array<double, 3> weights;  // D / h^2
};

// y = sum over axes of D (u_(i-1) - 2 u_i + u_(i+1)) / h^2
template <std::size_t dimension>
void diffuse_row(const StencilRow& row, const double* __restrict__ u, double* __restrict__ y) {
  const auto [x_stride, y_stride, z_stride] = row.strides;
  const auto [a, b, c] = row.weights;
  const double centre = 2 * (a + (dimension > 1 ? b : 0) + (dimension > 2 ? c : 0));
  for (std::int64_t i = 0; i < row.count; ++i) {
    double sum = a * (u[i - 1] + u[i + 1]) - centre * u[i];
    if (dimension > 1) sum += b * (u[i - y_stride] + u[i + y_stride]);
    if (dimension > 2) sum += c * (u[i - z_stride] + u[i + z_stride]);
    y[i] = sum;
  }
}

}  // namespace

ReactionDiffusionTerm::Stencil::Stencil(const grid::CellGrid& grid, const std::vector<double>& given,
                                        const Reaction* reaction)
    : fields(given.size()),
      diffusivities(given),
      diffuses(std::any_of(given.begin(), given.end(), [](double d) { return d > 0; })),
      dimension(static_cast<std::size_t>(grid.dimension())),
      cells(grid.local_cells()),
      pairs(fields * fields, -1),
      arguments_(fields),
      results_(fields),
      derivatives_(fields * fields, nullptr) {
  const auto ghosted = grid.ghosted_extent();
  for (std::size_t d = 0; d < 3; ++d) {
    extent[d] = grid.extent()[d];
    strides[d] = ghosted_cells;
    ghosted_cells *= ghosted[d];
    if (d >= dimension) continue;
    origin += grid.stencil_width() * strides[d];
    inverse_area[d] = std::pow(grid.spacing(static_cast<int>(d)), -2);
  }
  rows = extent[1] * extent[2];
  rows_of_block = std::max<std::int64_t>(1, cells_of_block / extent[0]);
  if (reaction == nullptr) return;
  for (std::size_t i = 0; i < fields; ++i)
    for (std::size_t j = 0; j < fields; ++j)
      if (reaction->couples(static_cast<int>(i), static_cast<int>(j))) pairs[i * fields + j] = pair_count++;
}

void ReactionDiffusionTerm::Stencil::multiply(std::size_t field, const CellBlock& block, const double* u,
                                              double* y) const {
  const double d = diffusivities[field];
  if (d == 0) {
    std::fill_n(y, block.cells, 0.0);
    return;
  }
  const StencilRow row{extent[0], strides, {d * inverse_area[0], d * inverse_area[1], d * inverse_area[2]}};
  const auto diffuse = dimension == 1 ? diffuse_row<1> : dimension == 2 ? diffuse_row<2> : diffuse_row<3>;
  for (std::int64_t r = block.first_row; r < block.first_row + block.rows; ++r, y += extent[0])
    diffuse(row, u + origin + r % extent[1] * strides[1] + r / extent[1] * strides[2], y);
}

void ReactionDiffusionTerm::Stencil::add_rates(const Reaction& reaction, const CellBlock& block, const double* u,
                                               double* f) {
  for (std::size_t i = 0; i < fields; ++i) {
    arguments_[i] = u + row(i);
    results_[i] = f + row(i);
  }
  reaction.add_rates(block.cells, arguments_.data(), results_.data());
}

void ReactionDiffusionTerm::Stencil::differentiate(const Reaction& reaction, const double* u, double* r) {
  for (std::size_t i = 0; i < fields; ++i) arguments_[i] = u + row(i);
  for (std::size_t n = 0; n < pairs.size(); ++n)
    if (pairs[n] >= 0) derivatives_[n] = r + pairs[n] * cells;
  reaction.differentiate(cells, arguments_.data(), derivatives_.data());
}

ReactionDiffusionTerm::Batch::Batch(const std::shared_ptr<const grid::CellGrid>& grid, std::int64_t count,
                                    const Stencil& stencil, bool constant_derivatives)
    : samples(count) {
  if (stencil.diffuses) {
    // Fields are samples to the exchange.
    halo = std::make_unique<grid::Halo>(grid, samples * static_cast<std::int64_t>(stencil.fields));
    ghosted.resize(static_cast<std::size_t>(halo->length()));
  }
  if (constant_derivatives) return;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, static_cast<PetscInt>(samples * stencil.pair_count * stencil.cells),
                             derivatives.out()));
}

const double* ReactionDiffusionTerm::Batch::fill(const double* state, grid::Beyond beyond) {
  if (halo) halo->fill(state, beyond, ghosted.data());
  return ghosted.data();
}

ReactionDiffusionTerm::ReactionDiffusionTerm(std::shared_ptr<const grid::CellGrid> grid,
                                             std::vector<double> diffusivities,
                                             std::shared_ptr<const Reaction> reaction, std::vector<std::string> names)
    : grid_(std::move(grid)),
      diffusivities_(std::move(diffusivities)),
      reaction_(std::move(reaction)),
      names_(std::move(names)) {
  ESPALIER_ASSERT(grid_ != nullptr, "a reaction-diffusion term needs a grid");
  ESPALIER_REQUIRE(!diffusivities_.empty(),
                   "a reaction-diffusion term needs a diffusivity for each field: give one "
                   "at least");
  for (const double d : diffusivities_)
    ESPALIER_REQUIRE(std::isfinite(d) && d >= 0,
                     "a diffusivity is " + std::to_string(d) + "; it must be a finite number that is not negative");
  ESPALIER_REQUIRE(!reaction_ || reaction_->fields() == fields(),
                   "a reaction of " + std::to_string(reaction_ ? reaction_->fields() : 0) +
                       " fields needs as many diffusivities, not " + std::to_string(fields()));
  if (names_.empty() && reaction_) names_ = reaction_->names();
  if (names_.empty())
    for (int i = 0; i < fields(); ++i) names_.push_back(std::to_string(i));
  ESPALIER_REQUIRE(names_.size() == diffusivities_.size(),
                   std::to_string(fields()) + " fields need as many names, not " + std::to_string(names_.size()));
  stencil_ = std::make_unique<Stencil>(*grid_, diffusivities_, reaction_.get());
  if (reaction_ && reaction_->affine()) {
    // Their values at any u.
    const std::vector<double> u(static_cast<std::size_t>(fields() * stencil_->cells), 0.0);
    stencil_->constant.resize(static_cast<std::size_t>(stencil_->pair_count * stencil_->cells));
    stencil_->differentiate(*reaction_, u.data(), stencil_->constant.data());
  }
}

ReactionDiffusionTerm::~ReactionDiffusionTerm() = default;

std::shared_ptr<ReactionDiffusionTerm::Batch> ReactionDiffusionTerm::batch_of(Vec u) {
  PetscInt length = 0;
  PetscInt total = 0;
  ESPALIER_CALL(VecGetLocalSize(u, &length));
  ESPALIER_CALL(VecGetSize(u, &total));
  const std::int64_t sample = fields() * grid_->global_cells();
  const std::int64_t samples = total / sample;
  const auto require_whole_samples = [&] {
    ESPALIER_REQUIRE(length == samples * fields() * grid_->local_cells() && total == samples * sample,
                     "a state of " + std::to_string(length) + " entries on this rank, " + std::to_string(total) +
                         " in all, holds no whole samples of " + std::to_string(fields()) + " fields on a grid with " +
                         std::to_string(grid_->local_cells()) + " and " + std::to_string(grid_->global_cells()) +
                         " cells: give it [samples, fields, local cells]");
  };
  const auto known = batches_.find(samples);
  if (known != batches_.end() && total == samples * sample) {
    require_whole_samples();
    return known->second;
  }
  // A new number of samples: all ranks come here together.
  core::agree(grid_->comm(), require_whole_samples);
  return batches_[samples] = std::make_shared<Batch>(grid_, samples, *stencil_, affine());
}

// f_i = D_i Laplace u_i + R_i(u_1, ..., u_F)
void ReactionDiffusionTerm::apply(double /*t*/, Vec u, Vec y) {
  const auto batch = batch_of(u);
  ESPALIER_ASSERT(batch_of(y) == batch, "a reaction-diffusion term's argument and result have different sizes");
  const ReadArray state(u);
  const double* ghosted = batch->fill(state.data(), grid::Beyond::values);
  const WriteArray result(y);
  const std::int64_t sample = fields() * stencil_->cells;
  for (std::int64_t s = 0; s < batch->samples; ++s)
    stencil_->for_blocks([&](const CellBlock& block) {
      double* f = result.data() + s * sample + block.first;
      for (std::size_t i = 0; i < stencil_->fields; ++i)
        stencil_->multiply(i, block, stencil_->ghosted_field(ghosted, s, i), f + stencil_->row(i));
      if (reaction_) stencil_->add_rates(*reaction_, block, state.data() + s * sample + block.first, f);
    });
}

std::shared_ptr<Linearization> ReactionDiffusionTerm::linearize(double /*t*/, Vec u) {
  const auto batch = batch_of(u);
  // Equal numbers say equal matrices.
  if (affine()) return std::make_shared<Product>(*this, batch, nullptr, 0);
  auto derivatives = batch->pool.take(batch->derivatives.get());
  const ReadArray state(u);
  const WriteArray result(derivatives->get());
  for (std::int64_t s = 0; s < batch->samples; ++s)
    stencil_->differentiate(*reaction_, state.data() + s * fields() * stencil_->cells,
                            result.data() + s * stencil_->pair_count * stencil_->cells);
  return std::make_shared<Product>(*this, batch, std::move(derivatives), ++linearizations_);
}

}  // namespace espalier::model
