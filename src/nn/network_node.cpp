#include "espalier/nn/network_node.hpp"

#include <torch/autograd.h>

#include "espalier/core/log.hpp"

namespace espalier::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What the node keeps; torch lets go of it with the graph.
struct Holder : torch::CustomClassHolder {
  explicit Holder(std::unique_ptr<Tape> recorded) : tape(std::move(recorded)) {}
  std::unique_ptr<Tape> tape;
};

at::Tensor unwritten(const Network& network, const at::Tensor& u) {
  return at::empty({u.size(0), network.outputs()}, u.options());
}

// The parameters do not pass through torch's graph: the tape adds their cotangents to the flat gradient itself.
// `anchor` makes the node part of the graph even when u needs no gradient.
class Evaluation : public torch::autograd::Function<Evaluation> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& u, const at::Tensor& /*anchor*/,
                            Network* network, double t) {
    const core::EventScope event(core::Event::network_forward);
    at::Tensor y = unwritten(*network, u);
    context->saved_data["tape"] =
        c10::IValue::make_capsule(c10::make_intrusive<Holder>(network->record(t, u.detach().contiguous(), y)));
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& cotangents) {
    const core::EventScope event(core::Event::network_adjoint);
    const auto capsule = context->saved_data["tape"].toCapsule();
    Tape& tape = *static_cast<const Holder&>(*capsule).tape;
    const at::Tensor w = cotangents[0].contiguous();
    const at::Tensor u_bar = at::empty(tape.input().sizes(), w.options());
    tape.vjp(w, u_bar);
    tape.accumulate(1);
    return {u_bar, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor evaluate_as_node(Network& network, double t, const at::Tensor& u) {
  if (torch::GradMode::is_enabled()) {
    const at::Tensor anchor = torch::zeros({}, torch::kDouble).requires_grad_(true);
    return Evaluation::apply(u, anchor, &network, t);
  }
  const core::EventScope event(core::Event::network_forward);
  at::Tensor y = unwritten(network, u);
  network.forward(t, u.contiguous(), y);
  return y;
}

}  // namespace espalier::nn
