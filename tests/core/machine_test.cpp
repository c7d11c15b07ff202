#include "espalier/core/machine.hpp"

#include <sched.h>
#include <torch/utils.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <memory>
#include <vector>

#include "core/rank.hpp"

using namespace espalier;

namespace utf = boost::unit_test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Binds the process to the first `count` of its cores for the length of a test.
class Bound {
 public:
  explicit Bound(int count) {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t some;
    CPU_ZERO(&some);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&some) < count; ++cpu)
      if (CPU_ISSET(cpu, &before_)) CPU_SET(cpu, &some);
    sched_setaffinity(0, sizeof some, &some);
  }
  ~Bound() { sched_setaffinity(0, sizeof before_, &before_); }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;

 private:
  cpu_set_t before_{};
};

int allowed_cores() {
  cpu_set_t mask;
  return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(core_machine, *utf::label("unit"))

BOOST_AUTO_TEST_CASE(slow_kernels_on_able_processors_get_advice) {
  for (const char* kernel : {"Prescott", "Nehalem", "Sandybridge", "Barcelona", "Generic", "generic"}) {
    const std::string haswell = core::kernel_advice(kernel, {true, false, false});
    BOOST_TEST(has(haswell, kernel));
    BOOST_TEST(has(haswell, "OPENBLAS_CORETYPE=Haswell"));
    const std::string skylake = core::kernel_advice(kernel, {true, true, false});
    BOOST_TEST(has(skylake, "OPENBLAS_CORETYPE=SkylakeX"));
    BOOST_TEST(!has(skylake, "\n"));
    for (const bool avx512 : {false, true})
      BOOST_TEST(has(core::kernel_advice(kernel, {true, avx512, true}), "OPENBLAS_CORETYPE=Zen"));
    BOOST_TEST(core::kernel_advice(kernel, {false, false, false}).empty());
  }
}

BOOST_AUTO_TEST_CASE(fast_and_foreign_kernels_get_none) {
  for (const char* kernel : {"SkylakeX", "Haswell", "Zen", "Cooperlake", "Sapphirerapids", ""})
    BOOST_TEST(core::kernel_advice(kernel, {true, true, true}).empty());
}

BOOST_AUTO_TEST_CASE(the_blas_of_this_process_has_a_description) {
  const core::Blas blas = core::inspect_blas();
  BOOST_TEST(!blas.library.empty());
  if (blas.library != "unknown") BOOST_TEST(!blas.kernel.empty());
}

BOOST_AUTO_TEST_CASE(ranks_share_the_cores_of_a_node, *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const int share = core::cores_per_rank(MPI_COMM_WORLD);
  BOOST_TEST(share >= 1);
  BOOST_TEST(share <= std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN))));
  BOOST_TEST(core::cores_per_rank(MPI_COMM_SELF) == allowed_cores());
}

// As below a batch system that gives a job a part of the node.
BOOST_AUTO_TEST_CASE(ranks_bound_to_the_same_cores_share_those, *utf::label("np1") * utf::label("np2")) {
  const int size = testing::size_of();
  const int part = std::max(1, allowed_cores() / 2);
  const Bound bound(part);
  BOOST_TEST(core::cores_per_rank(MPI_COMM_WORLD) == std::max(1, part / size));
}

using Ranks = std::vector<core::Placement>;
const std::vector<int> four = {0, 1, 2, 3};

BOOST_AUTO_TEST_CASE(good_bindings_get_no_advice) {
  BOOST_TEST(core::binding_advice(Ranks{{0, {0}, 1}, {1, {1}, 1}}, four).empty());        // one core each
  BOOST_TEST(core::binding_advice(Ranks{{0, four, 1}, {1, four, 1}}, four).empty());      // not bound
  BOOST_TEST(core::binding_advice(Ranks{{0, four, 4}}, four).empty());                    // threads alone
  BOOST_TEST(core::binding_advice(Ranks{{0, {0, 1}, 2}, {1, {2, 3}, 2}}, four).empty());  // a socket each
  BOOST_TEST(core::binding_advice(Ranks{{0, {0, 1}, 1}, {1, {0, 1}, 1}}, four).empty());  // two to a socket
  // The second rank can make room for the first only if the third does for it.
  BOOST_TEST(core::binding_advice(Ranks{{0, {0, 1}, 1}, {1, {1, 2}, 1}, {2, {2, 0}, 1}, {3, {0, 3}, 1}}, four).empty());
  // Numbers of cores need not be consecutive: the share of a batch system.
  BOOST_TEST(core::binding_advice(Ranks{{6, {9}, 1}, {7, {64}, 1}}, {9, 64}).empty());
  BOOST_TEST(core::binding_advice({}, four).empty());
}

BOOST_AUTO_TEST_CASE(ranks_that_crowd_while_cores_are_idle_get_advice) {
  const std::string two = core::binding_advice(Ranks{{4, {0}, 1}, {5, {0}, 1}}, four);
  BOOST_TEST(has(two, "ranks 4 and 5 share 1 core of 4 while others are idle"));
  BOOST_TEST(has(two, "mpirun --bind-to core --map-by slot:PE=1"));
  BOOST_TEST(has(two, "srun --cpus-per-task=1 --cpu-bind=cores"));
  BOOST_TEST(!has(two, "\n"));
  // A third that could go anywhere does not help the two that cannot.
  const std::string among = core::binding_advice(Ranks{{0, four, 1}, {1, {2}, 1}, {2, {2}, 1}}, four);
  BOOST_TEST(has(among, "ranks 1 and 2 share 1 core"));
  const std::string three = core::binding_advice(Ranks{{0, {0, 1}, 1}, {1, {0, 1}, 1}, {2, {1, 0}, 1}}, four);
  BOOST_TEST(has(three, "ranks 0, 1 and 2 share 2 cores"));
  const std::string threaded = core::binding_advice(Ranks{{0, {0, 1}, 2}, {1, {0, 1}, 2}}, four);
  BOOST_TEST(has(threaded, "ranks 0 and 1 share 2 cores"));
  BOOST_TEST(has(threaded, "PE=2"));
}

BOOST_AUTO_TEST_CASE(more_threads_than_cores_get_advice) {
  const std::string bound = core::binding_advice(Ranks{{0, {0}, 1}, {3, {1}, 2}}, four);
  BOOST_TEST(has(bound, "rank 3 has 2 threads on 1 core"));
  BOOST_TEST(has(bound, "PE=2"));
  BOOST_TEST(has(bound, "--cpus-per-task=2"));
  // Too much for the node as a whole: no binding would help.
  const std::string threads = core::binding_advice(Ranks{{0, four, 4}, {1, four, 4}}, four);
  BOOST_TEST(has(threads, "2 ranks with 8 threads in all run on 4 cores"));
  BOOST_TEST(has(threads, "OMP_NUM_THREADS or -threads to 2"));
  BOOST_TEST(!has(threads, "bind"));
  const std::string ranks = core::binding_advice(Ranks(5, {0, four, 1}), four);
  BOOST_TEST(has(ranks, "5 ranks with 5 threads in all run on 4 cores: start at most 4 ranks a node"));
  BOOST_TEST(has(core::binding_advice(Ranks{{0, four, 6}}, four), "1 rank with 6 threads in all runs on 4 cores"));
  const std::string both = core::binding_advice(Ranks(5, {0, four, 2}), four);
  BOOST_TEST(has(both, "start at most 2 ranks a node"));
}

BOOST_AUTO_TEST_CASE(the_binding_of_these_ranks_is_judged_the_same_everywhere,
                     *utf::label("np1") * utf::label("np2") * utf::label("np4")) {
  const int size = testing::size_of();
  const int allowed = allowed_cores();
  const std::string advice = core::inspect_binding(MPI_COMM_WORLD, 1);
  BOOST_TEST(advice.empty() == (size <= allowed));
  const std::string crowded = core::inspect_binding(MPI_COMM_WORLD, allowed + 1);
  BOOST_TEST(has(crowded, "on node "));
  BOOST_TEST(allowed_cores() == allowed);  // looking at the unbound mask has changed nothing
}

BOOST_AUTO_TEST_CASE(ranks_bound_to_one_core_are_told_apart_from_a_small_machine, *utf::label("np2")) {
  const bool idle = allowed_cores() >= 2;
  const Bound bound(1);
  const std::string advice = core::inspect_binding(MPI_COMM_WORLD, 1);
  BOOST_TEST(has(advice, "ranks 0 and 1 share 1 core") != has(advice, "start at most 1 rank a node"));
  if (idle) BOOST_TEST(has(advice, "while others are idle"));
}

BOOST_AUTO_TEST_CASE(threads_can_be_set) {
  const int before = torch::get_num_threads();
  core::set_threads(2);
  BOOST_TEST(torch::get_num_threads() == 2);
  core::set_threads(before);
  BOOST_TEST(torch::get_num_threads() == before);
}

// Smaller blocks between large ones keep the C library from shortening its heap: only whole pages inside it can go
// back. Not so small that many of them find room elsewhere, in what the program has freed before.
BOOST_AUTO_TEST_CASE(freed_memory_goes_back) {
  constexpr std::size_t large = 64 * 1024;
  constexpr std::size_t small = 8 * 1024;
  std::vector<std::unique_ptr<char[]>> blocks;
  std::vector<std::unique_ptr<char[]>> pins;
  for (int i = 0; i < 1000; ++i) {
    blocks.emplace_back(new char[large]);
    std::fill_n(blocks.back().get(), large, 'x');
    pins.emplace_back(new char[small]);
    std::fill_n(pins.back().get(), small, 'x');
  }
  blocks.clear();
  const double before = core::resident_memory_mb();
  BOOST_TEST(before > 60);
  core::release_free_memory();
  BOOST_TEST(core::resident_memory_mb() < before - 50);
  BOOST_TEST(core::peak_memory_mb() >= before - 1);
}

BOOST_AUTO_TEST_SUITE_END()
