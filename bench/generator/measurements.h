// The measurements of RFC 8219 §7 and RFC 9693 that portolan-bench makes, by name. Each reports what it found; what
// came back wrong is an error that ends the run. Nobody's state.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bench/generator/options.h"
#include "bench/generator/tester.h"

namespace portolan::bench {

std::vector<std::string> measurement_names();
std::string rows_of(std::string_view measurement);  // of docs/conformance.md, blanks between; none for what is none

// Opens the mappings of each rung of the ladder and makes the measurements there. Throws std::runtime_error.
void climb(Tester& tester, Flows& flows, const Options& options);

}  // namespace portolan::bench
