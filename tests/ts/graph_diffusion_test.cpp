// Graph diffusion put together from its terms, between an encoder and a decoder: gradients of every part against an
// unrolled reference with dense matrices.
#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <boost/test/unit_test.hpp>

#include "espalier/model/decay_term.hpp"
#include "espalier/model/gradient_check.hpp"
#include "espalier/model/source_term.hpp"
#include "espalier/model/sum_term.hpp"
#include "espalier/nn/graph_attention.hpp"
#include "espalier/petsc/tensor_view.hpp"
#include "espalier/ts/integrate.hpp"
#include "nn/graphs.hpp"
#include "ts/fixture.hpp"

using namespace fixture;
using espalier::testing::dense;
using espalier::testing::graph_nodes;
using espalier::testing::graph_pairs;
namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t hidden = 4;
constexpr std::int64_t entries = graph_nodes * hidden;

nn::GraphAttentionSettings attention_settings() {
  nn::GraphAttentionSettings s;
  s.hidden = hidden;
  s.attention_dim = 6;
  s.heads = 2;
  s.normalisation = nn::EdgeNormalisation::squareplus;
  s.normalise_over = nn::EdgeEnd::sender;
  s.self_loop_weight = 1;
  s.initial_weight = 0.3;
  s.seed = 5;
  return s;
}

/// dx/dt = A(x) x + beta x0 - alpha x.
struct Diffusion {
  explicit Diffusion(bool direct)
      : network(std::make_shared<nn::GraphAttention>(graph_nodes, graph_pairs(), attention_settings())),
        attention(std::make_shared<model::NeuralTerm>(network)),
        source(std::make_shared<model::SourceTerm>(entries)),
        decay(std::make_shared<model::DecayTerm>(direct)) {
    const torch::NoGradGuard no_grad;
    source->parameters().front()->values().fill_(0.7);
    decay->parameters().front()->values().fill_(0.4);
  }
  model::SplitSystem split() const {
    return {std::make_shared<model::SumTerm>(std::vector<std::shared_ptr<model::Term>>{attention, source}), decay};
  }

  std::shared_ptr<nn::GraphAttention> network;
  std::shared_ptr<model::NeuralTerm> attention;
  std::shared_ptr<model::SourceTerm> source;
  std::shared_ptr<model::DecayTerm> decay;
};

// A(x) x with A as a matrix [nodes, nodes].
at::Tensor dense_attention(nn::GraphAttention& network, const at::Tensor& u) {
  const at::Tensor x = u.view({graph_nodes, hidden});
  const at::Tensor a = dense(network.edges(), network.attention(x).mean(1));
  return a.mm(x).view({1, entries});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ts_graph_diffusion, *utf::label("gradient") * utf::label("sinode"))

BOOST_AUTO_TEST_CASE(gradients_reach_every_part, *utf::label("np1") * utf::label("np2")) {
  const torch::AutoGradMode with_grad(true);
  const at::Tensor features = random_tensor({graph_nodes, 3}, 1);
  const std::vector<double> steps = {1, 1, 0.3};
  for (const bool direct : {true, false})
    for (const std::string method : {"l2", "3", "cn", "rk4"}) {
      const Diffusion diffusion(direct);
      ts::Integrator integrator(PETSC_COMM_SELF, {1, entries}, diffusion.split(), settings(method, 1));
      const at::Tensor encoder = random_tensor({3, hidden}, 2).requires_grad_(true);
      const at::Tensor decoder = random_tensor({hidden, 2}, 3).requires_grad_(true);
      const auto loss_of = [&](const at::Tensor& x) { return x.view({graph_nodes, hidden}).mm(decoder).sin().sum(); };

      auto& theta = diffusion.network->parameters();
      auto& beta = *diffusion.source->parameters().front();
      auto& rate = *diffusion.decay->parameters().front();
      for (auto* group : {&theta, &beta, &rate}) group->zero_gradient();
      const at::Tensor x0 = diffusion.source->feed(features.mm(encoder).view({1, entries}));
      const at::Tensor ours = loss_of(ts::integrate(integrator, x0, {0, 2.3})[0]);
      ours.backward();
      const at::Tensor theta_bar = theta.gradient().clone();

      // Leaves of its own for the dense reference.
      const at::Tensor b = torch::full({1}, 0.7, torch::kDouble).requires_grad_(true);
      const at::Tensor a = torch::full({1}, 0.4, torch::kDouble).requires_grad_(true);
      const at::Tensor start = features.mm(encoder).view({1, entries});
      const reference::Problem problem{
          [&](const at::Tensor& u) { return dense_attention(*diffusion.network, u) + b * start; },
          -a.sigmoid() * at::eye(entries, torch::kDouble)};
      const at::Tensor expected = loss_of(reference::integrate(method, problem, start, steps).back());
      std::vector<at::Tensor> leaves = {encoder, decoder, b, a};
      for (const auto& leaf : theta.tensors()) leaves.push_back(leaf);
      const auto bars = torch::autograd::grad({expected}, leaves);
      std::vector<at::Tensor> flat;
      for (std::size_t i = 4; i < bars.size(); ++i) flat.push_back(bars[i].reshape({-1}));

      BOOST_TEST_CONTEXT("method " << method << (direct ? ", direct" : ", krylov")) {
        BOOST_TEST(std::abs(ours.item<double>() - expected.item<double>()) <= 1e-10);
        BOOST_TEST(relative(encoder.grad(), bars[0]) <= 1e-10);
        BOOST_TEST(relative(decoder.grad(), bars[1]) <= 1e-10);
        BOOST_TEST(relative(beta.gradient(), bars[2]) <= 1e-10);
        BOOST_TEST(relative(rate.gradient(), bars[3]) <= 1e-10);
        BOOST_TEST(relative(theta_bar, at::cat(flat)) <= 1e-10);
      }
    }
}

// What the source's field gathered in one backward pass is not there in the next one.
BOOST_AUTO_TEST_CASE(passes_do_not_add_up, *utf::label("np1")) {
  const torch::AutoGradMode with_grad(true);
  const Diffusion diffusion(true);
  ts::Integrator integrator(PETSC_COMM_SELF, {1, entries}, diffusion.split(), settings("l2", 1));
  const auto pass = [&] {
    const at::Tensor x = random_tensor({1, entries}, 7).requires_grad_(true);
    ts::integrate(integrator, diffusion.source->feed(x), {0, 1}).sum().backward();
    return x.grad().clone();
  };
  const at::Tensor first = pass();
  BOOST_TEST(at::equal(pass(), first));
}

BOOST_AUTO_TEST_CASE(products_of_the_terms_are_transposed, *utf::label("np1")) {
  const Diffusion diffusion(true);
  diffusion.source->field().copy_(random_tensor({entries}, 4));
  petsc::VecHandle u;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, entries, u.out()));
  {
    const petsc::TensorView view(u.get(), {entries}, petsc::Access::write);
    view.tensor().copy_(random_tensor({entries}, 6));
  }
  const std::vector<std::shared_ptr<model::Term>> terms = {diffusion.attention, diffusion.source, diffusion.decay};
  for (const auto& term : terms) BOOST_TEST(model::dot_product_error(*term, 0, u.get(), 1) <= 1e-12);
}

// shift x + alpha x = b, and the step sees the rate of now.
BOOST_AUTO_TEST_CASE(decay_solves_with_its_present_rate, *utf::label("np1")) {
  model::DecayTerm decay;
  petsc::VecHandle b;
  petsc::VecHandle x;
  ESPALIER_CALL(VecCreateSeq(PETSC_COMM_SELF, 3, b.out()));
  ESPALIER_CALL(VecDuplicate(b.get(), x.out()));
  ESPALIER_CALL(VecSet(b.get(), 6.0));
  const auto solved = [&] {
    decay.solve(2.5, b.get(), x.get(), false);
    PetscReal largest = 0;
    ESPALIER_CALL(VecMax(x.get(), nullptr, &largest));
    return largest;
  };
  BOOST_TEST(solved() == 2.0, boost::test_tools::tolerance(1e-15));
  decay.parameters().front()->values().fill_(std::log(3.0));  // alpha = 3/4
  BOOST_TEST(solved() == 6 / 3.25, boost::test_tools::tolerance(1e-15));
  BOOST_CHECK_THROW(decay.solve(-decay.rate(), b.get(), x.get(), false), NumericalError);
}

BOOST_AUTO_TEST_CASE(a_source_of_another_size_is_refused, *utf::label("np1")) {
  model::SourceTerm source(6);
  BOOST_CHECK_THROW(source.feed(torch::zeros({5}, torch::kDouble)), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
