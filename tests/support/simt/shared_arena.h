// A block's shared memory, with a record of who touched what.
//
// Every element has a cell: the last write, and the reads since. An access races with an earlier
// one of another thread if one of both writes, no barrier lies between them, and no __syncwarp()
// that both threads took part in. Numbers of barriers (epochs) grow over the life of the program,
// so cells of an earlier block are simply old: nothing is cleared between blocks.
#ifndef SPARK_TESTS_SUPPORT_SIMT_SHARED_ARENA_H_
#define SPARK_TESTS_SUPPORT_SIMT_SHARED_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace spark::simt {

// Which lane of a warp knows of which: `seen[a][b]` is the tick of the last __syncwarp() after
// which lane a sees what lane b did before. Ticks count the __syncwarp()s of the warp.
struct WarpClock {
  uint32_t tick = 0;
  uint32_t last[32] = {};  // the last one that a lane took part in
  uint32_t seen[32][32] = {};

  void Synchronise(unsigned mask);
};

// Who, and when: all that tells whether two accesses are ordered.
struct Access {
  uint32_t epoch;  // barriers before it
  uint32_t warp, lane;
  const WarpClock* clock;  // of the warp
};

class SharedCell {
 public:
  // What is wrong with the access, or null.
  const char* Read(const Access& access, uint32_t first_epoch);
  const char* Write(const Access& access, bool atomic);

  bool written_since(uint32_t epoch) const { return write_epoch_ >= epoch; }
  uint32_t writer() const { return write_warp_ * 32 + write_lane_; }

 private:
  static constexpr uint16_t kSeveral = 0xFFFF;  // threads of different warps

  bool WriteOrdered(const Access& access) const;
  bool ReadsOrdered(const Access& access) const;

  uint32_t write_epoch_ = 0, write_tick_ = 0;
  uint16_t write_warp_ = 0;
  uint8_t write_lane_ = 0;
  bool write_atomic_ = false;
  uint16_t read_warp_ = 0;
  uint32_t read_epoch_ = 0, read_tick_ = 0;
  uint32_t read_lanes_ = 0;  // of read_warp_, since the last write
};

struct SharedArray {
  const char* name;
  std::byte* base;
  size_t bytes;
  size_t granule;  // bytes of a cell
  SharedCell* cells;
};

// Where a declaration of a kernel finds its array in the block that runs.
struct SharedSlot {
  const char* name;
  uint64_t block = 0;
  const SharedArray* array = nullptr;
};

class SharedArena {
 public:
  static constexpr size_t kStaticBytes = size_t{48} << 10;  // what nvcc accepts
  static constexpr size_t kMostBytes = size_t{163} << 10;   // of a block on compute capability 8.0

  SharedArena();

  void BeginBlock(size_t dynamic_bytes);  // all that an earlier block left is gone
  void Barrier() { ++epoch_; }
  uint32_t epoch() const { return epoch_; }
  uint32_t first_epoch() const { return first_epoch_; }

  const SharedArray& Static(SharedSlot& slot, size_t bytes, size_t granule);
  // Declarations of different types name the same bytes; the first one's element is a cell.
  const SharedArray& Dynamic(SharedSlot& slot, size_t granule);
  size_t static_bytes() const { return used_ - dynamic_bytes_; }

 private:
  const SharedArray& Add(const char* name, size_t offset, size_t bytes, size_t granule);

  std::unique_ptr<std::byte[]> memory_;
  std::byte* base_ = nullptr;  // aligned to 128
  std::vector<SharedCell> cells_;
  std::vector<SharedArray> arrays_;  // never grows beyond its capacity: slots point into it
  size_t used_ = 0, dynamic_bytes_ = 0, touched_ = 0, n_cells_ = 0;
  uint64_t block_ = 0;
  uint32_t epoch_ = 1, first_epoch_ = 1;
  const SharedArray* dynamic_ = nullptr;
};

}  // namespace spark::simt

#endif  // SPARK_TESTS_SUPPORT_SIMT_SHARED_ARENA_H_
