// Which model a file holds, in a few digits.
#ifndef SPARK_MODEL_FINGERPRINT_H_
#define SPARK_MODEL_FINGERPRINT_H_

#include <string>

#include "model/model_file.h"

namespace spark {

// 16 hexadecimal digits: a hash over hyperparameters, and every tensor's name, type, shape, first
// and last 4 KiB. Names of models and files don't count. Reads few pages of a mapped file.
std::string Fingerprint(const ModelFile& file);

}  // namespace spark

#endif  // SPARK_MODEL_FINGERPRINT_H_
