// How far a sweep is, on a terminal.
#ifndef APPS_SWEEP_PROGRESS_H_
#define APPS_SWEEP_PROGRESS_H_

#include <string>

#include "apps/console.h"
#include "spark/sweep.h"

namespace spark {

// "3/48 points  [######..............]  31 %  about 4 min left  needle, context 1024"
std::string SweepLine(const SweepProgress& progress);

// "45 s", "4 min", "2.5 h"
std::string RoughTime(double seconds);

}  // namespace spark

#endif  // APPS_SWEEP_PROGRESS_H_
