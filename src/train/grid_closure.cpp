#include "espalier/train/grid_closure.hpp"

#include <ATen/ATen.h>
#include <torch/utils.h>

#include <iomanip>
#include <limits>
#include <sstream>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/rank_groups.hpp"
#include "espalier/io/files.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/model/sum_term.hpp"
#include "espalier/train/gradient_check.hpp"
#include "espalier/train/grid_states.hpp"
#include "espalier/train/integrator_objective.hpp"
#include "espalier/train/rollout.hpp"
#include "espalier/train/trainer.hpp"

namespace espalier::train {

namespace {

struct ClosureModel {
  std::shared_ptr<nn::Network> network;
  std::shared_ptr<model::NeuralTerm> closure;  ///< G
  model::SplitSystem system;
};

/// The last layer begins with `factor` times its random parameters: zero is the equation without the network.
void scale_last_layer(nn::FlatParameters& parameters, double factor) {
  const torch::NoGradGuard no_grad;
  const auto& tensors = parameters.tensors();
  for (std::size_t last = tensors.size() - 2; last < tensors.size(); ++last) at::Tensor(tensors[last]).mul_(factor);
  parameters.mark_changed();
}

/// An experiment under way: what all its steps need.
class Course {
 public:
  Course(core::Session& session, const std::string& title, const ClosureProblem& problem,
         const GridClosureSettings& settings)
      : session_(session), title_(title), problem_(problem), s_(settings), groups_(session.comm(), settings.groups) {
    io::prepare_output(session.comm(), s_.output);
    grid_ = std::make_shared<const grid::CellGrid>(groups_.domain(), problem.axes, problem.stencil_width,
                                                   s_.network.alignment());
    file_ = closure_file(problem, s_.data, session.comm());
    std::tie(seen_, unseen_) = split_states(read_states(file_, problem, *grid_), s_.training.fraction);
  }

  WindowDataset windows(const at::Tensor& states) const {
    const auto dof = static_cast<std::int64_t>(problem_.fields.size()) * grid_->global_cells();
    auto all = WindowDataset::spread(states, dof, s_.training.window);
    all.deal_to_groups(groups_.index(), groups_.count());
    return all;
  }

  void check_gradient() const;
  void train();

 private:
  double end_time() const { return static_cast<double>(unseen_.size(1) - 1) * s_.data.interval; }
  ClosureModel make_model(const nn::GridNetworkSettings& network, bool allow_single, double last_layer) const;
  std::string fingerprint(const nn::Network& network) const;
  void measure_without_closure(Trainer& trainer, IntegratorObjective& objective, nn::FlatParameters& parameters,
                               const WindowDataset& windows) const;
  Rollout roll_out_unseen(IntegratorObjective& objective, const std::string& label) const;
  double end_error(const Rollout& rollout) const;
  void predict(IntegratorObjective& objective) const;
  void write_prediction(const at::Tensor& predicted) const;

  core::Session& session_;
  const std::string& title_;
  const ClosureProblem& problem_;
  const GridClosureSettings& s_;
  core::RankGroups groups_;
  std::shared_ptr<const grid::CellGrid> grid_;
  std::string file_;
  at::Tensor seen_;    // [R, T, fields * local cells]
  at::Tensor unseen_;  // of the trajectories that are held out
};

ClosureModel Course::make_model(const nn::GridNetworkSettings& network, bool allow_single, double last_layer) const {
  ClosureModel m;
  m.network = network.make(grid_, allow_single);
  scale_last_layer(m.network->parameters(), last_layer);
  m.closure = std::make_shared<model::NeuralTerm>(m.network);
  m.system = problem_.known(grid_);
  std::vector<std::shared_ptr<model::Term>> terms = {m.closure};
  if (m.system.explicit_part) terms.push_back(m.system.explicit_part);
  m.system.explicit_part = std::make_shared<model::SumTerm>(terms);
  return m;
}

std::string Course::fingerprint(const nn::Network& network) const {
  std::ostringstream text;
  text << std::setprecision(17) << "network=" << network.fingerprint() << ";method=" << s_.integrator.method
       << ";step=" << s_.integrator.step;
  if (!problem_.model.empty()) text << ";" << problem_.model;
  for (const auto& [name, value] : closure_attributes(problem_, s_.data))
    text << ";data " << name << "=" << io::describe(value);
  return text.str();
}

void Course::check_gradient() const {
  ESPALIER_REQUIRE(s_.groups == 1, "-grad_check needs all ranks on one grid: leave out -groups");
  const WindowDataset samples = windows(seen_);
  // Tests along random directions leave the range of an expansion soon: short steps, two from state to state.
  CheckedExperiment checked;
  checked.integrator = s_.integrator;
  checked.integrator.step = s_.integrator.step / 10;
  for (std::int64_t k = 0; k <= samples.intervals(); ++k)
    checked.times.push_back(static_cast<double>(2 * k) * checked.integrator.step);
  checked.single_precision = s_.network.resnet.single_precision;
  checked.has_kinks = s_.network.kind != nn::GridNetworkKind::pointwise;
  checked.make_model = [&](const ModelVariant& variant) {
    nn::GridNetworkSettings network = s_.network;
    if (variant.smooth) network.kind = nn::GridNetworkKind::pointwise;
    const ClosureModel m = make_model(network, variant.single_precision, 0.01);
    CheckedModel model{m.system, m.closure, {{"closure", m.closure}}};
    if (m.system.implicit_part) model.terms.emplace_back("implicit", m.system.implicit_part);
    return model;
  };
  train::check_gradient(session_.comm(), checked, samples, session_.report());
}

/// Both errors if the network is silent.
void Course::measure_without_closure(Trainer& trainer, IntegratorObjective& objective, nn::FlatParameters& parameters,
                                     const WindowDataset& windows) const {
  const at::Tensor values = parameters.values().detach().clone();
  scale_last_layer(parameters, 0);
  const double error = trainer.error(windows);
  const double end = end_error(roll_out_unseen(objective, "trajectories without the network"));
  parameters.values().copy_(values);
  parameters.mark_changed();
  session_.report().metric("error_without_closure", error);
  session_.report().metric("rollout_error_without_closure", end);
  ESPALIER_CALL(PetscPrintf(session_.comm(),
                            "without the network: held-out error %.5g, relative L2 error %.4g at time %g\n", error, end,
                            end_time()));
}

void Course::train() {
  const ClosureModel m = make_model(s_.network, true, 0);
  IntegratorObjective objective(groups_.domain(), m.system, m.closure, s_.integrator, s_.data.interval);
  const auto count = static_cast<long long>(objective.parameters().count());
  session_.report().metric("parameters", static_cast<double>(count));
  ESPALIER_CALL(PetscPrintf(session_.comm(), "%s: %s, %lld parameters, method %s, %d groups of %d x %d x %d ranks\n",
                            title_.c_str(), m.network->fingerprint().c_str(), count, s_.integrator.method.c_str(),
                            groups_.count(), static_cast<int>(grid_->parts()[0]), static_cast<int>(grid_->parts()[1]),
                            static_cast<int>(grid_->parts()[2])));
  const WindowDataset samples = windows(seen_);
  const WindowDataset held_out = windows(unseen_);
  Trainer trainer(session_.comm(), objective, samples, held_out, s_.training, session_.report(), s_.output,
                  fingerprint(*m.network));
  if (held_out.size() > 0) measure_without_closure(trainer, objective, m.network->parameters(), held_out);
  trainer.report_best(trainer.train());
  if (held_out.size() > 0) predict(objective);
  report_peak_memory(session_);
}

/// Integrates the held-out trajectories from their first states to their last ones.
Rollout Course::roll_out_unseen(IntegratorObjective& objective, const std::string& label) const {
  return roll_out(groups_.domain(), objective, unseen_.select(1, 0).contiguous(), unseen_.size(1) - 1, label);
}

/// Mean relative L2 error at the end; infinite if it was not reached.
double Course::end_error(const Rollout& rollout) const {
  if (!rollout.complete()) return std::numeric_limits<double>::infinity();
  return relative_l2_errors(groups_.domain(), rollout.states[-1], unseen_.select(1, -1)).mean().item<double>();
}

void Course::predict(IntegratorObjective& objective) const {
  const Rollout rollout = roll_out_unseen(objective, "held-out trajectories");
  const double error = end_error(rollout);
  session_.report().metric("rollout_error", error);
  ESPALIER_CALL(
      PetscPrintf(session_.comm(), "held-out trajectories: relative L2 error %.4g at time %g\n", error, end_time()));
  if (!s_.output.empty() && groups_.index() == 0) write_prediction(rollout.states.transpose(0, 1));
}

/// predicted: [R, K + 1, fields * local cells].
void Course::write_prediction(const at::Tensor& predicted) const {
  const core::EventScope event(core::Event::io);
  const std::int64_t times = predicted.size(1);
  io::GridSeries header = io::GridSeriesReader(groups_.domain(), file_).header();
  header.times.resize(static_cast<std::size_t>(times));
  header.trajectories = 1;
  header.quantities.clear();
  for (const std::string& field : problem_.fields)
    for (const char* suffix : {"", "_true"}) header.quantities.push_back({field + suffix, false, true, {}, "1"});
  io::GridSeriesWriter writer(groups_.domain(), s_.output + "/prediction.h5", header, box_of(*grid_));
  for (const auto& [states, suffix] : {std::pair(predicted[0], ""), std::pair(unseen_[0], "_true")})
    for (std::size_t field = 0; field < problem_.fields.size(); ++field) {
      const at::Tensor values = states.narrow(0, 0, times)
                                    .reshape({times, -1, grid_->local_cells()})
                                    .select(1, static_cast<std::int64_t>(field))
                                    .contiguous();
      writer.write(problem_.fields[field] + suffix, {}, {}, values.data_ptr<double>());
    }
  writer.commit(true);
}

}  // namespace

GridClosureSettings::GridClosureSettings() {
  network.kind = nn::GridNetworkKind::resnet;
  network.resnet.hidden = 8;
  network.resnet.blocks = 2;
  network.mlp.widths = {32, 32};
  network.mlp.activation = nn::Activation::tanh;
  integrator.method = "3";
  integrator.jacobian = ts::Jacobian::assembled;
  training.batch_size = 8;
  training.lr = 3e-4;
  training.window = 2;
}

void GridClosureSettings::read(MPI_Comm comm, const std::string& title, const std::string& prefix, std::int64_t fields,
                               bool periodic, const std::function<void(core::OptionReader&)>& own) {
  groups = core::RankGroups::read(comm);
  integrator.read(comm);
  training = TrainerOptions::from_options(comm, training);
  network.resnet.channels_in = network.resnet.channels_out = fields;
  network.resnet.seed = network.mlp.seed = training.seed;
  network.read_for_grid(comm, periodic);
  core::read_options(comm, title, [&](core::OptionReader& o) {
    own(o);
    data.read(o);
    output = o.text("-output", "folder for restart files and prediction.h5; empty: nothing is written", output);
    grad_check = o.flag("-grad_check", "check the gradient instead of training", grad_check);
  });
  integrator.dump_directory = output;
  core::reject_unknown_options({prefix, "-closure_", "-train_", "-network_", "-data_dir", "-data_seed", "-data_step",
                                "-grad_", "-groups", "-output", "-method", "-deterministic", "-report"});
}

void learn_closure(core::Session& session, const std::string& title, const ClosureProblem& problem,
                   const GridClosureSettings& settings) {
  session.report().set_seed(static_cast<long>(settings.training.seed));
  session.report().set_method(settings.integrator.method);
  Course course(session, title, problem, settings);
  if (settings.grad_check) {
    course.check_gradient();
  } else {
    course.train();
  }
}

}  // namespace espalier::train
