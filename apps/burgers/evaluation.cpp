#include "evaluation.hpp"

#include <ATen/ATen.h>

#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/log.hpp"
#include "espalier/core/session.hpp"
#include "espalier/io/comparison.hpp"
#include "espalier/train/batches.hpp"
#include "espalier/train/rollout.hpp"

namespace burgers {

using namespace espalier;

namespace {

// Mean over all ranks' trajectories of |u - truth| / |truth| at each time, [T].
at::Tensor relative_errors(MPI_Comm comm, const at::Tensor& states, const at::Tensor& truth, std::int64_t count) {
  at::Tensor errors = ((states - truth).norm(2, -1) / truth.norm(2, -1)).sum(1).contiguous();
  MPI_Allreduce(MPI_IN_PLACE, errors.data_ptr<double>(), static_cast<int>(errors.numel()), MPI_DOUBLE, MPI_SUM, comm);
  return errors / static_cast<double>(count);
}

// The first trajectory beside the truth.
void write_prediction(const Settings& s, const io::Series& series, const std::string& method, const at::Tensor& truth,
                      const at::Tensor& prediction, const at::Tensor& errors) {
  const io::Comparison first{"Viscous Burgers, N = " + std::to_string(s.points), method, series.times,
                             train::to_vector(truth), train::to_vector(prediction)};
  io::write_comparison(s.output + "/prediction.h5", series, first, [&](io::Hdf5Writer& file) {
    file.write("relative_error", {static_cast<std::size_t>(errors.numel())}, train::to_vector(errors));
    file.attribute("relative_error", "unit", "1");
  });
}

}  // namespace

void evaluate_prediction(MPI_Comm comm, train::IntegratorObjective& objective, const Settings& s,
                         const io::Series& series, const at::Tensor& all_unseen, const std::string& method,
                         core::RunReport& report) {
  const core::StageScope stage("Prediction");
  const at::Tensor unseen = s.predictions < 0 ? all_unseen : all_unseen.slice(0, 0, s.predictions);
  const train::Range mine = train::rank_slice({0, unseen.size(0)}, comm);
  const at::Tensor truth = unseen.slice(0, mine.first, mine.first + mine.count).transpose(0, 1);  // [T, r, N]
  const train::Rollout rollout = train::roll_out(comm, objective, truth[0], truth.size(0) - 1, "prediction");
  const at::Tensor& states = rollout.states;
  const std::int64_t reached = states.size(0);
  const at::Tensor errors = relative_errors(comm, states, truth.slice(0, 0, reached), unseen.size(0));

  const double end = series.times[static_cast<std::size_t>(reached) - 1];
  report.metric("prediction_time", end);
  report.metric("prediction_error_mean", errors.mean().item<double>());
  report.metric("prediction_error_end", errors[-1].item<double>());
  ESPALIER_CALL(PetscPrintf(
      comm, "%lld unseen trajectories predicted up to time %g of %g: relative error %.3g at the end, %.3g on average\n",
      static_cast<long long>(unseen.size(0)), end, series.times.back(), errors[-1].item<double>(),
      errors.mean().item<double>()));
  if (s.output.empty()) return;
  core::agree(comm, [&] {
    int rank = 0;
    MPI_Comm_rank(comm, &rank);
    if (rank == 0) write_prediction(s, series, method, truth.select(1, 0), states.select(1, 0), errors);
  });
}

}  // namespace burgers
