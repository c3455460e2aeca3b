// How long an OpenMP thread spins at a barrier before it sleeps.
//
// libgomp's default is some milliseconds of spinning. A token passes through hundreds of parallel
// loops, so on a machine that has other work every loop waits for a thread that the system has put
// aside while another one spins: decoding was 40 times slower (docs/decisions.md). libgomp reads
// its environment in a constructor, before any of ours, hence .preinit_array; glibc and ELF only.
#include <cstdlib>

#if defined(__GLIBC__) && defined(__ELF__)
namespace {

void ShortenSpinning(int, char**, char**) {
  // The user's own settings stand.
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) setenv("GOMP_SPINCOUNT", "2000", 0);
}

[[gnu::section(".preinit_array"),
  gnu::used]] void (*const kShortenSpinning)(int, char**, char**) = ShortenSpinning;

}  // namespace
#endif
