#include "espalier/core/log.hpp"

#include <array>
#include <map>
#include <string>

#include "espalier/core/error.hpp"

namespace espalier::core {

namespace {
constexpr std::size_t event_count = static_cast<std::size_t>(Event::count);
std::array<PetscLogEvent, event_count> event_ids{};
bool registered = false;
}  // namespace

void register_events() {
  static constexpr std::array<const char*, event_count> names = {"EspNetForward", "EspNetAdjoint", "EspNetTangent",
                                                                 "EspLinSolve",   "EspData",       "EspOptimiser",
                                                                 "EspReduction",  "EspHalo",       "EspIO"};
  PetscClassId id;
  ESPALIER_CALL(PetscClassIdRegister("Espalier", &id));
  for (std::size_t i = 0; i < event_count; ++i) ESPALIER_CALL(PetscLogEventRegister(names[i], id, &event_ids[i]));
  registered = true;
}

EventScope::EventScope(Event event) : id_(event_ids[static_cast<std::size_t>(event)]) {
  if (registered) (void)PetscLogEventBegin(id_, nullptr, nullptr, nullptr, nullptr);
}

EventScope::~EventScope() {
  if (registered) (void)PetscLogEventEnd(id_, nullptr, nullptr, nullptr, nullptr);
}

StageScope::StageScope(const char* name) {
  static std::map<std::string, PetscLogStage> stages;
  const auto found = stages.find(name);
  PetscLogStage stage;
  if (found == stages.end()) {
    ESPALIER_CALL(PetscLogStageRegister(name, &stage));
    stages.emplace(name, stage);
  } else {
    stage = found->second;
  }
  ESPALIER_CALL(PetscLogStagePush(stage));
}

StageScope::~StageScope() { (void)PetscLogStagePop(); }

}  // namespace espalier::core
