// What must hold of every frame that leaves, whatever came in: shared by the random frames here and the fuzzer.
#pragma once

#include <string>

#include "tests/packets/network.h"

namespace portolan::packets {

// The first thing wrong with a sent frame: lengths, checksums, a source that is not ours. Empty if it is sound.
std::string fault_of(const Outcome& outcome, const Settings& settings);

}  // namespace portolan::packets
