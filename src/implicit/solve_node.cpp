#include "espalier/implicit/solve_node.hpp"

#include <torch/autograd.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "espalier/core/error.hpp"
#include "espalier/petsc/tensor_view.hpp"

namespace espalier::implicit {

namespace {

using petsc::Access;
using petsc::TensorView;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What the node keeps; torch lets go of it with the graph.
struct Holder : torch::CustomClassHolder {
  explicit Holder(std::shared_ptr<const KeptSolve> solve) : kept(std::move(solve)) {}
  std::shared_ptr<const KeptSolve> kept;
};

petsc::VecHandle vec_of(const DifferentiableSolve& solver, const at::Tensor& tensor) {
  petsc::VecHandle vec = solver.make_vec();
  const TensorView view(vec.get(), tensor.sizes(), Access::write);
  view.tensor().copy_(tensor);
  return vec;
}

at::Tensor tensor_of(Vec vec, at::IntArrayRef shape) {
  const TensorView view(vec, shape, Access::read);
  return view.tensor().clone();
}

at::Tensor run(DifferentiableSolve& solver, const at::Tensor& y, Record record) {
  const petsc::VecHandle y_vec = vec_of(solver, y.detach());
  const petsc::VecHandle x_vec = vec_of(solver, y.detach());
  solver.solve(y_vec.get(), x_vec.get(), record);
  return tensor_of(x_vec.get(), y.sizes());
}

// The parameters do not pass through torch's graph: the adjoint adds their cotangents to the flat gradients itself.
// `anchor` makes the node part of the graph even when y needs no gradient.
class SolveFunction : public torch::autograd::Function<SolveFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& y, const at::Tensor& /*anchor*/,
                            DifferentiableSolve* solver) {
    at::Tensor x = run(*solver, y, Record::yes);
    context->saved_data["solver"] = reinterpret_cast<std::int64_t>(solver);
    context->saved_data["kept"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(solver->take_kept()));
    return x;
  }

  static variable_list backward(AutogradContext* context, const variable_list& cotangents) {
    auto* solver = reinterpret_cast<DifferentiableSolve*>(context->saved_data["solver"].toInt());
    const auto capsule = context->saved_data["kept"].toCapsule();
    const auto& kept = *static_cast<const Holder&>(*capsule).kept;
    // Optimisers of torch may have dropped the gradients (zero_grad(set_to_none)).
    for (auto* parameters : solver->residual().parameters()) parameters->restore_gradient();
    const petsc::VecHandle x_bar = vec_of(*solver, cotangents[0]);
    const petsc::VecHandle y_bar = solver->make_vec();
    // What terms put off is done once, when the whole backward pass ends.
    torch::autograd::Engine::get_default_engine().queue_callback([solver] { solver->finish_adjoint(); });
    solver->adjoint(kept, x_bar.get(), y_bar.get(), Finish::later);
    return {tensor_of(y_bar.get(), cotangents[0].sizes()), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor solve_as_node(DifferentiableSolve& solver, const at::Tensor& y) {
  ESPALIER_REQUIRE(y.scalar_type() == at::kDouble && y.numel() == solver.local_size(),
                   "a solve of " + std::to_string(solver.local_size()) +
                       " entries on this rank needs as many in float64, not " + std::to_string(y.numel()) + " of " +
                       std::string(y.dtype().name()));
  if (!torch::GradMode::is_enabled()) return run(solver, y, Record::no);
  const at::Tensor anchor = torch::zeros({}, torch::kDouble).requires_grad_(true);
  return SolveFunction::apply(y, anchor, &solver);
}

}  // namespace espalier::implicit
