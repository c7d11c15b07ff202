#include "espalier/model/split_settings.hpp"

#include <torch/types.h>

#include <boost/test/unit_test.hpp>

#include "core/messages.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using model::LinearTraining;
using model::SplitSettings;
using testing::mentions;

namespace utf = boost::unit_test;

namespace {

const std::vector<double> filter = {0.6, -2, 1.3};

SplitSettings read() {
  SplitSettings settings;
  core::read_options(PETSC_COMM_WORLD, "test", [&](core::OptionReader& o) { settings.read(o); });
  return settings;
}

double distance_of(const SplitSettings& settings, std::uint64_t seed) {
  return model::relative_distance(settings.make_linear(9, filter, seed)->matrix(),
                                  grid::periodic_stencil(9, filter).get());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_split_settings, *utf::label("unit") * utf::label("sinode"))

BOOST_AUTO_TEST_CASE(options_make_the_linear_part) {
  SplitSettings settings;
  BOOST_TEST(settings.make_linear(9, filter, 1)->parameters().empty());
  for (const auto& [train, count] : {std::pair{"stencil", 3}, {"dense", 81}}) {
    const testing::ScopedOptions options(std::string("-linear_train ") + train +
                                         " -linear_solver krylov -linear_perturb 0.01 -network_keep_mb 3");
    settings = read();
    const auto term = settings.make_linear(9, filter, 1);
    BOOST_TEST(term->parameters().front()->count() == count);
    BOOST_TEST(!term->solves_directly());
    BOOST_TEST(settings.keep_bytes() == 3000000U);
    BOOST_TEST(settings.linear_train_name() == train);
  }
}

BOOST_AUTO_TEST_CASE(the_first_error_is_relative_and_seeded) {
  SplitSettings settings;
  for (const auto train : {LinearTraining::stencil, LinearTraining::dense}) {
    settings.linear_train = train;
    settings.linear_perturb = 0;
    BOOST_TEST(distance_of(settings, 1) == 0);
    settings.linear_perturb = 0.01;
    const double distance = distance_of(settings, 1);
    BOOST_TEST(distance > 0.001);
    BOOST_TEST(distance < 0.03);
    BOOST_TEST(distance_of(settings, 1) == distance);
    BOOST_TEST(distance_of(settings, 2) != distance);
  }
}

BOOST_AUTO_TEST_CASE(an_error_that_nobody_mends_is_refused) {
  const testing::ScopedOptions options("-linear_perturb 0.01");
  BOOST_CHECK_EXCEPTION(read(), UserError, mentions("-linear_train"));
}

BOOST_AUTO_TEST_SUITE_END()
