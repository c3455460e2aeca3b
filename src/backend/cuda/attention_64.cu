// Heads of up to 64 channels.
#include "backend/cuda/attention.cu.h"

namespace spark::cuda {

template void LaunchAttend<2>(int, AttendGrid, Stream, const AttendArguments&);
template void LaunchScores<2>(const float*, size_t, size_t, const StoreView&, size_t, Stream,
                              float*);

}  // namespace spark::cuda
