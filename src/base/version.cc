#include "spark/version.h"

namespace spark {

std::string_view Version() { return SPARK_VERSION; }
std::string_view GitCommit() { return SPARK_GIT_COMMIT; }

}  // namespace spark
