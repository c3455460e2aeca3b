#include <fmt/format.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <system_error>
#include <utility>

#include "base/checked.h"
#include "io/safetensors.h"
#include "spark/error.h"

namespace spark {
namespace {

namespace fs = std::filesystem;

// The header, padded with spaces so that data begins at a multiple of 8 bytes, and the data's size.
std::pair<std::string, uint64_t> MakeHeader(const std::vector<SafetensorsWriter::Entry>& layout,
                                            const SafetensorsMetadata& metadata,
                                            const std::string& path) {
  auto table = nlohmann::ordered_json::object();
  if (!metadata.empty()) table["__metadata__"] = metadata;
  // Not table[name]: that looks for the name among all others.
  auto& members = table.get_ref<nlohmann::ordered_json::object_t&>();
  uint64_t begin = 0;
  for (const auto& entry : layout) {
    std::optional<uint64_t> bytes = ElementBytes(entry.type);
    for (const uint64_t n : entry.shape) bytes = bytes ? CheckedMul(*bytes, n) : bytes;
    const auto end = bytes ? CheckedAdd(begin, *bytes) : bytes;
    if (!end) {
      throw Error("tensor size overflows 64 bits",
                  ErrorContext{.file = path, .field = "tensor " + entry.name});
    }
    members.push_back(
        {entry.name,
         {{"dtype", Name(entry.type)}, {"shape", entry.shape}, {"data_offsets", {begin, *end}}}});
    begin = *end;
  }
  // Names of models need not be UTF-8.
  std::string header = table.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return {header, begin};
}

std::string Reason(int error) { return std::generic_category().message(error); }

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::string& path, const std::vector<Entry>& layout,
                                     const SafetensorsMetadata& metadata)
    : path_(path), target_(path) {
  std::string header;
  std::tie(header, expected_) = MakeHeader(layout, metadata, path);

  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) Fail("cannot write: is a folder");
  if (!fs::exists(status) || fs::is_regular_file(status)) {
    // Renaming onto a link would replace the link, not the file it points at.
    const fs::path real = fs::weakly_canonical(path, error);
    if (!error) target_ = real.string();
    temporary_.path = fmt::format("{}.{:08x}.tmp", target_, std::random_device{}());
  }
  // "x": never opens a file that exists already.
  file_.reset(temporary_.path.empty() ? std::fopen(target_.c_str(), "wb")
                                      : std::fopen(temporary_.path.c_str(), "wbx"));
  if (!file_) {
    const int reason = errno;
    temporary_.path.clear();
    Fail("cannot create: " + Reason(reason));
  }
  const uint64_t header_bytes = header.size();
  Write(std::as_bytes(std::span(&header_bytes, 1)));
  Write(std::as_bytes(std::span(header)));
}

SafetensorsWriter::Temporary::~Temporary() {
  std::error_code ignored;
  if (!path.empty()) fs::remove(path, ignored);
}

void SafetensorsWriter::Append(std::span<const std::byte> data) {
  if (data.size() > expected_) Fail("more data than the tensors hold");
  Write(data);
  expected_ -= data.size();
}

void SafetensorsWriter::Write(std::span<const std::byte> data) {
  if (data.empty()) return;
  checksum_.Add(data);
  if (std::fwrite(data.data(), 1, data.size(), file_.get()) != data.size()) {
    Fail("cannot write: " + Reason(errno));
  }
}

void SafetensorsWriter::Finish() {
  if (expected_ != 0) Fail(fmt::format("{} bytes of tensor data were not given", expected_));
  // The last bytes may still be in the buffer: a full disk can show up as late as here.
  if (std::fflush(file_.get()) != 0) Fail("cannot write: " + Reason(errno));
  if (std::fclose(file_.release()) != 0) Fail("cannot write: " + Reason(errno));
  if (temporary_.path.empty()) return;
  std::error_code error;
  fs::rename(temporary_.path, target_, error);
  if (error) Fail("cannot replace the file: " + error.message());
  temporary_.path.clear();
}

void SafetensorsWriter::Fail(const std::string& message) const {
  throw Error(message, ErrorContext{.file = path_});
}

}  // namespace spark
