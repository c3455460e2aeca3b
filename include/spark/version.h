#ifndef SPARK_VERSION_H_
#define SPARK_VERSION_H_

#include <string_view>

namespace spark {

std::string_view Version();    // "0.1.0"
std::string_view GitCommit();  // abbreviated, as known when the build was configured; may be empty

}  // namespace spark

#endif  // SPARK_VERSION_H_
