// Binomial checkpointing in memory and on disk (Stumm & Walther, SIAM J. Sci. Comput. 31, 2009).
#pragma once

#include <memory>

#include "espalier/checkpoint/schedule.hpp"

namespace espalier::checkpoint {

std::unique_ptr<Schedule> make_disk_schedule(long steps, const Budget& budget);
Plan plan_disk_schedule(long steps, const Budget& budget);

}  // namespace espalier::checkpoint
