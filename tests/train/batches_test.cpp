#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <numeric>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/train/batches.hpp"

namespace utf = boost::unit_test;
using namespace espalier::train;

BOOST_AUTO_TEST_SUITE(train_batches, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(order_is_a_permutation_of_seed_and_epoch, *utf::label("np1")) {
  const auto order = epoch_order(1000, 3, 5);
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  BOOST_TEST(sorted == all, boost::test_tools::per_element());
  BOOST_TEST((order == epoch_order(1000, 3, 5)));
  BOOST_TEST((order != epoch_order(1000, 3, 6)));
  BOOST_TEST((order != epoch_order(1000, 4, 5)));
  BOOST_TEST((order != all));
}

// Platforms must agree: computed by an independent Python implementation of mt19937_64 and Fisher-Yates.
BOOST_AUTO_TEST_CASE(order_is_the_same_everywhere, *utf::label("np1")) {
  const std::vector<std::int64_t> expected = {5, 0, 6, 1, 8, 9, 3, 4, 2, 7};
  BOOST_TEST(epoch_order(10, 42, 7) == expected, boost::test_tools::per_element());
}

// Each of the 24 orders of 4 elements should come up 1/24 of the time: chi-square with 23 degrees of freedom.
BOOST_AUTO_TEST_CASE(orders_are_uniform, *utf::label("np1")) {
  constexpr int epochs = 24000;
  std::vector<int> count(256, 0);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const auto o = epoch_order(4, 1, static_cast<std::uint64_t>(epoch));
    ++count[static_cast<std::size_t>(o[0] * 64 + o[1] * 16 + o[2] * 4 + o[3])];
  }
  double chi_square = 0;
  int seen = 0;
  for (const int c : count) {
    if (c == 0) continue;
    ++seen;
    chi_square += (c - 1000.0) * (c - 1000.0) / 1000.0;
  }
  BOOST_TEST(seen == 24);
  BOOST_TEST(chi_square < 49.7);  // exceeded with probability 0.001
}

BOOST_AUTO_TEST_CASE(paper_drops_the_last_batch, *utf::label("np1")) {
  const BatchPlan dropped(4000, 256, true);
  BOOST_TEST(dropped.count() == 15);
  BOOST_TEST(dropped.samples_used() == 3840);
  const BatchPlan kept(4000, 256, false);
  BOOST_TEST(kept.count() == 16);
  BOOST_TEST(kept.samples_used() == 4000);
  BOOST_TEST(kept.batch(15).first == 3840);
  BOOST_TEST(kept.batch(15).count == 160);
  BOOST_TEST(BatchPlan(512, 256, false).count() == 2);
  BOOST_TEST(BatchPlan(100, 256, true).count() == 0);
  BOOST_TEST(BatchPlan(100, 256, false).batch(0).count == 100);
  BOOST_CHECK_THROW(BatchPlan(100, 0, false), espalier::UserError);
  BOOST_CHECK_THROW(dropped.batch(15), espalier::InternalError);
}

BOOST_AUTO_TEST_CASE(slices_cover_a_batch_in_order, *utf::label("np1")) {
  for (const std::int64_t count : {0, 1, 3, 7, 8, 255}) {
    for (const int size : {1, 2, 3, 4, 7}) {
      std::int64_t next = 11;
      std::int64_t least = count;
      std::int64_t most = 0;
      for (int rank = 0; rank < size; ++rank) {
        const Range slice = rank_slice({11, count}, rank, size);
        BOOST_TEST(slice.first == next);
        next += slice.count;
        least = std::min(least, slice.count);
        most = std::max(most, slice.count);
      }
      BOOST_TEST(next == 11 + count);
      BOOST_TEST(most - least <= 1);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
