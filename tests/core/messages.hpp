// What a test asks of the messages of exceptions.
#pragma once

#include <cstdio>
#include <exception>
#include <string>

namespace espalier::testing {

/// For BOOST_CHECK_EXCEPTION: true if the message holds all the words; else it is printed.
template <class... Words>
auto mentions(Words... words) {
  return [=](const std::exception& error) {
    const std::string text = error.what();
    const bool all = ((text.find(words) != std::string::npos) && ...);
    if (!all) std::printf("the message was: %s\n", text.c_str());
    return all;
  };
}

/// The message of the Failure that `body` throws; empty if it throws none. Other exceptions pass.
template <class Failure, class Body>
std::string message_of(const Body& body) {
  try {
    body();
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "";
}

}  // namespace espalier::testing
