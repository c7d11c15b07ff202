// The one owner of PETSc objects: adopting, move-only, destroyed once. Nobody else calls a Destroy function.
#pragma once

#include <petscts.h>

#include <utility>

namespace espalier::petsc {

/// Owns one reference to the PETSc object `T`, released by `Destroy` when the handle goes.
/// Not collective in itself; the destruction of the last reference is, as PETSc's Destroy functions are.
template <class T, PetscErrorCode (*Destroy)(T*)>
class Handle {
 public:
  Handle() = default;
  /// Adopts `object`: the caller's reference passes to the handle.
  explicit Handle(T object) noexcept : object_(object) {}
  /// One more reference to an object that somebody else owns as well.
  static Handle share(T object) {
    if (object != nullptr) PetscObjectReference(reinterpret_cast<PetscObject>(object));
    return Handle(object);
  }

  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  Handle(Handle&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    Handle moved(std::move(other));
    std::swap(object_, moved.object_);
    return *this;
  }
  ~Handle() { reset(); }

  T get() const noexcept { return object_; }
  bool empty() const noexcept { return object_ == nullptr; }

  /// Address for a Create call; what the handle held before is released.
  T* out() {
    reset();
    return &object_;
  }

  /// Releases the object now. After PetscFinalize the object is gone already: nothing to do.
  void reset() noexcept {
    PetscBool finalized = PETSC_FALSE;
    if (object_ != nullptr && PetscFinalized(&finalized) == PETSC_SUCCESS && !finalized) (void)Destroy(&object_);
    object_ = nullptr;
  }

 private:
  T object_ = nullptr;
};

using VecHandle = Handle<Vec, VecDestroy>;
using MatHandle = Handle<Mat, MatDestroy>;
using KspHandle = Handle<KSP, KSPDestroy>;
using PcHandle = Handle<PC, PCDestroy>;
using SnesHandle = Handle<SNES, SNESDestroy>;
using TsHandle = Handle<TS, TSDestroy>;
using TrajectoryHandle = Handle<TSTrajectory, TSTrajectoryDestroy>;
using ViewerHandle = Handle<PetscViewer, PetscViewerDestroy>;

}  // namespace espalier::petsc
