// What a TS of the type espalier_adams holds: adams.cpp makes it and takes its steps, adams_adjoint.cpp goes back.
#pragma once

#include <petsc/private/tsimpl.h>

#include <array>
#include <vector>

#include "adams_coefficients.hpp"
#include "espalier/petsc/handle.hpp"

namespace espalier::ts {

/// The data behind the TS.
class Adams {
 public:
  explicit Adams(TS ts) : ts_(ts) { choose(find_adams_method("ab4")); }

  void choose(const AdamsMethod& method);
  const AdamsMethod& method() const { return *method_; }

  // adams.cpp: operations of the TS
  void set_up();
  void reset();
  void step();
  void evaluate_residual(Vec x, Vec residual);
  void evaluate_jacobian(Vec x, Mat jacobian, Mat preconditioner);
  /// What the trajectory stores of a step.
  Vec* stored_state() { return &stored_; }

  // adams_adjoint.cpp
  void set_up_adjoint();
  void reset_adjoint();
  void adjoint_step();

 private:
  using Terms = std::array<Vec, adams_max_terms>;

  /// A step of the forward run.
  struct Step {
    double t;  // where it begins
    double h;
    std::size_t place;   // steps of this size before it, one after another
    bool evaluates_f_n;  // f_n is not known from the solve of the step before
    std::size_t kept;    // its first vector in kept_
  };

  Step begin_step();
  bool starts(const Step& step) const { return step.place < method_->starting_steps(); }
  bool step_explicit(const Step& step);
  bool start_explicit(const Step& step);
  bool step_implicit(const Step& step);
  bool start_implicit(const Step& step);
  bool solve_stage(double t, double scale, std::size_t stage, Vec slope);
  bool end_stage(double t, std::size_t stage);
  void evaluate_f_n(const Step& step);
  void keep(Vec u);

  void adjoint_explicit(const Step& step);
  void adjoint_start_explicit(const Step& step);
  void adjoint_implicit(const Step& step);
  void adjoint_start_implicit(const Step& step);
  void solve_transposed(double t, Vec u, double scale, Vec u_bar, Vec f_bar, Vec z_bar);
  void pull_f_n_back(double t, Vec u);
  void accumulate_parameters(double t, Vec u, Vec f_bar);

  /// f_{n-j} of the current step n, and its cotangent; j = -1 takes the place of the oldest.
  std::size_t slot(int j) const {
    const auto depth = static_cast<long>(method_->depth());
    return static_cast<std::size_t>((static_cast<long>(ts_->steps) + depth - j) % depth);
  }
  Vec f(int j) const { return f_[slot(j)].get(); }
  Vec f_bar(int j) const { return f_bar_[slot(j)].get(); }
  Vec kept(const Step& step, std::size_t i) const { return kept_.at(step.kept + i).get(); }
  Vec lambda() const { return ts_->vecs_sensi[0]; }

  TS ts_;
  const AdamsMethod* method_ = nullptr;
  std::vector<petsc::VecHandle> f_;       // ring, by step number
  std::vector<petsc::VecHandle> slopes_;  // of the stages of a starting step
  std::vector<petsc::VecHandle> states_;
  std::vector<Vec> stages_;  // the same, and the last of a step, as PETSc's callbacks want them
  Vec stored_ = nullptr;     // u_n of explicit methods, u_{n+1} of implicit ones
  petsc::VecHandle z_;       // what an implicit stage knows: Y = z + h a f(Y)
  petsc::VecHandle u_t_;
  double stage_time_ = 0;
  double shift_ = 0;

  Step last_{};
  std::vector<Step> steps_;             // of a run with a trajectory
  std::vector<petsc::VecHandle> kept_;  // states of such a run besides stored_; reused by the next run
  std::size_t kept_count_ = 0;

  std::vector<petsc::VecHandle> f_bar_;  // ring
  std::vector<petsc::VecHandle> z_bar_;  // of the stages of a starting step
  petsc::VecHandle stage_bar_;           // cotangent of a stage's f
  petsc::VecHandle solved_;
  petsc::VecHandle right_side_;
  petsc::VecHandle parameter_product_;
};

/// count vectors like the given one.
std::vector<petsc::VecHandle> duplicates(Vec like, std::size_t count);

/// y += h (a_0 v_0 + a_1 v_1 + ...), `count` terms.
void add_terms(Vec y, double h, const std::vector<double>& a, std::array<Vec, adams_max_terms> v, std::size_t count);

}  // namespace espalier::ts
