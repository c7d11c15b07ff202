// A closure of the Gray-Scott equations on a coarse grid, learnt by a network that is spread over the ranks.
#include "espalier/core/session.hpp"
#include "espalier/train/grid_closure.hpp"
#include "problem.hpp"

using namespace espalier;

namespace {

const core::Program program = {
    "gray_scott",
    "Learns what a coarse grid does not see of the Gray-Scott equations.\n\n"
    "    u_t = D_u (u_xx + u_yy) - u v^2 + F (1 - u),   D_u = 2e-5, F = 0.04,\n"
    "    v_t = D_v (v_xx + v_yy) + u v^2 - (F + k) v,   D_v = 1e-5, k = 0.06,   periodic square, all dimensionless\n\n"
    "(J. E. Pearson 1993). The truth are cell averages of the solution on a grid that is -closure_refinement times\n"
    "finer. The model has the same equations on the coarse grid, or (-gray_scott_closure reaction) their diffusion\n"
    "only, and a network of convolutions beside them. Diffusion is implicit (-ksp_*, -samples_pc_type), the rest\n"
    "explicit. The grid and the network's fields are spread over the ranks; with -groups the ranks share the samples\n"
    "too. The loss is the mean squared error of both fields, its gradient the exact discrete adjoint.\n"};

void run_experiment(core::Session& session) {
  gray_scott::Settings problem;
  train::GridClosureSettings settings;
  settings.data.interval = 20;
  settings.data.step = 1;
  settings.integrator.step = 5;
  settings.read(session.comm(), "Gray-Scott", "-gray_scott_", 2, true, [&](core::OptionReader& o) { problem.read(o); });
  if (session.help_requested()) return;
  train::learn_closure(session, "Gray-Scott", gray_scott::equations(problem, settings.data), settings);
}

}  // namespace

int main(int argc, char** argv) { return core::run(argc, argv, program, run_experiment); }
