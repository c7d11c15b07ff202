#include "espalier/io/comparison.hpp"

#include <filesystem>
#include <limits>

#include "espalier/core/error.hpp"
#include "espalier/io/xdmf.hpp"

namespace espalier::io {

namespace {

constexpr const char* fields[] = {"truth", "prediction", "error"};

void validate(const Comparison& comparison, std::size_t dof, const std::string& path) {
  const auto require = [&](bool condition, const std::string& complaint) {
    ESPALIER_REQUIRE(condition, path + ": " + complaint);
  };
  const std::size_t count = comparison.times.size();
  require(count >= 2 && dof >= 2, "at least two times and two points are needed, not " + describe({count, dof}));
  for (const auto* states : {&comparison.truth, &comparison.prediction})
    require(states->size() % dof == 0 && states->size() <= count * dof,
            std::to_string(states->size()) + " values are not at most " + std::to_string(count) + " states of " +
                std::to_string(dof) + " points");
}

std::vector<double> padded(std::vector<double> states, std::size_t size) {
  states.resize(size, std::numeric_limits<double>::quiet_NaN());
  return states;
}

XdmfAxis axis_of(const std::vector<double>& points) {
  return {points.size(), points.front(), (points.back() - points.front()) / static_cast<double>(points.size() - 1)};
}

void write_fields(Hdf5Writer& file, const Series& series, const Comparison& comparison) {
  const Shape shape{comparison.times.size(), series.dof};
  const std::vector<double> truth = padded(comparison.truth, elements(shape));
  const std::vector<double> prediction = padded(comparison.prediction, elements(shape));
  std::vector<double> error = prediction;
  for (std::size_t i = 0; i < error.size(); ++i) error[i] -= truth[i];
  file.write("time", {shape[0]}, comparison.times);
  file.write("x", {shape[1]}, series.coordinates);
  file.write("truth", shape, truth);
  file.write("prediction", shape, prediction);
  file.write("error", shape, error);
  for (const char* name : fields) file.attribute(name, "unit", series.state_unit);
  file.attribute("time", "unit", series.time_unit);
  file.attribute("x", "unit", series.coordinate_unit);
  file.attribute("/", "title", comparison.title);
  file.attribute("/", "method", comparison.method);
  file.group("settings");
  file.attributes("settings", series.settings);
}

}  // namespace

void write_comparison(const std::string& path, const Series& series, const Comparison& comparison,
                      const std::function<void(Hdf5Writer&)>& more) {
  validate(comparison, series.dof, path);
  Hdf5Writer file(path);
  write_fields(file, series, comparison);
  if (more) more(file);
  file.commit();
  std::vector<XdmfField> shown;
  for (const char* name : fields) shown.push_back({name, name});
  write_xdmf_space_time(xdmf_path(path), std::filesystem::path(path).filename().string(), axis_of(comparison.times),
                        axis_of(series.coordinates), shown);
}

}  // namespace espalier::io
