#include "evaluation.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/io/hdf5.hpp"
#include "espalier/nn/positive_network.hpp"
#include "espalier/train/grid_states.hpp"
#include "espalier/train/rollout.hpp"

namespace cvi {

using namespace espalier;

namespace {

constexpr std::int64_t law_points = 101;

/// Porosities and molarities at all evaluation times, [K + 1, R, local cells] each, time 0 first.
struct Course {
  at::Tensor porosity;
  at::Tensor molarity;
};

Course course_of(implicit::InfiltrationTerm& term, const at::Tensor& states) {
  const std::int64_t cells = states.size(2) - 1;
  std::vector<at::Tensor> molarity;
  for (std::int64_t k = 0; k < states.size(0); ++k) molarity.push_back(term.molarity(states[k]));
  return {states.narrow(2, 0, cells).contiguous(), at::stack(molarity)};
}

void report_group(core::Session& session, const std::string& name, const std::string& norm, const at::Tensor& errors) {
  session.report().metric(name + norm, errors.mean().item<double>());
  session.report().metric(name + "_end" + norm, errors[-1].mean().item<double>());
}

// [K, R, local cells], from the first evaluation time on; `found` undefined when the model blew up.
void report_errors(core::Session& session, const Evaluation& e, const at::Tensor& found, const at::Tensor& truth) {
  const auto errors = [&](auto measure) {
    if (found.defined()) return measure(session.comm(), found, truth);
    return at::full(truth.sizes().slice(0, 2), std::numeric_limits<double>::infinity(), at::kDouble);
  };
  const at::Tensor l1 = errors(train::relative_l1_errors);
  const at::Tensor l2 = errors(train::relative_l2_errors);
  for (const auto& [norm, all] : {std::make_pair("", l1), std::make_pair("_l2", l2)}) {
    report_group(session, "state_error", norm, all.slice(1, 0, e.training));
    if (all.size(1) > e.training) report_group(session, "state_error_ood", norm, all.slice(1, e.training));
  }
  const auto percent = [](const at::Tensor& values) { return 100 * values.mean().item<double>(); };
  ESPALIER_CALL(PetscPrintf(session.comm(), "relative L1 error of states: %.2f %% observed",
                            percent(l1.slice(1, 0, e.training))));
  if (l1.size(1) > e.training)
    ESPALIER_CALL(PetscPrintf(session.comm(), ", %.2f %% unseen", percent(l1.slice(1, e.training))));
  ESPALIER_CALL(PetscPrintf(session.comm(), "\n"));
}

void add(const Evaluation& e, io::GridSeries& file, const std::string& name, const at::Tensor& truth,
         const at::Tensor& found) {
  const auto gather = [&](const char* what, const at::Tensor& local) {
    file.quantities.push_back({name + what, false, true, train::to_vector(e.grid->gather_natural(local.contiguous()))});
  };
  gather("_truth", truth);
  gather("_prediction", found);
  gather("_error", found - truth);
}

void write_prediction(core::Session& session, const Evaluation& e, const Course& truth, const Course& found) {
  io::GridSeries file;
  file.name = "Chemical vapour infiltration";
  file.axes = e.data.axes;
  file.times = train::times_at(e.data, e.indices);
  file.settings = e.data.settings;
  const auto group = [&](const std::string& suffix, std::int64_t r) {
    add(e, file, "porosity" + suffix, truth.porosity.select(1, r), found.porosity.select(1, r));
    add(e, file, "molarity" + suffix, truth.molarity.select(1, r), found.molarity.select(1, r));
  };
  group("", 0);
  if (truth.porosity.size(1) > e.training) group("_unseen", e.training);
  core::agree(session.comm(), [&] {
    if (session.rank() != 0) return;
    const std::string path = e.output + "/prediction.h5";
    io::write_grid_series(path, file);
    io::write_grid_series_xdmf(path, file);
  });
}

/// The arguments that the seen states cover.
struct Ranges {
  double porosity[2];
  double temperature[2];
};

Ranges ranges_of(const Evaluation& e) {
  const auto cells = static_cast<std::int64_t>(e.data.cells());
  const auto seen = std::upper_bound(e.data.times.begin(), e.data.times.end(), e.seen_until * (1 + 1e-9));
  const auto bounds = [&](const std::string& name, bool by_time) {
    const at::Tensor all = at::tensor(at::ArrayRef<double>(e.data.quantity(name).values), at::kDouble)
                               .view({static_cast<std::int64_t>(e.data.trajectories), -1, cells})
                               .narrow(0, 0, e.training);
    const at::Tensor values = by_time ? all.slice(1, 0, seen - e.data.times.begin()) : all;
    return std::make_pair(values.min().item<double>(), values.max().item<double>());
  };
  const auto eps = bounds("porosity", true);
  const auto tau = bounds("temperature", false);
  return {{eps.first, eps.second}, {tau.first, tau.second}};
}

struct Table {
  at::Tensor argument, truth, learnt;
  double error() const { return ((learnt - truth).abs().sum() / truth.abs().sum()).item<double>(); }
};

void write_tables(const std::string& path, const std::vector<Table>& tables) {
  io::Hdf5Writer writer(path);
  writer.attributes("/", {{"format", "espalier-operators"}, {"format_version", 1}, {"title", "Laws of infiltration"}});
  for (std::size_t k = 0; k < tables.size(); ++k) {
    const std::string& name = law_names()[k];
    writer.group(name);
    writer.attributes(
        name, {{"argument", name == "rate" ? "temperature T / T_ref" : "porosity"}, {"error", tables[k].error()}});
    const auto column = [&](const char* what, const at::Tensor& values) {
      writer.write(name + "/" + what, {static_cast<std::size_t>(values.numel())}, train::to_vector(values));
    };
    column("argument", tables[k].argument);
    column("truth", tables[k].truth);
    column("learnt", tables[k].learnt);
  }
  writer.commit();
}

}  // namespace

void evaluate_states(core::Session& session, const Evaluation& e, Objective& objective,
                     implicit::InfiltrationTerm& term, const Settings& settings) {
  const core::StageScope stage("Prediction");
  const at::Tensor truth = states(e.data, *e.grid, e.indices).transpose(0, 1).contiguous();
  const std::int64_t cells = truth.size(2) - 1;
  at::Tensor found;
  try {
    found = objective.predict(truth[0], train::times_at(e.data, e.indices)).clone();
  } catch (const NumericalError& error) {  // on all ranks together: a result, not a failure of the program
    ESPALIER_CALL(PetscPrintf(session.comm(), "the prediction ended early: %s\n", error.what()));
  }
  const auto porosity = [&](const at::Tensor& all) { return all.narrow(2, 0, cells); };
  report_errors(session, e, found.defined() ? porosity(found) : found, porosity(truth.slice(0, 1)));
  if (e.output.empty() || !found.defined()) return;
  implicit::InfiltrationTerm true_term(e.grid, true_laws(settings), {});
  write_prediction(session, e, course_of(true_term, truth), course_of(term, at::cat({truth.slice(0, 0, 1), found})));
}

void evaluate_laws(core::Session& session, const Evaluation& e, const implicit::InfiltrationLaws& learnt,
                   const Settings& settings) {
  const Ranges ranges = ranges_of(e);
  const auto known = laws_of(true_laws(settings));
  const auto found = laws_of(learnt);
  std::vector<Table> tables;
  for (std::size_t k = 0; k < known.size(); ++k) {
    const double* range = law_names()[k] == "rate" ? ranges.temperature : ranges.porosity;
    Table table;
    table.argument = at::linspace(range[0], range[1], law_points, at::kDouble);
    table.truth = nn::values_of(*known[k], table.argument);
    table.learnt = nn::values_of(*found[k], table.argument);
    session.report().metric("operator_error_" + law_names()[k], table.error());
    ESPALIER_CALL(PetscPrintf(session.comm(), "relative L1 error of the %s between %.3f and %.3f: %.2f %%\n",
                              law_names()[k].c_str(), range[0], range[1], 100 * table.error()));
    tables.push_back(std::move(table));
  }
  if (e.output.empty()) return;
  core::agree(session.comm(), [&] {
    if (session.rank() == 0) write_tables(e.output + "/operators.h5", tables);
  });
}

}  // namespace cvi
