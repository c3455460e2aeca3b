// Links against an installed libspark and lets it do something.
#include <spark/error.h>

#include <iostream>
#include <string>

int main() {
  const spark::Error error("bad magic", {.file = "model.gguf", .offset = 0});
  const std::string expected = "model.gguf: offset 0: bad magic";
  if (error.what() != expected) {
    std::cerr << "found \"" << error.what() << "\", expected \"" << expected << "\"\n";
    return 1;
  }
  std::cout << error.what() << "\n";
}
