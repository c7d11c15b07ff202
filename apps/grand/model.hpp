// Graph neural diffusion: encoder, integrated diffusion with attention, decoder, as one differentiable torch model.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "espalier/model/decay_term.hpp"
#include "espalier/model/neural_term.hpp"
#include "espalier/model/source_term.hpp"
#include "espalier/ts/integrator.hpp"
#include "settings.hpp"

namespace grand {

/// The numbers as a tensor of integers, [count].
at::Tensor to_tensor(const std::vector<std::int64_t>& values);

/// G_1(x) = alpha A(x) x, alpha = 1 / (1 + exp(-a)) with a trained, 0 at the start.
class ScaledAttention : public espalier::nn::AutogradNetwork {
 public:
  ScaledAttention(std::int64_t nodes, const at::Tensor& pairs, const espalier::nn::GraphAttentionSettings& settings);
  std::int64_t inputs() const override { return attention_.inputs(); }
  std::int64_t outputs() const override { return attention_.outputs(); }
  at::Tensor evaluate(double t, const at::Tensor& u) override;
  std::size_t tape_bytes(std::int64_t samples) const override;
  std::string fingerprint() const override { return "scaled " + attention_.fingerprint(); }

  espalier::nn::FlatParameters& attention() { return attention_.parameters(); }
  espalier::nn::FlatParameters& scale() { return scale_; }

 private:
  espalier::nn::GraphAttention attention_;
  espalier::nn::FlatParameters scale_;  // a
};

/// Running mean and variance of the encoded features, for evaluations; [hidden] each.
struct BatchStatistics {
  at::Tensor mean;
  at::Tensor variance;
};

/// Logits of all nodes from the features of all nodes:
///
///   x(0) = encoder(features),   dx/dt = alpha A(x) x + beta x(0) - alpha' x,   logits = decoder(x(T)).
///
/// The first two terms are explicit, the third is implicit. One rank; the whole graph is one sample of the batch.
class Model {
 public:
  Model(MPI_Comm comm, const Settings& settings, const espalier::ts::IntegratorSettings& integrator,
        const espalier::data::Graph& graph);

  /// Logits [nodes, classes]. `dropout`: the generator of a training evaluation, whose graph torch then records when
  /// gradients are on; nullptr: all features are used.
  at::Tensor logits(at::Generator* dropout);

  /// Every group of parameters under its name; together they are parameters().
  std::vector<std::pair<std::string, espalier::nn::FlatParameters*>> groups();
  /// All groups in one buffer.
  espalier::nn::FlatParameters& parameters() { return parameters_; }
  BatchStatistics& statistics() { return statistics_; }
  espalier::model::NeuralTerm& attention() { return *attention_term_; }
  espalier::ts::Integrator& integrator() { return *integrator_; }
  std::string fingerprint() const;

 private:
  at::Tensor encode(at::Generator* dropout);
  at::Tensor decode(const at::Tensor& x, at::Generator* dropout) const;
  at::Tensor normalise(const at::Tensor& x, bool training);

  Settings settings_;
  std::int64_t nodes_;
  std::int64_t features_;
  std::int64_t classes_;
  at::Tensor indices_;  // of the sparse features, [2, nnz]
  at::Tensor values_;   // [nnz]

  // The encoder's matrix is kept transposed, [features, hidden]: a sparse row picks whole rows of it.
  espalier::nn::FlatParameters encoder_;  // W^T, b, and gamma, beta of the normalisation
  espalier::nn::FlatParameters decoder_;  // W [classes, hidden], b
  BatchStatistics statistics_;
  std::shared_ptr<ScaledAttention> network_;
  std::shared_ptr<espalier::model::NeuralTerm> attention_term_;
  std::shared_ptr<espalier::model::SourceTerm> source_;  // may be empty
  std::shared_ptr<espalier::model::DecayTerm> decay_;
  std::unique_ptr<espalier::ts::Integrator> integrator_;
  espalier::nn::FlatParameters parameters_;
};

}  // namespace grand
