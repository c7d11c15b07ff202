#include "espalier/ts/method.hpp"

#include <algorithm>

#include "espalier/core/error.hpp"
#include "espalier/ts/adams.hpp"

namespace espalier::ts {

const std::vector<Method>& methods() {
  using S = Splitting;
  static const std::vector<Method> all = {
      {"1bee", S::semi_implicit, TSARKIMEX, "1bee", 1, 3}, {"a2", S::semi_implicit, TSARKIMEX, "a2", 2, 2},
      {"l2", S::semi_implicit, TSARKIMEX, "l2", 2, 2},     {"ars122", S::semi_implicit, TSARKIMEX, "ars122", 2, 2},
      {"2c", S::semi_implicit, TSARKIMEX, "2c", 2, 3},     {"2d", S::semi_implicit, TSARKIMEX, "2d", 2, 3},
      {"2e", S::semi_implicit, TSARKIMEX, "2e", 2, 3},     {"prssp2", S::semi_implicit, TSARKIMEX, "prssp2", 2, 3},
      {"3", S::semi_implicit, TSARKIMEX, "3", 3, 4},       {"ars443", S::semi_implicit, TSARKIMEX, "ars443", 3, 5},
      {"4", S::semi_implicit, TSARKIMEX, "4", 4, 6},       {"5", S::semi_implicit, TSARKIMEX, "5", 5, 8},
      {"euler", S::fully_explicit, TSRK, "1fe", 1, 1},     {"2a", S::fully_explicit, TSRK, "2a", 2, 2},
      {"2b", S::fully_explicit, TSRK, "2b", 2, 2},         {"rk3", S::fully_explicit, TSRK, "3", 3, 3},
      {"3bs", S::fully_explicit, TSRK, "3bs", 3, 4},       {"rk4", S::fully_explicit, TSRK, "4", 4, 4},
      {"5f", S::fully_explicit, TSRK, "5f", 5, 6},         {"5dp", S::fully_explicit, TSRK, "5dp", 5, 7},
      {"5bs", S::fully_explicit, TSRK, "5bs", 5, 8},       {"6vr", S::fully_explicit, TSRK, "6vr", 6, 9},
      {"7vr", S::fully_explicit, TSRK, "7vr", 7, 10},      {"8vr", S::fully_explicit, TSRK, "8vr", 8, 13},
      {"ab2", S::fully_explicit, adams_type, "ab2", 2, 1}, {"ab3", S::fully_explicit, adams_type, "ab3", 3, 1},
      {"ab4", S::fully_explicit, adams_type, "ab4", 4, 1}, {"am2", S::fully_implicit, adams_type, "am2", 2, 0},
      {"am3", S::fully_implicit, adams_type, "am3", 3, 0}, {"am4", S::fully_implicit, adams_type, "am4", 4, 0},
      {"cn", S::fully_implicit, TSCN, "", 2, 0},           {"beuler", S::fully_implicit, TSBEULER, "", 1, 0},
  };
  return all;
}

const Method& find_method(const std::string& name) {
  const auto& all = methods();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Method& method) { return method.name == name; });
  if (found != all.end()) return *found;
  std::vector<std::string> names;
  for (const auto& method : all) names.push_back(method.name);
  throw UserError("-method " + name + ": unknown integration method; choose one of: " + core::join(names), __FILE__,
                  __LINE__);
}

}  // namespace espalier::ts
