// Lists and pairs that flags of spark-sweep take.
#ifndef APPS_SWEEP_LISTS_H_
#define APPS_SWEEP_LISTS_H_

#include <string>
#include <vector>

#include "apps/sweep_flags.h"

namespace spark {

// All throw UsageError, naming `flag`.

std::vector<CacheType> ParseCacheTypes(const std::string& flag, const std::string& list);

// "2/8": part 2 of 8.
void ParseShard(const std::string& flag, const std::string& text, size_t& shard, size_t& n_shards);

void CheckFormat(const std::string& flag, const std::string& format);

// Takes `merge DIR…` off the front of the arguments, if it stands there; the others are returned.
std::vector<const char*> TakeMerge(int argc, const char* const* argv, SweepFlags& flags);

}  // namespace spark

#endif  // APPS_SWEEP_LISTS_H_
