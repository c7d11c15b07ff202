#include "espalier/train/field_inference.hpp"

#include <sys/resource.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/io/files.hpp"
#include "espalier/train/gradient_check.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "espalier/train/rollout.hpp"
#include "espalier/train/trainer.hpp"

namespace espalier::train {

namespace {

constexpr double time_tolerance = 1e-9;
constexpr double infinite = std::numeric_limits<double>::infinity();

/// The network, the fields that it gives at this rank's cells, and the PDE with them.
struct FieldModel {
  std::shared_ptr<model::NeuralFields> fields;
  std::shared_ptr<model::Term> term;
  model::SplitSystem system() const { return {nullptr, term}; }
};

FieldModel make_model(const FieldInference& e, bool single_precision) {
  nn::ConditionalFieldSettings settings = e.field;
  settings.single_precision = single_precision;
  FieldModel model;
  model.fields = std::make_shared<model::NeuralFields>(std::make_shared<nn::ConditionalField>(settings),
                                                       e.grid->centres(), e.motion);
  model.term = e.make_term(e.grid, model.fields);
  return model;
}

// Places of the times among those of the data; at first that of time 0.
std::vector<std::int64_t> places(const io::GridSeries& data, const std::vector<double>& times, const char* option) {
  std::vector<std::int64_t> indices = {0};
  for (const double t : times) {
    const auto near = std::find_if(data.times.begin(), data.times.end(), [&](double known) {
      return std::abs(known - t) <= time_tolerance * (1 + std::abs(t));
    });
    ESPALIER_REQUIRE(near != data.times.end(), std::string(option) + ": the data have no state at time " +
                                                   io::describe(io::Attribute(t)) + ", only from " +
                                                   io::describe(io::Attribute(data.times.front())) + " to " +
                                                   io::describe(io::Attribute(data.times.back())) +
                                                   " at the times of the file's data set 'time'");
    indices.push_back(near - data.times.begin());
    ESPALIER_REQUIRE(indices.back() > indices[indices.size() - 2],
                     std::string(option) + ": times must be positive and increase");
  }
  ESPALIER_REQUIRE(indices.size() > 1, std::string(option) + ": at least one time is needed");
  return indices;
}

std::vector<double> at_places(const std::vector<double>& times, const std::vector<std::int64_t>& indices) {
  std::vector<double> chosen;
  for (const std::int64_t i : indices) chosen.push_back(times[static_cast<std::size_t>(i)]);
  return chosen;
}

/// The data as this rank sees them.
class LocalData {
 public:
  explicit LocalData(const FieldInference& e) : e_(e) {
    const io::GridQuantity& state = e.data.quantity("state");
    ESPALIER_REQUIRE(state.by_trajectory && state.by_time, e.data.name +
                                                               ": the quantity 'state' needs the axes "
                                                               "trajectory and time");
    const auto trajectories = static_cast<std::int64_t>(e.data.trajectories);
    ESPALIER_REQUIRE(e.settings.training <= trajectories, "-training_trajectories " +
                                                              std::to_string(e.settings.training) +
                                                              ": the data hold only " + std::to_string(trajectories));
    states_ = local(state).view({trajectories, static_cast<std::int64_t>(e.data.times.size()), -1});
  }

  /// This rank's part of a quantity, [rows, local cells].
  at::Tensor local(const io::GridQuantity& quantity) const {
    const auto cells = static_cast<std::int64_t>(e_.data.cells());
    ESPALIER_REQUIRE(cells == e_.grid->global_cells(), "the data have " + std::to_string(cells) + " cells, the grid " +
                                                           std::to_string(e_.grid->global_cells()));
    const auto rows = static_cast<std::int64_t>(quantity.values.size()) / cells;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): torch has no read-only tensors; part_of() copies.
    auto* values = const_cast<double*>(quantity.values.data());
    return e_.grid->part_of(at::from_blob(values, {rows, cells}, at::kDouble));
  }

  /// States of the observed trajectories at the given places, [training, K, local cells].
  at::Tensor observed(const std::vector<std::int64_t>& indices) const {
    return select(states_.narrow(0, 0, e_.settings.training), indices);
  }
  /// Of all trajectories, [R, K, local cells].
  at::Tensor all(const std::vector<std::int64_t>& indices) const { return select(states_, indices); }

 private:
  static at::Tensor select(const at::Tensor& states, const std::vector<std::int64_t>& indices) {
    return states.index_select(1, torch::tensor(indices, torch::kInt64));
  }

  const FieldInference& e_;
  at::Tensor states_;  // [R, T, local cells]
};

/// |prediction - truth| / |truth| over all cells of all ranks, for each row.
struct RelativeErrors {
  at::Tensor l1;
  at::Tensor l2;
};

RelativeErrors relative_errors(MPI_Comm comm, const at::Tensor& prediction, const at::Tensor& truth) {
  const at::Tensor error = prediction - truth;
  at::Tensor sums =
      at::stack({error.abs().sum(-1), truth.abs().sum(-1), error.square().sum(-1), truth.square().sum(-1)})
          .contiguous();
  MPI_Allreduce(MPI_IN_PLACE, sums.data_ptr<double>(), static_cast<int>(sums.numel()), MPI_DOUBLE, MPI_SUM, comm);
  return {sums[0] / sums[1], (sums[2] / sums[3]).sqrt()};
}

/// What was predicted, and the truth: [K, R, local cells].
struct Prediction {
  at::Tensor states;  // undefined when the model blew up
  at::Tensor truth;
};

class Evaluation {
 public:
  Evaluation(core::Session& session, const FieldInference& e, const LocalData& data)
      : session_(session),
        e_(e),
        data_(data),
        places_(places(e.data, e.settings.evaluation_times, "-evaluation_times")),
        times_(at_places(e.data.times, places_)) {}

  void run(IntegratorObjective& objective, FieldModel& model) {
    const core::StageScope stage("Prediction");
    const at::Tensor states = data_.all(places_).transpose(0, 1).contiguous();
    Prediction prediction{{}, states.slice(0, 1)};
    try {
      prediction.states = objective.predict(states[0], times_).clone();
    } catch (const NumericalError& error) {  // on all ranks together: a result, not a failure of the program
      ESPALIER_CALL(PetscPrintf(session_.comm(), "the prediction ended early: %s\n", error.what()));
    }
    report_states(prediction);
    report_fields(*model.fields);
    if (!e_.settings.output.empty()) write(prediction, *model.fields, states[0]);
  }

 private:
  void report_states(const Prediction& prediction) {
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

  void report_group(const std::string& name, const std::string& norm, const at::Tensor& errors) {
    session_.report().metric(name + norm, errors.mean().item<double>());
    session_.report().metric(name + "_end" + norm, errors[-1].mean().item<double>());
  }

  // c at the evaluation times, or once if it is steady: [fields, K, local cells].
  at::Tensor inferred(model::NeuralFields& fields) const {
    std::vector<at::Tensor> moments;
    for (std::size_t k = 0; k < times_.size(); ++k)
      if (fields.moves() || k == 0) moments.push_back(fields.values(times_[k]).clone());
    return at::stack(moments, 1);
  }

  at::Tensor true_field(const std::string& name) const {
    const io::GridQuantity& quantity = e_.data.quantity(name);
    const at::Tensor all = data_.local(quantity);
    return quantity.by_time ? all.index_select(0, torch::tensor(places_, torch::kInt64)) : all;
  }

  void report_fields(model::NeuralFields& fields) {
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
  void add(io::GridSeries& file, const std::string& name, const at::Tensor& truth, const at::Tensor& prediction) const {
    const at::Tensor found = prediction.defined() ? prediction : at::full_like(truth, std::nan(""));
    const auto gather = [&](const char* what, const at::Tensor& local) {
      const at::Tensor whole = e_.grid->gather_natural(local.contiguous());
      file.quantities.push_back({name + what, false, local.size(0) > 1, to_vector(whole)});
    };
    gather("_truth", truth);
    gather("_prediction", found);
    gather("_error", found - truth);
  }

  void write(const Prediction& prediction, model::NeuralFields& fields, const at::Tensor& initial) {
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

  core::Session& session_;
  const FieldInference& e_;
  const LocalData& data_;
  std::vector<std::int64_t> places_;
  std::vector<double> times_;
};

void check_field_gradient(core::Session& session, const FieldInference& e, const WindowDataset& windows,
                          const std::vector<double>& times) {
  CheckedExperiment checked;
  checked.integrator = e.integrator;
  checked.times = times;
  checked.single_precision = e.field.single_precision;
  checked.make_model = [&](const ModelVariant& variant) {
    const FieldModel model = make_model(e, variant.single_precision);
    return CheckedModel{model.system(), nullptr, {{"fields", model.term}}};
  };
  check_gradient(session.comm(), checked, windows, session.report());
}

/// What a restart file must agree with.
std::string fingerprint(const FieldInference& e, const FieldModel& model) {
  std::ostringstream text;
  text << std::setprecision(17) << "network=" << model.fields->field().fingerprint()
       << ";method=" << e.integrator.method << ";step=" << e.integrator.step << ";data=" << e.data.name << " checksum "
       << io::checksum(e.data);
  return text.str();
}

void report_work(core::Session& session, const Counters& counters) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  double peak = static_cast<double>(usage.ru_maxrss) / 1024;
  MPI_Allreduce(MPI_IN_PLACE, &peak, 1, MPI_DOUBLE, MPI_MAX, session.comm());
  session.report().metric("peak_rss_mb", peak);
  session.report().metric("ksp_its_forward", static_cast<double>(counters.ksp_its_forward));
  session.report().metric("ksp_its_adjoint", static_cast<double>(counters.ksp_its_adjoint));
}

}  // namespace

void FieldInferenceSettings::read(core::OptionReader& o) {
  label_times = o.reals("-label_times", "when states are observed, after the initial ones at time 0", label_times);
  evaluation_times = o.reals("-evaluation_times", "when predictions are compared with the truth", evaluation_times);
  training = o.integer("-training_trajectories", "trajectories that are observed", static_cast<PetscInt>(training), 1);
  output = o.text("-output", "folder for restart files, prediction.h5 and figures; empty: nothing is written", output);
  grad_check = o.flag("-grad_check", "check the gradient instead of training", grad_check);
}

FieldInference::FieldInference() {
  integrator.method = "cn";
  integrator.step = 0.01;
  integrator.fit_steps = true;
  training.epochs = 2000;
  training.batch_size = 5;
  training.optimiser.name = "adam";
  training.lr = 1e-4;
  training.restart_every = 500;
}

void FieldInference::read(MPI_Comm comm, FieldDataSettings& data_settings, const std::string& prefix,
                          const std::function<void(core::OptionReader&)>& own) {
  integrator.read(comm);
  training = TrainerOptions::from_options(comm, training);
  field.seed = training.seed;
  core::read_options(comm, title, [&](core::OptionReader& o) {
    own(o);
    data_settings.read(o);
    field.read(o);
    settings.read(o);
  });
  integrator.dump_directory = settings.output;
  core::reject_unknown_options({prefix, "-train_", "-field_", "-data_", "-label_", "-evaluation_", "-grad_",
                                "-training_", "-output", "-method", "-report"});
}

void infer_fields(core::Session& session, const FieldInference& e) {
  session.report().set_seed(static_cast<long>(e.training.seed));
  session.report().set_method(e.integrator.method);
  io::prepare_output(session.comm(), e.settings.output);
  const LocalData data(e);
  const std::vector<std::int64_t> labels = places(e.data, e.settings.label_times, "-label_times");
  const std::vector<double> times = at_places(e.data.times, labels);
  const auto intervals = static_cast<std::int64_t>(times.size()) - 1;
  const WindowDataset windows = WindowDataset::spread(data.observed(labels), e.grid->global_cells(), intervals);
  if (e.settings.grad_check) {
    check_field_gradient(session, e, windows, times);
    return;
  }
  Evaluation evaluation(session, e, data);
  FieldModel model = make_model(e, e.field.single_precision);
  IntegratorObjective objective(session.comm(), model.system(), nullptr, e.integrator, times);
  const nn::ConditionalField& field = model.fields->field();
  session.report().metric("parameters", static_cast<double>(objective.parameters().count()));
  ESPALIER_CALL(
      PetscPrintf(session.comm(), "%s: %s, %lld parameters, method %s, %lld cells, %lld labels of %lld trajectories\n",
                  e.title.c_str(), field.fingerprint().c_str(), static_cast<long long>(objective.parameters().count()),
                  e.integrator.method.c_str(), static_cast<long long>(e.grid->global_cells()),
                  static_cast<long long>(intervals), static_cast<long long>(e.settings.training)));
  // Trajectories that are not observed take no part in the choice of the best epoch either.
  const WindowDataset nothing =
      WindowDataset::spread(data.observed(labels).narrow(0, 0, 0), e.grid->global_cells(), intervals);
  Trainer trainer(session.comm(), objective, windows, nothing, e.training, session.report(), e.settings.output,
                  fingerprint(e, model));
  trainer.report_best(trainer.train());
  report_work(session, objective.counters());
  evaluation.run(objective, model);
}

}  // namespace espalier::train
