#include "apps/arguments.h"

#include <catch2/catch_test_macros.hpp>
#include <set>

namespace spark {
namespace arguments_test {

using Words = std::vector<std::string>;

Words Normalised(const Words& args) {
  static const std::set<std::string> kWithValue = {"--ctx-size", "-c", "--prompt", "-p", "--kv"};
  return NormaliseArguments(args, {{"-ctk", "--kv"}},
                            [](const std::string& name) { return kWithValue.contains(name); });
}

TEST_CASE("names of flags take _ for -, their values stay as they are", "[arguments]") {
  CHECK(Normalised({"--ctx_size", "a_b", "--no_mmap"}) == Words{"--ctx-size", "a_b", "--no-mmap"});
  CHECK(Normalised({"--prompt=a_b=c_d"}) == Words{"--prompt", "a_b=c_d"});
  CHECK(Normalised({"--prompt="}) == Words{"--prompt", ""});
  CHECK(Normalised({"--no_value=a_b"}) == Words{"--no-value=a_b"});
  CHECK(Normalised({"a_b", "", "-"}) == Words{"a_b", "", "-"});
}

TEST_CASE("values that look like flags are not touched", "[arguments]") {
  CHECK(Normalised({"--prompt", "--ctx_size", "--a_b"}) ==
        Words{"--prompt", "--ctx_size", "--a-b"});
  CHECK(Normalised({"-p", "-ctk", "-ctk", "f_16"}) == Words{"-p", "-ctk", "--kv", "f_16"});
  CHECK(Normalised({"-ep", "--a_b"}) == Words{"-ep", "--a_b"});  // -e, then -p with a value
  CHECK(Normalised({"-pe", "--a_b"}) == Words{"-pe", "--a-b"});  // -p with the value "e"
  CHECK(Normalised({"--ctx_size"}) == Words{"--ctx-size"});      // the value is missing
}

}  // namespace arguments_test
}  // namespace spark
