// Heads of up to 256 channels.
#include "backend/cuda/attention.cu.h"

namespace spark::cuda {

template void LaunchAttend<8>(int, AttendGrid, Stream, const AttendArguments&);
template void LaunchScores<8>(const float*, size_t, size_t, const StoreView&, size_t, Stream,
                              float*);

}  // namespace spark::cuda
