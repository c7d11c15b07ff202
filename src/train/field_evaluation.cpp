#include "field_evaluation.hpp"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/train/grid_states.hpp"
#include "espalier/train/rollout.hpp"

namespace espalier::train {

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

at::Tensor select(const at::Tensor& states, const std::vector<std::int64_t>& indices) {
  return states.index_select(1, torch::tensor(indices, torch::kInt64));
}

/// |prediction - truth| / |truth| over all cells of all ranks, for each row.
struct RelativeErrors {
  at::Tensor l1;
  at::Tensor l2;
};

RelativeErrors relative_errors(MPI_Comm comm, const at::Tensor& prediction, const at::Tensor& truth) {
  return {relative_l1_errors(comm, prediction, truth), relative_l2_errors(comm, prediction, truth)};
}

}  // namespace

LocalData::LocalData(const FieldInference& e) : e_(e) {
  const io::GridQuantity& state = e.data.quantity("state");
  ESPALIER_REQUIRE(state.by_trajectory && state.by_time, e.data.name +
                                                             ": the quantity 'state' needs the axes "
                                                             "trajectory and time");
  const auto trajectories = static_cast<std::int64_t>(e.data.trajectories);
  ESPALIER_REQUIRE(e.settings.training <= trajectories, "-training_trajectories " +
                                                            std::to_string(e.settings.training) +
                                                            ": the data hold only " + std::to_string(trajectories));
  states_ = local_part(e.data, state, *e.grid);
}

at::Tensor LocalData::local(const io::GridQuantity& quantity) const {
  const auto rows = static_cast<std::int64_t>(quantity.values.size() / e_.data.cells());
  return local_part(e_.data, quantity, *e_.grid).view({rows, e_.grid->local_cells()});
}

at::Tensor LocalData::observed(const std::vector<std::int64_t>& indices) const {
  return select(states_.narrow(0, 0, e_.settings.training), indices);
}

at::Tensor LocalData::all(const std::vector<std::int64_t>& indices) const { return select(states_, indices); }

Evaluation::Evaluation(core::Session& session, const FieldInference& e, const LocalData& data)
    : session_(session),
      e_(e),
      data_(data),
      places_(indices_of(e.data, e.settings.evaluation_times, "-evaluation_times")),
      times_(times_at(e.data, places_)) {}

void Evaluation::run(RolloutObjective& objective, model::CoefficientFields& fields) {
  const core::StageScope stage("Prediction");
  const at::Tensor states = data_.all(places_).transpose(0, 1).contiguous();
  const Prediction prediction{predict(objective, states[0]), states.slice(0, 1)};
  report_states(prediction);
  report_fields(fields);
  if (!e_.settings.output.empty()) write(prediction, fields, states[0]);
}

at::Tensor Evaluation::predict(RolloutObjective& objective, const at::Tensor& u0) {
  const double started = MPI_Wtime();
  at::Tensor states;
  try {
    states = objective.predict(u0, times_).clone();
  } catch (const NumericalError& error) {  // on all ranks together: a result, not a failure of the program
    ESPALIER_CALL(PetscPrintf(session_.comm(), "the prediction ended early: %s\n", error.what()));
  }
  session_.report().metric("prediction_seconds", MPI_Wtime() - started);
  return states;
}

void Evaluation::report_states(const Prediction& prediction) {
  const std::int64_t count = e_.settings.training;
  RelativeErrors errors;
  if (prediction.states.defined()) {
    errors = relative_errors(session_.comm(), prediction.states, prediction.truth);
  } else {
    const auto shape = prediction.truth.sizes().slice(0, 2);
    errors = {at::full(shape, infinite, at::kDouble), at::full(shape, infinite, at::kDouble)};
  }
  for (const auto& [norm, all] : {std::make_pair("", errors.l1), std::make_pair("_l2", errors.l2)}) {
    report_group("state_error", norm, all.slice(1, 0, count));
    if (all.size(1) > count) report_group("state_error_ood", norm, all.slice(1, count));
  }
  const auto text = [](const at::Tensor& values) { return 100 * values.mean().item<double>(); };
  ESPALIER_CALL(PetscPrintf(session_.comm(), "relative L1 error of states: %.2f %% observed, %.2f %% unseen\n",
                            text(errors.l1.slice(1, 0, count)), text(errors.l1.slice(1, count))));
}

void Evaluation::report_group(const std::string& name, const std::string& norm, const at::Tensor& errors) {
  session_.report().metric(name + norm, errors.mean().item<double>());
  session_.report().metric(name + "_end" + norm, errors[-1].mean().item<double>());
}

// c at the evaluation times, or once if it is steady: [fields, K, local cells].
at::Tensor Evaluation::inferred(model::CoefficientFields& fields) const {
  std::vector<at::Tensor> moments;
  for (std::size_t k = 0; k < times_.size(); ++k)
    if (fields.moves() || k == 0) moments.push_back(fields.values(times_[k]).clone());
  return at::stack(moments, 1);
}

at::Tensor Evaluation::true_field(const std::string& name) const {
  const io::GridQuantity& quantity = e_.data.quantity(name);
  const at::Tensor all = data_.local(quantity);
  return quantity.by_time ? all.index_select(0, torch::tensor(places_, torch::kInt64)) : all;
}

void Evaluation::report_fields(model::CoefficientFields& fields) {
  const at::Tensor values = inferred(fields);
  for (std::size_t k = 0; k < fields.names().size(); ++k) {
    const std::string& name = fields.names()[k];
    const RelativeErrors errors =
        relative_errors(session_.comm(), values[static_cast<std::int64_t>(k)], true_field(name));
    const double l1 = errors.l1.mean().item<double>();
    session_.report().metric("field_error_" + name, l1);
    session_.report().metric("field_error_" + name + "_l2", errors.l2.mean().item<double>());
    ESPALIER_CALL(PetscPrintf(session_.comm(), "relative L1 error of %s: %.2f %%\n", name.c_str(), 100 * l1));
  }
}

// Truth, prediction and error of `name`, [K, local cells] each, with NaN for what is not there.
void Evaluation::add(io::GridSeries& file, const std::string& name, const at::Tensor& truth,
                     const at::Tensor& prediction) const {
  const at::Tensor found = prediction.defined() ? prediction : at::full_like(truth, std::nan(""));
  const auto gather = [&](const char* what, const at::Tensor& local) {
    const at::Tensor whole = e_.grid->gather_natural(local.contiguous());
    file.quantities.push_back({name + what, false, local.size(0) > 1, to_vector(whole)});
  };
  gather("_truth", truth);
  gather("_prediction", found);
  gather("_error", found - truth);
}

void Evaluation::write(const Prediction& prediction, model::CoefficientFields& fields, const at::Tensor& initial) {
  io::GridSeries file;
  file.name = e_.title;
  file.axes = e_.data.axes;
  file.times = times_;
  file.settings = e_.data.settings;
  const auto course = [&](const at::Tensor& states, std::int64_t r) {
    return states.defined() ? at::cat({initial[r].unsqueeze(0), states.select(1, r)}) : at::Tensor();
  };
  const auto group = [&](const std::string& name, std::int64_t r) {
    add(file, name, course(prediction.truth, r), course(prediction.states, r));
  };
  group("state", 0);
  if (initial.size(0) > e_.settings.training) group("state_unseen", e_.settings.training);
  const at::Tensor values = inferred(fields);
  for (std::size_t k = 0; k < fields.names().size(); ++k)
    add(file, fields.names()[k], true_field(fields.names()[k]), values[static_cast<std::int64_t>(k)]);
  core::agree(session_.comm(), [&] {
    if (session_.rank() != 0) return;
    const std::string path = e_.settings.output + "/prediction.h5";
    io::write_grid_series(path, file);
    io::write_grid_series_xdmf(path, file);
  });
}

}  // namespace espalier::train
