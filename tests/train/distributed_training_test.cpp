// Networks on grids that are spread over the ranks, inside integrations: gradients and training for any layout of the
// ranks against those of one rank.
#include <ATen/ATen.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "espalier/core/rank_groups.hpp"
#include "espalier/model/gray_scott.hpp"
#include "espalier/model/reaction_diffusion_term.hpp"
#include "espalier/model/sum_term.hpp"
#include "espalier/nn/resnet.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "espalier/train/reduction.hpp"
#include "espalier/train/trainer.hpp"
#include "io/temporary_folder.hpp"
#include "nn/parts.hpp"

using namespace espalier;
using nn::HaloExchange;
using testing::random_tensor;
using testing::ScopedOptions;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t samples = 2;

/// u_t = D Laplace u + R(u) + G(u; theta) on a periodic rectangle: G a residual network, diffusion implicit.
struct Problem {
  Problem(MPI_Comm comm, const nn::ResnetSettings& network, HaloExchange exchange, const std::string& method,
          std::vector<PetscInt> cells, double horizon) {
    std::vector<grid::Axis> axes;
    for (const PetscInt n : cells) axes.push_back({n, 0, 1, {}, {}});
    grid = std::make_shared<const grid::CellGrid>(comm, axes);
    const auto resnet = std::make_shared<nn::Resnet>(network, grid, exchange);
    closure = std::make_shared<model::NeuralTerm>(resnet);
    const auto reaction = std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{0, 0},
                                                                         std::make_shared<model::GrayScott>());
    const auto diffusion = std::make_shared<model::ReactionDiffusionTerm>(grid, std::vector<double>{2e-2, 1e-2});
    const auto sum = std::make_shared<model::SumTerm>(std::vector<std::shared_ptr<model::Term>>{closure, reaction});
    model::SplitSystem system{sum, diffusion};
    if (method == "cn") {
      const auto all =
          std::make_shared<model::SumTerm>(std::vector<std::shared_ptr<model::Term>>{closure, reaction, diffusion});
      system = {nullptr, all};
    }
    ts::IntegratorSettings integrator;
    integrator.method = method;
    integrator.step = 0.05;
    integrator.jacobian = method == "cn" ? ts::Jacobian::shell : ts::Jacobian::assembled;
    objective = std::make_unique<train::IntegratorObjective>(comm, system, closure, integrator, horizon);
  }

  std::shared_ptr<const grid::CellGrid> grid;
  std::shared_ptr<model::NeuralTerm> closure;
  std::unique_ptr<train::IntegratorObjective> objective;
};

nn::ResnetSettings network_of(std::int64_t blocks, bool single_precision) {
  nn::ResnetSettings s;
  s.channels_in = s.channels_out = 2;
  s.hidden = 3;
  s.blocks = blocks;
  s.single_precision = single_precision;
  s.seed = 2;
  return s;
}

nn::ResnetSettings network_with(nn::ResnetSettings settings, const std::vector<PetscInt>& cells) {
  settings.cells.assign(cells.rbegin(), cells.rend());
  return settings;
}

const char* tight = "-ksp_rtol 1e-14 -ksp_atol 1e-30 -adjoint_ksp_rtol 1e-14 -adjoint_ksp_atol 1e-30 -snes_rtol 1e-13";

/// Sum and gradient of samples that are shared out to `groups` groups of ranks.
at::Tensor gradient(const nn::ResnetSettings& network, HaloExchange exchange, const std::string& method,
                    const std::vector<PetscInt>& cells, double horizon, int groups) {
  const ScopedOptions options(tight);
  const core::RankGroups layout(PETSC_COMM_WORLD, groups);
  Problem problem(layout.domain(), network, exchange, method, cells, horizon);
  const std::int64_t dof = 2 * problem.grid->global_cells();
  const at::Tensor whole = 0.5 + 0.1 * random_tensor({samples, 2, dof}, 7);
  const train::Range own = train::rank_slice({0, samples}, layout.index(), layout.count());
  const at::Tensor part =
      testing::part_of(*problem.grid, whole.narrow(0, own.first, own.count).reshape({own.count, 2 * dof}))
          .view({own.count, 2, 2 * problem.grid->local_cells()});
  auto& parameters = problem.objective->parameters();
  parameters.zero_gradient();
  const double sum =
      problem.objective->sum_and_gradient(part.select(1, 0).contiguous(), part.narrow(1, 1, 1).contiguous(), 1);
  train::Reduction reduction(PETSC_COMM_WORLD, parameters);
  const double total = reduction.gradient_and_sum(sum, false, false).sum;
  return at::cat({parameters.gradient().to(at::kDouble), at::full({1}, total, at::kDouble)});
}

/// The same on rank 0 alone, for all to compare with.
at::Tensor gradient_alone(const nn::ResnetSettings& network, const std::string& method,
                          const std::vector<PetscInt>& cells, double horizon) {
  const ScopedOptions options(tight);
  at::Tensor all = at::empty({nn::Resnet(network_with(network, cells)).parameters().count() + 1}, at::kDouble);
  if (testing::rank_of() == 0) {
    Problem problem(PETSC_COMM_SELF, network, HaloExchange::layer, method, cells, horizon);
    const at::Tensor whole = 0.5 + 0.1 * random_tensor({samples, 2, 2 * problem.grid->global_cells()}, 7);
    auto& parameters = problem.objective->parameters();
    parameters.zero_gradient();
    const double sum =
        problem.objective->sum_and_gradient(whole.select(1, 0).contiguous(), whole.narrow(1, 1, 1).contiguous(), 1);
    all.copy_(at::cat({parameters.gradient().to(at::kDouble), at::full({1}, sum, at::kDouble)}));
  }
  MPI_Bcast(all.data_ptr(), static_cast<int>(all.numel()), MPI_DOUBLE, 0, PETSC_COMM_WORLD);
  return all;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

/// A short training on the world's grid; the parameters at its end.
at::Tensor trained(const std::string& folder, const std::string& resume, int epochs, bool shard, bool deterministic,
                   int groups = 1) {
  const core::RankGroups layout(PETSC_COMM_WORLD, groups);
  Problem problem(layout.domain(), network_of(1, false), HaloExchange::layer, "l2", {12, 12}, 0.1);
  const std::int64_t dof = 2 * problem.grid->global_cells();
  const at::Tensor whole = 0.5 + 0.1 * random_tensor({4, 3, dof}, 7);
  const at::Tensor part = testing::part_of(*problem.grid, whole.reshape({12, -1})).view({4, 3, -1});
  auto windows = train::WindowDataset::spread(part.narrow(0, 0, 3), dof, 1);
  auto held_out = train::WindowDataset::spread(part.narrow(0, 3, 1), dof, 1);
  windows.deal_to_groups(layout.index(), layout.count());
  held_out.deal_to_groups(layout.index(), layout.count());
  train::TrainerOptions options;
  options.epochs = epochs;
  options.batch_size = 3;
  options.shard_optimiser = shard;
  options.deterministic = deterministic;
  options.resume = resume;
  options.overwrite = true;
  core::RunReport report(PETSC_COMM_WORLD, "test");
  const ScopedOptions quiet("-progress none");
  train::Trainer trainer(PETSC_COMM_WORLD, *problem.objective, windows, held_out, options, report, folder, "test=1");
  trainer.train();
  return problem.objective->parameters().values().clone();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_distributed, *utf::label("distributed") * utf::label("np1") * utf::label("np2") *
                                             utf::label("np3") * utf::label("np4") * utf::label("np6"))

// Six blocks see twelve cells: with one exchange parts need as many.
BOOST_AUTO_TEST_CASE(gradients_of_twenty_steps_are_those_of_one_rank, *utf::label("gradient")) {
  const std::vector<PetscInt> cells = {38, 26};
  for (const bool single : {false, true}) {
    const auto network = network_of(6, single);
    const at::Tensor expected = gradient_alone(network, "3", cells, 1.0);
    BOOST_TEST(relative_difference(gradient(network, HaloExchange::layer, "3", cells, 1.0, 1), expected) <=
                   (single ? 1e-5 : 1e-12),
               (single ? "float" : "double"));
    if (!single)
      BOOST_TEST(relative_difference(gradient(network, HaloExchange::once, "3", cells, 1.0, 1), expected) <= 1e-12);
  }
}

BOOST_AUTO_TEST_CASE(crank_nicolson_with_a_network, *utf::label("gradient")) {
  const auto network = network_of(1, false);
  const at::Tensor expected = gradient_alone(network, "cn", {12, 10}, 0.2);
  BOOST_TEST(relative_difference(gradient(network, HaloExchange::layer, "cn", {12, 10}, 0.2, 1), expected) <= 1e-11);
}

BOOST_AUTO_TEST_CASE(any_layout_gives_the_same_gradient, *utf::label("gradient")) {
  const auto network = network_of(1, false);
  const at::Tensor expected = gradient_alone(network, "3", {14, 12}, 0.2);
  for (const int groups : {1, 2, 3, 4, 6})
    if (testing::size_of() % groups == 0)
      BOOST_TEST(
          relative_difference(gradient(network, HaloExchange::layer, "3", {14, 12}, 0.2, groups), expected) <= 1e-12,
          groups << " groups");
}

BOOST_AUTO_TEST_CASE(shared_moments_and_fixed_order_change_no_result) {
  const testing::TemporaryFolder folder(PETSC_COMM_WORLD);
  const at::Tensor plain = trained("", "", 3, false, false);
  BOOST_TEST(at::equal(trained("", "", 3, true, false), plain));
  const at::Tensor fixed = trained("", "", 3, false, true);
  BOOST_TEST(relative_difference(fixed, plain) <= 1e-12);
  BOOST_TEST(at::equal(trained("", "", 3, true, true), fixed));
  // A restart file of shared moments is one of all moments.
  trained(folder.path() + "/shared", "", 2, true, false);
  const std::string restart = folder.path() + "/shared/restart.h5";
  BOOST_TEST(at::equal(trained("", restart, 3, false, false), plain));
  BOOST_TEST(at::equal(trained("", restart, 3, true, false), plain));
  if (testing::size_of() == 2) BOOST_TEST(relative_difference(trained("", restart, 3, true, false, 2), plain) <= 1e-10);
}

BOOST_AUTO_TEST_CASE(slices_make_up_the_parameters) {
  nn::FlatParameters parameters({at::zeros({3000}, at::kDouble).requires_grad_(true)});
  const int rank = testing::rank_of();
  const int size = testing::size_of();
  train::Reduction reduction(PETSC_COMM_WORLD, parameters, train::SumOrder::ranks);
  const train::Range own = reduction.own_slice();
  at::Tensor owners = at::full({3000}, -1.0, at::kDouble);
  owners.narrow(0, own.first, own.count).fill_(rank);
  reduction.gather_slices(owners);
  BOOST_TEST(owners.min().item<double>() >= 0);
  BOOST_TEST(owners.narrow(0, own.first, own.count).eq(rank).all().item<bool>());
  // Sums in the order of the ranks, of numbers for which the order matters.
  const auto of_rank = [](int r) { return (1 + r) * random_tensor({3000}, static_cast<std::uint64_t>(40 + r)); };
  at::Tensor expected = of_rank(0);
  for (int r = 1; r < size; ++r) expected = expected + of_rank(r);
  parameters.gradient().copy_(of_rank(rank));
  const train::Totals totals = reduction.gradient_and_sum(rank, rank == size - 1, false);
  BOOST_TEST(at::equal(parameters.gradient(), expected));
  BOOST_TEST(totals.sum == size * (size - 1) / 2.0);
  BOOST_TEST(totals.stop);
}

BOOST_AUTO_TEST_CASE(impossible_layouts_are_refused) {
  const int size = testing::size_of();
  const std::string text =
      testing::message_of<UserError>([&] { const core::RankGroups layout(PETSC_COMM_WORLD, size + 1); });
  BOOST_TEST(text.find("-groups " + std::to_string(size + 1) + " does not divide " + std::to_string(size)) == 0);
  if (size < 4) return;
  // Three samples for four groups or six.
  BOOST_TEST(testing::message_of<UserError>([&] {
               trained("", "", 1, false, false, size);
             }).find("share batches of 3 samples") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
