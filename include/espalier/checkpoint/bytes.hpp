// Sizes of memory as text.
#pragma once

#include <string>

namespace espalier::checkpoint {

/// Bytes of a number with a unit: B, or none; kB or KB, MB, GB, TB, powers of 1000; KiB, MiB, GiB, TiB, powers of 1024.
/// "1.5GB", "512 MiB", "8e6". Throws std::invalid_argument for other texts, negative sizes and those that are not
/// finite.
double parse_bytes(const std::string& text);

/// With four digits and a unit of powers of 1000: "536.9 MB".
std::string text_of_bytes(double bytes);

}  // namespace espalier::checkpoint
