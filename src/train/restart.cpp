#include "espalier/train/restart.hpp"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "espalier/core/error.hpp"
#include "espalier/core/mixing.hpp"
#include "espalier/core/session.hpp"
#include "espalier/io/files.hpp"
#include "espalier/io/hdf5.hpp"

namespace espalier::train {

namespace {

constexpr std::int64_t format_version = 1;
constexpr const char* restart_kind = "espalier training restart";
constexpr const char* model_kind = "espalier model parameters";

using Numbers = std::map<std::string, double>;
using Tensors = std::map<std::string, at::Tensor>;

// A name that HDF5 does not take for a path.
const std::string& plain(const std::string& name) {
  ESPALIER_ASSERT(!name.empty() && name.find('/') == std::string::npos, "'" + name + "' must be a name without slash");
  return name;
}

// --- tensors: their type is an attribute because readers convert widths, and so is a checksum ------------------------

io::Shape shape_of(const at::Tensor& tensor) { return io::Shape(tensor.sizes().begin(), tensor.sizes().end()); }

std::int64_t checksum_of(const at::Tensor& tensor) {
  return static_cast<std::int64_t>(core::checksum(tensor.data_ptr(), tensor.nbytes()));
}

void put(io::Hdf5Writer& file, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor values = tensor.contiguous();
  const io::Shape shape = shape_of(values);
  switch (values.scalar_type()) {
    case at::kDouble:
      file.write(name, shape, values.data_ptr<double>());
      break;
    case at::kFloat:
      file.write(name, shape, values.data_ptr<float>());
      break;
    case at::kLong:
      file.write(name, shape, values.data_ptr<std::int64_t>());
      break;
    case at::kByte:
      file.write(name, shape, values.data_ptr<std::uint8_t>());
      break;
    default:
      ESPALIER_ASSERT(false, "restart files hold float64, float32, int64 and uint8, not " + name);
  }
  file.attribute(name, "type", std::string(c10::toString(values.scalar_type())));
  file.attribute(name, "checksum", checksum_of(values));
}

template <class T>
at::Tensor get_as(const io::Hdf5Reader& file, const std::string& name, at::ScalarType type) {
  const io::Shape shape = file.shape(name);
  const at::Tensor tensor = torch::empty(std::vector<std::int64_t>(shape.begin(), shape.end()), type);
  file.read_into(name, shape, tensor.data_ptr<T>());
  if (checksum_of(tensor) != file.integer(name, "checksum"))
    file.fail("tensor " + name + " is damaged (its checksum is wrong): use another file");
  return tensor;
}

at::Tensor get(const io::Hdf5Reader& file, const std::string& name) {
  const std::string type = file.text(name, "type");
  if (type == c10::toString(at::kDouble)) return get_as<double>(file, name, at::kDouble);
  if (type == c10::toString(at::kFloat)) return get_as<float>(file, name, at::kFloat);
  if (type == c10::toString(at::kLong)) return get_as<std::int64_t>(file, name, at::kLong);
  if (type == c10::toString(at::kByte)) return get_as<std::uint8_t>(file, name, at::kByte);
  file.fail("tensor " + name + " has the unknown type '" + type + "'");
}

void put(io::Hdf5Writer& file, const std::string& group, const Tensors& tensors) {
  file.group(group);
  for (const auto& [name, tensor] : tensors) put(file, group + "/" + plain(name), tensor);
}

Tensors get_tensors(const io::Hdf5Reader& file, const std::string& group) {
  Tensors tensors;
  for (const auto& name : file.members(group)) tensors[name] = get(file, group + "/" + name);
  return tensors;
}

// --- numbers: one scalar data set each, so that NaN and infinity keep their bits ------------------------------------

void put(io::Hdf5Writer& file, const std::string& group, const Numbers& numbers) {
  file.group(group);
  for (const auto& [name, value] : numbers) file.write(group + "/" + plain(name), {}, &value);
}

Numbers get_numbers(const io::Hdf5Reader& file, const std::string& group) {
  Numbers numbers;
  for (const auto& name : file.members(group)) file.read_into(group + "/" + name, {}, &numbers[name]);
  return numbers;
}

double number(const io::Hdf5Reader& file, const Numbers& numbers, const std::string& name) {
  const auto found = numbers.find(name);
  if (found == numbers.end()) file.fail("the entry '" + name + "' is missing: this is not a complete restart file");
  return found->second;
}

// --- rows: the fixed keys of an epoch and the extra ones ------------------------------------------------------------

Numbers to_numbers(const core::EpochRecord& r) {
  return {{"epoch", r.epoch},
          {"loss", r.loss},
          {"validation", r.validation},
          {"seconds", r.seconds},
          {"nfe_forward", static_cast<double>(r.nfe_forward)},
          {"nfe_adjoint", static_cast<double>(r.nfe_adjoint)},
          {"ksp_its_forward", static_cast<double>(r.ksp_its_forward)},
          {"ksp_its_adjoint", static_cast<double>(r.ksp_its_adjoint)}};
}

core::EpochRecord to_record(const io::Hdf5Reader& file, const Numbers& numbers) {
  const auto real = [&](const char* name) { return number(file, numbers, name); };
  const auto whole = [&](const char* name) { return std::lround(number(file, numbers, name)); };
  core::EpochRecord r;
  r.epoch = static_cast<int>(whole("epoch"));
  r.loss = real("loss");
  r.validation = real("validation");
  r.seconds = real("seconds");
  r.nfe_forward = whole("nfe_forward");
  r.nfe_adjoint = whole("nfe_adjoint");
  r.ksp_its_forward = whole("ksp_its_forward");
  r.ksp_its_adjoint = whole("ksp_its_adjoint");
  return r;
}

// Every key is a column. Rows need not have the same extra keys: a mask says which ones a row has.
void put(io::Hdf5Writer& file, const std::string& group, const std::vector<HistoryRow>& history) {
  std::map<std::string, std::vector<double>> fixed;
  std::set<std::string> extra_names;
  for (const auto& row : history) {
    for (const auto& [name, value] : to_numbers(row.record)) fixed[name].push_back(value);
    for (const auto& entry : row.extra) extra_names.insert(entry.first);
  }
  file.group(group);
  file.group(group + "/record");
  file.group(group + "/extra");
  file.group(group + "/extra_given");
  for (const auto& [name, column] : fixed) file.write(group + "/record/" + name, {column.size()}, column);
  for (const auto& name : extra_names) {
    std::vector<double> column;
    std::vector<std::uint8_t> given;
    for (const auto& row : history) {
      const auto found = row.extra.find(name);
      given.push_back(found != row.extra.end() ? 1 : 0);
      column.push_back(found != row.extra.end() ? found->second : 0);
    }
    file.write(group + "/extra/" + name, {column.size()}, column);
    file.write(group + "/extra_given/" + name, {given.size()}, given);
  }
}

std::vector<HistoryRow> get_history(const io::Hdf5Reader& file, const std::string& group) {
  std::map<std::string, std::vector<double>> columns;
  std::size_t rows = 0;
  for (const auto& name : file.members(group + "/record")) {
    columns[name] = file.read<double>(group + "/record/" + name);
    rows = columns[name].size();
  }
  std::vector<HistoryRow> history(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    Numbers numbers;
    for (const auto& [name, column] : columns) {
      if (column.size() != rows) file.fail("the columns of the history differ in length");
      numbers[name] = column[i];
    }
    history[i].record = to_record(file, numbers);
  }
  for (const auto& name : file.members(group + "/extra")) {
    const auto column = file.read<double>(group + "/extra/" + name, {rows});
    const auto given = file.read<std::uint8_t>(group + "/extra_given/" + name, {rows});
    for (std::size_t i = 0; i < rows; ++i)
      if (given[i] != 0) history[i].extra[name] = column[i];
  }
  return history;
}

// --- models ---------------------------------------------------------------------------------------------------------

void put(io::Hdf5Writer& file, const std::string& group, const Model& model) {
  put(file, group, Numbers{{"epoch", model.epoch}, {"validation", model.validation}});
  if (model.parameters.defined()) put(file, group + "/parameters", model.parameters);
}

Model get_model(const io::Hdf5Reader& file, const std::string& group) {
  Model model;
  double epoch = 0;
  file.read_into(group + "/epoch", {}, &epoch);
  model.epoch = static_cast<int>(std::lround(epoch));
  file.read_into(group + "/validation", {}, &model.validation);
  if (file.has_dataset(group + "/parameters")) model.parameters = get(file, group + "/parameters");
  return model;
}

// --- fingerprints ---------------------------------------------------------------------------------------------------

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// "a=1; b=2" as pairs; an entry without "=" is its own name.
std::vector<std::pair<std::string, std::string>> entries_of(const std::string& fingerprint) {
  std::vector<std::pair<std::string, std::string>> entries;
  std::size_t begin = 0;
  while (begin <= fingerprint.size()) {
    const std::size_t end = std::min(fingerprint.find_first_of(";\n", begin), fingerprint.size());
    const std::string entry = trimmed(fingerprint.substr(begin, end - begin));
    const std::size_t equals = std::min(entry.find('='), entry.size());
    if (!entry.empty())
      entries.emplace_back(trimmed(entry.substr(0, equals)),
                           equals < entry.size() ? trimmed(entry.substr(equals + 1)) : "yes");
    begin = end + 1;
  }
  return entries;
}

std::string value_of(const std::vector<std::pair<std::string, std::string>>& entries, const std::string& name) {
  for (const auto& entry : entries)
    if (entry.first == name) return entry.second;
  return "nothing";
}

// --- files ----------------------------------------------------------------------------------------------------------

template <class Content>
void write_file(MPI_Comm comm, const std::string& path, const char* kind, const std::string& fingerprint,
                const Content& content) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  core::agree(comm, [&] {
    if (rank != 0) return;
    io::Hdf5Writer file(path);
    file.attributes("/", {{"kind", kind}, {"format", format_version}, {"fingerprint", fingerprint}});
    content(file);
    file.commit();
  });
}

// The entries of `fingerprint` that `named` has too.
std::string entries_named_in(const std::string& fingerprint, const std::string& named) {
  const auto theirs = entries_of(fingerprint);
  std::string kept;
  for (const auto& entry : entries_of(named)) kept += entry.first + "=" + value_of(theirs, entry.first) + ";";
  return kept;
}

enum class Agreement { all_entries, named_entries };

void check_file(const io::Hdf5Reader& file, const char* kind, const std::string& fingerprint, Agreement agreement) {
  const bool known = file.has_attribute("/", "kind") && file.has_attribute("/", "format") &&
                     file.has_attribute("/", "fingerprint") && file.text("/", "kind") == kind;
  if (!known) file.fail(std::string("this HDF5 file is no '") + kind + "' file");
  const std::int64_t format = file.integer("/", "format");
  if (format != format_version)
    file.fail("the file has format " + std::to_string(format) + ", this program reads format " +
              std::to_string(format_version));
  std::string in_file = file.text("/", "fingerprint");
  if (agreement == Agreement::named_entries) in_file = entries_named_in(in_file, fingerprint);
  const std::string difference = fingerprint_difference(in_file, fingerprint);
  if (!difference.empty())
    file.fail("the file belongs to another run (" + difference + "): give the options of that run, or another file");
}

}  // namespace

std::string fingerprint_difference(const std::string& in_file, const std::string& of_run) {
  const auto theirs = entries_of(in_file);
  const auto ours = entries_of(of_run);
  std::set<std::string> names;
  for (const auto& entry : theirs) names.insert(entry.first);
  for (const auto& entry : ours) names.insert(entry.first);
  std::string difference;
  for (const auto& name : names) {
    const std::string a = value_of(theirs, name);
    const std::string b = value_of(ours, name);
    if (a != b) difference += (difference.empty() ? "" : "; ") + name + ": the file has " + a + ", this run " + b;
  }
  return difference;
}

std::string fingerprint_entry(const std::string& fingerprint, const std::string& name) {
  for (const auto& entry : entries_of(fingerprint))
    if (entry.first == name) return entry.first + "=" + entry.second;
  return "";
}

void write_restart(MPI_Comm comm, const std::string& path, const std::string& fingerprint, const RestartState& state) {
  write_file(comm, path, restart_kind, fingerprint, [&](io::Hdf5Writer& file) {
    const at::Tensor position =
        torch::tensor({std::int64_t{state.epoch}, state.batch, static_cast<std::int64_t>(state.seed)});
    put(file, "position", position);
    put(file, "partial", to_numbers(state.partial));
    put(file, "partial_extra", state.partial_extra);
    put(file, "parameters", state.parameters);
    put(file, "optimiser", state.optimiser);
    put(file, "schedule", state.schedule);
    put(file, "best", state.best);
    put(file, "history", state.history);
    put(file, "numbers", state.numbers);
    put(file, "tensors", state.tensors);
  });
}

RestartState read_restart(MPI_Comm comm, const std::string& path, const std::string& fingerprint) {
  RestartState state;
  core::agree(comm, [&] {
    const io::Hdf5Reader file(path);
    check_file(file, restart_kind, fingerprint, Agreement::all_entries);
    const auto position = file.read<std::int64_t>("position", {3});
    state.epoch = static_cast<int>(position[0]);
    state.batch = position[1];
    state.seed = static_cast<std::uint64_t>(position[2]);
    state.partial = to_record(file, get_numbers(file, "partial"));
    state.partial_extra = get_numbers(file, "partial_extra");
    state.parameters = get(file, "parameters");
    state.optimiser = get_tensors(file, "optimiser");
    state.schedule = get_numbers(file, "schedule");
    state.best = get_model(file, "best");
    state.history = get_history(file, "history");
    state.numbers = get_numbers(file, "numbers");
    state.tensors = get_tensors(file, "tensors");
  });
  return state;
}

void write_model(MPI_Comm comm, const std::string& path, const std::string& fingerprint, const Model& model) {
  ESPALIER_ASSERT(model.parameters.defined(), "a model without parameters cannot be written");
  write_file(comm, path, model_kind, fingerprint, [&](io::Hdf5Writer& file) { put(file, "model", model); });
}

Model read_model(MPI_Comm comm, const std::string& path, const std::string& fingerprint) {
  Model model;
  core::agree(comm, [&] {
    const io::Hdf5Reader file(path);
    check_file(file, model_kind, fingerprint, Agreement::named_entries);
    model = get_model(file, "model");
    if (!model.parameters.defined()) file.fail("the file holds no parameters");
  });
  return model;
}

}  // namespace espalier::train
