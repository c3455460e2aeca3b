#include "simt/shared_arena.h"

#include <algorithm>
#include <cstring>

#include "simt/machine.h"

namespace spark::simt {

void WarpClock::Synchronise(unsigned mask) {
  ++tick;
  uint32_t joint[32] = {};
  for (unsigned a = 0; a < 32; ++a) {
    if ((mask >> a & 1) == 0) continue;
    for (unsigned b = 0; b < 32; ++b) joint[b] = std::max(joint[b], seen[a][b]);
  }
  for (unsigned b = 0; b < 32; ++b) {
    if ((mask >> b & 1) != 0) joint[b] = tick;
  }
  for (unsigned a = 0; a < 32; ++a) {
    if ((mask >> a & 1) == 0) continue;
    std::copy_n(joint, 32, seen[a]);
    last[a] = tick;
  }
}

bool SharedCell::WriteOrdered(const Access& access) const {
  if (write_epoch_ != access.epoch) return true;
  if (write_warp_ != access.warp) return false;
  return write_lane_ == access.lane || access.clock->seen[access.lane][write_lane_] > write_tick_;
}

bool SharedCell::ReadsOrdered(const Access& access) const {
  if (read_epoch_ != access.epoch || read_lanes_ == 0) return true;
  if (read_warp_ != access.warp) return false;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((read_lanes_ >> lane & 1) == 0 || lane == access.lane) continue;
    if (access.clock->seen[access.lane][lane] <= read_tick_) return false;
  }
  return true;
}

const char* SharedCell::Read(const Access& access, uint32_t first_epoch) {
  if (write_epoch_ < first_epoch) return "reads what this block has not written";
  if (!WriteOrdered(access)) return "reads what another thread wrote, with no barrier between";
  const uint32_t tick = access.clock->last[access.lane];
  const uint32_t bit = 1u << access.lane;
  if (read_epoch_ != access.epoch || read_lanes_ == 0) {
    read_epoch_ = access.epoch;
    read_warp_ = static_cast<uint16_t>(access.warp);
    read_lanes_ = bit;
    read_tick_ = tick;
  } else if (read_warp_ != access.warp) {
    read_warp_ = kSeveral;
  } else if (read_tick_ < tick && ReadsOrdered(access)) {
    read_lanes_ = bit;  // whoever comes after this read comes after the others
    read_tick_ = tick;
  } else {
    read_lanes_ |= bit;
    read_tick_ = std::max(read_tick_, tick);
  }
  return nullptr;
}

const char* SharedCell::Write(const Access& access, bool atomic) {
  const bool ordered = WriteOrdered(access);
  if (!ordered && !(atomic && write_atomic_)) {
    return "writes what another thread wrote, with no barrier between";
  }
  if (!ReadsOrdered(access)) return "writes what another thread reads, with no barrier between";
  write_epoch_ = access.epoch;
  write_warp_ = ordered ? static_cast<uint16_t>(access.warp) : kSeveral;
  write_lane_ = static_cast<uint8_t>(access.lane);
  write_tick_ = access.clock->last[access.lane];
  write_atomic_ = atomic;
  read_lanes_ = 0;
  return nullptr;
}

SharedArena::SharedArena()
    : memory_(new std::byte[kMostBytes + 128]), cells_(kMostBytes), used_(0) {
  const auto address = reinterpret_cast<uintptr_t>(memory_.get());
  base_ = memory_.get() + (128 - address % 128) % 128;
  arrays_.reserve(256);
  touched_ = kMostBytes;
}

void SharedArena::BeginBlock(size_t dynamic_bytes) {
  std::memset(base_, 0xFF, touched_);  // NaN in every floating-point type
  ++block_;
  first_epoch_ = ++epoch_;
  arrays_.clear();
  n_cells_ = 0;
  dynamic_ = nullptr;
  dynamic_bytes_ = dynamic_bytes;
  used_ = touched_ = (dynamic_bytes + 15) / 16 * 16;
}

const SharedArray& SharedArena::Add(const char* name, size_t offset, size_t bytes, size_t granule) {
  if (arrays_.size() == arrays_.capacity()) throw Fault("a block with too many shared arrays");
  arrays_.push_back({name, base_ + offset, bytes, granule, cells_.data() + n_cells_});
  n_cells_ += (bytes + granule - 1) / granule;
  return arrays_.back();
}

const SharedArray& SharedArena::Static(SharedSlot& slot, size_t bytes, size_t granule) {
  if (slot.block == block_) return *slot.array;
  const size_t room = (bytes + 15) / 16 * 16;
  if (static_bytes() + room > kStaticBytes || used_ + room > kMostBytes) {
    throw Fault("shared array " + std::string(slot.name) + " of " + std::to_string(bytes) +
                " bytes: a block has no room for it beside " + std::to_string(static_bytes()) +
                " static and " + std::to_string(dynamic_bytes_) + " dynamic bytes");
  }
  const SharedArray& array = Add(slot.name, used_, bytes, granule);
  used_ += room;
  touched_ = used_;
  slot.block = block_;
  slot.array = &array;
  return array;
}

const SharedArray& SharedArena::Dynamic(SharedSlot& slot, size_t granule) {
  if (dynamic_ == nullptr) dynamic_ = &Add(slot.name, 0, dynamic_bytes_, granule);
  if (granule % dynamic_->granule != 0) {
    throw Fault("dynamic shared memory " + std::string(slot.name) +
                " is declared with elements of " + std::to_string(granule) + " bytes after " +
                dynamic_->name + " with " + std::to_string(dynamic_->granule) +
                ": begin with the smallest");
  }
  return *dynamic_;
}

}  // namespace spark::simt
