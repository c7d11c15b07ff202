#include "espalier/train/series_experiment.hpp"

#include <iomanip>
#include <sstream>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/io/files.hpp"
#include "espalier/train/linear_part_report.hpp"
#include "espalier/train/trainer.hpp"

namespace espalier::train {

namespace {

// What may be refused is refused, and noted, before data is generated for it.
io::Series begin(MPI_Comm comm, const SeriesSettings& settings, const std::function<io::Series()>& series,
                 core::RunReport& report) {
  report.set_seed(static_cast<long>(settings.training.seed));
  report.set_method(settings.integrator.method);
  io::prepare_output(comm, settings.output);
  return series();
}

}  // namespace

CheckedModel SeriesModel::checked() const {
  return {system(), network, {{"network", network}, {"linear part", linear}}};
}

SeriesExperiment::SeriesExperiment(MPI_Comm comm, std::string name, const SeriesSettings& settings,
                                   const std::function<io::Series()>& series, core::RunReport& report)
    : comm_(comm),
      name_(std::move(name)),
      settings_(settings),
      report_(report),
      series_(begin(comm, settings, series, report)),
      windows_(series_, settings.training) {}

void SeriesExperiment::check_gradient(const Factory& make_model) const {
  const auto make_checked = [&](const nn::MlpSettings& network) { return make_model(network).checked(); };
  train::check_gradient(comm_, make_checked, settings_.network, settings_.integrator, series_.interval(),
                        windows_.training(), report_);
}

std::string SeriesExperiment::run_fingerprint(const std::string& own) const {
  std::ostringstream text;
  text << std::setprecision(17) << "network=" << model_.network->network().fingerprint()
       << ";method=" << settings_.integrator.method << ";step=" << settings_.integrator.step << ";" << own;
  return text.str();
}

void SeriesExperiment::print_model() const {
  nn::Network& network = model_.network->network();
  ESPALIER_CALL(PetscPrintf(comm_, "%s: %s, %lld parameters, method %s, %lld training and %lld held-out windows\n",
                            name_.c_str(), network.fingerprint().c_str(),
                            static_cast<long long>(network.parameters().count()), settings_.integrator.method.c_str(),
                            static_cast<long long>(windows_.training().size()),
                            static_cast<long long>(windows_.held_out().size())));
}

void SeriesExperiment::train(const Factory& make_model, petsc::MatHandle wanted, const std::string& fingerprint) {
  model_ = make_model(settings_.network);
  objective_.emplace(comm_, model_.system(), model_.network, settings_.integrator, series_.interval());
  report_.metric("parameters", static_cast<double>(model_.network->network().parameters().count()));
  print_model();
  LinearPartReport linear_part(comm_, model_.linear, std::move(wanted), report_);
  Trainer trainer(comm_, *objective_, windows_.training(), windows_.held_out(), settings_.training, report_,
                  settings_.output, run_fingerprint(fingerprint));
  trainer.report_best(trainer.train());
  linear_part.finish();
}

}  // namespace espalier::train
