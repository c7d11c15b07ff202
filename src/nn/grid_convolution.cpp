#include "grid_convolution.hpp"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <torch/autograd.h>

#include <vector>

#include "espalier/core/error.hpp"

namespace espalier::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Of the values, from the argument.
GridLayout layout_of(const at::Tensor& x, Ghosts ghosts) {
  GridLayout layout;
  const auto missing = static_cast<std::size_t>(5 - x.dim());
  for (std::size_t axis = missing; axis < 3; ++axis) {
    layout.cells[axis] = x.size(static_cast<std::int64_t>(2 + axis - missing)) - (ghosts == Ghosts::given ? 2 : 0);
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
  const GridLayout layout = layout_of(x, Ghosts::circular);
  auto sizes = x.sizes().vec();
  for (std::size_t axis = 2; axis < sizes.size(); ++axis) sizes[axis] += 2;
  at::Tensor padded = at::empty(sizes, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "with_ghosts", [&] {
    for (std::int64_t field = 0; field < x.size(0) * x.size(1); ++field)
      add_ghosts(layout, Ghosts::circular, x.data_ptr<scalar_t>() + field * layout.count(),
                 padded.data_ptr<scalar_t>() + field * layout.padded_count());
  });
  return padded;
}

// torch has fast convolutions, those of oneDNN, in float only.
bool torch_is_fast(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat && at::globalContext().hasMKLDNN() && at::globalContext().userEnabledMkldnn();
}

// torch keeps small batches of one from oneDNN (use_mkldnn() in aten/src/ATen/native/Convolution.cpp), which is worth
// more than half of the work.
bool too_small(const at::Tensor& x) {
  std::int64_t entries = x.size(1);
  for (std::int64_t axis = 2; axis < std::min<std::int64_t>(x.dim(), 4); ++axis) entries *= x.size(axis);
  return x.size(0) == 1 && entries <= 20480;
}

at::Tensor doubled(const at::Tensor& x) { return at::cat({x, at::zeros_like(x)}); }

at::Tensor torch_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Ghosts ghosts) {
  const std::vector<std::int64_t> one(static_cast<std::size_t>(x.dim() - 2), 1);
  const std::vector<std::int64_t> none(one.size(), 0);
  const at::Tensor from = ghosts == Ghosts::circular ? with_ghosts(x) : x;
  const auto convolved = [&](const at::Tensor& fields) {
    return at::convolution(fields, weight, bias, one, ghosts == Ghosts::zeros ? one : none, one, false, none, 1);
  };
  return too_small(from) ? convolved(doubled(from)).narrow(0, 0, 1).clone() : convolved(from);
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Ghosts ghosts) {
  if (torch_is_fast(x)) return torch_convolution(x, weight, bias, ghosts);
  const GridLayout layout = layout_of(x, ghosts);
  auto sizes = x.sizes().vec();
  sizes[1] = weight.size(0);
  if (ghosts == Ghosts::given)
    for (std::size_t axis = 2; axis < sizes.size(); ++axis) sizes[axis] -= 2;
  at::Tensor y = at::empty(sizes, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "grid_convolution", [&] {
    FlatConvolution<scalar_t> flat(layout, ghosts, weight.size(1), weight.size(0));
    flat.set_weight(weight.data_ptr<scalar_t>());
    for (std::int64_t n = 0; n < x.size(0); ++n)
      flat.apply(x[n].data_ptr<scalar_t>(), bias.data_ptr<scalar_t>(), y[n].data_ptr<scalar_t>());
  });
  return y;
}

at::Tensor weight_product(const at::Tensor& x, const at::Tensor& g, Ghosts ghosts) {
  const auto sizes = with_axes(g.size(1), x.size(1), x, 3);
  if (torch_is_fast(x)) {
    const std::vector<std::int64_t> one(static_cast<std::size_t>(x.dim() - 2), 1);
    const std::vector<std::int64_t> none(one.size(), 0);
    const at::Tensor from = ghosts == Ghosts::circular ? with_ghosts(x) : x;
    const at::Tensor shape = at::empty(sizes, x.options());  // all that is used of the weight
    const bool small = too_small(from);
    return std::get<1>(at::convolution_backward(small ? doubled(g) : g, small ? doubled(from) : from, shape,
                                                c10::nullopt, one, ghosts == Ghosts::zeros ? one : none, one, false,
                                                none, 1, {false, true, false}));
  }
  at::Tensor weight = at::zeros(sizes, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "grid_convolution", [&] {
    FlatConvolution<scalar_t> flat(layout_of(x, ghosts), ghosts, x.size(1), g.size(1));
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

// The transposed convolution of values without ghosts reaches into the ghosts: cells and ghosts of its argument's kind.
at::Tensor framed(const at::Tensor& g, Ghosts ghosts) {
  if (ghosts != Ghosts::given) return g;
  return at::constant_pad_nd(g, std::vector<std::int64_t>(2 * static_cast<std::size_t>(g.dim() - 2), 1));
}

Ghosts of_transposed(Ghosts ghosts) { return ghosts == Ghosts::given ? Ghosts::zeros : ghosts; }

Ghosts ghosts_of(AutogradContext* context) { return static_cast<Ghosts>(context->saved_data["ghosts"].toInt()); }

// C x + b. Its derivatives are convolutions and WeightProduct again, so that all can be differentiated on.
struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, Ghosts ghosts) {
    context->save_for_backward({x, weight});
    context->saved_data["ghosts"] = static_cast<std::int64_t>(ghosts);
    return convolution(x, weight, bias, ghosts);
  }
  static variable_list backward(AutogradContext* context, variable_list cotangents);
};

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, Ghosts ghosts) {
  return Convolution::apply(x.contiguous(), weight, at::zeros({weight.size(0)}, x.options()), ghosts);
}

// W_ijo = sum over samples and cells of g_i x_j(. + o).
struct WeightProduct : torch::autograd::Function<WeightProduct> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& g, Ghosts ghosts) {
    context->save_for_backward({x, g});
    context->saved_data["ghosts"] = static_cast<std::int64_t>(ghosts);
    return weight_product(x, g, ghosts);
  }
  static variable_list backward(AutogradContext* context, variable_list cotangents) {
    const auto saved = context->get_saved_variables();
    const Ghosts ghosts = ghosts_of(context);
    const at::Tensor weight = cotangents[0].contiguous();
    return {linear(framed(saved[1], ghosts), transposed(weight), of_transposed(ghosts)),
            linear(saved[0], weight, ghosts), at::Tensor()};
  }
};

variable_list Convolution::backward(AutogradContext* context, variable_list cotangents) {
  const auto saved = context->get_saved_variables();
  const Ghosts ghosts = ghosts_of(context);
  const at::Tensor g = cotangents[0].contiguous();
  return {linear(framed(g, ghosts), transposed(saved[1]), of_transposed(ghosts)),
          WeightProduct::apply(saved[0], g, ghosts), g.flatten(2).sum(at::IntArrayRef{0, 2}), at::Tensor()};
}

}  // namespace

at::Tensor grid_convolution(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, Ghosts ghosts) {
  ESPALIER_ASSERT(x.dim() >= 3 && x.dim() <= 5, "fields with one to three axes");
  // Without ghosts to be gathered, torch's own derivatives are the shortest way.
  if (torch_is_fast(x) && ghosts != Ghosts::circular) return torch_convolution(x, weight, bias, ghosts);
  return Convolution::apply(x.contiguous(), weight.contiguous(), bias, ghosts);
}

}  // namespace espalier::nn
