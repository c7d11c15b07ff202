// GMRES(m) with coefficients for each sample, preconditioned from the right; an iteration is a cycle.
#include <algorithm>
#include <cmath>

#include "espalier/core/error.hpp"
#include "sample_method.hpp"

namespace espalier::implicit {

namespace {

constexpr PetscInt default_restart = 30;
// What is left of A v after the orthogonalisation, relative to A v, below which it is rounding: v_(j+1) is then 0.
constexpr double breakdown = 1e-14;

/// Of each sample: the least squares problem of its Hessenberg matrix, turned to a triangle by rotations.
/// Entries (i, j) of all samples stand together, those of a column one after another.
class LeastSquares {
 public:
  using Numbers = std::vector<double>;

  void resize(std::size_t m, std::size_t samples) {
    m_ = m;
    samples_ = samples;
    h_.resize((m + 1) * m * samples);
    right_.resize((m + 1) * samples);
    cosines_.resize(m * samples);
    sines_.resize(m * samples);
  }
  double* column(std::size_t j) { return h_.data() + j * (m_ + 1) * samples_; }
  /// beta_s e_1.
  void begin(const Numbers& beta) { std::copy(beta.begin(), beta.end(), right_.begin()); }

  /// The rotations up to here to column j, and the one that makes its last entry 0.
  void rotate(std::size_t j) {
    double* h = column(j);
    for (std::size_t s = 0; s < samples_; ++s) {
      for (std::size_t i = 0; i < j; ++i) turn(h, i, s);
      double& diagonal = h[at(j, s)];
      const double length = std::hypot(diagonal, h[at(j + 1, s)]);
      cosines_[at(j, s)] = length > 0 ? diagonal / length : 1;
      sines_[at(j, s)] = length > 0 ? h[at(j + 1, s)] / length : 0;
      diagonal = length;
      right_[at(j + 1, s)] = -sines_[at(j, s)] * right_[at(j, s)];
      right_[at(j, s)] *= cosines_[at(j, s)];
    }
  }

  /// The minimiser, in the place of the right-hand side. A column without entries, after a breakdown, gets 0.
  void solve() {
    for (std::size_t j = m_; j-- > 0;)
      for (std::size_t s = 0; s < samples_; ++s) {
        double& y = right_[at(j, s)];
        for (std::size_t k = j + 1; k < m_; ++k) y -= column(k)[at(j, s)] * right_[at(k, s)];
        const double diagonal = column(j)[at(j, s)];
        y = diagonal != 0 ? y / diagonal : 0;
      }
  }
  const double* solution(std::size_t j) const { return right_.data() + at(j, 0); }

 private:
  std::size_t at(std::size_t i, std::size_t s) const { return i * samples_ + s; }
  void turn(double* h, std::size_t i, std::size_t s) const {
    const double c = cosines_[at(i, s)];
    const double d = sines_[at(i, s)];
    const double upper = h[at(i, s)];
    const double lower = h[at(i + 1, s)];
    h[at(i, s)] = c * upper + d * lower;
    h[at(i + 1, s)] = c * lower - d * upper;
  }

  std::size_t m_ = 0;
  std::size_t samples_ = 0;
  Numbers h_, right_, cosines_, sines_;
};

class Gmres : public SampleMethod {
 public:
  using SampleMethod::SampleMethod;

  PetscErrorCode read_options(petsc::OptionItems PetscOptionsObject) noexcept override {
    PetscInt restart = restart_;
    PetscFunctionBegin;
    PetscOptionsHeadBegin(PetscOptionsObject, "GMRES for samples");
    PetscCall(
        PetscOptionsInt("-ksp_espalier_gmres_restart", "products of a cycle", nullptr, restart, &restart, nullptr));
    PetscOptionsHeadEnd();
    PetscCall(guard([&] { set_restart(restart); }));
    PetscFunctionReturn(PETSC_SUCCESS);
  }
  void view(PetscViewer viewer) override {
    ESPALIER_CALL(PetscViewerASCIIPrintf(viewer, "  restart=%d\n", static_cast<int>(restart_)));
  }

 private:
  void set_restart(PetscInt restart) {
    ESPALIER_REQUIRE(restart > 0, "-ksp_espalier_gmres_restart must be positive");
    if (restart != restart_) ksp()->setupstage = KSP_SETUP_NEW;
    restart_ = restart;
  }
  PetscInt vector_count() const override { return restart_ + 2; }
  void resize(std::size_t samples) override {
    const auto m = static_cast<std::size_t>(restart_);
    problem_.resize(m, samples);
    correction_.resize((m + 2) * samples);
    beta_.resize(samples);
    inverse_.resize(samples);
  }
  Vec image() const { return work(restart_ + 1); }

  void iterate(Vec x, Vec r) override {
    for (PetscInt i = 0; !done(i, r); ++i) {
      if (!begin(r)) return;
      for (PetscInt j = 0; j < restart_; ++j) {
        multiply(precondition(work(j), image()), work(j + 1));
        if (!orthogonalise(j)) return;
        problem_.rotate(static_cast<std::size_t>(j));
      }
      add_correction(x, r);
      // Without norms nobody looks at the last residual.
      if (has_norms() || i + 1 < ksp()->max_it) residual(x, r);
    }
  }

  // beta = |r|;  v_0 = r / beta. Samples that have stopped have v_0 = 0, and so no correction.
  bool begin(Vec r) {
    if (has_norms()) {
      beta_ = squares();
    } else if (!dots({{r, r, beta_}})) {
      return false;
    }
    for (std::size_t s = 0; s < samples(); ++s) {
      beta_[s] = active(s) ? std::sqrt(beta_[s]) : 0;
      inverse_[s] = beta_[s] > 0 ? 1 / beta_[s] : 0;
    }
    problem_.begin(beta_);
    ESPALIER_CALL(VecCopy(r, work(0)));
    vectors().scale(inverse_.data(), work(0));
    return true;
  }

  // w = A B v_j;  twice: h_ij += v_i.w, w -= (v_i.w) v_i;  h_(j+1)j = |w|;  v_(j+1) = w / |w|. The norm comes with the
  // second products, |w|^2 - sum_i (v_i.w)^2: these are then roundings of the first.
  bool orthogonalise(PetscInt j) {
    const auto rows = static_cast<std::size_t>(j) + 1;
    double* h = problem_.column(static_cast<std::size_t>(j));
    double* last = h + rows * samples();
    if (!project(j, h)) return false;
    std::copy(last, last + samples(), beta_.begin());
    if (!project(j, correction_.data())) return false;
    for (std::size_t s = 0; s < samples(); ++s) {
      double square = correction_[rows * samples() + s];
      for (std::size_t i = 0; i < rows; ++i) {
        const double more = correction_[i * samples() + s];
        h[i * samples() + s] += more;
        square -= more * more;
      }
      const double norm = std::sqrt(std::max(square, 0.0));
      const bool something = norm > breakdown * std::sqrt(beta_[s]);
      last[s] = something ? norm : 0;
      inverse_[s] = something ? 1 / norm : 0;
    }
    vectors().scale(inverse_.data(), work(j + 1));
    return true;
  }

  // values_i = v_i.w for i <= j, values_(j+1) = w.w;  w -= sum_i values_i v_i.
  bool project(PetscInt j, double* values) {
    const std::size_t count = samples() * (static_cast<std::size_t>(j) + 2);
    Vec w = work(j + 1);
    for (PetscInt i = 0; i <= j + 1; ++i)
      vectors().local_dots(work(i), w, values + static_cast<std::size_t>(i) * samples());
    vectors().reduce(values, count);
    if (!finite(values, count)) return false;
    for (PetscInt i = 0; i <= j; ++i) vectors().axpy(-1, values + static_cast<std::size_t>(i) * samples(), work(i), w);
    return true;
  }

  // x += B sum_j y_j v_j.
  void add_correction(Vec x, Vec sum) {
    problem_.solve();
    ESPALIER_CALL(VecZeroEntries(sum));
    for (PetscInt j = 0; j < restart_; ++j)
      vectors().axpy(1, problem_.solution(static_cast<std::size_t>(j)), work(j), sum);
    ESPALIER_CALL(VecAXPY(x, 1.0, precondition(sum, image())));
  }

  PetscInt restart_ = default_restart;
  LeastSquares problem_;
  Numbers beta_, inverse_, correction_;
};

}  // namespace

PetscErrorCode create_gmres(KSP ksp) noexcept {
  return guard([&] { adopt_method(ksp, new Gmres(ksp), PC_RIGHT); });
}

}  // namespace espalier::implicit
