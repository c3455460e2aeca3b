// JSON from files nobody vouches for: strict, bounded, and with errors that say where.
#ifndef SPARK_IO_JSON_H_
#define SPARK_IO_JSON_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace spark {

inline constexpr size_t kMaxJsonDepth = 8;         // objects and arrays inside each other
inline constexpr size_t kMaxJsonValues = 8 << 20;  // memory is bounded by this and the text's size

// Throws Error for anything that is not exactly one JSON value (RFC 8259): comments, trailing
// commas, NaN, numbers too large for a double, invalid UTF-8, zero bytes, text behind the value;
// and for duplicate keys and the limits above. `file` and `base_offset` (where `text` begins in the
// file) are for the message.
nlohmann::json ParseJson(std::string_view text, const std::string& file, uint64_t base_offset = 0);

// Reads a whole file; at most `max_bytes` of it.
nlohmann::json ParseJsonFile(const std::string& path, uint64_t max_bytes = uint64_t{100} << 20);

}  // namespace spark

#endif  // SPARK_IO_JSON_H_
