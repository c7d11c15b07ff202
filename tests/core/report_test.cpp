#include "espalier/core/report.hpp"

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "core/scoped_options.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using core::EpochRecord;
using core::RunReport;
using nlohmann::json;
using testing::mentions;
using testing::ScopedOptions;
using testing::TemporaryFolder;

namespace utf = boost::unit_test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

const std::vector<std::string> contract = {
    "status", "app",    "versions", "options", "ranks",       "threads",          "blas",
    "seed",   "method", "epochs",   "metrics", "peak_rss_mb", "checkpoint_bytes", "seconds_total"};

json parsed(const std::string& path) { return json::parse(testing::contents(path)); }

bool complete(const json& report) {
  for (const auto& key : contract)
    if (!report.contains(key)) {
      BOOST_TEST_MESSAGE("missing: " << key);
      return false;
    }
  return true;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(core_report, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(the_file_is_valid_from_the_start, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const ScopedOptions options("-report " + folder.file("r.json") + " -rt_option 3");
  const RunReport report(MPI_COMM_WORLD, "test");
  const int size = testing::size_of();
  MPI_Barrier(MPI_COMM_WORLD);
  const json start = parsed(folder.file("r.json"));
  BOOST_TEST(complete(start));
  BOOST_TEST(start["status"] == "did not finish");
  BOOST_TEST(start["app"] == "test");
  BOOST_TEST(start["ranks"] == size);
  BOOST_TEST(start["options"]["rt_option"] == "3");
  BOOST_TEST(start["epochs"].empty());
  for (const char* name : {"espalier", "petsc", "torch", "hdf5", "compiler"})
    BOOST_TEST(!start["versions"][name].get<std::string>().empty());
  BOOST_TEST(start["peak_rss_mb"].get<double>() > 1);
  BOOST_TEST(folder.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_run_that_ends_well_says_so_with_its_figures, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const ScopedOptions options("-report " + folder.file("r.json"));
  RunReport report(MPI_COMM_WORLD, "test");
  report.set_seed(17);
  report.set_method("rk4");
  report.set_checkpoint_bytes(1024);
  report.metric("error", 0.125);
  report.set("extra", json{{"a", 1}});
  EpochRecord row;
  row.epoch = 3;
  row.loss = 0.5;
  row.validation = 0.25;
  row.seconds = 1.5;
  row.nfe_forward = 8;
  row.nfe_adjoint = 9;
  row.ksp_its_forward = 10;
  row.ksp_its_adjoint = 11;
  report.add_epoch(row);
  report.add_epoch(row, json{{"lr", 1e-3}, {"loss", "not the callers'"}});
  report.finish("ok", true);
  MPI_Barrier(MPI_COMM_WORLD);
  const json end = parsed(folder.file("r.json"));
  BOOST_TEST(complete(end));
  BOOST_TEST(end["status"] == "ok");
  BOOST_TEST(end["seed"] == 17);
  BOOST_TEST(end["method"] == "rk4");
  BOOST_TEST(end["checkpoint_bytes"] == 1024);
  BOOST_TEST(end["metrics"]["error"] == 0.125);
  BOOST_TEST(end["extra"]["a"] == 1);
  BOOST_TEST(end["epochs"].size() == 2U);
  BOOST_TEST((end["epochs"][0] == json{{"epoch", 3},
                                       {"loss", 0.5},
                                       {"validation", 0.25},
                                       {"seconds", 1.5},
                                       {"nfe_forward", 8},
                                       {"nfe_adjoint", 9},
                                       {"ksp_its_forward", 10},
                                       {"ksp_its_adjoint", 11}}));
  BOOST_TEST(end["epochs"][1]["lr"] == 1e-3);
  BOOST_TEST(end["epochs"][1]["loss"] == 0.5);
  BOOST_TEST(end["seconds_total"].get<double>() >= 0);
  BOOST_TEST(folder.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_run_that_fails_keeps_what_it_had) {
  const TemporaryFolder folder;
  const ScopedOptions options("-report " + folder.file("r.json"));
  RunReport report(PETSC_COMM_SELF, "test");
  report.metric("until_here", 2);
  // Bytes that are no UTF-8 must not make the report unreadable.
  report.finish("the loss is not finite: \"quoted\" \xff", false);
  const json end = parsed(folder.file("r.json"));
  BOOST_TEST(complete(end));
  BOOST_TEST(end["status"].get<std::string>().find("the loss is not finite: \"quoted\"") == 0U);
  BOOST_TEST(end["metrics"]["until_here"] == 2);
}

BOOST_AUTO_TEST_CASE(figures_that_are_not_finite_are_words) {
  const TemporaryFolder folder;
  const ScopedOptions options("-report " + folder.file("r.json"));
  RunReport report(PETSC_COMM_SELF, "test");
  report.metric("a", not_a_number);
  report.metric("b", inf);
  report.metric("c", -inf);
  EpochRecord row;
  row.loss = inf;
  row.validation = not_a_number;
  report.add_epoch(row);
  report.finish("ok", true);
  const json end = parsed(folder.file("r.json"));
  BOOST_TEST((end["metrics"] == json{{"a", "nan"}, {"b", "inf"}, {"c", "-inf"}}));
  BOOST_TEST(end["epochs"][0]["loss"] == "inf");
  BOOST_TEST(end["epochs"][0]["validation"] == "nan");
}

BOOST_AUTO_TEST_CASE(keys_of_the_contract_have_their_own_functions) {
  RunReport report(PETSC_COMM_SELF, "test");
  for (const auto& key : contract) BOOST_CHECK_EXCEPTION(report.set(key, 1), InternalError, mentions(key.c_str()));
  report.set("network", "mlp");
  BOOST_TEST(report.json()["network"] == "mlp");
}

BOOST_AUTO_TEST_CASE(without_the_option_nothing_is_written) {
  RunReport report(PETSC_COMM_SELF, "test");
  report.metric("a", 1);
  report.finish("ok", true);
  BOOST_TEST(report.json()["status"] == "ok");
  BOOST_TEST(report.json()["metrics"]["a"] == 1);
}

BOOST_AUTO_TEST_CASE(a_path_that_cannot_be_written_is_the_users_error_on_all_ranks,
                     *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const int rank = testing::rank_of();
  if (rank == 0) std::ofstream(folder.file("none")) << "a file";
  MPI_Barrier(MPI_COMM_WORLD);
  const std::string path = folder.file("none/r.json");
  const ScopedOptions options("-report " + path);
  BOOST_CHECK_EXCEPTION(RunReport(MPI_COMM_WORLD, "test"), UserError, mentions("-report", path.c_str(), "writable"));
}

BOOST_AUTO_TEST_CASE(the_folder_of_the_file_is_made, *utf::label("np1") * utf::label("np2")) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const ScopedOptions options("-report " + folder.file("a/b/r.json"));
  const RunReport report(MPI_COMM_WORLD, "test");
  MPI_Barrier(MPI_COMM_WORLD);
  BOOST_TEST(complete(parsed(folder.file("a/b/r.json"))));
}

BOOST_AUTO_TEST_CASE(a_disk_that_fails_meanwhile_does_not_end_the_run) {
  const TemporaryFolder folder;
  const ScopedOptions options("-report " + folder.file("a/r.json"));
  RunReport report(PETSC_COMM_SELF, "test");
  std::filesystem::remove_all(folder.file("a"));
  // Longer than the interval between two writes.
  std::this_thread::sleep_for(std::chrono::milliseconds(5100));
  report.add_epoch(EpochRecord());
  BOOST_TEST(report.json()["epochs"].size() == 1U);
  BOOST_CHECK_EXCEPTION(report.finish("ok", true), UserError, mentions("-report", "No such file"));
}

BOOST_AUTO_TEST_CASE(a_run_that_fails_early_replaces_an_older_report) {
  const TemporaryFolder folder;
  const std::string path = folder.file("r.json");
  std::ofstream(path) << R"({"status": "ok"})";
  RunReport::write_failure(path, "test", "no such option");
  BOOST_TEST(complete(parsed(path)));
  BOOST_TEST(parsed(path)["status"] == "no such option");
}

BOOST_AUTO_TEST_SUITE_END()
