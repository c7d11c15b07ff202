#include "espalier/train/trainer.hpp"

#include <petscsys.h>
#include <torch/utils.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "espalier/core/log.hpp"
#include "espalier/core/machine.hpp"
#include "espalier/core/progress.hpp"
#include "espalier/core/session.hpp"
#include "espalier/io/files.hpp"

namespace espalier::train {

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr int epochs_between_releases = 50;

std::string figure(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.5g", value);
  return text.data();
}

TrainerOptions completed(TrainerOptions options) {
  if (options.schedule.horizon == 0) options.schedule.horizon = std::max(1, options.epochs);
  if (!options.stop_requested) options.stop_requested = core::InterruptGuard::interrupted;
  return options;
}

// Adds what was done since `before` to the record of the unfinished epoch.
void add_work(RestartState& state, const Counters& before, const Counters& now, double seconds) {
  const Counters work = now - before;
  state.partial.seconds += seconds;
  state.partial.nfe_forward += work.nfe_forward;
  state.partial.nfe_adjoint += work.nfe_adjoint;
  state.partial.ksp_its_forward += work.ksp_its_forward;
  state.partial.ksp_its_adjoint += work.ksp_its_adjoint;
  state.partial_extra["jvp_forward"] += static_cast<double>(work.jvp_forward);
  state.partial_extra["nfe_recomputed"] += static_cast<double>(work.nfe_recomputed);
  state.partial_extra["factorisations"] += static_cast<double>(work.factorisations);
}

}  // namespace

struct Trainer::Live {
  Live(MPI_Comm comm, RestartState from, long batches, int epochs)
      : state(std::move(from)),
        progress(comm, "Training", epochs * batches, state.epoch * batches + static_cast<long>(state.batch)),
        first_epoch(state.epoch) {
    if (!state.history.empty()) validation = state.history.back().record.validation;
  }

  RestartState state;               // without the tensors that save() adds
  std::vector<std::int64_t> order;  // of the samples in this epoch
  core::Progress progress;
  double validation = not_a_number;  // the last one known
  int first_epoch;                   // of this run
  int saved_epoch = -1;              // of the restart file
  int best_written = -1;             // epoch of the model in the file
};

Trainer::Trainer(MPI_Comm comm, Objective& objective, const WindowDataset& train, const WindowDataset& held_out,
                 TrainerOptions options, core::RunReport& report, std::string output_dir,
                 const std::string& fingerprint)
    : comm_(comm),
      objective_(objective),
      train_(train),
      held_out_(held_out),
      options_(completed(std::move(options))),
      report_(report),
      output_dir_(std::move(output_dir)),
      fingerprint_(fingerprint),
      plan_(train.size(), options_.batch_size, options_.drop_last),
      reduction_(comm, objective.parameters(), options_.deterministic ? SumOrder::ranks : SumOrder::any),
      optimiser_(objective.parameters(), options_.optimiser,
                 options_.shard_optimiser ? reduction_.own_slice() : Range{0, objective.parameters().count()}),
      schedule_(options_.schedule),
      symmetry_(make_symmetry(options_.augment, train.dof())) {
  MPI_Comm_rank(comm, &rank_);
  MPI_Comm_size(comm, &size_);
  ESPALIER_REQUIRE(plan_.count() > 0, std::to_string(train.size()) + " training samples give no full batch of " +
                                          std::to_string(options_.batch_size) +
                                          ": choose a smaller -train_batch_size, or -train_drop_last false");
  ESPALIER_REQUIRE(options_.batch_size >= train.groups() && train.size() >= train.groups(),
                   "-groups " + std::to_string(train.groups()) + " share batches of " +
                       std::to_string(std::min(options_.batch_size, train.size())) +
                       " samples: choose fewer groups, a larger -train_batch_size or more training samples");
  const bool same_shape = held_out.dof() == train.dof() && held_out.intervals() == train.intervals();
  ESPALIER_REQUIRE(held_out.size() == 0 || same_shape, "held-out samples must have the shape of the training samples");
  ESPALIER_REQUIRE(!symmetry_ || !train.is_spread(),
                   "-train_augment " + options_.augment + " is not for states that are spread over the ranks");
  if (!output_dir_.empty())
    core::agree(comm, [&] {
      if (rank_ == 0) io::make_folder(output_dir_);
    });
}

// --- the course of a run --------------------------------------------------------------------------------------------

TrainResult Trainer::train() {
  const core::InterruptGuard guard;
  started_ = MPI_Wtime();
  Live live(comm_, start(), plan_.count(), options_.epochs);
  while (live.state.epoch < options_.epochs) {
    // Also before the first batch: the signal may have come during validation.
    if (core::any_rank(comm_, stop_wanted()) || !run_epoch(live)) stop(live);
    finish_epoch(live);
  }
  return finish(live);
}

RestartState Trainer::start() {
  report_.set_seed(static_cast<long>(options_.seed));
  if (!options_.resume.empty()) return resume();
  check_output_folder();
  if (!options_.start.empty())
    adopt("-train_start " + options_.start,
          read_model(comm_, options_.start, fingerprint_entry(fingerprint_, "network")).parameters);
  // Ranks that drew different initial values would never agree again.
  reduction_.broadcast_parameters();
  if (!companions_.empty()) {
    const double before = validation_error();
    for (Companion* companion : companions_) companion->begin(before);
  }
  RestartState state;
  state.best.validation = std::numeric_limits<double>::infinity();
  return state;
}

// Hours of training must not be lost to a command given twice.
void Trainer::check_output_folder() const {
  if (output_dir_.empty() || options_.overwrite || options_.epochs == 0) return;
  core::agree(comm_, [&] {
    const std::string file = output_file("restart.h5");
    ESPALIER_REQUIRE(rank_ != 0 || !std::filesystem::exists(file),
                     file + " is of an earlier run: continue that with -train_resume " + file +
                         ", name another -output, or give -train_overwrite");
  });
}

RestartState Trainer::resume() {
  RestartState state = read_restart(comm_, options_.resume, run_fingerprint());
  adopt("-train_resume " + options_.resume, state.parameters);
  ESPALIER_REQUIRE(state.batch >= 0 && state.batch <= plan_.count(),
                   "-train_resume " + options_.resume + ": the file stands at a batch that this run does not have");
  restore_optimiser(state.optimiser);
  schedule_.restore(state.schedule);
  for (Companion* companion : companions_) companion->restore(state);
  for (const HistoryRow& row : state.history) add_to_report(row);
  ESPALIER_CALL(PetscPrintf(comm_, "resumed from %s after %d epochs and %ld batches\n", options_.resume.c_str(),
                            state.epoch, static_cast<long>(state.batch)));
  return state;
}

void Trainer::adopt(const std::string& file, const at::Tensor& values) {
  auto& parameters = objective_.parameters();
  const bool fits = values.numel() == parameters.count() && values.scalar_type() == parameters.values().scalar_type();
  ESPALIER_REQUIRE(fits, file + ": the file holds " + std::to_string(values.numel()) + " parameters of type " +
                             c10::toString(values.scalar_type()) + ", the network has " +
                             std::to_string(parameters.count()) + " of type " +
                             c10::toString(parameters.values().scalar_type()));
  const torch::NoGradGuard no_grad;
  parameters.values().copy_(values);
  parameters.mark_changed();
}

bool Trainer::run_epoch(Live& live) {
  const core::StageScope stage("Training");
  const double clock = MPI_Wtime();
  const Counters before = objective_.counters();
  live.order = epoch_order(train_.size(), options_.seed, static_cast<std::uint64_t>(live.state.epoch));
  bool proceed = true;
  while (proceed && live.state.batch < plan_.count()) proceed = run_batch(live);
  add_work(live.state, before, objective_.counters(), MPI_Wtime() - clock);
  return proceed;
}

bool Trainer::run_batch(Live& live) {
  const Range batch = plan_.batch(live.state.batch);
  auto& parameters = objective_.parameters();
  double local_sum = 0;
  std::exception_ptr failure;
  try {
    const Batch samples = local_samples(live, batch);
    parameters.zero_gradient();
    local_sum = objective_.sum_and_gradient(samples.u0, samples.targets, mean_weight(batch.count));
  } catch (...) {  // told to the other ranks, which wait in the reduction
    failure = std::current_exception();
  }
  const Totals totals = reduction_.gradient_and_sum(local_sum, stop_wanted(), failure != nullptr);
  if (totals.failed) rethrow(failure, place(live));
  const double norm = gradient_norm(parameters);
  check_finite(live, totals.sum, norm);
  if (options_.clip > 0) clip_gradient(parameters, norm, options_.clip);
  const double lr = rate(live);
  optimiser_.step(lr);
  if (options_.shard_optimiser) reduction_.gather_slices(parameters.values());
  live.state.partial.loss += totals.sum;
  ++live.state.batch;
  const std::string validation = std::isnan(live.validation) ? "" : "  validation " + figure(live.validation);
  live.progress.update(static_cast<long>(live.state.epoch) * plan_.count() + live.state.batch,
                       "loss " + figure(totals.sum * mean_weight(batch.count)) + validation + "  lr " + figure(lr));
  return !totals.stop;
}

Batch Trainer::local_samples(const Live& live, Range batch) const {
  const core::EventScope event(core::Event::data);
  const Range own = train_.part_of(batch, rank_, size_);
  Batch samples = train_.gather({live.order.data() + own.first, static_cast<std::size_t>(own.count)});
  if (symmetry_)
    symmetry_->apply(samples, SampleRandom(options_.seed, static_cast<std::uint64_t>(live.state.epoch), own.first));
  return samples;
}

void Trainer::finish_epoch(Live& live) {
  RestartState& state = live.state;
  HistoryRow row{state.partial, state.partial_extra};
  row.record.epoch = ++state.epoch;
  row.record.loss = state.partial.loss * mean_weight(plan_.samples_used());
  state.batch = 0;
  state.partial = {};
  state.partial_extra.clear();
  schedule_.epoch_done(row.record.loss);
  const bool last = state.epoch == options_.epochs;
  const auto due = [&](int every) { return last || (every > 0 && state.epoch % every == 0); };
  row.record.validation = due(options_.validate_every) ? validation_error() : not_a_number;
  if (!std::isnan(row.record.validation)) live.validation = row.record.validation;
  for (Companion* companion : companions_) companion->epoch_done(row);
  keep_best(live, row);
  add_to_report(row);
  state.history.push_back(std::move(row));
  reduction_.check_replicas();
  if (due(options_.restart_every)) save(live);
  if (due(epochs_between_releases)) core::release_free_memory();
}

// The iterations of all epochs, those before a resume included.
void Trainer::add_work_to_report(const std::vector<HistoryRow>& history) {
  double forward = 0;
  double adjoint = 0;
  for (const HistoryRow& row : history) {
    forward += static_cast<double>(row.record.ksp_its_forward);
    adjoint += static_cast<double>(row.record.ksp_its_adjoint);
  }
  report_.metric("ksp_its_forward", forward);
  report_.metric("ksp_its_adjoint", adjoint);
}

TrainResult Trainer::finish(Live& live) {
  live.progress.close();
  if (live.saved_epoch != live.state.epoch && live.state.epoch > live.first_epoch) save(live);
  double bytes = objective_.checkpoint_bytes();
  MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_DOUBLE, MPI_MAX, comm_);
  report_.set_checkpoint_bytes(bytes);
  TrainResult result;
  result.epochs = live.state.epoch;
  result.best = live.state.best;
  result.loss = live.state.history.empty() ? not_a_number : live.state.history.back().record.loss;
  result.validation = live.state.history.empty() ? not_a_number : live.state.history.back().record.validation;
  if (live.saved_epoch >= 0) {
    result.restart_file = output_file("restart.h5");
    if (live.state.best.parameters.defined()) result.best_file = output_file("best.h5");
  }
  if (live.state.history.empty()) return result;
  add_work_to_report(live.state.history);
  report_.metric("loss", result.loss);
  if (!std::isnan(result.validation)) report_.metric("validation", result.validation);
  report_.metric("best_validation", result.best.validation);
  report_.metric("best_epoch", result.best.epoch);
  const std::string validation = std::isnan(result.validation) ? "" : ", validation " + figure(result.validation);
  ESPALIER_CALL(PetscPrintf(comm_, "trained %d epochs: loss %s%s, best %s after epoch %d\n", result.epochs,
                            figure(result.loss).c_str(), validation.c_str(), figure(result.best.validation).c_str(),
                            result.best.epoch));
  return result;
}

// --- validation -----------------------------------------------------------------------------------------------------

double Trainer::validation_error() {
  const core::StageScope stage("Validation");
  const double value = own_validation_ ? own_validation_() : error(held_out_);
  const bool expected = own_validation_ || held_out_.size() > 0;
  if (expected && !may_blow_up_ && !std::isfinite(value))
    throw NumericalError("the error on held-out samples is not finite (" + figure(value) +
                             "): use a smaller time step or a smaller -train_lr",
                         __FILE__, __LINE__);
  return value;
}

double Trainer::error(const WindowDataset& windows) {
  if (windows.size() == 0) return not_a_number;
  double local_sum = 0;
  std::exception_ptr failure;
  // Chunks of a batch: the objective's solvers then have the sizes that they know.
  const BatchPlan chunks(windows.size(), options_.batch_size, false);
  for (std::int64_t b = 0; b < chunks.count(); ++b) {
    const Range own = windows.part_of(chunks.batch(b), rank_, size_);
    try {
      const Batch samples = windows.gather_range(own.first, own.count);
      local_sum += objective_.sum(samples.u0, samples.targets);
    } catch (...) {  // the other ranks' objectives may be waiting for the next chunk
      if (!failure) failure = std::current_exception();
    }
  }
  const Totals totals = reduction_.sum(local_sum, false, failure != nullptr);
  if (totals.failed) rethrow(failure, "the evaluation of samples");
  // 1 / (samples intervals dof)
  return totals.sum / static_cast<double>(windows.size() * windows.intervals() * windows.dof());
}

// |target - u0|^2, mean over the windows' entries.
double Trainer::persistence_error(const WindowDataset& windows) const {
  const Range own = windows.part_of({0, windows.size()}, rank_, size_);
  const Batch samples = windows.gather_range(own.first, own.count);
  const double local_sum = (samples.targets - samples.u0.unsqueeze(1)).square().sum().item<double>();
  return reduction_.sum(local_sum, false, false).sum /
         static_cast<double>(windows.size() * windows.intervals() * windows.dof());
}

void Trainer::report_best(const TrainResult& result) {
  auto& parameters = objective_.parameters();
  if (result.best.parameters.defined()) {
    parameters.values().copy_(result.best.parameters);
    parameters.mark_changed();
  }
  const double training = error(train_);
  report_.metric("training_error", training);
  std::string line = "mean squared error of one window: training " + figure(training);
  if (held_out_.size() > 0) {
    const double held_out = error(held_out_);
    const double persistence = persistence_error(held_out_);
    report_.metric("held_out_error", held_out);
    report_.metric("persistence_error", persistence);
    line += ", held-out " + figure(held_out) + " (prediction that nothing changes: " + figure(persistence) + ")";
  }
  ESPALIER_CALL(PetscPrintf(comm_, "%s\n", line.c_str()));
}

// --- best model, report, files --------------------------------------------------------------------------------------

void Trainer::keep_best(Live& live, const HistoryRow& row) const {
  const bool held_out = own_validation_ || held_out_.size() > 0;
  const double value = held_out ? row.record.validation : row.record.loss;
  if (!(value < live.state.best.validation)) return;
  live.state.best = {objective_.parameters().values().clone(), row.record.epoch, value};
}

void Trainer::add_to_report(const HistoryRow& row) { report_.add_epoch(row.record, nlohmann::json(row.extra)); }

void Trainer::save(Live& live) {
  if (output_dir_.empty()) return;
  RestartState state = live.state;
  state.seed = options_.seed;
  state.parameters = objective_.parameters().values();
  state.optimiser = whole_optimiser_state();
  state.schedule = schedule_.state();
  for (const Companion* companion : companions_) companion->save(state);
  write_restart(comm_, output_file("restart.h5"), run_fingerprint(), state);
  live.saved_epoch = state.epoch;
  if (!state.best.parameters.defined() || state.best.epoch == live.best_written) return;
  write_model(comm_, output_file("best.h5"), fingerprint_, state.best);
  live.best_written = state.best.epoch;
}

// Restart files hold all moments, so that they fit any number of ranks.
std::map<std::string, at::Tensor> Trainer::whole_optimiser_state() const {
  auto state = optimiser_.state();
  if (!options_.shard_optimiser) return state;
  for (auto& [name, tensor] : state) {
    if (name == "step") continue;
    at::Tensor whole = torch::zeros({objective_.parameters().count()}, tensor.options());
    whole.narrow(0, optimiser_.own().first, optimiser_.own().count).copy_(tensor);
    reduction_.gather_slices(whole);
    tensor = whole;
  }
  return state;
}

void Trainer::restore_optimiser(std::map<std::string, at::Tensor> state) {
  const Range own = optimiser_.own();
  for (auto& [name, tensor] : state)
    if (name != "step" && tensor.numel() == objective_.parameters().count())
      tensor = tensor.narrow(0, own.first, own.count).contiguous();
  optimiser_.restore(state);
}

void Trainer::stop(Live& live) {
  live.progress.close();
  save(live);
  const std::string advice = output_dir_.empty()
                                 ? "nothing was saved, because there is no output folder"
                                 : "continue with the same options and -train_resume " + output_file("restart.h5");
  throw Interrupted("interrupted after " + std::to_string(live.state.epoch) + " epochs and " +
                        std::to_string(live.state.batch) + " of " + std::to_string(plan_.count()) + " batches; " +
                        advice,
                    __FILE__, __LINE__);
}

// --- small things ---------------------------------------------------------------------------------------------------

double Trainer::mean_weight(std::int64_t samples) const {
  // 1 / (B intervals dof)
  return 1.0 / static_cast<double>(samples * train_.intervals() * train_.dof());
}

double Trainer::rate(const Live& live) const {
  return options_.lr * schedule_.factor(live.state.epoch, live.state.batch, plan_.count());
}

bool Trainer::stop_wanted() const {
  return options_.stop_requested() || (options_.minutes > 0 && MPI_Wtime() - started_ > 60 * options_.minutes);
}

std::string Trainer::place(const Live& live) const {
  return "epoch " + std::to_string(live.state.epoch + 1) + ", batch " + std::to_string(live.state.batch + 1) + " of " +
         std::to_string(plan_.count());
}

void Trainer::check_finite(const Live& live, double sum, double norm) const {
  if (std::isfinite(sum) && std::isfinite(norm)) return;
  throw NumericalError(std::string(std::isfinite(sum) ? "the gradient" : "the loss") + " is not finite in " +
                           place(live) + ": use a smaller time step or a smaller -train_lr (here " +
                           figure(rate(live)) + ")",
                       __FILE__, __LINE__);
}

void Trainer::rethrow(const std::exception_ptr& failure, const std::string& where) const {
  std::string text;
  try {
    core::agree(comm_, [&] {
      if (failure) std::rethrow_exception(failure);
    });
  } catch (const std::exception& agreed) {
    text = agreed.what();
  }
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const NumericalError&) {  // gets the place, below; failures of other kinds stay what they are
  }
  throw NumericalError("in " + where + ": " + text, __FILE__, __LINE__);
}

std::string Trainer::run_fingerprint() const {
  // What decides the sequence of batches, beside what the caller says about the model.
  const auto entry = [](const char* name, auto value) {
    return std::string("; ") + name + "=" + std::to_string(value);
  };
  return fingerprint_ + "; optimizer=" + options_.optimiser.name + "; augment=" + options_.augment +
         entry("seed", options_.seed) + entry("batch_size", options_.batch_size) +
         "; drop_last=" + (options_.drop_last ? "true" : "false") + entry("training samples", train_.size()) +
         entry("intervals", train_.intervals()) + entry("dof", train_.dof());
}

std::string Trainer::output_file(const char* name) const { return output_dir_ + "/" + name; }

}  // namespace espalier::train
