#include "espalier/core/report.hpp"

#include <H5public.h>
#include <petscsys.h>
#include <sys/resource.h>
#include <torch/version.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "espalier/core/error.hpp"
#include "espalier/core/machine.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"
#include "espalier/version.hpp"

namespace espalier::core {

namespace {

using Json = nlohmann::json;

constexpr double write_interval_seconds = 5;

// JSON has no infinities and no NaN: say them in words rather than as null.
Json figure(double value) {
  if (std::isfinite(value)) return value;
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

Json versions() {
  Json list;
  list["espalier"] = ESPALIER_VERSION;
  list["petsc"] = std::to_string(PETSC_VERSION_MAJOR) + "." + std::to_string(PETSC_VERSION_MINOR) + "." +
                  std::to_string(PETSC_VERSION_SUBMINOR);
  list["torch"] = TORCH_VERSION;
  list["hdf5"] =
      std::to_string(H5_VERS_MAJOR) + "." + std::to_string(H5_VERS_MINOR) + "." + std::to_string(H5_VERS_RELEASE);
  list["compiler"] = __VERSION__;
  return list;
}

double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

}  // namespace

RunReport::RunReport(MPI_Comm comm, const std::string& app, int threads)
    : json_(std::make_unique<nlohmann::json>()), comm_(comm), started_(MPI_Wtime()) {
  int size = 1;
  MPI_Comm_rank(comm, &rank_);
  MPI_Comm_size(comm, &size);
  read_options(comm, "Run report",
               [&](OptionReader& o) { path_ = o.text("-report", "JSON file for the figures of this run", ""); });
  const Blas blas = inspect_blas();
  nlohmann::json& j = *json_;
  j["status"] = "did not finish";
  j["app"] = app;
  j["versions"] = versions();
  j["options"] = nlohmann::json::object();
  for (const auto& [name, value] : given_options()) j["options"][name.substr(1)] = value;
  j["ranks"] = size;
  j["threads"] = threads;
  j["blas"] = {{"library", blas.library}, {"kernel", blas.kernel}, {"threads", threads}};
  j["seed"] = nullptr;
  j["method"] = nullptr;
  j["epochs"] = nlohmann::json::array();
  j["metrics"] = nlohmann::json::object();
  j["peak_rss_mb"] = peak_rss_mb();
  j["checkpoint_bytes"] = 0;
  j["seconds_total"] = 0;
  agree(comm, [&] { write(true); });
}

RunReport::~RunReport() = default;

void RunReport::set_seed(long seed) { (*json_)["seed"] = seed; }
void RunReport::set_method(const std::string& method) { (*json_)["method"] = method; }
void RunReport::metric(const std::string& name, double value) { (*json_)["metrics"][name] = figure(value); }
void RunReport::set_checkpoint_bytes(double bytes) { (*json_)["checkpoint_bytes"] = bytes; }

void RunReport::set(const std::string& key, const nlohmann::json& value) {
  static const std::set<std::string> contract = {
      "status", "app",    "versions", "options", "ranks",       "threads",          "blas",
      "seed",   "method", "epochs",   "metrics", "peak_rss_mb", "checkpoint_bytes", "seconds_total"};
  ESPALIER_ASSERT(contract.count(key) == 0, "report key '" + key + "' belongs to the contract");
  (*json_)[key] = value;
}

void RunReport::add_epoch(const EpochRecord& record) { add_epoch(record, nlohmann::json::object()); }

void RunReport::add_epoch(const EpochRecord& record, const nlohmann::json& extra) {
  nlohmann::json row = extra;
  row["epoch"] = record.epoch;
  row["loss"] = figure(record.loss);
  row["validation"] = figure(record.validation);
  row["seconds"] = record.seconds;
  row["nfe_forward"] = record.nfe_forward;
  row["nfe_adjoint"] = record.nfe_adjoint;
  row["ksp_its_forward"] = record.ksp_its_forward;
  row["ksp_its_adjoint"] = record.ksp_its_adjoint;
  (*json_)["epochs"].push_back(std::move(row));
  write(false);
}

void RunReport::finish(const std::string& status, bool peak_memory) {
  double peak = peak_rss_mb();
  if (peak_memory) MPI_Allreduce(MPI_IN_PLACE, &peak, 1, MPI_DOUBLE, MPI_MAX, comm_);
  (*json_)["peak_rss_mb"] = peak;
  (*json_)["status"] = status;
  write(true);
}

void RunReport::write(bool force) {
  const double now = MPI_Wtime();
  if (rank_ != 0 || path_.empty() || (!force && now - last_written_ < write_interval_seconds)) return;
  last_written_ = now;
  (*json_)["seconds_total"] = now - started_;
  const std::string aside = path_ + ".part";
  std::ofstream file(aside);
  file << json_->dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  file.close();
  ESPALIER_REQUIRE(file.good() && std::rename(aside.c_str(), path_.c_str()) == 0,
                   "-report " + path_ + ": cannot be written; name a file in an existing, writable folder");
}

}  // namespace espalier::core
