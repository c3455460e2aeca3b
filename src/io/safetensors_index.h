// `model.safetensors.index.json`: which tensor of a model lies in which of several .safetensors
// files beside it. {"weight_map": {TENSOR: FILE, …}, …}
#ifndef SPARK_IO_SAFETENSORS_INDEX_H_
#define SPARK_IO_SAFETENSORS_INDEX_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace spark {

class SafetensorsIndex {
 public:
  // Throws Error for an index that is malformed or names a file outside its own folder. (A name in
  // the folder may still be a symbolic link that leads elsewhere: the Hugging Face cache is made of
  // those.)
  static SafetensorsIndex Read(const std::string& path);

  // Opens all files, sorted by name. Throws Error if one is missing, or if it does not hold exactly
  // the tensors that the index says it does.
  std::vector<SafetensorsFile> OpenShards(MapMode mode) const;

 private:
  void CheckTensors(const SafetensorsFile& file) const;

  std::string path_;
  std::map<std::string, std::string, std::less<>> shards_;  // tensor to the path of its file
};

}  // namespace spark

#endif  // SPARK_IO_SAFETENSORS_INDEX_H_
