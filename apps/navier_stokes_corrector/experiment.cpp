#include "experiment.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/io/files.hpp"
#include "espalier/train/gradient_check.hpp"
#include "espalier/train/grid_states.hpp"
#include "espalier/train/rollout.hpp"
#include "espalier/train/trainer.hpp"
#include "model.hpp"

using namespace espalier;

namespace navier_stokes_corrector {

namespace {

constexpr std::int64_t intervals = 2;  // of a training sample

at::Tensor states_of(const io::GridSeries& data) {
  std::vector<at::Tensor> velocities;
  for (const char* name : {"u", "v"})
    velocities.push_back(
        at::tensor(at::ArrayRef<double>(data.quantity(name).values), at::kDouble)
            .view({static_cast<std::int64_t>(data.trajectories), static_cast<std::int64_t>(data.times.size()), -1}));
  return at::cat(velocities, 2);
}

/// The parts of an experiment at work together.
class Course {
 public:
  Course(core::Session& session, Experiment& experiment);

  void train();
  void check_gradient();

 private:
  train::WindowDataset windows(std::int64_t first, std::int64_t count) const;
  /// This rank's part of the trajectories first, ..., first + count - 1.
  at::Tensor own(std::int64_t first, std::int64_t count) const;
  void converge_physics();
  double error(bool with_network);
  void report(const train::TrainResult& result, const train::Refinement& refinement);
  void write_prediction();
  std::string fingerprint() const;

  core::Session& session_;
  Experiment& e_;
  io::GridSeries data_;
  at::Tensor states_;  // [R, T, 2 cells]
  std::shared_ptr<nn::Network> network_;
  HybridModel model_;
  train::ChainObjective objective_;
};

Course::Course(core::Session& session, Experiment& experiment)
    : session_(session),
      e_(experiment),
      data_(reference(experiment.flow, experiment.samples, session.comm())),
      states_(states_of(data_)),
      network_(std::make_shared<nn::Resnet>(experiment.network)),
      model_(unit_square(session.comm(), experiment.flow.cells), experiment.flow, network_),
      objective_(network_->parameters(), model_.chain()) {}

train::WindowDataset Course::windows(std::int64_t first, std::int64_t count) const {
  return train::WindowDataset(states_.narrow(0, first, count).narrow(1, 0, intervals + 1).contiguous(), intervals);
}

at::Tensor Course::own(std::int64_t first, std::int64_t count) const {
  const train::Range mine = train::rank_slice({first, count}, session_.rank(), session_.size());
  return states_.narrow(0, mine.first, mine.count);
}

// K_eps of the solves that the training begins with: those of a batch of initial states.
void Course::converge_physics() {
  const double started = MPI_Wtime();
  const long samples = std::min(static_cast<long>(e_.training.batch_size), e_.samples.training);
  const long k_eps = model_.converge(own(0, samples).select(1, 0), e_.converged, e_.most);
  session_.report().metric("k_eps_seconds", MPI_Wtime() - started);
  ESPALIER_CALL(PetscPrintf(session_.comm(), "%ld cycles converge the physics to a mean relative residual of %g\n",
                            k_eps, e_.converged));
  implicit::RefinementSettings& control = e_.refinement.control;
  if (e_.refinement.knob != train::RefinementKnob::iterations || control.kmax > 0) return;
  control.kmax = k_eps;
  ESPALIER_REQUIRE(control.k0 <= k_eps, "-prdp_k0 " + std::to_string(control.k0) + ": " + std::to_string(k_eps) +
                                            " cycles converge the physics");
}

// mean of |u_T - reference|^2 / |reference|^2
double Course::error(bool with_network) {
  const at::Tensor truth = own(e_.samples.training, e_.samples.held_out);
  const std::int64_t cells = truth.size(2) / 2;
  const auto velocity = [&](const at::Tensor& states) { return states.select(1, e_.steps).narrow(1, 0, cells); };
  const at::Tensor u = velocity(model_.roll_out(truth.select(1, 0), e_.steps, with_network));
  const at::Tensor wanted = velocity(truth);
  double sum = ((u - wanted).square().sum(1) / wanted.square().sum(1)).sum().item<double>();
  MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, session_.comm());
  return sum / static_cast<double>(e_.samples.held_out);
}

void Course::train() {
  converge_physics();
  train::Refinement refinement(session_.comm(), e_.refinement, {}, [this](const train::RefinementLevel& level) {
    if (level.options_changed) model_.physics().remake_solvers();
    model_.physics().set_effort(level.forward, level.adjoint);
  });
  const double solver_error = error(false);
  session_.report().metric("solver_error", solver_error);
  ESPALIER_CALL(
      PetscPrintf(session_.comm(), "error of the solver alone after %ld steps: %.4g\n", e_.steps, solver_error));
  const train::WindowDataset training = windows(0, e_.samples.training);
  const train::WindowDataset held_out = windows(e_.samples.training, e_.samples.held_out);
  session_.report().metric("parameters", static_cast<double>(objective_.parameters().count()));
  train::Trainer trainer(session_.comm(), objective_, training, held_out, e_.training, session_.report(), e_.output,
                         fingerprint());
  trainer.add_companion(refinement);
  trainer.set_validation([this] { return error(true); }, true);
  report(trainer.train(), refinement);
}

void Course::report(const train::TrainResult& result, const train::Refinement& refinement) {
  core::RunReport& report = session_.report();
  refinement.report(report);
  const double last = error(true);
  report.metric("validation_error", last);
  report.metric("validation_error_best", result.best.validation);
  report.metric("ksp_its_validation", static_cast<double>(model_.rollout_iterations()));
  train::report_peak_memory(session_);
  ESPALIER_CALL(PetscPrintf(session_.comm(), "validation error after %ld corrected steps: %.4g, best %.4g\n", e_.steps,
                            last, result.best.validation));
  if (!e_.output.empty()) write_prediction();
}

// The first held-out trajectory: truth, prediction and error of both velocities.
void Course::write_prediction() {
  const at::Tensor truth = states_.narrow(0, e_.samples.training, 1);
  const std::int64_t own_samples = session_.rank() == 0 ? 1 : 0;
  const at::Tensor prediction = model_.roll_out(truth.select(1, 0).narrow(0, 0, own_samples), truth.size(1) - 1, true);
  io::GridSeries file;
  file.name = "Navier-Stokes corrector";
  file.axes = data_.axes;
  file.times = data_.times;
  file.settings = data_.settings;
  core::agree(session_.comm(), [&] {
    if (session_.rank() != 0) return;
    const std::int64_t cells = truth.size(2) / 2;
    for (const std::string name : {"u", "v"}) {
      const auto part = [&](const at::Tensor& states) { return states.narrow(2, name == "u" ? 0 : cells, cells); };
      file.quantities.push_back({name + "_truth", false, true, train::to_vector(part(truth))});
      file.quantities.push_back({name + "_prediction", false, true, train::to_vector(part(prediction))});
      file.quantities.push_back({name + "_error", false, true, train::to_vector(part(prediction - truth))});
    }
    const std::string path = e_.output + "/prediction.h5";
    io::write_grid_series(path, file);
    io::write_grid_series_xdmf(path, file);
  });
}

void Course::check_gradient() {
  // As far as the solvers' own tolerances go: incomplete solves have no exact gradient.
  model_.physics().set_effort({}, {});
  train::check_gradient(session_.comm(), objective_, windows(0, e_.samples.training), session_.report());
}

/// What a restart file must agree with.
std::string Course::fingerprint() const {
  const implicit::RefinementSettings& c = e_.refinement.control;
  std::ostringstream text;
  text << std::setprecision(17) << "network=" << network_->fingerprint() << ";prdp=" << e_.refinement.enabled
       << ";refinement=" << c.tau_step << "," << c.tau_stop << "," << c.ema << "," << c.delta << "," << c.k0 << ","
       << c.dk << "," << c.kmax << ";steps=" << e_.steps << ";data=" << data_.name << " checksum "
       << io::checksum(data_);
  return text.str();
}

}  // namespace

void Experiment::read(MPI_Comm comm) {
  refinement.read(comm);
  training = train::TrainerOptions::from_options(comm, training);
  refinement.check(training);
  core::read_options(comm, "Navier-Stokes corrector", [&](core::OptionReader& o) {
    flow.read(o);
    samples.read(o);
    steps = o.integer("-corrector_steps", "after which the validation error is taken", static_cast<PetscInt>(steps), 1);
    converged = o.positive("-physics_converged", "relative residual of a converged solve", converged);
    most = o.integer("-physics_most", "cycles among which those that converge it are looked for",
                     static_cast<PetscInt>(most), 1);
    grad_check = o.flag("-grad_check", "check the gradient instead of training", grad_check);
    output = o.text("-output", "folder for restart files and predictions", output);
  });
  samples.steps = std::max<long>(steps, intervals);
  fit_network(network, flow.cells);
  network.seed = training.seed;
  network.read(comm);
  if (grad_check) network.single_precision = false;
  core::reject_unknown_options({"-flow_", "-corrector_", "-prdp", "-train_", "-network_", "-data_training",
                                "-data_held", "-data_seed", "-data_dir", "-data_tolerance", "-physics_converged",
                                "-physics_most", "-grad_", "-output", "-report"});
}

void run(core::Session& session, Experiment& experiment) {
  session.report().set_seed(static_cast<long>(experiment.training.seed));
  session.report().set_method("solver in the loop");
  io::prepare_output(session.comm(), experiment.output);
  Course course(session, experiment);
  if (experiment.grad_check) return course.check_gradient();
  course.train();
}

}  // namespace navier_stokes_corrector
