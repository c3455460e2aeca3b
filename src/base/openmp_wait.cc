// How long an OpenMP thread spins at a barrier before it sleeps. Part of programs, not of the
// library.
//
// libgomp's default is some milliseconds of spinning. A token passes through hundreds of parallel
// loops, so on a machine that has other work every loop waits for a thread that the system has put
// aside while another one spins: decoding was 40 times slower (docs/decisions.md). libgomp reads
// its environment in a constructor, before any of ours, hence .preinit_array; glibc and ELF only.
// LLVM's libomp spins for 200 ms; it reads its environment when it is first used, so a constructor
// is early enough.
#include <cstdlib>

namespace {

void SetUnlessSet(const char* name, const char* value) {
  if (std::getenv(name) != nullptr) return;
#ifdef _WIN32
  _putenv_s(name, value);
#else
  setenv(name, value, 0);
#endif
}

void ShortenSpinning() {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;  // the user's own settings stand
  SetUnlessSet("GOMP_SPINCOUNT", "2000");
  SetUnlessSet("KMP_BLOCKTIME", "1");  // milliseconds
}

#if defined(__GLIBC__) && defined(__ELF__)
void AtStart(int, char**, char**) { ShortenSpinning(); }
[[gnu::section(".preinit_array"), gnu::used]] void (*const kAtStart)(int, char**, char**) = AtStart;
#else
[[maybe_unused]] const bool kAtStart = (ShortenSpinning(), true);
#endif

}  // namespace
