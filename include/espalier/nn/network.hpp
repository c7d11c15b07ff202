// What a network must offer to stand in a right-hand side: values, and products with its two Jacobians.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <cstddef>
#include <memory>
#include <string>

#include "espalier/nn/flat_parameters.hpp"

namespace espalier::nn {

/// One recorded evaluation y = f(t, u; theta), kept so that its derivatives need no second evaluation.
/// Products are with the Jacobians at the recorded point. Shapes: u, v, u_bar [samples, inputs]; y, w [samples,
/// outputs]; all float64 whatever the network's own precision.
class Tape {
 public:
  virtual ~Tape() = default;
  /// The recorded u, in the network's own precision.
  virtual const at::Tensor& input() const = 0;
  /// u_bar = (df/du)^T w. What accumulate() needs of it is kept until the network's next vjp().
  virtual void vjp(const at::Tensor& w, const at::Tensor& u_bar) = 0;
  /// theta_bar += alpha (df/dtheta)^T w, with the w of the last vjp() of this tape, into parameters().gradient().
  virtual void accumulate(double alpha) = 0;
  /// y = (df/du) v.
  virtual void jvp(const at::Tensor& v, const at::Tensor& y) = 0;
};

/// A network as a term of a system: maps each sample (row) of u to a row of y. Either every rank evaluates samples of
/// its own and nothing is collective, or all ranks of comm() hold parts of the same samples and do everything together.
class Network {
 public:
  virtual ~Network() = default;
  virtual std::int64_t inputs() const = 0;
  virtual std::int64_t outputs() const = 0;
  /// The ranks that evaluate it together; MPI_COMM_NULL: each by itself.
  virtual MPI_Comm comm() const { return MPI_COMM_NULL; }
  /// y = f(t, u; theta).
  virtual void forward(double t, const at::Tensor& u, const at::Tensor& y) = 0;
  /// The same, recorded.
  virtual std::unique_ptr<Tape> record(double t, const at::Tensor& u, const at::Tensor& y) = 0;
  /// Memory that one tape holds for a batch of `samples`; the same on all ranks of comm().
  virtual std::size_t tape_bytes(std::int64_t samples) const = 0;
  virtual FlatParameters& parameters() = 0;
  /// Architecture and precision in one line; two networks with the same text can exchange parameters.
  virtual std::string fingerprint() const = 0;
};

/// A network written in torch operations; derivatives by torch's autograd. Derive, give the leaf tensors to adopt(),
/// and write evaluate().
class AutogradNetwork : public Network {
 public:
  void forward(double t, const at::Tensor& u, const at::Tensor& y) override;
  std::unique_ptr<Tape> record(double t, const at::Tensor& u, const at::Tensor& y) override;
  FlatParameters& parameters() override { return parameters_; }

  /// f(t, u; theta) in torch operations, in the parameters' own precision; also what composes with other layers.
  virtual at::Tensor evaluate(double t, const at::Tensor& u) = 0;

 protected:
  void adopt(std::vector<at::Tensor> leaves) { parameters_ = FlatParameters(std::move(leaves)); }
  /// Buffers that exist already, such as those of networks that this one is made of.
  void adopt(FlatParameters parameters) { parameters_ = std::move(parameters); }

 private:
  FlatParameters parameters_;
};

}  // namespace espalier::nn
