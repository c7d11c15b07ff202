// The sums of a convolution over a grid with ghost cells, whose rows are taken as one long row: what torch does in
// double it does at a fraction of the processor's speed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace espalier::nn {

/// A grid as [z, y, x]. Axes that it does not have are one cell long and have no ghosts.
struct GridLayout {
  std::array<std::int64_t, 3> cells = {1, 1, 1};
  std::array<std::int64_t, 3> ghosts = {0, 0, 0};  ///< before and behind, 0 or 1

  std::int64_t padded(std::size_t axis) const { return cells[axis] + 2 * ghosts[axis]; }
  std::int64_t count() const { return cells[0] * cells[1] * cells[2]; }
  std::int64_t padded_count() const { return padded(0) * padded(1) * padded(2); }
  /// Where the cells of a three-cell window begin, from its first one, in the order of a weight's last axes.
  std::vector<std::int64_t> offsets() const;
};

/// What stands around a grid's cells.
enum class Ghosts {
  zeros,
  circular,  ///< the cells of the other end
  given      ///< cells that the fields bring along
};

/// One field with its ghosts: to[p, q, r] = from[z(p), y(q), x(r)]; `ghosts`: zeros or circular.
template <typename Number>
void add_ghosts(const GridLayout& layout, Ghosts ghosts, const Number* from, Number* to);

/// The fields of one sample in the form that the sums need, and the sums. Not for several threads at once.
template <typename Number>
class FlatConvolution {
 public:
  FlatConvolution(const GridLayout& layout, Ghosts ghosts, std::int64_t from, std::int64_t to);

  /// weight: [to, from, window].
  void set_weight(const Number* weight);
  /// y_i = bias_i + sum_j,o weight_ijo x_j(. + o), x: [from, cells], with the ghosts if they are given, y: [to, cells].
  void apply(const Number* x, const Number* bias, Number* y);
  /// weight_ijo += sum over the cells of g_i x_j(. + o), g: [to, cells].
  void add_weight_product(const Number* x, const Number* g, Number* weight);

 private:
  static constexpr std::int64_t width = 64 / sizeof(Number);  // of a vector
  static constexpr std::int64_t vectors = 3;                  // in a register block
  static constexpr std::int64_t rows = 8;

  void load(const Number* x);
  void sum_inputs();
  void add_products(std::int64_t first, std::int64_t end, std::int64_t i0, std::int64_t j0, std::size_t o,
                    Number* weight) const;

  GridLayout layout_;
  Ghosts ghosts_;
  std::int64_t from_;
  std::int64_t to_;
  std::vector<std::int64_t> offsets_;
  std::int64_t length_;         // of the long row of values, a multiple of the block
  std::int64_t stride_;         // between the inputs' long rows
  std::vector<Number> input_;   // [from, stride]
  std::vector<Number> value_;   // [to, length], to rounded up to `rows`
  std::vector<Number> packed_;  // [to / rows, window, from, rows]
};

}  // namespace espalier::nn
