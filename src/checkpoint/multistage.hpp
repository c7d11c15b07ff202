// Schedules that store stages beside states.
#pragma once

#include <memory>
#include <string>

#include "costs.hpp"
#include "espalier/checkpoint/schedule.hpp"
#include "walker.hpp"

namespace espalier::checkpoint {

/// What to do by the table; every step must be reversible from where the machine stands.
Move choose_by(const Costs& costs, const Position& position, long free);

/// "multistage" or "mixed".
std::unique_ptr<Schedule> make_multistage(const std::string& name, long steps, const Budget& budget);
Plan plan_multistage(const std::string& name, long steps, const Budget& budget);

}  // namespace espalier::checkpoint
