#include "espalier/core/session.hpp"

#include <boost/test/unit_test.hpp>
#include <csignal>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using core::InterruptGuard;
using testing::mentions;

namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(core_session, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(one_flag_is_enough, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  BOOST_TEST(!core::any_rank(MPI_COMM_WORLD, false));
  BOOST_TEST(core::any_rank(MPI_COMM_WORLD, true));
  for (int r = 0; r < testing::size_of(); ++r) BOOST_TEST(core::any_rank(MPI_COMM_WORLD, testing::rank_of() == r));
}

BOOST_AUTO_TEST_CASE(agreement_of_all_returns, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  int calls = 0;
  core::agree(MPI_COMM_WORLD, [&] { ++calls; });
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(one_failing_rank_fails_all_with_its_text,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  for (int failing = 0; failing < testing::size_of(); ++failing) {
    const std::string text = "cannot open part " + std::to_string(failing);
    BOOST_CHECK_EXCEPTION(core::agree(MPI_COMM_WORLD,
                                      [&] {
                                        if (testing::rank_of() == failing) throw UserError(text, __FILE__, __LINE__);
                                      }),
                          UserError, [&](const UserError& error) { return error.what() == text; });
  }
}

BOOST_AUTO_TEST_CASE(of_several_failures_the_lowest_rank_speaks, *utf::label("np2") * utf::label("np4")) {
  if (testing::size_of() == 1) return;
  BOOST_CHECK_EXCEPTION(core::agree(MPI_COMM_WORLD,
                                    [&] {
                                      if (testing::rank_of() > 0)
                                        throw std::runtime_error("rank " + std::to_string(testing::rank_of()));
                                    }),
                        UserError, [](const UserError& error) { return std::string(error.what()) == "rank 1"; });
}

BOOST_AUTO_TEST_CASE(alone_the_exception_itself_comes_out) {
  BOOST_CHECK_EXCEPTION(core::agree(PETSC_COMM_SELF, [] { throw NumericalError("kept", __FILE__, __LINE__); }),
                        NumericalError, mentions("kept"));
}

BOOST_AUTO_TEST_CASE(whatever_is_thrown_the_others_do_not_wait, *utf::label("np2")) {
  if (testing::size_of() == 1) return;
  BOOST_CHECK_THROW(core::agree(MPI_COMM_WORLD,
                                [&] {
                                  if (testing::rank_of() == 1) throw 1;
                                }),
                    UserError);
}

BOOST_AUTO_TEST_CASE(signals_are_noted) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const InterruptGuard guard;
    BOOST_TEST(!InterruptGuard::interrupted());
    std::raise(signal);
    BOOST_TEST(InterruptGuard::interrupted());
  }
}

// A second loop in one program must not end because the first one was interrupted.
BOOST_AUTO_TEST_CASE(a_new_guard_starts_clean_but_not_inside_another) {
  {
    const InterruptGuard guard;
    std::raise(SIGTERM);
    {
      const InterruptGuard inner;
      BOOST_TEST(InterruptGuard::interrupted());
    }
    BOOST_TEST(InterruptGuard::interrupted());
  }
  {
    const InterruptGuard guard;
    BOOST_TEST(!InterruptGuard::interrupted());
    std::raise(SIGTERM);
    BOOST_TEST(InterruptGuard::interrupted());
  }
  const InterruptGuard guard;
  BOOST_TEST(!InterruptGuard::interrupted());
}

BOOST_AUTO_TEST_CASE(the_handlers_of_before_come_back) {
  struct sigaction before {};
  struct sigaction inside {};
  struct sigaction after {};
  sigaction(SIGTERM, nullptr, &before);
  {
    const InterruptGuard guard;
    sigaction(SIGTERM, nullptr, &inside);
  }
  sigaction(SIGTERM, nullptr, &after);
  BOOST_TEST((before.sa_handler == after.sa_handler));
  BOOST_TEST((inside.sa_handler != before.sa_handler));
}

BOOST_AUTO_TEST_SUITE_END()
