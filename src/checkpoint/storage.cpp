#include "storage.hpp"

#include <algorithm>
#include <iterator>

#include "espalier/core/error.hpp"

namespace espalier::checkpoint {

void Storage::store(Level level, long slot, const std::vector<Vec>& vectors) {
  if (level == Level::disk) {
    if (!disk_) disk_ = std::make_unique<DiskStore>(comm_, folder_, disk_bytes_);
    disk_->write(slot, vectors);
    return;
  }
  const auto index = static_cast<std::size_t>(slot);
  if (slots_.size() <= index) slots_.resize(index + 1);
  ESPALIER_ASSERT(slots_[index].empty(), "a checkpoint is stored over another one");
  for (Vec vector : vectors) {
    if (spare_.empty()) {
      spare_.emplace_back();
      ESPALIER_CALL(VecDuplicate(vector, spare_.back().out()));
    }
    ESPALIER_CALL(VecCopy(vector, spare_.back().get()));
    slots_[index].push_back(std::move(spare_.back()));
    spare_.pop_back();
  }
  held_ += static_cast<long>(vectors.size());
  peak_ = std::max(peak_, held_);
}

void Storage::restore(Level level, long slot, const std::vector<Vec>& vectors) {
  if (level == Level::disk) {
    ESPALIER_ASSERT(disk_, "a checkpoint is read before one was written");
    disk_->read(slot, vectors);
    return;
  }
  const Slot& held = slots_.at(static_cast<std::size_t>(slot));
  ESPALIER_ASSERT(held.size() == vectors.size(), "a checkpoint has another content than was stored");
  for (std::size_t i = 0; i < vectors.size(); ++i) ESPALIER_CALL(VecCopy(held[i].get(), vectors[i]));
}

void Storage::discard(Level level, long slot) {
  if (level == Level::disk) {
    if (disk_) disk_->discard(slot);
    return;
  }
  Slot& held = slots_.at(static_cast<std::size_t>(slot));
  held_ -= static_cast<long>(held.size());
  std::move(held.begin(), held.end(), std::back_inserter(spare_));
  held.clear();
}

// Several integrators may take turns within one budget: what one has done with is free for the next.
void Storage::clear() {
  slots_.clear();
  spare_.clear();
  peak_disk_ = peak_disk_bytes();
  disk_.reset();
  held_ = 0;
}

}  // namespace espalier::checkpoint
