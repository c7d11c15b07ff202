#include "model.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/model/sum_term.hpp"
#include "espalier/ts/integrate.hpp"

namespace grand {

using namespace espalier;

namespace {

const at::TensorOptions real = at::TensorOptions().dtype(at::kDouble);

// PyTorch's defaults for batch normalisation.
constexpr double batch_norm_momentum = 0.1;
constexpr double batch_norm_epsilon = 1e-5;

// U(-1/sqrt(fan_in), 1/sqrt(fan_in)), PyTorch's default for linear layers.
at::Tensor uniform(at::IntArrayRef shape, std::int64_t fan_in, at::Generator& generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
  return at::empty(shape, real).uniform_(-bound, bound, generator).requires_grad_(true);
}

// Entries are zero with probability p, the others divided by 1 - p.
at::Tensor drop(const at::Tensor& x, double p, at::Generator* generator) {
  if (generator == nullptr || p == 0) return x;
  const at::Tensor kept = at::empty(x.sizes(), real).bernoulli_(1 - p, *generator);
  return x * kept.div_(1 - p);
}

// Row and column of each entry of the sparse features.
at::Tensor coordinates(const data::SparseFeatures& features) {
  const at::Tensor indptr = to_tensor(features.indptr);
  const at::Tensor rows = at::repeat_interleave(indptr.diff());
  return at::stack({rows, to_tensor(features.indices)});
}

// Receivers in row 0; the adjacency is symmetric.
at::Tensor edge_pairs(const data::Graph& graph) {
  return to_tensor(data::edge_index(graph.neighbours)).view({2, -1}).flip(0);
}

}  // namespace

at::Tensor to_tensor(const std::vector<std::int64_t>& values) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong));
}

ScaledAttention::ScaledAttention(std::int64_t nodes, const at::Tensor& pairs,
                                 const nn::GraphAttentionSettings& settings)
    : attention_(nodes, pairs, settings), scale_({at::zeros({1}, real).requires_grad_(true)}) {
  adopt(nn::FlatParameters::joined({&attention_.parameters(), &scale_}));
}

at::Tensor ScaledAttention::evaluate(double t, const at::Tensor& u) {
  return attention_.evaluate(t, u) * scale_.tensors().front().sigmoid();
}

// y is kept for the derivative with respect to a.
std::size_t ScaledAttention::tape_bytes(std::int64_t samples) const {
  return attention_.tape_bytes(samples) + static_cast<std::size_t>(samples * outputs()) * sizeof(double);
}

Model::Model(MPI_Comm comm, const Settings& settings, const ts::IntegratorSettings& integrator,
             const data::Graph& graph)
    : settings_(settings),
      nodes_(graph.num_nodes),
      features_(graph.num_features),
      classes_(graph.num_classes),
      indices_(coordinates(graph.features)),
      values_(at::tensor(graph.features.values, real)) {
  if (settings.row_normalise) {
    const at::Tensor sums = at::zeros({nodes_}, real).index_add_(0, indices_[0], values_.abs());
    values_ = values_ / sums.index_select(0, indices_[0]).clamp_min_(1e-300);
  }
  const std::int64_t hidden = settings.attention.hidden;
  at::Generator generator = at::detail::createCPUGenerator(core::mix(settings.attention.seed));
  std::vector<at::Tensor> encoder = {uniform({features_, hidden}, features_, generator),
                                     uniform({hidden}, features_, generator)};
  if (settings.batch_norm) {
    encoder.push_back(at::ones({hidden}, real).requires_grad_(true));
    encoder.push_back(at::zeros({hidden}, real).requires_grad_(true));
    statistics_ = {at::zeros({hidden}, real), at::ones({hidden}, real)};
  }
  encoder_ = nn::FlatParameters(std::move(encoder));
  decoder_ =
      nn::FlatParameters({uniform({classes_, hidden}, hidden, generator), uniform({classes_}, hidden, generator)});

  // dx/dt = alpha A(x) x + beta x(0) - alpha' x
  network_ = std::make_shared<ScaledAttention>(nodes_, edge_pairs(graph), settings.attention);
  attention_term_ =
      std::make_shared<model::NeuralTerm>(network_, static_cast<std::size_t>(settings.network_keep_mb * 1e6));
  decay_ = std::make_shared<model::DecayTerm>(settings.direct);
  std::shared_ptr<model::Term> explicit_part = attention_term_;
  if (settings.source_term) {
    source_ = std::make_shared<model::SourceTerm>(nodes_ * hidden);
    explicit_part =
        std::make_shared<model::SumTerm>(std::vector<std::shared_ptr<model::Term>>{attention_term_, source_});
  }
  integrator_ = std::make_unique<ts::Integrator>(comm, ts::BatchShape{1, nodes_ * hidden},
                                                 model::SplitSystem{explicit_part, decay_}, integrator);
  std::vector<nn::FlatParameters*> all = {&encoder_, &network_->parameters(), decay_->parameters().front(), &decoder_};
  if (source_) all.push_back(source_->parameters().front());
  parameters_ = nn::FlatParameters::joined(all);
}

std::vector<std::pair<std::string, nn::FlatParameters*>> Model::groups() {
  std::vector<std::pair<std::string, nn::FlatParameters*>> all = {
      {"encoder", &encoder_},        {"attention", &network_->attention()},
      {"alpha", &network_->scale()}, {"decay", decay_->parameters().front()},
      {"decoder", &decoder_},
  };
  if (source_) all.emplace_back("beta", source_->parameters().front());
  return all;
}

at::Tensor Model::logits(at::Generator* dropout) {
  at::Tensor x = encode(dropout).reshape({1, -1});
  if (source_) x = source_->feed(x);
  const at::Tensor diffused = ts::integrate(*integrator_, x, {0, settings_.time})[0];
  return decode(diffused.view({nodes_, settings_.attention.hidden}), dropout);
}

// x = features W^T + b, then perhaps normalised. Dropped features are the non-zero ones: the others stay zero.
at::Tensor Model::encode(at::Generator* dropout) {
  const auto& theta = encoder_.tensors();
  const at::Tensor values = drop(values_, settings_.input_dropout, dropout);
  const at::Tensor features = at::_sparse_coo_tensor_unsafe(indices_, values, {nodes_, features_}, real);
  const at::Tensor x = at::mm(features, theta[0]) + theta[1];
  return settings_.batch_norm ? normalise(x, dropout != nullptr) : x;
}

at::Tensor Model::normalise(const at::Tensor& x, bool training) {
  const auto& theta = encoder_.tensors();
  return at::batch_norm(x, theta[2], theta[3], statistics_.mean, statistics_.variance, training, batch_norm_momentum,
                        batch_norm_epsilon, /*cudnn_enabled=*/false);
}

// logits = s(x) W^T + b with dropout after s.
at::Tensor Model::decode(const at::Tensor& x, at::Generator* dropout) const {
  const auto& theta = decoder_.tensors();
  const at::Tensor activated = settings_.smooth ? x.tanh() : x.relu();
  return at::addmm(theta[1], drop(activated, settings_.dropout, dropout), theta[0].t());
}

std::string Model::fingerprint() const {
  return std::to_string(features_) + "/" + std::to_string(settings_.attention.hidden) + "/" + std::to_string(classes_) +
         (settings_.batch_norm ? " batch norm " : " ") + network_->fingerprint() + (source_ ? " source" : "");
}

}  // namespace grand
