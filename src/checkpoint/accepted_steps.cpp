#include "accepted_steps.hpp"

#include <petsc/private/tsimpl.h>

#include <memory>

#include "espalier/core/error.hpp"
#include "espalier/petsc/compat.hpp"

namespace espalier::checkpoint {

using ChooseStep = PetscErrorCode (*)(TSAdapt, TS, PetscReal, PetscInt*, PetscReal*, PetscBool*, PetscReal*, PetscReal*,
                                      PetscReal*);

/// Belongs to the TSAdapt, whose function it stands in front of.
struct StepWatch {
  ChooseStep original = nullptr;
  std::vector<PetscReal> sizes;  // tried for the step under way, or for the last one
  bool accepted = false;         // the last of them was
  bool frozen = false;
  std::vector<PetscReal> given;  // sizes to try for the next step
  std::size_t tried = 0;         // so many of them have been
};

namespace {

constexpr const char* key = "espalier_accepted_steps";

StepWatch* watch_of(TSAdapt adapt) {
  PetscContainer container = nullptr;
  void* watch = nullptr;
  ESPALIER_CALL(
      PetscObjectQuery(reinterpret_cast<PetscObject>(adapt), key, reinterpret_cast<PetscObject*>(&container)));
  if (container != nullptr) ESPALIER_CALL(PetscContainerGetPointer(container, &watch));
  return static_cast<StepWatch*>(watch);
}

StepWatch& watch_of(TS ts) {
  TSAdapt adapt = nullptr;
  ESPALIER_CALL(TSGetAdapt(ts, &adapt));
  StepWatch* watch = watch_of(adapt);
  ESPALIER_ASSERT(watch != nullptr, "the steps of this TS are not watched");
  return *watch;
}

PetscErrorCode choose(TSAdapt adapt, TS ts, PetscReal h, PetscInt* scheme, PetscReal* next, PetscBool* accept,
                      PetscReal* wlte, PetscReal* wltea, PetscReal* wlter) noexcept {
  return guard([&] {
    StepWatch& watch = *watch_of(adapt);
    if (watch.frozen) {
      const bool last = ++watch.tried >= watch.given.size();
      *next = last ? h : watch.given[watch.tried];
      *accept = last ? PETSC_TRUE : PETSC_FALSE;
      *wlte = *wltea = *wlter = -1;  // none was computed
      return;
    }
    if (watch.accepted) watch.sizes.clear();
    watch.sizes.push_back(h);
    ESPALIER_CALL(watch.original(adapt, ts, h, scheme, next, accept, wlte, wltea, wlter));
    watch.accepted = *accept == PETSC_TRUE;
  });
}

StepWatch& attach(TSAdapt adapt) {
  auto watch = std::make_unique<StepWatch>();
  PetscContainer container = nullptr;
  ESPALIER_CALL(PetscContainerCreate(PetscObjectComm(reinterpret_cast<PetscObject>(adapt)), &container));
  ESPALIER_CALL(petsc::set_container_destroy(container, [](petsc::ContextArgument context) noexcept {
    delete static_cast<StepWatch*>(petsc::context_of(context));
    return PetscErrorCode(PETSC_SUCCESS);
  }));
  StepWatch& held = *watch;
  ESPALIER_CALL(PetscContainerSetPointer(container, watch.release()));
  ESPALIER_CALL(
      PetscObjectCompose(reinterpret_cast<PetscObject>(adapt), key, reinterpret_cast<PetscObject>(container)));
  ESPALIER_CALL(PetscContainerDestroy(&container));
  return held;
}

}  // namespace

void watch_steps(TS ts) {
  TSAdapt adapt = nullptr;
  ESPALIER_CALL(TSGetAdapt(ts, &adapt));
  if (adapt->ops->choose == choose) return;
  StepWatch* watch = watch_of(adapt);
  if (watch == nullptr) watch = &attach(adapt);
  watch->original = adapt->ops->choose;
  adapt->ops->choose = choose;
}

const std::vector<PetscReal>& sizes_of_last_step(TS ts) { return watch_of(ts).sizes; }

FrozenSteps::FrozenSteps(TS ts)
    : ts_(ts),
      final_time_(ts->exact_final_time),
      monitor_(ts->adapt->monitor),
      cached_size_(ts->adapt->dt_span_cached),
      watch_(&watch_of(ts)) {
  watch_->frozen = true;
  ts->exact_final_time = TS_EXACTFINALTIME_STEPOVER;
  ts->adapt->monitor = nullptr;
}

void FrozenSteps::take(const std::vector<PetscReal>& sizes) {
  watch_->given = sizes;
  watch_->tried = 0;
  ts_->time_step = sizes.front();
}

FrozenSteps::~FrozenSteps() {
  watch_->frozen = false;
  ts_->exact_final_time = final_time_;
  ts_->adapt->monitor = monitor_;
  ts_->adapt->dt_span_cached = cached_size_;
}

}  // namespace espalier::checkpoint
