// Entries of vectors while an object lives.
#pragma once

#include <petscvec.h>

#include "espalier/core/error.hpp"

namespace espalier::petsc {

/// The local entries of a Vec on the host while the object lives.
class ReadArray {
 public:
  explicit ReadArray(Vec vec) : vec_(vec) { ESPALIER_CALL(VecGetArrayRead(vec, &array_)); }
  ~ReadArray() { (void)VecRestoreArrayRead(vec_, &array_); }
  ReadArray(const ReadArray&) = delete;
  ReadArray& operator=(const ReadArray&) = delete;
  const double* data() const { return array_; }

 private:
  Vec vec_;
  const PetscScalar* array_ = nullptr;
};

/// The same to be written; what stands there before is not defined.
class WriteArray {
 public:
  explicit WriteArray(Vec vec) : vec_(vec) { ESPALIER_CALL(VecGetArrayWrite(vec, &array_)); }
  ~WriteArray() { (void)VecRestoreArrayWrite(vec_, &array_); }
  WriteArray(const WriteArray&) = delete;
  WriteArray& operator=(const WriteArray&) = delete;
  double* data() const { return array_; }

 private:
  Vec vec_;
  PetscScalar* array_ = nullptr;
};

/// The same to be read and written.
class ReadWriteArray {
 public:
  explicit ReadWriteArray(Vec vec) : vec_(vec) { ESPALIER_CALL(VecGetArray(vec, &array_)); }
  ~ReadWriteArray() { (void)VecRestoreArray(vec_, &array_); }
  ReadWriteArray(const ReadWriteArray&) = delete;
  ReadWriteArray& operator=(const ReadWriteArray&) = delete;
  double* data() const { return array_; }

 private:
  Vec vec_;
  PetscScalar* array_ = nullptr;
};

}  // namespace espalier::petsc
