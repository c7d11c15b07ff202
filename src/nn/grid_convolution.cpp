#include "grid_convolution.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <torch/autograd.h>

#include <vector>

#include "espalier/core/error.hpp"
#include "flat_convolution.hpp"

namespace espalier::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

GridLayout layout_of(const at::Tensor& x) {
  GridLayout layout;
  const auto missing = static_cast<std::size_t>(5 - x.dim());
  for (std::size_t axis = missing; axis < 3; ++axis) {
    layout.cells[axis] = x.size(static_cast<std::int64_t>(2 + axis - missing));
    layout.ghosts[axis] = 1;
  }
  return layout;
}

std::vector<std::int64_t> with_axes(std::int64_t first, std::int64_t second, const at::Tensor& x, std::int64_t length) {
  std::vector<std::int64_t> sizes = {first, second};
  sizes.resize(static_cast<std::size_t>(x.dim()), length);
  return sizes;
}

at::Tensor with_ghosts(const at::Tensor& x) {
  const GridLayout layout = layout_of(x);
  auto sizes = x.sizes().vec();
  for (std::size_t axis = 2; axis < sizes.size(); ++axis) sizes[axis] += 2;
  at::Tensor padded = at::empty(sizes, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "with_ghosts", [&] {
    for (std::int64_t field = 0; field < x.size(0) * x.size(1); ++field)
      add_ghosts(layout, true, x.data_ptr<scalar_t>() + field * layout.count(),
                 padded.data_ptr<scalar_t>() + field * layout.padded_count());
  });
  return padded;
}

// torch has fast convolutions, those of oneDNN, in float only.
bool torch_is_fast(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat && at::globalContext().hasMKLDNN() && at::globalContext().userEnabledMkldnn();
}

at::Tensor torch_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             std::int64_t ghosts) {
  const std::vector<std::int64_t> one(static_cast<std::size_t>(x.dim() - 2), 1);
  const std::vector<std::int64_t> none(one.size(), 0);
  const std::vector<std::int64_t> padding(one.size(), ghosts);
  return at::convolution(x, weight, bias, one, padding, one, false, none, 1);
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool circular) {
  if (torch_is_fast(x)) return torch_convolution(circular ? with_ghosts(x) : x, weight, bias, circular ? 0 : 1);
  auto sizes = x.sizes().vec();
  sizes[1] = weight.size(0);
  at::Tensor y = at::empty(sizes, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "grid_convolution", [&] {
    FlatConvolution<scalar_t> flat(layout_of(x), circular, weight.size(1), weight.size(0));
    flat.set_weight(weight.data_ptr<scalar_t>());
    for (std::int64_t n = 0; n < x.size(0); ++n)
      flat.apply(x[n].data_ptr<scalar_t>(), bias.data_ptr<scalar_t>(), y[n].data_ptr<scalar_t>());
  });
  return y;
}

at::Tensor weight_product(const at::Tensor& x, const at::Tensor& g, bool circular) {
  const auto sizes = with_axes(g.size(1), x.size(1), x, 3);
  if (torch_is_fast(x)) {
    const std::vector<std::int64_t> one(static_cast<std::size_t>(x.dim() - 2), 1);
    const std::vector<std::int64_t> none(one.size(), 0);
    const at::Tensor shape = at::empty(sizes, x.options());  // all that is used of the weight
    return std::get<1>(at::convolution_backward(g, circular ? with_ghosts(x) : x, shape, c10::nullopt, one,
                                                circular ? none : one, one, false, none, 1, {false, true, false}));
  }
  at::Tensor weight = at::zeros(sizes, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "grid_convolution", [&] {
    FlatConvolution<scalar_t> flat(layout_of(x), circular, x.size(1), g.size(1));
    for (std::int64_t n = 0; n < x.size(0); ++n)
      flat.add_weight_product(x[n].data_ptr<scalar_t>(), g[n].data_ptr<scalar_t>(), weight.data_ptr<scalar_t>());
  });
  return weight;
}

// The weight of the transposed convolution, on either kind of grid.
at::Tensor transposed(const at::Tensor& weight) {
  std::vector<std::int64_t> axes;
  for (std::int64_t axis = 2; axis < weight.dim(); ++axis) axes.push_back(axis);
  return weight.transpose(0, 1).flip(axes).contiguous();
}

// C x + b. Its derivatives are convolutions and WeightProduct again, so that all can be differentiated on.
struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, bool circular) {
    context->save_for_backward({x, weight});
    context->saved_data["circular"] = circular;
    return convolution(x, weight, bias, circular);
  }
  static variable_list backward(AutogradContext* context, variable_list cotangents);
};

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, bool circular) {
  return Convolution::apply(x, weight, at::zeros({weight.size(0)}, x.options()), circular);
}

// W_ijo = sum over samples and cells of g_i x_j(. + o).
struct WeightProduct : torch::autograd::Function<WeightProduct> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& g, bool circular) {
    context->save_for_backward({x, g});
    context->saved_data["circular"] = circular;
    return weight_product(x, g, circular);
  }
  static variable_list backward(AutogradContext* context, variable_list cotangents) {
    const auto saved = context->get_saved_variables();
    const bool circular = context->saved_data["circular"].toBool();
    const at::Tensor weight = cotangents[0].contiguous();
    return {linear(saved[1], transposed(weight), circular), linear(saved[0], weight, circular), at::Tensor()};
  }
};

variable_list Convolution::backward(AutogradContext* context, variable_list cotangents) {
  const auto saved = context->get_saved_variables();
  const bool circular = context->saved_data["circular"].toBool();
  const at::Tensor g = cotangents[0].contiguous();
  return {linear(g, transposed(saved[1]), circular), WeightProduct::apply(saved[0], g, circular),
          g.flatten(2).sum(at::IntArrayRef{0, 2}), at::Tensor()};
}

}  // namespace

at::Tensor grid_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool circular) {
  ESPALIER_ASSERT(x.dim() >= 3 && x.dim() <= 5, "fields with one to three axes");
  // Without ghosts to be gathered, torch's own derivatives are the shortest way.
  if (torch_is_fast(x) && !circular) return torch_convolution(x, weight, bias, 1);
  return Convolution::apply(x.contiguous(), weight.contiguous(), bias, circular);
}

}  // namespace espalier::nn
