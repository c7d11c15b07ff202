// Krylov methods for one dense system, written as in a textbook: K steps from zero whatever the residual is.
#pragma once

#include <Eigen/Dense>
#include <cmath>
#include <string>

namespace krylov_references {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

// 0 / 0 is no step.
inline double ratio(double a, double b) { return b != 0 ? a / b : 0; }

/// x <- D^-1 (b - (L + U) x).
inline Vector jacobi(const Matrix& a, const Vector& b, int steps) {
  const Vector d = a.diagonal();
  const Matrix rest = a - Matrix(d.asDiagonal());
  Vector x = Vector::Zero(b.size());
  for (int k = 0; k < steps; ++k) x = ((b - rest * x).array() / d.array()).matrix().eval();
  return x;
}

/// `m`: the inverse of the preconditioner's diagonal.
inline Vector steepest(const Matrix& a, const Vector& b, const Vector& m, int steps) {
  Vector x = Vector::Zero(b.size());
  for (int k = 0; k < steps; ++k) {
    const Vector r = b - a * x;
    const Vector z = m.cwiseProduct(r);
    x += ratio(r.dot(z), z.dot(a * z)) * z;
  }
  return x;
}

inline Vector cg(const Matrix& a, const Vector& b, const Vector& m, int steps) {
  Vector x = Vector::Zero(b.size());
  Vector r = b;
  Vector p = m.cwiseProduct(r);
  for (int k = 0; k < steps; ++k) {
    const double rz = r.dot(m.cwiseProduct(r));
    const double alpha = ratio(rz, p.dot(a * p));
    x += alpha * p;
    r -= alpha * (a * p);
    const Vector z = m.cwiseProduct(r);
    p = z + ratio(r.dot(z), rz) * p;
  }
  return x;
}

inline Vector bcgs(const Matrix& a, const Vector& b, const Vector& m, int steps) {
  const Matrix ab = a * m.asDiagonal();
  Vector y = Vector::Zero(b.size());  // x = B y
  Vector r = b;
  Vector p = b;
  for (int k = 0; k < steps; ++k) {
    const double rho = r.dot(b);
    const Vector v = ab * p;
    const double alpha = ratio(rho, v.dot(b));
    const Vector s = r - alpha * v;
    const Vector t = ab * s;
    const double omega = ratio(s.dot(t), t.dot(t));
    y += alpha * p + omega * s;
    r = s - omega * t;
    p = r + ratio(r.dot(b), rho) * ratio(alpha, omega) * (p - omega * v);
  }
  return m.cwiseProduct(y);
}

/// Cycles of `restart` products: min |r - A B Q c| over an orthonormal basis Q of the Krylov space.
inline Vector gmres(const Matrix& a, const Vector& b, const Vector& m, int restart, int cycles) {
  const Matrix ab = a * m.asDiagonal();
  Vector x = Vector::Zero(b.size());
  for (int k = 0; k < cycles; ++k) {
    const Vector r = b - a * x;
    if (r.norm() <= 1e-14 * b.norm()) break;
    Matrix q = r.normalized();
    while (q.cols() < restart) {
      Vector w = ab * q.col(q.cols() - 1);
      const double before = w.norm();
      for (int twice = 0; twice < 2; ++twice)
        for (int i = 0; i < q.cols(); ++i) w -= q.col(i).dot(w) * q.col(i);
      if (w.norm() <= 1e-13 * before) break;
      q.conservativeResize(Eigen::NoChange, q.cols() + 1);
      q.col(q.cols() - 1) = w.normalized();
    }
    x += m.cwiseProduct(q * (ab * q).householderQr().solve(r));
  }
  return x;
}

/// The method with the name of a KSP type of ours, GMRES with `restart`.
inline Vector solve(const std::string& type, const Matrix& a, const Vector& b, const Vector& m, int restart,
                    int steps) {
  if (type == "espalier_steepest") return steepest(a, b, m, steps);
  if (type == "espalier_cg") return cg(a, b, m, steps);
  if (type == "espalier_bcgs") return bcgs(a, b, m, steps);
  return gmres(a, b, m, restart, steps);
}

}  // namespace krylov_references
