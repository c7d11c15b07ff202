// Runs the test cases on all ranks of MPI_COMM_WORLD: rank 0 reports, the others speak only when they fail, and the
// exit code is the same everywhere.
#define BOOST_TEST_NO_MAIN
#include <mpi.h>

#include <boost/test/results_collector.hpp>
#include <boost/test/results_reporter.hpp>
#include <boost/test/tree/observer.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ostream>
#include <streambuf>
#include <string>
#include <thread>
#include <vector>

#include "espalier/core/session.hpp"

namespace {

namespace utf = boost::unit_test;

/// Passes whole lines to stderr with the rank in front, without Boost's greeting.
class RankPrefix : public std::streambuf {
 public:
  explicit RankPrefix(int rank) : prefix_("[rank " + std::to_string(rank) + "] ") {}

 protected:
  int_type overflow(int_type character) override {
    if (character == traits_type::eof()) return character;
    if (character == '\n') {
      const bool greeting = line_.compare(0, 8, "Running ") == 0;
      if (!line_.empty() && !greeting) std::fprintf(stderr, "%s%s\n", prefix_.c_str(), line_.c_str());
      line_.clear();
    } else {
      line_ += traits_type::to_char_type(character);
    }
    return character;
  }

 private:
  std::string prefix_;
  std::string line_;
};

/// Makes the ranks agree after every case. A rank that fails leaves its case early while the others may wait for it in
/// a collective call for ever: when they do not arrive in time, it ends the job and says why.
class Agreement : public utf::test_observer {
 public:
  explicit Agreement(int rank) : rank_(rank) { MPI_Comm_dup(MPI_COMM_WORLD, &comm_); }
  ~Agreement() override { MPI_Comm_free(&comm_); }
  Agreement(const Agreement&) = delete;
  Agreement& operator=(const Agreement&) = delete;

  void test_unit_finish(const utf::test_unit& unit, unsigned long) override {
    if (unit.p_type != utf::TUT_CASE) return;
    any_failed(!utf::results_collector.results(unit.p_id).passed(), unit.full_name());
  }
  void test_aborted() override { any_failed(true, "the run"); }
  int priority() override { return 100; }  // after the collector of results

  bool any_failed(bool mine, const std::string& where) {
    int failed = mine ? 1 : 0;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Iallreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, comm_, &request);
    const auto start = std::chrono::steady_clock::now();
    for (int done = 0; MPI_Test(&request, &done, MPI_STATUS_IGNORE), done == 0;) {
      if (mine && std::chrono::steady_clock::now() - start > patience) {
        std::fprintf(stderr, "[rank %d] failed in %s, and the other ranks did not come out of it: ending the job.\n",
                     rank_, where.c_str());
        MPI_Abort(MPI_COMM_WORLD, 1);
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return failed != 0;
  }

 private:
  static constexpr std::chrono::seconds patience{20};
  int rank_;
  MPI_Comm comm_ = MPI_COMM_NULL;
};

/// Where a rank other than 0 writes; null on rank 0.
std::ostream* failures_only = nullptr;

/// Boost sets its streams and levels from the command line just before it calls this.
bool init_tests() {
  if (failures_only != nullptr) {
    utf::unit_test_log.set_stream(*failures_only);
    utf::unit_test_log.set_threshold_level(utf::log_all_errors);
    utf::results_reporter::set_stream(*failures_only);
    utf::results_reporter::set_level(utf::NO_REPORT);
  }
  return true;
}

/// Listing what there is needs neither MPI nor PETSc, and must work where a launcher is not available.
bool only_asks(const std::vector<char*>& arguments) {
  for (const char* argument : arguments)
    for (const char* question : {"--list_", "--help", "--version"})
      if (std::strncmp(argument, question, std::strlen(question)) == 0) return true;
  return false;
}

int run_on_all_ranks(std::vector<char*>& boost_arguments, int rank) {
  static RankPrefix prefix(rank);
  static std::ostream prefixed(&prefix);
  if (rank != 0) failures_only = &prefixed;
  Agreement agreement(rank);
  utf::framework::register_observer(agreement);
  const int result = utf::unit_test_main(&init_tests, static_cast<int>(boost_arguments.size()), boost_arguments.data());
  utf::framework::deregister_observer(agreement);
  return agreement.any_failed(result != 0, "the run") ? 1 : 0;
}

}  // namespace

/// Usage: espalier_tests [Boost.Test options] [-- PETSc options]
int main(int argc, char** argv) {
  std::vector<char*> boost_arguments{argv[0]};
  std::vector<char*> petsc_arguments{argv[0]};
  bool after_separator = false;
  for (int i = 1; i < argc; ++i) {
    if (!after_separator && std::strcmp(argv[i], "--") == 0) {
      after_separator = true;
    } else {
      (after_separator ? petsc_arguments : boost_arguments).push_back(argv[i]);
    }
  }
  if (only_asks(boost_arguments))
    return utf::unit_test_main(&init_tests, static_cast<int>(boost_arguments.size()), boost_arguments.data());

  int petsc_argc = static_cast<int>(petsc_arguments.size());
  petsc_arguments.push_back(nullptr);
  char** petsc_argv = petsc_arguments.data();
  espalier::core::Session session(petsc_argc, petsc_argv, {"espalier_tests", "The tests of the Espalier library.\n"});
  return run_on_all_ranks(boost_arguments, session.rank());
}
