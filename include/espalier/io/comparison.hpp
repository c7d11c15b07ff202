// Truth beside prediction on a grid of times and points: the file that tools/plot and ParaView draw.
//
// File: data sets `time` [T], `x` [d], `truth`, `prediction` and `error` = prediction - truth [T, d], each with an
// attribute `unit`; the root carries `title` and `method`, the group `settings` the settings of the truth's series.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "espalier/io/hdf5.hpp"
#include "espalier/io/series.hpp"

namespace espalier::io {

/// States at equally spaced times. Truth and prediction may be shorter than the times: NaN stands for the rest.
struct Comparison {
  std::string title;
  std::string method;
  std::vector<double> times;       ///< [T], T >= 2
  std::vector<double> truth;       ///< [T1, d], T1 <= T
  std::vector<double> prediction;  ///< [T2, d], T2 <= T
};

/// Writes `path`, which ends in ".h5", and the XDMF file beside it. Points, units and settings are those of `series`;
/// `more` may add to the file before it is committed. Not collective: one rank calls it. Throws UserError if sizes do
/// not agree or the files cannot be written.
void write_comparison(const std::string& path, const Series& series, const Comparison& comparison,
                      const std::function<void(Hdf5Writer&)>& more = {});

}  // namespace espalier::io
