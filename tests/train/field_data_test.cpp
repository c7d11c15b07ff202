#include "espalier/train/field_data.hpp"

#include <ATen/ATen.h>

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "core/messages.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "espalier/model/finite_volume_term.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using testing::mentions;
namespace utf = boost::unit_test;

namespace {

constexpr double pi = 3.14159265358979323846;

train::FieldDataSettings small() {
  train::FieldDataSettings data;
  data.cells = {24, 12};
  data.horizon = 0.2;
  data.interval = 0.05;
  data.training = 2;
  data.test = 1;
  return data;
}

// Advection with a velocity that moves, or not, and a little diffusion.
train::FieldProblem problem(bool moves, double step) {
  train::FieldProblem p;
  p.name = "test";
  p.settings = {{"moves", moves ? 1 : 0}};
  p.data = small();
  p.data.step = step;
  p.field_names = {"velocity_x"};
  p.fields_move = moves;
  p.fields = [moves](const at::Tensor& points, double t) {
    return at::sin(pi * points.select(1, 0) + (moves ? 3 * t : 0)).unsqueeze(0);
  };
  p.make_term = [](std::shared_ptr<const grid::CellGrid> grid, std::shared_ptr<model::CoefficientFields> fields) {
    model::FiniteVolumeSettings settings;
    settings.diffusivity = 1e-2;
    return std::make_shared<model::FiniteVolumeTerm>(std::move(grid), settings, std::move(fields));
  };
  return p;
}

const data::ProgressCallback no_progress = [](long, long) {};

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_field_data, *utf::label("unit") * utf::label("impindiff"))

BOOST_AUTO_TEST_CASE(stored_times_hold_those_that_were_asked_for, *utf::label("np1")) {
  train::FieldDataSettings data = small();
  data.more_times = {0.17, 0.1, 0.02};
  const std::vector<double> times = data.stored_times();
  const std::vector<double> expected = {0, 0.02, 0.05, 0.1, 0.15, 0.17, 0.2};
  BOOST_TEST(distance(times, expected) <= 1e-15);
  data.more_times = {0.3};
  BOOST_CHECK_EXCEPTION((void)data.stored_times(), UserError, mentions("-data_times", "-data_horizon"));
}

BOOST_AUTO_TEST_CASE(initial_states_differ_and_lie_between_zero_and_one, *utf::label("np1")) {
  const train::FieldDataSettings data = small();
  const grid::CellGrid grid(PETSC_COMM_SELF, data.axes());
  const at::Tensor states = data.initial_states(grid.centres());
  BOOST_TEST(states.size(0) == 3);
  // The covariance is nearly singular, so that sums in another order differ by more than their rounding.
  BOOST_TEST(states.min().item<double>() >= -1e-8);
  BOOST_TEST(states.max().item<double>() <= 1 + 1e-8);
  BOOST_TEST((states[0] - states[1]).abs().max().item<double>() > 0.1);
  BOOST_TEST(data.initial_states(grid.centres()).equal(states));
  train::FieldDataSettings other = data;
  other.seed = 2;
  BOOST_TEST(!other.initial_states(grid.centres()).equal(states));
}

BOOST_AUTO_TEST_CASE(solutions_converge_with_the_fourth_order, *utf::label("np1")) {
  for (const bool moves : {false, true}) {
    const auto state = [&](double step) {
      return train::solve_reference(problem(moves, step), no_progress).quantity("state").values;
    };
    const std::vector<double> finest = state(0.05 / 32);
    const double coarse = distance(state(0.05 / 4), finest);
    const double fine = distance(state(0.05 / 8), finest);
    BOOST_TEST(std::log2(coarse / fine) > 3.6);
    BOOST_TEST(fine < 1e-5);
  }
}

BOOST_AUTO_TEST_CASE(fields_and_states_stand_in_the_file, *utf::label("np1") * utf::label("np2")) {
  const testing::TemporaryFolder folder(MPI_COMM_WORLD);
  train::FieldProblem moving = problem(true, 0.0125);
  moving.data.folder = folder.path();
  const io::GridSeries series = train::cached_reference(moving, MPI_COMM_WORLD);
  BOOST_TEST((series.shape(series.quantity("state")) == io::Shape{3, 5, 12, 24}));
  BOOST_TEST((series.shape(series.quantity("velocity_x")) == io::Shape{5, 12, 24}));
  // sin(pi x + 3 t) at t = 0.1 and the centre of cell 5 along x.
  const double x = -1 + 5.5 / 12;
  BOOST_TEST(std::abs(series.quantity("velocity_x").values[2 * 288 + 5] - std::sin(pi * x + 0.3)) <= 1e-12);
  BOOST_TEST(train::cached_reference(moving, MPI_COMM_WORLD).quantity("state").values ==
             series.quantity("state").values);
  // Other data get other files, or the same file anew.
  moving.data.seed = 4;
  BOOST_TEST(train::cached_reference(moving, MPI_COMM_WORLD).quantity("state").values !=
             series.quantity("state").values);
  BOOST_TEST(io::find(series.settings, "reference_step") != nullptr);
}

BOOST_AUTO_TEST_CASE(options_of_a_run_do_not_touch_the_reference, *utf::label("np1")) {
  const std::vector<double> before =
      train::solve_reference(problem(false, 0.0125), no_progress).quantity("state").values;
  const testing::ScopedOptions options("-ts_dt 0.05 -ts_rk_type 1fe");
  BOOST_TEST(train::solve_reference(problem(false, 0.0125), no_progress).quantity("state").values == before);
}

BOOST_AUTO_TEST_SUITE_END()
