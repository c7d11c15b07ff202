// Stages and events of -log_view.
#pragma once

#include <petscsys.h>

namespace espalier::core {

/// What -log_view separates everywhere in the library.
enum class Event {
  network_forward,
  network_adjoint,
  network_tangent,
  linear_solve,
  data,
  optimiser,
  reduction,
  halo,  ///< of networks; inside of their events
  io,
  count
};

/// Registers the events. Called by Session.
void register_events();

/// Times the enclosing scope as `event`. Costs two calls and a test when nothing is logged.
class EventScope {
 public:
  explicit EventScope(Event event);
  ~EventScope();
  EventScope(const EventScope&) = delete;
  EventScope& operator=(const EventScope&) = delete;

 private:
  PetscLogEvent id_;
};

/// Puts what happens in the enclosing scope into the stage `name` (registered at first use).
class StageScope {
 public:
  explicit StageScope(const char* name);
  ~StageScope();
  StageScope(const StageScope&) = delete;
  StageScope& operator=(const StageScope&) = delete;
};

}  // namespace espalier::core
