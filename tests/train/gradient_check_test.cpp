#include "espalier/train/gradient_check.hpp"

#include <torch/types.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "core/messages.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "espalier/grid/periodic_stencil.hpp"
#include "espalier/model/trainable_linear_term.hpp"
#include "io/temporary_folder.hpp"
#include "linear_objective.hpp"

using namespace espalier;
using testing::mentions;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t dof = 6;

/// A linear term whose transposed products are a tenth too large.
class Skewed : public model::LinearTerm {
 public:
  using model::LinearTerm::LinearTerm;

  std::shared_ptr<model::Linearization> linearize(double t, Vec u) override {
    class Off : public model::Linearization {
     public:
      explicit Off(std::shared_ptr<model::Linearization> right) : right_(std::move(right)) {}
      void jvp(Vec v, Vec y) override { right_->jvp(v, y); }
      void vjp(Vec w, Vec u_bar) override {
        right_->vjp(w, u_bar);
        ESPALIER_CALL(VecScale(u_bar, 1.1));
      }

     private:
      std::shared_ptr<model::Linearization> right_;
    };
    return std::make_shared<Off>(model::LinearTerm::linearize(t, u));
  }
};

/// A trained stencil whose gradient stays zero.
class Forgetful : public model::StencilLinearTerm {
 public:
  using model::StencilLinearTerm::StencilLinearTerm;

 private:
  void accumulate(double /*alpha*/, const at::Tensor& /*u*/, const at::Tensor& /*w*/) override {}
};

template <class Linear>
train::CheckedModel make_trained_model(const nn::MlpSettings& settings) {
  train::CheckedModel checked;
  checked.network = std::make_shared<model::NeuralTerm>(std::make_shared<nn::Mlp>(settings));
  const auto linear =
      std::make_shared<Linear>(dof, std::vector<double>{1.3, -2.0, 0.6}, model::LinearSolver::lu_inverse);
  checked.system = {checked.network, linear};
  checked.terms = {{"network", checked.network}, {"linear part", linear}};
  return checked;
}

template <class Linear>
train::CheckedModel make_model(const nn::MlpSettings& settings) {
  const auto matrix = grid::periodic_stencil(dof, {1.3, -2.0, 0.6});
  train::CheckedModel checked;
  checked.network = std::make_shared<model::NeuralTerm>(std::make_shared<nn::Mlp>(settings));
  const auto linear = std::make_shared<Linear>(matrix.get(), model::LinearSolver::lu_dense);
  checked.system = {checked.network, linear};
  checked.terms = {{"network", checked.network}, {"linear part", linear}};
  return checked;
}

nn::MlpSettings network(nn::Activation activation) {
  nn::MlpSettings settings;
  settings.widths = {dof, 9, dof};
  settings.activation = activation;
  settings.initialisation = nn::Initialisation::xavier;
  settings.seed = 3;
  return settings;
}

void check(const train::ModelFactory& factory, const nn::MlpSettings& settings, const std::string& method,
           core::RunReport& report) {
  const train::WindowDataset windows(train::testing::example_states(12, dof), 2);
  ts::IntegratorSettings integrator;
  integrator.method = method;
  integrator.step = 0.1;
  train::check_gradient(MPI_COMM_WORLD, factory, settings, integrator, 0.2, windows, report);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_gradient_check, *utf::label("gradient") * utf::label("np1") * utf::label("np2"))

BOOST_AUTO_TEST_CASE(right_gradients_pass) {
  for (const auto activation : {nn::Activation::relu, nn::Activation::tanh})
    for (const std::string method : {"l2", "cn", "rk4"}) {
      core::RunReport report(MPI_COMM_WORLD, "test");
      BOOST_TEST_CONTEXT(method) {
        BOOST_CHECK_NO_THROW(check(make_model<model::LinearTerm>, network(activation), method, report));
      }
      const auto& metrics = report.json().at("metrics");
      for (const char* name : {"grad_check_slope", "grad_check_slope_u0", "grad_check_difference",
                               "grad_check_dot_network", "grad_check_dot_linear"})
        BOOST_TEST(metrics.contains(name), name);
    }
}

BOOST_AUTO_TEST_CASE(float_networks_are_compared_with_double_ones) {
  nn::MlpSettings settings = network(nn::Activation::tanh);
  settings.single_precision = true;
  core::RunReport report(MPI_COMM_WORLD, "test");
  check(make_model<model::LinearTerm>, settings, "l2", report);
  const double difference = report.json().at("metrics").at("grad_check_float").get<double>();
  BOOST_TEST(difference > 0);
  BOOST_TEST(difference < 1e-5);
}

// Each group of parameters is checked by itself.
BOOST_AUTO_TEST_CASE(a_trained_linear_part_is_checked_too, *utf::label("sinode")) {
  for (const std::string method : {"l2", "cn", "rk4"}) {
    core::RunReport report(MPI_COMM_WORLD, "test");
    BOOST_TEST_CONTEXT(method) {
      BOOST_CHECK_NO_THROW(
          check(make_trained_model<model::StencilLinearTerm>, network(nn::Activation::relu), method, report));
      const auto& metrics = report.json().at("metrics");
      BOOST_TEST(metrics.contains("grad_check_slope"));
      BOOST_TEST(std::abs(metrics.at("grad_check_slope_linear").get<double>() - 2) <= 0.1);
      BOOST_CHECK_EXCEPTION(check(make_trained_model<Forgetful>, network(nn::Activation::tanh), method, report),
                            NumericalError,
                            mentions("central difference", "slope in the parameters of the linear part"));
    }
  }
}

BOOST_AUTO_TEST_CASE(wrong_gradients_do_not_pass) {
  core::RunReport report(MPI_COMM_WORLD, "test");
  BOOST_CHECK_EXCEPTION(check(make_model<Skewed>, network(nn::Activation::tanh), "rk4", report), NumericalError,
                        mentions("dot product of the linear part", "central difference", "slope in the parameters",
                                 "slope in the initial state"));
}

BOOST_AUTO_TEST_SUITE_END()
