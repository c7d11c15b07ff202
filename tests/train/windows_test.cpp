#include <torch/types.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/train/batches.hpp"
#include "espalier/train/symmetry.hpp"
#include "espalier/train/windows.hpp"

namespace utf = boost::unit_test;
using namespace espalier::train;

namespace {

constexpr double pi = 3.14159265358979323846;

// Entry (t, j) is 100 t + j: every number says where it came from.
at::Tensor numbered(std::int64_t times, std::int64_t dof) {
  return torch::arange(times, torch::kFloat64).mul(100).unsqueeze(1) + torch::arange(dof, torch::kFloat64);
}

double at2(const at::Tensor& t, std::int64_t i, std::int64_t j) { return t[i][j].item<double>(); }

// n samples of one wave each: u_j = sin(2 pi (j / points + phase)); the target k lags by k points.
Batch waves(std::int64_t n, std::int64_t intervals, std::int64_t points) {
  Batch batch{torch::empty({n, points}, torch::kFloat64), torch::empty({n, intervals, points}, torch::kFloat64)};
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < points; ++j) {
      const auto wave = [&](std::int64_t k) {
        const double x = static_cast<double>(j - k) / static_cast<double>(points);
        return std::sin(2 * pi * x) + 0.3 * std::cos(4 * pi * x + 0.1 * static_cast<double>(i));
      };
      batch.u0[i][j] = wave(0);
      for (std::int64_t k = 0; k < intervals; ++k) batch.targets[i][k][j] = wave(k + 1);
    }
  return batch;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(train_windows, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(windows_of_one_trajectory, *utf::label("np1")) {
  const WindowDataset data(numbered(11, 3), 2, 4);
  BOOST_TEST(data.size() == 3);  // start at 0, 4, 8
  BOOST_TEST(data.dof() == 3);
  BOOST_TEST(data.intervals() == 2);
  const std::vector<std::int64_t> wanted = {2, 0};
  const Batch batch = data.gather(wanted);
  BOOST_TEST(batch.size() == 2);
  BOOST_TEST(at2(batch.u0, 0, 1) == 801);
  BOOST_TEST(at2(batch.u0, 1, 2) == 2);
  BOOST_TEST(at2(batch.targets[0], 0, 0) == 900);
  BOOST_TEST(at2(batch.targets[0], 1, 2) == 1002);
  BOOST_TEST(at2(batch.targets[1], 1, 0) == 200);
  BOOST_TEST(data.gather_range(1, 2).u0.equal(data.gather({1, 2}).u0));
  const Batch none = data.gather(at::IntArrayRef{});
  BOOST_TEST((none.u0.sizes() == at::IntArrayRef{0, 3}));
  BOOST_TEST((none.targets.sizes() == at::IntArrayRef{0, 2, 3}));
}

BOOST_AUTO_TEST_CASE(gathered_samples_are_copies, *utf::label("np1")) {
  const at::Tensor states = numbered(5, 2);
  const WindowDataset data(states, 1);
  Batch batch = data.gather_range(0, 4);
  batch.u0.zero_();
  batch.targets.zero_();
  BOOST_TEST(states.equal(numbered(5, 2)));
}

BOOST_AUTO_TEST_CASE(no_window_crosses_trajectories, *utf::label("np1")) {
  const WindowDataset data(numbered(12, 2).view({3, 4, 2}), 2);
  BOOST_TEST(data.size() == 6);
  for (std::int64_t w = 0; w < data.size(); ++w) {
    const Batch batch = data.gather_range(w, 1);
    const double start = at2(batch.u0, 0, 0) / 100;
    BOOST_TEST(start == static_cast<double>(w / 2 * 4 + w % 2));
    BOOST_TEST(at2(batch.targets[0], 1, 0) / 100 == start + 2);
  }
}

BOOST_AUTO_TEST_CASE(split_shares_no_state, *utf::label("np1")) {
  const auto [train, held_out] = split_states(numbered(5000, 2), 0.8);
  BOOST_TEST(train.size(0) == 4000);
  BOOST_TEST(held_out.size(0) == 1000);
  BOOST_TEST(at2(train, 3999, 0) == 399900);
  BOOST_TEST(at2(held_out, 0, 0) == 400000);
  const auto [all, nothing] = split_states(numbered(10, 2), 1);
  BOOST_TEST(WindowDataset(all, 1).size() == 9);
  BOOST_TEST(WindowDataset(nothing, 1).size() == 0);
  BOOST_TEST(split_states(numbered(20, 2).view({10, 2, 2}), 0.8).first.size(0) == 8);
  BOOST_CHECK_THROW(split_states(numbered(10, 2), 0), espalier::UserError);
  BOOST_CHECK_THROW(split_states(numbered(10, 2), 1.5), espalier::UserError);
}

BOOST_AUTO_TEST_CASE(unusable_states_are_refused, *utf::label("np1")) {
  BOOST_CHECK_THROW(WindowDataset(numbered(3, 2), 3), espalier::UserError);
  BOOST_CHECK_THROW(WindowDataset(numbered(3, 2).to(torch::kFloat32), 1), espalier::UserError);
  BOOST_CHECK_THROW(WindowDataset(torch::zeros({4}, torch::kFloat64), 1), espalier::UserError);
  BOOST_CHECK_THROW(WindowDataset(numbered(3, 2), 0), espalier::UserError);
  BOOST_CHECK_THROW(WindowDataset(numbered(3, 2), 1).gather_range(2, 1), espalier::InternalError);
}

BOOST_AUTO_TEST_CASE(spread_states_go_to_every_rank_whole, *utf::label("np1") * utf::label("impindiff")) {
  // Two of five entries are this rank's.
  const at::Tensor states = torch::stack({numbered(4, 2), numbered(4, 2) + 1000});
  const WindowDataset data = WindowDataset::spread(states, 5, 3);
  BOOST_TEST(data.is_spread());
  BOOST_TEST(data.dof() == 5);
  BOOST_TEST(data.size() == 2);
  const Range all = data.part_of({0, 2}, 1, 3);
  BOOST_TEST((all.first == 0 && all.count == 2));
  const Batch batch = data.gather_range(0, 2);
  BOOST_TEST((batch.u0.sizes() == at::IntArrayRef{2, 2}));
  BOOST_TEST((batch.targets.sizes() == at::IntArrayRef{2, 3, 2}));
  BOOST_TEST(batch.targets[1][2][1].item<double>() == 1301);
  const WindowDataset dealt(states, 3);
  BOOST_TEST(dealt.part_of({0, 2}, 1, 2).count == 1);
  BOOST_TEST(dealt.dof() == 2);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(train_symmetry, *utf::label("unit"))

// Whatever was drawn, u0 and targets of a sample must have been moved alike: the slow way tries all transformations.
BOOST_AUTO_TEST_CASE(states_of_a_sample_move_together, *utf::label("np1")) {
  constexpr std::int64_t points = 12;
  const Batch before = waves(40, 3, points);
  Batch after{before.u0.clone(), before.targets.clone()};
  PeriodicShiftReflection(points).apply(after, SampleRandom(1, 2, 0));
  const at::Tensor reversed = (points - torch::arange(points, torch::kInt64)).remainder(points);
  std::set<std::int64_t> seen;
  for (std::int64_t i = 0; i < before.size(); ++i) {
    int matches = 0;
    for (std::int64_t candidate = 0; candidate < 2 * points; ++candidate) {
      const auto transformed = [&](const at::Tensor& u) {
        const at::Tensor mirrored = candidate >= points ? u.index_select(-1, reversed).neg() : u;
        return mirrored.roll(candidate % points, -1);
      };
      if (!transformed(before.u0[i]).equal(after.u0[i])) continue;
      ++matches;
      seen.insert(candidate);
      BOOST_TEST(transformed(before.targets[i]).equal(after.targets[i]));
    }
    BOOST_TEST(matches == 1);
  }
  BOOST_TEST(seen.size() > 12U);  // 40 draws of 24
}

BOOST_AUTO_TEST_CASE(components_move_together, *utf::label("np1")) {
  const Batch wave = waves(5, 1, 8);
  Batch both{torch::cat({wave.u0, wave.u0 * 2}, 1), torch::cat({wave.targets, wave.targets * 2}, 2)};
  PeriodicShiftReflection(8).apply(both, SampleRandom(3, 0, 0));
  BOOST_TEST((both.u0.narrow(1, 0, 8) * 2).equal(both.u0.narrow(1, 8, 8)));
  BOOST_TEST((both.targets.narrow(2, 0, 8) * 2).equal(both.targets.narrow(2, 8, 8)));
  BOOST_TEST(!both.u0.narrow(1, 0, 8).equal(wave.u0));
}

BOOST_AUTO_TEST_CASE(slices_see_the_numbers_of_the_whole, *utf::label("np1")) {
  const Batch before = waves(7, 1, 16);
  Batch whole{before.u0.clone(), before.targets.clone()};
  const PeriodicShiftReflection symmetry(16);
  symmetry.apply(whole, SampleRandom(9, 4, 100));
  for (int rank = 0; rank < 3; ++rank) {
    const Range own = rank_slice({0, 7}, rank, 3);
    Batch part{before.u0.narrow(0, own.first, own.count).clone(),
               before.targets.narrow(0, own.first, own.count).clone()};
    symmetry.apply(part, SampleRandom(9, 4, 100 + own.first));
    BOOST_TEST(part.u0.equal(whole.u0.narrow(0, own.first, own.count)));
    BOOST_TEST(part.targets.equal(whole.targets.narrow(0, own.first, own.count)));
  }
}

BOOST_AUTO_TEST_CASE(shifts_and_reflections_are_uniform, *utf::label("np1")) {
  constexpr std::int64_t samples = 32000;
  const SampleRandom random(5, 6, 1000);
  std::vector<double> count(64, 0);
  double reflected = 0;
  for (std::int64_t i = 0; i < samples; ++i) {
    const std::int64_t shift = random.below(i, 0, 64);
    BOOST_REQUIRE((shift >= 0 && shift < 64));
    count[static_cast<std::size_t>(shift)] += 1;
    reflected += static_cast<double>(random.bits(i, 1) & 1U);
  }
  double chi_square = 0;
  for (const double c : count) chi_square += (c - 500) * (c - 500) / 500;
  BOOST_TEST(chi_square < 103.4);                                   // 63 degrees of freedom, probability 0.001
  BOOST_TEST(std::abs(reflected - 16000) < 3.3 * std::sqrt(8000));  // the same for the normal distribution
  BOOST_TEST(random.bits(1, 0) == SampleRandom(5, 6, 1001).bits(0, 0));
  BOOST_TEST(random.bits(0, 0) != SampleRandom(5, 7, 1000).bits(0, 0));
  BOOST_TEST(random.bits(0, 0) != SampleRandom(6, 6, 1000).bits(0, 0));
}

BOOST_AUTO_TEST_CASE(symmetries_by_name, *utf::label("np1")) {
  BOOST_TEST(!make_symmetry("none", 8));
  BOOST_TEST(bool(make_symmetry("shift_reflect", 8)));
  BOOST_CHECK_THROW(make_symmetry("mirror", 8), espalier::UserError);
}

BOOST_AUTO_TEST_SUITE_END()
