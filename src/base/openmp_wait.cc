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
#include <cstring>
#include <initializer_list>

namespace {

void SetUnlessSet(const char* name, const char* value) {
  if (std::getenv(name) != nullptr) return;
#ifdef _WIN32
  _putenv_s(name, value);
#else
  setenv(name, value, 0);
#endif
}

#if defined(__GLIBC__) && defined(__ELF__)

// What setenv() does before glibc's own constructor is lost there: that goes back to the array of
// variables which the system has handed over, and in which there is no room for more. So one that
// no library wants while it is loaded gives its place to ours until all are.
char spin_count[] = "GOMP_SPINCOUNT=2000";
char** lent = nullptr;  // the place
char* owner = nullptr;  // whose it is

char** Find(char** variables, const char* name) {
  const size_t length = std::strlen(name);
  for (; *variables != nullptr; ++variables) {
    if (std::strncmp(*variables, name, length) == 0 && (*variables)[length] == '=')
      return variables;
  }
  return nullptr;
}

void Lend(int, char**, char** variables) {
  for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}) {
    if (Find(variables, name) != nullptr) return;  // the user's own settings stand
  }
  for (const char* name : {"_", "OLDPWD", "SHLVL", "PWD", "HOME", "PATH"}) {
    lent = Find(variables, name);
    if (lent == nullptr) continue;
    owner = *lent;
    *lent = spin_count;
    return;
  }
}
[[gnu::section(".preinit_array"), gnu::used]] void (*const kLend)(int, char**, char**) = Lend;

void Return() {
  if (lent != nullptr) *lent = owner;
}

#else

void Return() {}

#endif

const bool kLoaded = [] {
  Return();
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) {
    SetUnlessSet("KMP_BLOCKTIME", "1");  // milliseconds
  }
  return true;
}();

}  // namespace
