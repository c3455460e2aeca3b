#include "io/json.h"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "io/byte_reader.h"
#include "spark/error.h"

namespace spark {
namespace {

using Json = nlohmann::json;

// Tells how far the parser has read, which SAX events do not.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

// Builds the document from SAX events. Method names are nlohmann's.
class Builder {
 public:
  Builder(std::string_view text, const std::string& file, uint64_t base_offset)
      : begin_(text.data()), at_(text.data()), file_(file), base_offset_(base_offset) {}

  bool null() { return Add(nullptr); }
  bool boolean(bool value) { return Add(value); }
  bool number_integer(int64_t value) { return Add(value); }
  bool number_unsigned(uint64_t value) { return Add(value); }
  bool number_float(double value, const std::string&) { return Add(value); }
  bool string(std::string& value) { return Add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }  // does not occur in text

  bool start_object(size_t) { return Open(Json::object()); }
  bool end_object() { return Close(); }
  bool start_array(size_t) { return Open(Json::array()); }
  bool end_array() { return Close(); }

  bool key(std::string& name) {
    auto [member, added] = open_.back()->get_ref<Json::object_t&>().emplace(name, nullptr);
    if (!added) Fail("duplicate key", Offset(), Quoted(name));
    member_ = &member->second;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& error) {
    // what() is "[json.exception.parse_error.101] parse error at line 1, column 2: TEXT".
    std::string_view reason = error.what();
    if (const size_t bracket = reason.find("] "); bracket != reason.npos) {
      reason.remove_prefix(bracket + 2);
    }
    constexpr size_t kShown = 200;
    Fail("invalid JSON: " + std::string(reason.substr(0, kShown)),
         position == 0 ? Offset() : base_offset_ + position - 1);
    return false;
  }

  Json& root() { return root_; }
  const char** furthest() { return &at_; }

  [[noreturn]] void Fail(const std::string& message, uint64_t offset, std::string found = {},
                         std::string allowed = {}) const {
    throw Error(message, ErrorContext{.file = file_,
                                      .offset = offset,
                                      .field = {},
                                      .found = std::move(found),
                                      .allowed = std::move(allowed)});
  }

 private:
  uint64_t Offset() const { return base_offset_ + static_cast<uint64_t>(at_ - begin_); }

  // Where the next value goes: the member whose key was just read, the end of an array, the root.
  Json* Place(Json&& value) {
    if (++count_ > kMaxJsonValues) {
      Fail("too many JSON values", Offset(), {}, fmt::format("at most {}", kMaxJsonValues));
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      auto& array = open_.back()->get_ref<Json::array_t&>();
      array.push_back(std::move(value));
      return &array.back();
    }
    *member_ = std::move(value);
    return member_;
  }

  bool Add(Json value) {
    Place(std::move(value));
    return true;
  }

  bool Open(Json value) {
    if (open_.size() == kMaxJsonDepth) {
      Fail("JSON is nested too deeply", Offset(), {}, fmt::format("at most {}", kMaxJsonDepth));
    }
    open_.push_back(Place(std::move(value)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const char* begin_;
  const char* at_;  // behind the last character read
  const std::string& file_;
  uint64_t base_offset_;
  Json root_;
  std::vector<Json*> open_;  // stays valid: a parent does not change while its child is open
  Json* member_ = nullptr;
  size_t count_ = 0;
};

}  // namespace

Json ParseJson(std::string_view text, const std::string& file, uint64_t base_offset) {
  Builder builder(text, file, base_offset);
  // nlohmann takes a zero byte for the end of the text, and skips a byte order mark.
  if (const size_t zero = text.find('\0'); zero != text.npos) {
    builder.Fail("invalid JSON: zero byte", base_offset + zero);
  }
  if (text.starts_with("\xEF\xBB\xBF")) {
    builder.Fail("invalid JSON: byte order mark", base_offset);
  }
  const char* end = text.data() + text.size();
  Json::sax_parse(CountingIterator(text.data(), builder.furthest()),
                  CountingIterator(end, builder.furthest()), &builder);
  return std::move(builder.root());
}

Json ParseJsonFile(const std::string& path, uint64_t max_bytes) {
  const MappedFile file = MappedFile::Open(path);
  const auto bytes = file.bytes();
  if (bytes.size() > max_bytes) {
    throw Error("JSON file is too large",
                ErrorContext{.file = path,
                             .offset = {},
                             .field = {},
                             .found = fmt::format("{} bytes", bytes.size()),
                             .allowed = fmt::format("at most {}", max_bytes)});
  }
  return ParseJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace spark
