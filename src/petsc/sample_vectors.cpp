#include "espalier/petsc/sample_vectors.hpp"

#include <petscblaslapack.h>

#include <algorithm>
#include <string>

#include "espalier/core/error.hpp"
#include "espalier/core/session.hpp"
#include "espalier/petsc/vec_arrays.hpp"

namespace espalier::petsc {

namespace {

constexpr PetscBLASInt one = 1;

}  // namespace

void SampleVectors::set(Vec like, PetscInt samples) {
  PetscInt length = 0;
  comm_ = PetscObjectComm(reinterpret_cast<PetscObject>(like));
  ESPALIER_CALL(VecGetLocalSize(like, &length));
  ESPALIER_REQUIRE(samples > 0 && !core::any_rank(comm_, length % samples != 0),
                   "vectors of " + std::to_string(length) + " entries on this rank do not divide into " +
                       std::to_string(samples) + " samples on all ranks: give the number of samples of a batch");
  samples_ = static_cast<std::size_t>(samples);
  ESPALIER_CALL(PetscBLASIntCast(length / samples, &rows_));
}

void SampleVectors::dots(std::initializer_list<Dot> list) {
  buffer_.resize(std::max(buffer_.size(), list.size() * samples_));
  double* part = buffer_.data();
  for (const Dot& dot : list) {
    local_dots(dot.x, dot.y, part);
    part += samples_;
  }
  reduce(buffer_.data(), list.size() * samples_);
  part = buffer_.data();
  for (const Dot& dot : list) {
    dot.values.assign(part, part + samples_);
    part += samples_;
  }
}

void SampleVectors::local_dots(Vec x, Vec y, double* values) const {
  const ReadArray a(x);
  const ReadArray b(y);
  for (std::size_t s = 0; s < samples_; ++s) {
    const std::size_t first = s * static_cast<std::size_t>(rows_);
    values[s] = BLASdot_(&rows_, a.data() + first, &one, b.data() + first, &one);
  }
}

void SampleVectors::reduce(double* values, std::size_t count) const {
  MPI_Allreduce(MPI_IN_PLACE, values, static_cast<int>(count), MPI_DOUBLE, MPI_SUM, comm_);
}

// A factor 0 leaves a sample as it is, whatever x holds.
void SampleVectors::axpy(double factor, const double* alpha, Vec x, Vec y) const {
  const ReadArray from(x);
  const ReadWriteArray to(y);
  for (std::size_t s = 0; s < samples_; ++s) {
    const std::size_t first = s * static_cast<std::size_t>(rows_);
    const double scaled = factor * alpha[s];
    if (scaled != 0) BLASaxpy_(&rows_, &scaled, from.data() + first, &one, to.data() + first, &one);
  }
}

void SampleVectors::aypx(const double* beta, Vec x, Vec y) const {
  const ReadArray from(x);
  const ReadWriteArray to(y);
  for (std::size_t s = 0; s < samples_; ++s) {
    const std::size_t first = s * static_cast<std::size_t>(rows_);
    for (std::size_t i = first; i < first + static_cast<std::size_t>(rows_); ++i)
      to.data()[i] = from.data()[i] + beta[s] * to.data()[i];
  }
}

void SampleVectors::scale(const double* alpha, Vec x) const {
  const ReadWriteArray entries(x);
  for (std::size_t s = 0; s < samples_; ++s)
    BLASscal_(&rows_, alpha + s, entries.data() + s * static_cast<std::size_t>(rows_), &one);
}

}  // namespace espalier::petsc
