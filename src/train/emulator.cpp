#include "espalier/train/emulator.hpp"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <random>
#include <sstream>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/random_draws.hpp"
#include "espalier/io/files.hpp"
#include "espalier/nn/network_node.hpp"
#include "espalier/train/chain_objective.hpp"
#include "espalier/train/gradient_check.hpp"
#include "espalier/train/grid_states.hpp"
#include "espalier/train/rollout.hpp"
#include "espalier/train/trainer.hpp"

namespace espalier::train {

namespace {

constexpr double pi = 3.14159265358979323846;
const std::vector<std::string> norm_names = {"reference", "first"};
constexpr const char* axis_names[] = {"x", "y", "z"};

/// The parts of an experiment at work together.
class Course {
 public:
  Course(core::Session& session, Emulator& experiment);

  void converge_physics();
  void train();
  void check_gradient();
  double validation_error() const;

 private:
  Chain chain();
  WindowDataset windows(std::int64_t first, std::int64_t count) const;
  void report(const TrainResult& result, const Refinement& refinement);
  void write_prediction() const;
  std::string fingerprint() const;

  core::Session& session_;
  Emulator& e_;
  at::Tensor states_;  // [R, T, cells]
  PhysicsStep physics_;
  std::shared_ptr<nn::Network> network_;
  ChainObjective objective_;
};

Course::Course(core::Session& session, Emulator& experiment)
    : session_(session),
      e_(experiment),
      physics_(experiment.grid, 1, experiment.make_solver),
      network_(experiment.network.make(!experiment.settings.grad_check)),
      objective_(network_->parameters(), chain()) {
  const io::GridQuantity& state = e_.data.quantity("state");
  const auto steps = static_cast<long>(e_.data.times.size()) - 1;
  ESPALIER_REQUIRE(e_.settings.steps <= steps, "-emulator_steps " + std::to_string(e_.settings.steps) +
                                                   ": the data hold only " + std::to_string(steps) + " steps");
  states_ = at::tensor(at::ArrayRef<double>(state.values), at::kDouble)
                .view({static_cast<std::int64_t>(e_.data.trajectories), steps + 1, -1});
}

// u_0 -> P_K(f(u_0; theta)).
Chain Course::chain() {
  Chain chain;
  chain.states = [this](const at::Tensor& u0, std::int64_t) {
    return physics_(nn::evaluate_as_node(*network_, 0, u0)).unsqueeze(1);
  };
  chain.counters = [this] { return physics_.counters(); };
  chain.checkpoint_bytes = [this] { return physics_.checkpoint_bytes(); };
  return chain;
}

// Windows (u_0, u_2).
WindowDataset Course::windows(std::int64_t first, std::int64_t count) const {
  const at::Tensor all = states_.narrow(0, first, count);
  return WindowDataset(at::stack({all.select(1, 0), all.select(1, 2)}, 1), 1);
}

double Course::validation_error() const {
  const torch::NoGradGuard no_graph;
  const at::Tensor held_out = states_.narrow(0, e_.samples.training, e_.samples.held_out);
  at::Tensor u = held_out.select(1, 0);
  for (long t = 0; t < e_.settings.steps; ++t) u = nn::evaluate_as_node(*network_, 0, u);
  const at::Tensor reference = held_out.select(1, e_.settings.steps);
  const at::Tensor norm = e_.settings.norm == EmulatorNorm::first ? held_out.select(1, 1) : reference;
  return ((u - reference).square().sum(1) / norm.square().sum(1)).mean().item<double>();
}

// K_eps of the solves that the training begins with: from the true states after the first step.
void Course::converge_physics() {
  implicit::RefinementSettings& control = e_.refinement.control;
  if (e_.refinement.knob != RefinementKnob::iterations || control.kmax > 0) return;
  const double started = MPI_Wtime();
  const Range mine =
      windows(0, e_.samples.training).part_of({0, e_.samples.training}, session_.rank(), session_.size());
  const at::Tensor u1 = states_.select(1, 1).narrow(0, mine.first, mine.count).contiguous();
  control.kmax = iterations_to(physics_, u1, e_.settings.converged, e_.settings.most);
  session_.report().metric("k_eps_seconds", MPI_Wtime() - started);
  ESPALIER_CALL(PetscPrintf(session_.comm(), "%ld iterations converge the physics to a mean relative residual of %g\n",
                            control.kmax, e_.settings.converged));
  ESPALIER_REQUIRE(control.k0 <= control.kmax, "-prdp_k0 " + std::to_string(control.k0) + ": " +
                                                   std::to_string(control.kmax) + " iterations converge the physics");
}

void Course::train() {
  converge_physics();
  Refinement refinement(session_.comm(), e_.refinement, {}, [this](const RefinementLevel& level) {
    if (level.options_changed) physics_.remake_solvers();
    physics_.set_effort(level.forward, level.adjoint);
  });
  const WindowDataset training = windows(0, e_.samples.training);
  const WindowDataset held_out = windows(e_.samples.training, e_.samples.held_out);
  session_.report().metric("parameters", static_cast<double>(objective_.parameters().count()));
  Trainer trainer(session_.comm(), objective_, training, held_out, e_.training, session_.report(), e_.settings.output,
                  fingerprint());
  trainer.add_companion(refinement);
  trainer.set_validation([this] { return validation_error(); }, true);
  report(trainer.train(), refinement);
}

void Course::report(const TrainResult& result, const Refinement& refinement) {
  core::RunReport& report = session_.report();
  refinement.report(report);
  report.metric("validation_error", validation_error());
  report.metric("validation_error_best", result.best.validation);
  report_peak_memory(session_);
  ESPALIER_CALL(PetscPrintf(session_.comm(), "validation error after %ld steps of the network: %.4g, best %.4g\n",
                            e_.settings.steps, validation_error(), result.best.validation));
  if (!e_.settings.output.empty()) write_prediction();
}

// The first held-out trajectory: truth, prediction and error.
void Course::write_prediction() const {
  const torch::NoGradGuard no_graph;
  const at::Tensor truth = states_[e_.samples.training];
  std::vector<at::Tensor> predicted = {truth.narrow(0, 0, 1)};
  while (static_cast<std::int64_t>(predicted.size()) < truth.size(0))
    predicted.push_back(nn::evaluate_as_node(*network_, 0, predicted.back()));
  const at::Tensor prediction = at::cat(predicted);
  io::GridSeries file;
  file.name = e_.title;
  file.axes = e_.data.axes;
  file.times = e_.data.times;
  file.settings = e_.data.settings;
  file.quantities = {{"state_truth", false, true, to_vector(truth)},
                     {"state_prediction", false, true, to_vector(prediction)},
                     {"state_error", false, true, to_vector(prediction - truth)}};
  core::agree(session_.comm(), [&] {
    if (session_.rank() != 0) return;
    const std::string path = e_.settings.output + "/prediction.h5";
    io::write_grid_series(path, file);
    io::write_grid_series_xdmf(path, file);
  });
}

void Course::check_gradient() {
  // As far as the solvers' own tolerances go: incomplete solves have no exact gradient.
  physics_.set_effort({}, {});
  train::check_gradient(session_.comm(), objective_, windows(0, e_.samples.training), session_.report());
}

/// What a restart file must agree with.
std::string Course::fingerprint() const {
  const implicit::RefinementSettings& c = e_.refinement.control;
  std::ostringstream text;
  text << std::setprecision(17) << "network=" << network_->fingerprint() << ";prdp=" << e_.refinement.enabled
       << ";refinement=" << c.tau_step << "," << c.tau_stop << "," << c.ema << "," << c.delta << "," << c.k0 << ","
       << c.dk << "," << c.kmax << ";data=" << e_.data.name << " checksum " << io::checksum(e_.data);
  return text.str();
}

}  // namespace

void EmulatorData::read(core::OptionReader& o) {
  training = o.integer("-data_training", "trajectories for training", static_cast<PetscInt>(training), 1);
  held_out = o.integer("-data_held_out", "trajectories for validation", static_cast<PetscInt>(held_out), 1);
  seed = o.integer("-data_seed", "seed of the initial states", static_cast<PetscInt>(seed), 0);
  folder = o.text("-data_dir", "folder where generated reference data is cached", folder);
}

io::Attributes EmulatorData::settings() const {
  return {{"training", training}, {"held_out", held_out}, {"steps", steps}, {"seed", seed}};
}

void EmulatorSettings::read(core::OptionReader& o) {
  steps = o.integer("-emulator_steps", "how often the network is applied for the validation error",
                    static_cast<PetscInt>(steps), 1);
  norm = static_cast<EmulatorNorm>(o.choice("-emulator_norm",
                                            "what its square is divided by: the reference at the "
                                            "same step, or after the first one",
                                            norm_names, static_cast<std::size_t>(norm)));
  converged = o.positive("-physics_converged", "mean relative residual that converges the physics", converged);
  most = o.integer("-physics_most", "iterations among which the converging number is looked for",
                   static_cast<PetscInt>(most), 1);
  grad_check = o.flag("-grad_check", "check the gradient instead of training", grad_check);
  output = o.text("-output", "folder for restart files and predictions", output);
}

at::Tensor fourier_states(const grid::CellGrid& grid, long modes, const EmulatorData& data) {
  std::mt19937_64 engine(static_cast<std::uint64_t>(data.seed));
  const at::Tensor points = grid.centres();
  std::vector<at::Tensor> waves;
  for (long n = 1; n <= modes; ++n)
    for (unsigned product = 0; product < 1U << grid.dimension(); ++product) {
      at::Tensor wave = at::ones({points.size(0)}, at::kDouble);
      for (int d = 0; d < grid.dimension(); ++d) {
        const at::Tensor phase = 2 * pi * static_cast<double>(n) * points.select(1, d);
        wave = wave * ((product >> d & 1U) != 0 ? phase.cos() : phase.sin());
      }
      waves.push_back(wave);
    }
  const at::Tensor amplitudes = at::empty({data.trajectories(), static_cast<std::int64_t>(waves.size())}, at::kDouble);
  auto* a = amplitudes.data_ptr<double>();
  for (std::int64_t i = 0; i < amplitudes.numel(); ++i) a[i] = 2 * core::uniform_unit(engine) - 1;
  return at::matmul(amplitudes, at::stack(waves));
}

io::GridSeries roll_out(const std::string& name, const grid::CellGrid& grid, const at::Tensor& initial,
                        const EmulatorData& data, const io::Attributes& settings, const Stepper& step,
                        const data::ProgressCallback& progress) {
  const torch::NoGradGuard no_graph;
  io::GridSeries series;
  series.name = name;
  series.settings = settings;
  series.trajectories = static_cast<std::size_t>(initial.size(0));
  for (int d = grid.dimension(); d-- > 0;) {
    io::GridAxis axis{axis_names[d], {}};
    for (PetscInt i = 0; i < grid.axis(d).cells; ++i)
      axis.centres.push_back(grid.axis(d).lower + (static_cast<double>(i) + 0.5) * grid.spacing(d));
    series.axes.push_back(std::move(axis));
  }
  std::vector<at::Tensor> states = {initial};
  for (long t = 0; t < data.steps; ++t) {
    states.push_back(step(states.back()));
    progress(t + 1, data.steps);
  }
  for (std::size_t t = 0; t < states.size(); ++t) series.times.push_back(static_cast<double>(t));
  series.time_unit = "steps";
  series.quantities = {{"state", true, true, to_vector(at::stack(states, 1))}};
  return series;
}

void read_emulator(MPI_Comm comm, Emulator& e, const std::string& prefix,
                   const std::function<void(core::OptionReader&)>& own) {
  e.refinement.read(comm);
  e.training = TrainerOptions::from_options(comm, e.training);
  e.refinement.check(e.training);
  core::read_options(comm, e.title, [&](core::OptionReader& o) {
    own(o);
    e.samples.read(o);
    e.settings.read(o);
  });
  e.samples.steps = std::max({e.samples.steps, e.settings.steps, 2L});
  e.network.mlp.seed = e.network.resnet.seed = e.training.seed;
  e.network.read(comm);
  core::reject_unknown_options({prefix, "-prdp", "-train_", "-network_", "-data_training", "-data_held", "-data_seed",
                                "-data_dir", "-emulator_", "-physics_converged", "-physics_most", "-grad_", "-output",
                                "-report"});
}

void train_emulator(core::Session& session, Emulator& e) {
  session.report().set_seed(static_cast<long>(e.training.seed));
  session.report().set_method("mixed chain");
  io::prepare_output(session.comm(), e.settings.output);
  Course course(session, e);
  if (e.settings.grad_check) return course.check_gradient();
  course.train();
}

}  // namespace espalier::train
