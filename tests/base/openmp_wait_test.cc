// What programs set before OpenMP's library reads its environment.
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <string>

#include "tests/support/spark_generate.h"

namespace spark::test {
namespace openmp_wait_test {

#if defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)

// Of this process, and so of those that it starts.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

// The library says on stderr how long its threads spin.
std::string SpinCount() {
  const std::string err = SparkGenerate({"--version"}).err;
  const std::string name = "GOMP_SPINCOUNT = '";
  const size_t at = err.find(name);
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size();
  return err.substr(begin, err.find('\'', begin) - begin);
}

void SkipIfSet() {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) {
    SKIP("this run has settings of its own");
  }
}

TEST_CASE("OpenMP's threads sleep soon, unless the user says otherwise", "[generate]") {
  SkipIfSet();
  const Variable display("OMP_DISPLAY_ENV", "verbose");
  CHECK(SpinCount() == "2000");
  {
    const Variable own("GOMP_SPINCOUNT", "77");
    CHECK(SpinCount() == "77");
  }
  const Variable policy("OMP_WAIT_POLICY", "passive");
  CHECK(SpinCount() == "0");
}

// This program begins as the others do.
TEST_CASE("the environment is whole when a program begins", "[generate]") {
  SkipIfSet();
  CHECK(std::getenv("GOMP_SPINCOUNT") == nullptr);
  CHECK(std::getenv("PATH") != nullptr);
}

#endif

}  // namespace openmp_wait_test
}  // namespace spark::test
