// Loops over many small pieces of work that idle threads of a parallel region help with.
#ifndef SPARK_BASE_PARTS_H_
#define SPARK_BASE_PARTS_H_

#include <algorithm>
#include <cstddef>

namespace spark {

inline constexpr size_t kPartTokens = 256;  // some tens of microseconds of packing

// Calls body(first, last) for parts of [0, n), `part` long but for the last, in any order. In a
// parallel region, threads that wait at its end take some of them: three heads keep two threads
// busy. The body must not throw.
template <class Body>
void ForParts(size_t n, size_t part, const Body& body) {
  if (n <= part) {
    if (n > 0) body(size_t{0}, n);
    return;
  }
#pragma omp taskgroup
  for (size_t first = 0; first < n; first += part) {
#pragma omp task default(shared) firstprivate(first)
    body(first, std::min(n, first + part));
  }
}

}  // namespace spark

#endif  // SPARK_BASE_PARTS_H_
