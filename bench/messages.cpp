// What messages and reductions cost on this machine: the two measurements that bench/scaling_model.py needs beside the
// timings of a program.
//
// Ping-pong between two ranks, both neighbours' messages of all ranks at once (a halo on a ring), and sums over all
// ranks, of 8 B up to 64 MB. A time is the median over repetitions of the mean of as many rounds as take some
// milliseconds, the slowest rank's.
//
//   mpirun -n 2 build/bin/bench_messages -report messages.json
#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "espalier/core/error.hpp"
#include "espalier/core/options.hpp"
#include "espalier/core/session.hpp"

using namespace espalier;

namespace {

struct Settings {
  PetscInt largest = 64 << 20;  // bytes
  PetscInt repetitions = 7;
  double seconds = 5e-3;  // of a repetition, at least
};

/// Seconds of one round of `work`, which all ranks of `comm` take part in; the same on all of them.
double seconds_of_round(MPI_Comm comm, const Settings& s, const std::function<void()>& work) {
  const auto of_rounds = [&](int rounds) {
    MPI_Barrier(comm);
    const double start = MPI_Wtime();
    for (int i = 0; i < rounds; ++i) work();
    double elapsed = MPI_Wtime() - start;
    MPI_Allreduce(MPI_IN_PLACE, &elapsed, 1, MPI_DOUBLE, MPI_MAX, comm);
    return elapsed;
  };
  work();  // connections are made, and pages come, at the first message
  int rounds = 1;
  while (rounds < 1 << 20 && of_rounds(rounds) < s.seconds) rounds *= 2;
  std::vector<double> times;
  for (PetscInt r = 0; r < s.repetitions; ++r) times.push_back(of_rounds(rounds) / rounds);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Half a round trip between the lowest and the highest rank: on several nodes, ranks of different nodes.
void ping_pong(int rank, int size, std::vector<double>& data, int count) {
  const int last = size - 1;
  const auto send = [&](int to) { MPI_Send(data.data(), count, MPI_DOUBLE, to, 0, MPI_COMM_WORLD); };
  const auto receive = [&](int from) {
    MPI_Recv(data.data(), count, MPI_DOUBLE, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  };
  if (rank == 0) {
    send(last);
    receive(last);
  } else if (rank == last) {
    receive(0);
    send(0);
  }
}

/// Each rank sends to both neighbours on a ring and receives from them.
void exchange(int rank, int size, const std::vector<double>& out, std::vector<double>& in, int count) {
  const int left = (rank + size - 1) % size;
  const int right = (rank + 1) % size;
  MPI_Request requests[4];
  MPI_Irecv(in.data(), count, MPI_DOUBLE, left, 1, MPI_COMM_WORLD, &requests[0]);
  MPI_Irecv(in.data() + count, count, MPI_DOUBLE, right, 2, MPI_COMM_WORLD, &requests[1]);
  MPI_Isend(out.data(), count, MPI_DOUBLE, right, 1, MPI_COMM_WORLD, &requests[2]);
  MPI_Isend(out.data(), count, MPI_DOUBLE, left, 2, MPI_COMM_WORLD, &requests[3]);
  MPI_Waitall(4, requests, MPI_STATUSES_IGNORE);
}

void run_bench(core::Session& session) {
  Settings s;
  core::read_options(session.comm(), "Messages benchmark", [&](core::OptionReader& o) {
    s.largest = o.integer("-bench_largest", "bytes of the largest message", s.largest, 8, 1 << 30);
    s.repetitions = o.integer("-bench_repetitions", "measurements of each size", s.repetitions, 1);
    s.seconds = o.positive("-bench_seconds", "length of a measurement, at least", s.seconds);
  });
  core::reject_unknown_options({"-bench_", "-report"});
  if (session.help_requested()) return;
  const int rank = session.rank();
  const int size = session.size();
  ESPALIER_REQUIRE(size > 1, "bench_messages needs two ranks or more: start it with mpirun -n 2");

  auto table = nlohmann::json::array();
  ESPALIER_CALL(PetscPrintf(session.comm(), "%12s %14s %14s %14s   (seconds, %d ranks)\n", "bytes", "one way",
                            "exchange", "allreduce", size));
  std::vector<double> out(static_cast<std::size_t>(s.largest) / sizeof(double), 1.0);
  std::vector<double> in(2 * out.size());
  std::vector<PetscInt> sizes;
  for (PetscInt bytes = 8; bytes < s.largest; bytes *= 8) sizes.push_back(bytes);
  sizes.push_back(s.largest / 8 * 8);
  for (const PetscInt bytes : sizes) {
    const int count = static_cast<int>(bytes / static_cast<PetscInt>(sizeof(double)));
    const double way = 0.5 * seconds_of_round(session.comm(), s, [&] { ping_pong(rank, size, out, count); });
    const double both = seconds_of_round(session.comm(), s, [&] { exchange(rank, size, out, in, count); });
    const double sum = seconds_of_round(
        session.comm(), s, [&] { MPI_Allreduce(out.data(), in.data(), count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD); });
    table.push_back({{"bytes", bytes}, {"one_way", way}, {"exchange", both}, {"allreduce", sum}});
    ESPALIER_CALL(PetscPrintf(session.comm(), "%12d %14.3e %14.3e %14.3e\n", static_cast<int>(bytes), way, both, sum));
  }
  core::RunReport& report = session.report();
  report.set("messages", table);
  report.metric("latency_seconds", table.front()["one_way"]);
  report.metric("bandwidth_bytes_per_second",
                table.back()["bytes"].get<double>() / table.back()["one_way"].get<double>());
}

}  // namespace

int main(int argc, char** argv) {
  return core::run(argc, argv,
                   {"bench_messages",
                    "Times messages between two ranks, of all ranks to their neighbours at once, and sums over all\n"
                    "ranks, from 8 bytes up. On several nodes the two ranks are the first and the last.\n"},
                   run_bench);
}
