#include "espalier/model/neural_term.hpp"

#include <boost/test/unit_test.hpp>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"
#include "model/vectors.hpp"

using namespace espalier;
using model::NeuralTerm;
using testing::distance;
using testing::entries_of;
using testing::mentions;
using testing::Numbers;
using testing::small_mlp;
using testing::some_numbers;
using testing::unwritten_like;
using testing::vector_of;

namespace utf = boost::unit_test;

namespace {

constexpr std::int64_t width = 3;
constexpr std::size_t samples = 4;

Numbers point(int k) { return some_numbers(width * samples, k); }

/// A forward run over points 0 ... count-1 at times 0, 0.1, ..., and its adjoint backwards; all products in a row.
Numbers forward_and_adjoint(NeuralTerm& term, int count, double adjoint_time_error = 0) {
  Numbers results;
  term.keep_evaluations(true);
  for (int k = 0; k < count; ++k) {
    const auto u = vector_of(point(k));
    const auto y = unwritten_like(u.get());
    term.apply(0.1 * k, u.get(), y.get());
    for (const double entry : entries_of(y.get())) results.push_back(entry);
  }
  term.network().parameters().zero_gradient();
  const auto w = vector_of(some_numbers(width * samples, 100));
  for (int k = count - 1; k >= 0; --k) {
    const auto u = vector_of(point(k));
    const auto u_bar = unwritten_like(u.get());
    const auto linearization = term.linearize(0.1 * k + adjoint_time_error, u.get());
    linearization->vjp(w.get(), u_bar.get());
    linearization->accumulate(0.5);
    for (const double entry : entries_of(u_bar.get())) results.push_back(entry);
  }
  for (const double entry : testing::gradient_of(term.network())) results.push_back(entry);
  return results;
}

/// J^T w at point 0 and time 0.
Numbers product(NeuralTerm& term) {
  const auto u = vector_of(point(0));
  const auto w = vector_of(some_numbers(width * samples, 100));
  const auto u_bar = unwritten_like(u.get());
  term.linearize(0, u.get())->vjp(w.get(), u_bar.get());
  return entries_of(u_bar.get());
}

void change(nn::Network& network) {
  network.parameters().values().mul_(1.25);
  network.parameters().mark_changed();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(model_neural_term, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(the_term_is_the_network_on_each_sample, *utf::label("gradient")) {
  const auto network = small_mlp(width);
  NeuralTerm term(network);
  const auto u = vector_of(point(0));
  const auto y = unwritten_like(u.get());
  term.apply(0, u.get(), y.get());
  Numbers numbers = point(0);
  const auto state = torch::from_blob(numbers.data(), {samples, width}, torch::kDouble);
  const auto value = network->evaluate(state).detach().contiguous();
  const Numbers expected(value.data_ptr<double>(), value.data_ptr<double>() + value.numel());
  BOOST_TEST(distance(entries_of(y.get()), expected) <= 1e-14);
  BOOST_TEST(&term.network() == network.get());
  BOOST_TEST(term.parameters().size() == 1U);
  BOOST_TEST(term.parameters()[0] == &network->parameters());
}

BOOST_AUTO_TEST_CASE(kept_evaluations_are_used, *utf::label("gradient")) {
  for (const bool single : {false, true}) {
    NeuralTerm term(small_mlp(width, 3, single));
    forward_and_adjoint(term, 6);
    BOOST_TEST(term.counters().forward == 6);
    BOOST_TEST(term.counters().adjoint == 6);
    BOOST_TEST(term.counters().recomputed == 0);
    BOOST_TEST(term.counters().tangent == 0);
  }
}

BOOST_AUTO_TEST_CASE(without_memory_the_same_is_computed_again, *utf::label("gradient")) {
  const auto network = small_mlp(width);
  const std::size_t tape = network->tape_bytes(samples);
  NeuralTerm rich(network);
  const Numbers expected = forward_and_adjoint(rich, 6);
  for (const std::size_t budget : {std::size_t{0}, tape - 1, tape, 3 * tape, 6 * tape - 1, 6 * tape}) {
    NeuralTerm poor(network, budget);
    BOOST_TEST(forward_and_adjoint(poor, 6) == expected);  // bit for bit
    BOOST_TEST(poor.counters().recomputed == 6 - static_cast<long>(budget / tape));
    // The budget is free again in the next run.
    BOOST_TEST(forward_and_adjoint(poor, 6) == expected);
    BOOST_TEST(poor.counters().recomputed == 2 * (6 - static_cast<long>(budget / tape)));
  }
}

BOOST_AUTO_TEST_CASE(times_agree_to_rounding) {
  NeuralTerm term(small_mlp(width));
  forward_and_adjoint(term, 4, 1e-15);
  BOOST_TEST(term.counters().recomputed == 0);
  forward_and_adjoint(term, 4, 1e-3);
  BOOST_TEST(term.counters().recomputed == 4);
}

BOOST_AUTO_TEST_CASE(the_adjoint_may_jump_about, *utf::label("gradient")) {
  NeuralTerm term(small_mlp(width));
  NeuralTerm reference(small_mlp(width));
  forward_and_adjoint(term, 6);
  const auto w = vector_of(some_numbers(width * samples, 100));
  for (const int k : {2, 5, 0, 0, 3, 1, 4}) {
    const auto u = vector_of(point(k));
    const auto a = unwritten_like(u.get());
    const auto b = unwritten_like(u.get());
    term.linearize(0.1 * k, u.get())->vjp(w.get(), a.get());
    reference.linearize(0.1 * k, u.get())->vjp(w.get(), b.get());
    BOOST_TEST(entries_of(a.get()) == entries_of(b.get()));
  }
  BOOST_TEST(term.counters().recomputed == 0);
}

BOOST_AUTO_TEST_CASE(a_point_just_repeated_is_not_repeated_again) {
  NeuralTerm term(small_mlp(width));
  for (int repetition = 0; repetition < 3; ++repetition) product(term);
  BOOST_TEST(term.counters().recomputed == 1);
}

BOOST_AUTO_TEST_CASE(changed_parameters_are_seen, *utf::label("gradient")) {
  const auto network = small_mlp(width);
  const auto expected = [&] {
    NeuralTerm fresh(network);
    return product(fresh);
  };
  {  // after a run that kept its evaluations
    NeuralTerm term(network);
    forward_and_adjoint(term, 3);
    const Numbers before = product(term);
    change(*network);
    BOOST_TEST(product(term) == expected());
    BOOST_TEST(product(term) != before);
  }
  {  // after a run, with a validation run in between
    NeuralTerm term(network);
    forward_and_adjoint(term, 3);
    change(*network);
    term.keep_evaluations(false);
    const auto u = vector_of(point(0));
    const auto y = unwritten_like(u.get());
    term.apply(0, u.get(), y.get());
    BOOST_TEST(product(term) == expected());
  }
  {  // where nothing is kept
    NeuralTerm term(network, 0);
    product(term);
    change(*network);
    BOOST_TEST(product(term) == expected());
  }
  {  // in the next run
    NeuralTerm term(network);
    NeuralTerm other(network);
    forward_and_adjoint(term, 3);
    change(*network);
    BOOST_TEST(forward_and_adjoint(term, 3) == forward_and_adjoint(other, 3));
  }
}

BOOST_AUTO_TEST_CASE(products_count) {
  NeuralTerm term(small_mlp(width));
  const auto u = vector_of(point(0));
  const auto y = unwritten_like(u.get());
  const auto linearization = term.linearize(0, u.get());
  linearization->jvp(u.get(), y.get());
  linearization->jvp(u.get(), y.get());
  linearization->vjp(u.get(), y.get());
  linearization->accumulate(1);
  BOOST_TEST(term.counters().tangent == 2);
  BOOST_TEST(term.counters().adjoint == 1);
  BOOST_TEST(term.counters().forward == 0);
}

BOOST_AUTO_TEST_CASE(states_that_do_not_fit_are_the_users_errors) {
  NeuralTerm term(small_mlp(width));
  const auto good = vector_of(Numbers(width * 2, 1.0));
  const auto more = vector_of(Numbers(width * 3, 1.0));
  const auto less = vector_of(Numbers(width, 1.0));
  const auto wrong = vector_of(Numbers(width + 1, 1.0));
  BOOST_CHECK_EXCEPTION(term.apply(0, wrong.get(), good.get()), UserError, mentions("4", "width 3"));
  BOOST_CHECK_THROW(term.linearize(0, wrong.get()), UserError);
  BOOST_CHECK_THROW(term.apply(0, good.get(), more.get()), UserError);
  BOOST_CHECK_THROW(term.apply(0, good.get(), less.get()), UserError);
  const auto linearization = term.linearize(0, good.get());
  BOOST_CHECK_THROW(linearization->vjp(more.get(), good.get()), UserError);
  BOOST_CHECK_THROW(linearization->vjp(less.get(), good.get()), UserError);
  BOOST_CHECK_THROW(linearization->vjp(good.get(), more.get()), UserError);
  BOOST_CHECK_THROW(linearization->jvp(good.get(), more.get()), UserError);
  BOOST_CHECK_THROW(linearization->jvp(less.get(), good.get()), UserError);
}

BOOST_AUTO_TEST_CASE(a_rank_may_have_no_samples, *utf::label("gradient") * utf::label("np2")) {
  const int rank = testing::rank_of();
  NeuralTerm term(small_mlp(width));
  term.keep_evaluations(true);
  const auto u = vector_of(rank == 0 ? point(0) : Numbers{}, PETSC_COMM_WORLD);
  const auto y = unwritten_like(u.get());
  term.apply(0, u.get(), y.get());
  const auto linearization = term.linearize(0, u.get());
  linearization->vjp(u.get(), y.get());
  linearization->accumulate(1);
  BOOST_TEST(term.counters().recomputed == 0);
  BOOST_TEST((distance(testing::gradient_of(term.network()), Numbers(testing::gradient_of(term.network()).size(), 0)) >
              0) == (rank == 0));
  const auto mu = term.create_mu(PETSC_COMM_WORLD);
  BOOST_TEST(entries_of(mu.get()).size() == static_cast<std::size_t>(term.network().parameters().count()));
}

BOOST_AUTO_TEST_SUITE_END()
