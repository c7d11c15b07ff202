#include <petscsys.h>

#include <boost/test/unit_test.hpp>
#include <string>
#include <utility>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/train/trainer_options.hpp"

namespace utf = boost::unit_test;
using namespace espalier::train;

namespace {

using Options = std::vector<std::pair<std::string, std::string>>;

/// Options as on the command line, taken back at the end of the scope.
class Given {
 public:
  explicit Given(Options options) : options_(std::move(options)) {
    for (const auto& [name, value] : options_) (void)PetscOptionsSetValue(nullptr, name.c_str(), value.c_str());
  }
  ~Given() {
    for (const auto& option : options_) (void)PetscOptionsClearValue(nullptr, option.first.c_str());
  }
  Given(const Given&) = delete;
  Given& operator=(const Given&) = delete;

 private:
  Options options_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(train_options, *utf::label("unit") * utf::label("np1"))

BOOST_AUTO_TEST_CASE(every_option_arrives) {
  const Given given(
      {{"-train_epochs", "7"},        {"-train_seed", "5"},           {"-train_batch_size", "12"},
       {"-train_drop_last", "false"}, {"-train_minutes", "1.5"},      {"-train_resume", "a/b.h5"},
       {"-train_restart_every", "3"}, {"-train_validate_every", "2"}, {"-train_optimizer", "rmsprop"},
       {"-train_lr", "0.25"},         {"-train_weight_decay", "0.5"}, {"-train_momentum", "0.75"},
       {"-train_clip", "4"},          {"-train_lr_schedule", "step"}, {"-train_lr_floor", "0.125"},
       {"-train_lr_factor", "0.375"}, {"-train_lr_every", "2.5"},     {"-train_lr_patience", "6"},
       {"-train_lr_warmup", "0.5"},   {"-train_lr_hold", "8"},        {"-train_lr_horizon", "9"},
       {"-train_fraction", "0.625"},  {"-train_window", "11"},        {"-train_augment", "shift_reflect"}});
  const TrainerOptions t = TrainerOptions::from_options(PETSC_COMM_WORLD);
  BOOST_TEST(t.epochs == 7);
  BOOST_TEST(t.seed == 5U);
  BOOST_TEST(t.batch_size == 12);
  BOOST_TEST(!t.drop_last);
  BOOST_TEST(t.minutes == 1.5);
  BOOST_TEST(t.resume == "a/b.h5");
  BOOST_TEST(t.restart_every == 3);
  BOOST_TEST(t.validate_every == 2);
  BOOST_TEST(t.optimiser.name == "rmsprop");
  BOOST_TEST(t.lr == 0.25);
  BOOST_TEST(t.optimiser.weight_decay == 0.5);
  BOOST_TEST(t.optimiser.momentum == 0.75);
  BOOST_TEST(t.clip == 4);
  BOOST_TEST(t.schedule.name == "step");
  BOOST_TEST(t.schedule.floor == 0.125);
  BOOST_TEST(t.schedule.factor == 0.375);
  BOOST_TEST(t.schedule.every == 2.5);
  BOOST_TEST(t.schedule.patience == 6);
  BOOST_TEST(t.schedule.warmup == 0.5);
  BOOST_TEST(t.schedule.hold == 8);
  BOOST_TEST(t.schedule.horizon == 9);
  BOOST_TEST(t.fraction == 0.625);
  BOOST_TEST(t.window == 11);
  BOOST_TEST(t.augment == "shift_reflect");
}

BOOST_AUTO_TEST_CASE(defaults_of_the_program_stay) {
  TrainerOptions defaults;
  defaults.lr = 5e-3;
  defaults.optimiser.name = "adamw";
  defaults.schedule.name = "plateau";
  const Given given(Options{{"-train_epochs", "3"}});
  const TrainerOptions t = TrainerOptions::from_options(PETSC_COMM_WORLD, defaults);
  BOOST_TEST(t.epochs == 3);
  BOOST_TEST(t.lr == 5e-3);
  BOOST_TEST(t.optimiser.name == "adamw");
  BOOST_TEST(t.schedule.name == "plateau");
  BOOST_TEST(t.batch_size == 256);
}

BOOST_AUTO_TEST_CASE(values_out_of_range_are_refused) {
  const Options wrong = {{"-train_lr", "0"},           {"-train_lr", "-1"},          {"-train_batch_size", "0"},
                         {"-train_epochs", "-1"},      {"-train_fraction", "1.5"},   {"-train_fraction", "0"},
                         {"-train_window", "0"},       {"-train_optimizer", "adan"}, {"-train_lr_schedule", "x"},
                         {"-train_augment", "mirror"}, {"-train_lr_floor", "2"},     {"-train_clip", "-1"},
                         {"-train_seed", "-3"},        {"-train_lr_factor", "0"},    {"-train_lr_every", "0"}};
  for (const auto& option : wrong) {
    const Given given(Options{option});
    BOOST_TEST_CONTEXT(option.first << " " << option.second)
    BOOST_CHECK_THROW(TrainerOptions::from_options(PETSC_COMM_WORLD), espalier::UserError);
  }
}

BOOST_AUTO_TEST_SUITE_END()
