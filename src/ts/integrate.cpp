#include "espalier/ts/integrate.hpp"

#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "espalier/core/error.hpp"

namespace espalier::ts {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The parameters do not pass through torch's graph: the adjoint adds their cotangents to the flat gradients itself.
// `anchor` makes the node part of the graph even when u0 needs no gradient.
class IntegrateFunction : public torch::autograd::Function<IntegrateFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& u0, const at::Tensor& /*anchor*/,
                            Integrator* integrator, const std::vector<double>& times) {
    context->saved_data["integrator"] = reinterpret_cast<std::int64_t>(integrator);
    at::Tensor states = integrator->forward(u0, times, Record::yes).clone();
    context->saved_data["run"] = static_cast<std::int64_t>(integrator->runs());
    return states;
  }

  static variable_list backward(AutogradContext* context, const variable_list& cotangents) {
    auto* integrator = reinterpret_cast<Integrator*>(context->saved_data["integrator"].toInt());
    ESPALIER_REQUIRE(context->saved_data["run"].toInt() == integrator->runs(),
                     "backward() through an integration after which the same integrator has run again: its checkpoints "
                     "are gone; give each integrate() of one graph an Integrator of its own");
    // Optimisers of torch may have dropped the gradients (zero_grad(set_to_none)).
    for (auto& term : {integrator->system().explicit_part, integrator->system().implicit_part})
      if (term)
        for (auto* parameters : term->parameters()) parameters->restore_gradient();
    const at::Tensor u0_bar = integrator->adjoint(cotangents[0].contiguous()).clone();
    return {u0_bar, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor integrate(Integrator& integrator, const at::Tensor& u0, const std::vector<double>& times) {
  if (!torch::GradMode::is_enabled()) return integrator.forward(u0, times, Record::no).clone();
  const at::Tensor anchor = torch::zeros({}, torch::kDouble).requires_grad_(true);
  return IntegrateFunction::apply(u0, anchor, &integrator, times);
}

}  // namespace espalier::ts
