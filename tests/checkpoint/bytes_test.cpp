// Sizes of memory as text.
#include "espalier/checkpoint/bytes.hpp"

#include <boost/test/unit_test.hpp>
#include <stdexcept>
#include <string>

using namespace espalier::checkpoint;
namespace utf = boost::unit_test;

BOOST_AUTO_TEST_SUITE(checkpoint_bytes,
                      *utf::label("unit") * utf::label("checkpoint") * utf::label("checkpointing") * utf::label("np1"))

BOOST_AUTO_TEST_CASE(units_are_powers_of_1000_or_1024) {
  BOOST_TEST(parse_bytes("0") == 0);
  BOOST_TEST(parse_bytes("17") == 17);
  BOOST_TEST(parse_bytes("17B") == 17);
  BOOST_TEST(parse_bytes("3kB") == 3000);
  BOOST_TEST(parse_bytes("3KB") == 3000);
  BOOST_TEST(parse_bytes("8MB") == 8e6);
  BOOST_TEST(parse_bytes("1.5GB") == 1.5e9);
  BOOST_TEST(parse_bytes("20TB") == 2e13);
  BOOST_TEST(parse_bytes("1KiB") == 1024);
  BOOST_TEST(parse_bytes("512 MiB") == 536870912);
  BOOST_TEST(parse_bytes(".5GiB") == 536870912);
  BOOST_TEST(parse_bytes("2TiB") == 2199023255552.0);
  BOOST_TEST(parse_bytes("8e6") == 8e6);
  BOOST_TEST(parse_bytes("1e3kB") == 1e6);
}

BOOST_AUTO_TEST_CASE(other_texts_are_no_sizes) {
  for (const char* text : {"",      " ",     "MB",    "-1MB", "+1",   " 1",  "1mb", "1M",    "1EB",     "1MBs",
                           "1 M B", "1,5GB", "1.2.3", ".",    "0x10", "inf", "nan", "1e400", "1e308TB", "eight"})
    BOOST_TEST_CONTEXT(text) {
      BOOST_CHECK_EXCEPTION(parse_bytes(text), std::invalid_argument, [&](const auto& error) {
        return std::string(error.what()).find("\"" + std::string(text) + "\" is no size") == 0;
      });
    }
}

BOOST_AUTO_TEST_CASE(sizes_are_written_with_four_digits) {
  BOOST_TEST(text_of_bytes(0) == "0 B");
  BOOST_TEST(text_of_bytes(999) == "999 B");
  BOOST_TEST(text_of_bytes(1000) == "1 kB");
  BOOST_TEST(text_of_bytes(8e6) == "8 MB");
  BOOST_TEST(text_of_bytes(536870912) == "536.9 MB");
  BOOST_TEST(text_of_bytes(999.96e6) == "1 GB");
  BOOST_TEST(text_of_bytes(1.5e9) == "1.5 GB");
  BOOST_TEST(text_of_bytes(2e16) == "2e+04 TB");
  for (const char* text : {"0 B", "17 B", "536.9 MB", "20 GB"}) BOOST_TEST(text_of_bytes(parse_bytes(text)) == text);
}

BOOST_AUTO_TEST_SUITE_END()
