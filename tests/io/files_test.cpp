#include "espalier/io/files.hpp"

#include <boost/test/unit_test.hpp>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using testing::TemporaryFolder;

BOOST_AUTO_TEST_SUITE(io_files, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(text_replaces_an_older_file) {
  const TemporaryFolder folder;
  io::write_text(folder.file("a"), "first, longer");
  io::write_text(folder.file("a"), "second");
  BOOST_TEST(testing::contents(folder.file("a")) == "second");
  BOOST_TEST(folder.size() == 1u);
}

BOOST_AUTO_TEST_CASE(folders_are_made_with_their_parents) {
  const TemporaryFolder folder;
  io::make_folder(folder.file("a/b/c"));
  io::make_folder(folder.file("a/b/c"));
  BOOST_TEST(std::filesystem::is_directory(folder.file("a/b/c")));
  BOOST_TEST(io::folder_of("a/b/c.h5") == "a/b");
  BOOST_TEST(io::folder_of("c.h5") == ".");
}

BOOST_AUTO_TEST_CASE(what_cannot_be_written_is_named_with_the_reason) {
  const TemporaryFolder folder;
  testing::put(folder.file("plain"), "x");
  BOOST_CHECK_EXCEPTION(io::write_text(folder.file("plain/a"), "text"), UserError,
                        testing::mentions(folder.file("plain/a"), "Not a directory"));
  BOOST_CHECK_EXCEPTION(io::write_text(folder.file("none/a"), "text"), UserError,
                        testing::mentions("none/a", "No such file or directory"));
  BOOST_CHECK_EXCEPTION(io::make_folder(folder.file("plain/b")), UserError,
                        testing::mentions("plain/b", "Not a directory"));
  BOOST_CHECK_EXCEPTION(io::make_folder(folder.file("plain")), UserError, testing::mentions("plain", "folder"));
  BOOST_TEST(testing::contents(folder.file("plain")) == "x");
}

BOOST_AUTO_TEST_CASE(a_full_disk_leaves_the_older_file) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a");
  io::write_text(path, "older");
  if (!std::filesystem::exists("/dev/full")) return;
  std::filesystem::create_symlink("/dev/full", path + ".part");
  BOOST_CHECK_EXCEPTION(io::write_text(path, "newer"), UserError, testing::mentions(path, "No space left on device"));
  BOOST_TEST(testing::contents(path) == "older");
  BOOST_TEST(folder.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
