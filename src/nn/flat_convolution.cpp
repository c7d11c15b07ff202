#include "flat_convolution.hpp"

#include <algorithm>
#include <cstring>

namespace espalier::nn {

namespace {

template <typename Number>
struct VectorOf;
template <>
struct VectorOf<float> {
  using Type = float __attribute__((vector_size(64)));
};
template <>
struct VectorOf<double> {
  using Type = double __attribute__((vector_size(64)));
};
template <typename Number>
using Vector = typename VectorOf<Number>::Type;

template <typename Number>
Vector<Number> load_vector(const Number* from) {
  Vector<Number> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <typename Number>
Number sum_of(const Vector<Number>& v) {
  Number sum = 0;
  for (std::size_t i = 0; i < sizeof v / sizeof(Number); ++i) sum += v[i];
  return sum;
}

std::int64_t rounded_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Calls body(cell, place): the first cell of each row along x, and where it stands in the long row of values.
template <typename Body>
void for_each_row(const GridLayout& layout, const Body& body) {
  const auto [nz, ny, nx] = layout.cells;
  for (std::int64_t z = 0; z < nz; ++z)
    for (std::int64_t y = 0; y < ny; ++y) body((z * ny + y) * nx, (z * layout.padded(1) + y) * layout.padded(2));
}

// The cell that stands at place p of a padded axis, -1 outside of the grid unless circular.
std::int64_t cell_at(const GridLayout& layout, bool circular, std::size_t axis, std::int64_t p) {
  const std::int64_t n = layout.cells[axis];
  const std::int64_t cell = p - layout.ghosts[axis];
  if (circular) return (cell + n) % n;
  return cell < n ? cell : -1;
}

}  // namespace

std::vector<std::int64_t> GridLayout::offsets() const {
  std::vector<std::int64_t> all;
  for (std::int64_t z = 0; z <= 2 * ghosts[0]; ++z)
    for (std::int64_t y = 0; y <= 2 * ghosts[1]; ++y)
      for (std::int64_t x = 0; x <= 2 * ghosts[2]; ++x) all.push_back((z * padded(1) + y) * padded(2) + x);
  return all;
}

template <typename Number>
void add_ghosts(const GridLayout& layout, Ghosts ghosts, const Number* from, Number* to) {
  const bool circular = ghosts == Ghosts::circular;
  const std::int64_t nx = layout.cells[2];
  for (std::int64_t p = 0; p < layout.padded(0); ++p) {
    const std::int64_t z = cell_at(layout, circular, 0, p);
    for (std::int64_t q = 0; q < layout.padded(1); ++q, to += nx + 2) {
      const std::int64_t y = cell_at(layout, circular, 1, q);
      if (z < 0 || y < 0) {
        std::fill_n(to, nx + 2, Number(0));
        continue;
      }
      const Number* row = from + (z * layout.cells[1] + y) * nx;
      to[0] = circular ? row[nx - 1] : Number(0);
      std::copy_n(row, nx, to + 1);
      to[nx + 1] = circular ? row[0] : Number(0);
    }
  }
}

template <typename Number>
FlatConvolution<Number>::FlatConvolution(const GridLayout& layout, Ghosts ghosts, std::int64_t from, std::int64_t to)
    : layout_(layout), ghosts_(ghosts), from_(from), to_(to), offsets_(layout.offsets()) {
  // From the first value to the last one; what stands between rows is worth nothing.
  const std::int64_t last = ((layout.cells[0] - 1) * layout.padded(1) + layout.cells[1] - 1) * layout.padded(2);
  length_ = rounded_up(last + layout.cells[2], vectors * width);
  stride_ = std::max(layout.padded_count(), length_ + offsets_.back());
  input_.assign(static_cast<std::size_t>(rounded_up(from_, vectors) * stride_), Number(0));
  value_.assign(static_cast<std::size_t>(rounded_up(to_, rows) * length_), Number(0));
}

template <typename Number>
void FlatConvolution<Number>::set_weight(const Number* weight) {
  const auto window = static_cast<std::int64_t>(offsets_.size());
  packed_.assign(static_cast<std::size_t>(rounded_up(to_, rows) * window * from_), Number(0));
  for (std::int64_t i = 0; i < to_; ++i)
    for (std::int64_t j = 0; j < from_; ++j)
      for (std::int64_t o = 0; o < window; ++o)
        packed_[static_cast<std::size_t>((((i / rows) * window + o) * from_ + j) * rows + i % rows)] = *weight++;
}

template <typename Number>
void FlatConvolution<Number>::load(const Number* x) {
  const std::int64_t padded = layout_.padded_count();
  for (std::int64_t j = 0; j < from_; ++j) {
    Number* to = input_.data() + j * stride_;
    if (ghosts_ == Ghosts::given) {
      std::copy_n(x + j * padded, padded, to);
    } else {
      add_ghosts(layout_, ghosts_, x + j * layout_.count(), to);
    }
  }
}

// value_i = sum_j,o weight_ijo input_j(. + o), in blocks of `rows` by `vectors` registers.
template <typename Number>
void FlatConvolution<Number>::sum_inputs() {
  const std::int64_t groups = rounded_up(to_, rows) / rows;
  for (std::int64_t l = 0; l < length_; l += vectors * width) {
    const Number* weight = packed_.data();
    for (std::int64_t group = 0; group < groups; ++group) {
      Vector<Number> sums[rows][vectors] = {};
      for (const std::int64_t offset : offsets_) {
        const Number* source = input_.data() + offset + l;
        for (std::int64_t j = 0; j < from_; ++j, source += stride_, weight += rows) {
          const auto a = load_vector(source);
          const auto b = load_vector(source + width);
          const auto c = load_vector(source + 2 * width);
          for (std::int64_t i = 0; i < rows; ++i) {
            sums[i][0] += a * weight[i];
            sums[i][1] += b * weight[i];
            sums[i][2] += c * weight[i];
          }
        }
      }
      for (std::int64_t i = 0; i < rows; ++i)
        std::memcpy(value_.data() + (group * rows + i) * length_ + l, sums[i], sizeof sums[i]);
    }
  }
}

template <typename Number>
void FlatConvolution<Number>::apply(const Number* x, const Number* bias, Number* y) {
  load(x);
  sum_inputs();
  for (std::int64_t i = 0; i < to_; ++i) {
    for_each_row(layout_, [&](std::int64_t cell, std::int64_t place) {
      const Number* row = value_.data() + i * length_ + place;
      std::transform(row, row + layout_.cells[2], y + i * layout_.count() + cell,
                     [&](Number value) { return value + bias[i]; });
    });
  }
}

// weight_ijo += sum over a part of the long row of value_i input_j(. + o), for `rows` i and `vectors` j.
template <typename Number>
void FlatConvolution<Number>::add_products(std::int64_t first, std::int64_t end, std::int64_t i0, std::int64_t j0,
                                           std::size_t o, Number* weight) const {
  Vector<Number> sums[rows][vectors] = {};
  const Number* left = value_.data() + i0 * length_;
  const Number* right = input_.data() + j0 * stride_ + offsets_[o];
  for (std::int64_t l = first; l < end; l += width) {
    const auto a = load_vector(right + l);
    const auto b = load_vector(right + stride_ + l);
    const auto c = load_vector(right + 2 * stride_ + l);
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto v = load_vector(left + i * length_ + l);
      sums[i][0] += a * v;
      sums[i][1] += b * v;
      sums[i][2] += c * v;
    }
  }
  const auto window = static_cast<std::int64_t>(offsets_.size());
  for (std::int64_t i = i0; i < std::min(i0 + rows, to_); ++i)
    for (std::int64_t j = j0; j < std::min(j0 + vectors, from_); ++j)
      weight[(i * from_ + j) * window + static_cast<std::int64_t>(o)] += sum_of<Number>(sums[i - i0][j - j0]);
}

template <typename Number>
void FlatConvolution<Number>::add_weight_product(const Number* x, const Number* g, Number* weight) {
  constexpr std::int64_t part = 64 * vectors * width;  // of the long row: what is used of g and x stays in the cache
  load(x);
  // Zeros between the rows, where the inputs' ghosts are.
  std::fill(value_.begin(), value_.end(), Number(0));
  for (std::int64_t i = 0; i < to_; ++i)
    for_each_row(layout_, [&](std::int64_t cell, std::int64_t place) {
      std::copy_n(g + i * layout_.count() + cell, layout_.cells[2], value_.data() + i * length_ + place);
    });
  for (std::int64_t first = 0; first < length_; first += part)
    for (std::int64_t i = 0; i < to_; i += rows)
      for (std::size_t o = 0; o < offsets_.size(); ++o)
        for (std::int64_t j = 0; j < from_; j += vectors)
          add_products(first, std::min(first + part, length_), i, j, o, weight);
}

template void add_ghosts(const GridLayout&, Ghosts, const float*, float*);
template void add_ghosts(const GridLayout&, Ghosts, const double*, double*);
template class FlatConvolution<float>;
template class FlatConvolution<double>;

}  // namespace espalier::nn
