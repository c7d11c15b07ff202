#include "espalier/train/field_inference.hpp"

#include <iomanip>
#include <sstream>

#include "espalier/core/error.hpp"
#include "espalier/core/machine.hpp"
#include "espalier/io/files.hpp"
#include "espalier/model/grid_fields.hpp"
#include "espalier/train/gradient_check.hpp"
#include "espalier/train/grid_states.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "espalier/train/trainer.hpp"
#include "field_evaluation.hpp"

namespace espalier::train {

namespace {

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

std::unique_ptr<RolloutObjective> make_objective(MPI_Comm comm, const FieldInference& e,
                                                 const std::shared_ptr<model::Term>& term,
                                                 const std::vector<double>& times) {
  const model::SplitSystem system{nullptr, term};
  if (!e.chain) return std::make_unique<IntegratorObjective>(comm, system, nullptr, e.integrator, times);
  ImplicitSettings solves = e.solves;
  solves.method = e.integrator.method;
  solves.step = e.integrator.step;
  solves.fit_steps = e.integrator.fit_steps;
  return std::make_unique<ImplicitObjective>(comm, system, solves, times);
}

/// The true fields at this rank's cells, for the model.
std::shared_ptr<model::CoefficientFields> true_fields(const FieldInference& e, const LocalData& data) {
  ESPALIER_REQUIRE(e.motion == model::Motion::steady,
                   "-evaluation_true_fields: the data hold moving fields at some times only: for steady ones");
  std::vector<at::Tensor> rows;
  for (const std::string& name : e.field.names) rows.push_back(data.local(e.data.quantity(name)));
  return std::make_shared<model::GridFields>(e.field.names, at::cat(rows));
}

void check_field_gradient(core::Session& session, const FieldInference& e, const WindowDataset& windows,
                          const std::vector<double>& times) {
  ESPALIER_REQUIRE(!e.chain, "-grad_check is for the integrator's adjoint: leave out -step_by chain");
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
  if (e.chain) text << ";steps=chain of solves";
  return text.str();
}

double largest(MPI_Comm comm, double value) {
  MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_MAX, comm);
  return value;
}

void report_work(core::Session& session, const RolloutObjective& objective, double rss_before) {
  report_peak_memory(session);
  session.report().metric("rss_before_training_mb", largest(session.comm(), rss_before));
  session.report().metric("peak_rss_growth_mb", largest(session.comm(), core::peak_memory_mb() - rss_before));
  if (const auto* chain = dynamic_cast<const ImplicitObjective*>(&objective))
    session.report().metric("step_iterations", static_cast<double>(chain->iterations()));
}

void train_fields(core::Session& session, const FieldInference& e, const LocalData& data,
                  const std::vector<std::int64_t>& labels, const WindowDataset& windows, RolloutObjective& objective,
                  const FieldModel& model) {
  const std::int64_t intervals = windows.intervals();
  const auto count = static_cast<long long>(objective.parameters().count());
  session.report().metric("parameters", static_cast<double>(count));
  ESPALIER_CALL(PetscPrintf(session.comm(),
                            "%s: %s, %lld parameters, method %s, %lld cells, %lld labels of %lld trajectories\n",
                            e.title.c_str(), model.fields->field().fingerprint().c_str(), count,
                            e.integrator.method.c_str(), static_cast<long long>(e.grid->global_cells()),
                            static_cast<long long>(intervals), static_cast<long long>(e.settings.training)));
  // Trajectories that are not observed take no part in the choice of the best epoch either.
  const WindowDataset nothing =
      WindowDataset::spread(data.observed(labels).narrow(0, 0, 0), e.grid->global_cells(), intervals);
  const double rss_before = core::resident_memory_mb();
  Trainer trainer(session.comm(), objective, windows, nothing, e.training, session.report(), e.settings.output,
                  fingerprint(e, model));
  trainer.report_best(trainer.train());
  report_work(session, objective, rss_before);
}

}  // namespace

void FieldInferenceSettings::read(core::OptionReader& o) {
  label_times = o.reals("-label_times", "when states are observed, after the initial ones at time 0", label_times);
  evaluation_times = o.reals("-evaluation_times", "when predictions are compared with the truth", evaluation_times);
  true_fields = o.flag("-evaluation_true_fields", "no training: predict with the true fields", true_fields);
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
    chain = o.choice("-step_by", "chain: steps are solves in torch's graph, for comparison", {"integrator", "chain"},
                     chain ? 1 : 0) == 1;
  });
  solves.read(comm);
  integrator.dump_directory = settings.output;
  core::reject_unknown_options({prefix, "-train_", "-field_", "-data_", "-label_", "-evaluation_", "-grad_",
                                "-training_", "-output", "-method", "-report"});
  // Solvers read theirs (-step_snes_*, -step_ksp_*, -step_pc_*, -step_adjoint_*) when they are made.
  core::reject_unknown_options({"-step_b", "-step_d", "-step_g", "-step_i", "-step_j", "-step_so"});
}

void infer_fields(core::Session& session, const FieldInference& e) {
  session.report().set_seed(static_cast<long>(e.training.seed));
  session.report().set_method(e.integrator.method);
  io::prepare_output(session.comm(), e.settings.output);
  const LocalData data(e);
  const std::vector<std::int64_t> labels = indices_of(e.data, e.settings.label_times, "-label_times");
  const std::vector<double> times = times_at(e.data, labels);
  const WindowDataset windows =
      WindowDataset::spread(data.observed(labels), e.grid->global_cells(), static_cast<std::int64_t>(times.size()) - 1);
  if (e.settings.grad_check) {
    check_field_gradient(session, e, windows, times);
    return;
  }
  Evaluation evaluation(session, e, data);
  if (e.settings.true_fields) {
    const auto fields = true_fields(e, data);
    const auto objective = make_objective(session.comm(), e, e.make_term(e.grid, fields), times);
    evaluation.run(*objective, *fields);
    return;
  }
  const FieldModel model = make_model(e, e.field.single_precision);
  const auto objective = make_objective(session.comm(), e, model.term, times);
  train_fields(session, e, data, labels, windows, *objective, model);
  evaluation.run(*objective, *model.fields);
}

}  // namespace espalier::train
