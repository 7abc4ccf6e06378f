// A value or the reason there is none; ignoring either does not compile. std::expected once the compiler has it.
#pragma once

#include <tl/expected.hpp>

namespace portolan::net {

template <class T, class E>
using Result = tl::expected<T, E>;

}  // namespace portolan::net
