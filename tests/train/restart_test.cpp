#include <torch/types.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "core/messages.hpp"
#include "core/rank.hpp"
#include "espalier/core/error.hpp"
#include "espalier/io/hdf5.hpp"
#include "espalier/train/restart.hpp"
#include "io/temporary_folder.hpp"

namespace utf = boost::unit_test;
using namespace espalier::train;
using espalier::testing::TemporaryFolder;

namespace {

const std::string fingerprint = "network=4/8/4 relu; precision=double\nmethod = l2";

RestartState example() {
  RestartState state;
  state.epoch = 2;
  state.batch = 5;
  state.seed = 99;
  state.partial.loss = 0.1 + 0.2;
  state.partial.nfe_forward = 12345678901L;
  state.partial_extra["jvp_forward"] = 3;
  state.parameters = torch::tensor({0.1, -0.0, 1e-310, 1e300}, torch::kFloat64);
  state.optimiser["exp_avg"] = torch::tensor({0.1F, 0.2F, 0.3F, 0.4F}, torch::kFloat32);
  state.optimiser["step"] = torch::full({1}, 77, torch::kInt64);
  state.schedule["best_loss"] = std::numeric_limits<double>::infinity();
  state.best = {torch::tensor({1.0, 2.0, 3.0, 4.0}, torch::kFloat64), 1, 0.5};
  HistoryRow row;
  row.record.epoch = 1;
  row.record.loss = 1.0 / 3;
  row.record.validation = std::numeric_limits<double>::quiet_NaN();
  row.extra["jvp_forward"] = 4;
  state.history.push_back(row);
  row.record.epoch = 2;
  row.record.ksp_its_adjoint = 7;
  row.extra.clear();
  row.extra["refinement"] = 3;
  state.history.push_back(row);
  state.numbers["refinement"] = 3;
  state.tensors["mask"] = torch::tensor({1, 0, 255}, torch::kUInt8);
  return state;
}

std::string complaint(const std::string& path, const std::string& run = fingerprint) {
  return espalier::testing::message_of<espalier::UserError>([&] { read_restart(MPI_COMM_WORLD, path, run); });
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_SUITE(train_restart, *utf::label("unit") * utf::label("np1") * utf::label("np2"))

BOOST_AUTO_TEST_CASE(everything_comes_back_bit_for_bit) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const RestartState a = example();
  write_restart(MPI_COMM_WORLD, folder.file("restart.h5"), fingerprint, a);
  const RestartState b = read_restart(MPI_COMM_WORLD, folder.file("restart.h5"), fingerprint);
  BOOST_TEST(b.epoch == 2);
  BOOST_TEST(b.batch == 5);
  BOOST_TEST(b.seed == 99U);
  BOOST_TEST(b.partial.loss == 0.1 + 0.2);
  BOOST_TEST(b.partial.nfe_forward == 12345678901L);
  BOOST_TEST((b.partial_extra == a.partial_extra));
  BOOST_TEST(b.parameters.equal(a.parameters));
  BOOST_TEST(std::signbit(b.parameters[1].item<double>()));
  BOOST_TEST(b.optimiser.size() == 2U);
  for (const auto& [name, tensor] : a.optimiser) {
    BOOST_TEST((b.optimiser.at(name).scalar_type() == tensor.scalar_type()));
    BOOST_TEST(b.optimiser.at(name).equal(tensor));
  }
  BOOST_TEST((b.schedule == a.schedule));
  BOOST_TEST(b.best.parameters.equal(a.best.parameters));
  BOOST_TEST(b.best.epoch == 1);
  BOOST_TEST(b.best.validation == 0.5);
  BOOST_REQUIRE(b.history.size() == 2U);
  BOOST_TEST(b.history[0].record.loss == 1.0 / 3);
  BOOST_TEST(std::isnan(b.history[0].record.validation));
  BOOST_TEST(b.history[1].record.epoch == 2);
  BOOST_TEST(b.history[1].record.ksp_its_adjoint == 7);
  for (std::size_t i = 0; i < 2; ++i) BOOST_TEST((b.history[i].extra == a.history[i].extra));
  BOOST_TEST((b.numbers == a.numbers));
  BOOST_TEST(b.tensors.at("mask").equal(a.tensors.at("mask")));
}

BOOST_AUTO_TEST_CASE(another_model_is_refused_with_the_difference) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  write_restart(MPI_COMM_WORLD, folder.file("restart.h5"), fingerprint, example());
  const std::string text =
      complaint(folder.file("restart.h5"), "network=4/8/4 gelu; precision=double; method=l2; extra");
  BOOST_TEST(contains(text, "network: the file has 4/8/4 relu, this run 4/8/4 gelu"));
  BOOST_TEST(contains(text, "extra: the file has nothing, this run yes"));
  BOOST_TEST(!contains(text, "precision"));
  BOOST_TEST(!contains(text, "method"));
}

BOOST_AUTO_TEST_CASE(missing_and_foreign_files_are_refused) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  BOOST_TEST(contains(complaint(folder.file("none.h5")), "none.h5"));
  if (espalier::testing::rank_of() == 0) {
    std::ofstream(folder.file("text.h5")) << "not HDF5";
    espalier::io::Hdf5Writer other(folder.file("other.h5"));
    other.attribute("/", "kind", std::string("something else"));
    other.commit();
  }
  MPI_Barrier(MPI_COMM_WORLD);
  BOOST_TEST(contains(complaint(folder.file("text.h5")), "text.h5"));
  BOOST_TEST(contains(complaint(folder.file("other.h5")), "no 'espalier training restart' file"));
  write_model(MPI_COMM_WORLD, folder.file("model.h5"), fingerprint, example().best);
  BOOST_TEST(contains(complaint(folder.file("model.h5")), "no 'espalier training restart' file"));
}

// Cut anywhere, or with a bit of the parameters turned over: an error, never other numbers.
BOOST_AUTO_TEST_CASE(damaged_files_are_refused) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("restart.h5");
  write_restart(MPI_COMM_WORLD, path, fingerprint, example());
  const auto size = std::filesystem::file_size(path);
  for (const double part : {0.0, 0.1, 0.5, 0.9, 0.999}) {
    const std::string cut = folder.file("cut.h5");
    MPI_Barrier(MPI_COMM_WORLD);
    if (espalier::testing::rank_of() == 0) {
      std::filesystem::copy_file(path, cut, std::filesystem::copy_options::overwrite_existing);
      std::filesystem::resize_file(cut, static_cast<std::uintmax_t>(part * static_cast<double>(size)));
    }
    MPI_Barrier(MPI_COMM_WORLD);
    BOOST_TEST(contains(complaint(cut), "cut.h5"));
  }
  if (espalier::testing::rank_of() == 0) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes(size, '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(size));
    const double value = 1e300;
    std::string pattern(sizeof value, '\0');
    std::memcpy(pattern.data(), &value, sizeof value);
    const auto position = bytes.find(pattern);
    BOOST_REQUIRE(position != std::string::npos);
    file.seekp(static_cast<std::streamoff>(position));
    file.put(static_cast<char>(bytes[position] ^ 1));
  }
  MPI_Barrier(MPI_COMM_WORLD);
  BOOST_TEST(contains(complaint(path), "parameters is damaged"));
}

BOOST_AUTO_TEST_CASE(a_failed_write_keeps_the_older_file) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const std::string path = folder.file("restart.h5");
  write_restart(MPI_COMM_WORLD, path, fingerprint, example());
  RestartState wrong = example();
  wrong.tensors["half"] = torch::zeros({2}, torch::kFloat16);  // a type that the format does not have
  BOOST_CHECK_THROW(write_restart(MPI_COMM_WORLD, path, fingerprint, wrong), espalier::Error);
  BOOST_TEST(complaint(path).empty());
  BOOST_CHECK_THROW(write_restart(MPI_COMM_WORLD, folder.file("no/such/folder.h5"), fingerprint, example()),
                    espalier::UserError);
}

BOOST_AUTO_TEST_CASE(models_alone) {
  const TemporaryFolder folder(MPI_COMM_WORLD);
  const Model a = example().best;
  write_model(MPI_COMM_WORLD, folder.file("best.h5"), fingerprint, a);
  const Model b = read_model(MPI_COMM_WORLD, folder.file("best.h5"), fingerprint);
  BOOST_TEST(b.parameters.equal(a.parameters));
  BOOST_TEST(b.validation == a.validation);
  BOOST_TEST(b.epoch == a.epoch);
  BOOST_CHECK_THROW(read_model(MPI_COMM_WORLD, folder.file("best.h5"), "network=other"), espalier::UserError);
}

BOOST_AUTO_TEST_SUITE_END()
