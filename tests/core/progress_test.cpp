#include "espalier/core/progress.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdio>

#include "core/rank.hpp"
#include "core/scoped_options.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using core::Progress;
using testing::ScopedOptions;
using testing::TemporaryFolder;

namespace utf = boost::unit_test;

namespace {

/// What `body` writes to standard output.
template <class Body>
std::string printed(Body body) {
  const TemporaryFolder folder;
  const std::string path = folder.file("stdout");
  std::fflush(stdout);
  const int before = dup(STDOUT_FILENO);
  const int file = open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
  dup2(file, STDOUT_FILENO);
  body();
  std::fflush(stdout);
  dup2(before, STDOUT_FILENO);
  close(file);
  close(before);
  return testing::contents(path);
}

long lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void work(MPI_Comm comm, long total) {
  Progress progress(comm, "epoch", total);
  for (long done = 1; done <= total; ++done) progress.update(done, "loss " + std::to_string(done));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(core_progress, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(lines_are_sparse) {
  const ScopedOptions options("-progress lines");
  const std::string text = printed([] { work(PETSC_COMM_SELF, 1000); });
  BOOST_TEST(lines(text) == 11);  // the first, and one a tenth
  BOOST_TEST(has(text, "epoch 1/1000  loss 1 "));
  BOOST_TEST(has(text, "epoch 500/1000  loss 500 "));
  BOOST_TEST(has(text, "epoch 1000/1000  loss 1000 "));
  BOOST_TEST(!has(text, "\r"));
}

BOOST_AUTO_TEST_CASE(few_units_get_a_line_each) {
  const ScopedOptions options("-progress lines");
  BOOST_TEST(lines(printed([] { work(PETSC_COMM_SELF, 3); })) == 3);
  BOOST_TEST(lines(printed([] { work(PETSC_COMM_SELF, 1); })) == 1);
  BOOST_TEST(printed([] { work(PETSC_COMM_SELF, 0); }).empty());
}

BOOST_AUTO_TEST_CASE(none_is_silent) {
  const ScopedOptions options("-progress none");
  BOOST_TEST(printed([] { work(PETSC_COMM_SELF, 100); }).empty());
}

BOOST_AUTO_TEST_CASE(a_file_gets_lines_by_itself) {
  const std::string text = printed([] { work(PETSC_COMM_SELF, 100); });
  BOOST_TEST(lines(text) == 11);
  BOOST_TEST(!has(text, "\r"));
}

BOOST_AUTO_TEST_CASE(the_bar_stays_on_one_line_and_ends_it) {
  const ScopedOptions options("-progress bar");
  const std::string text = printed([] { work(PETSC_COMM_SELF, 100); });
  BOOST_TEST(lines(text) == 1);
  BOOST_TEST(text.back() == '\n');
  BOOST_TEST(has(text, "[########################] 100/100"));
  const std::string closed = printed([] {
    Progress progress(PETSC_COMM_SELF, "epoch", 2);
    progress.update(1, "");
    progress.close();
    progress.close();
  });
  BOOST_TEST(lines(closed) == 1);
}

BOOST_AUTO_TEST_CASE(only_rank_0_prints, *utf::label("np2")) {
  const int rank = testing::rank_of();
  const ScopedOptions options("-progress lines");
  const std::string text = printed([] { work(MPI_COMM_WORLD, 10); });
  BOOST_TEST(lines(text) == (rank == 0 ? 10 : 0));
}

BOOST_AUTO_TEST_SUITE_END()
