#include "espalier/io/xdmf.hpp"

#include <boost/test/unit_test.hpp>

#include "core/messages.hpp"
#include "espalier/core/error.hpp"
#include "io/temporary_folder.hpp"

using namespace espalier;
using io::XdmfAxis;
using testing::mentions;

namespace {

// True if every element is closed by its own name, and quotes are in pairs.
bool well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t begin = xml.find('<'); begin != std::string::npos; begin = xml.find('<', begin + 1)) {
    const std::size_t end = xml.find('>', begin);
    if (end == std::string::npos) return false;
    const std::string tag = xml.substr(begin + 1, end - begin - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0 || tag.find('<') != std::string::npos) return false;
    if (tag[0] == '?' || tag[0] == '!' || tag.back() == '/') continue;
    if (tag[0] != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    } else {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    }
  }
  return open.empty();
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

bool holds(const std::string& text, const std::string& part) {
  if (count(text, part) > 0) return true;
  std::printf("%s\nlacks %s\n", text.c_str(), part.c_str());
  return false;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(io_xdmf, *boost::unit_test::label("unit"))

BOOST_AUTO_TEST_CASE(space_time_is_one_picture) {
  const std::string xml =
      io::xdmf_space_time("a.h5", {5, 1000, 0.25}, {64, 0, 0.5}, {{"u", "states"}, {"error", "g/error"}});
  BOOST_TEST(well_formed(xml));
  BOOST_TEST(holds(xml, R"(TopologyType="3DCoRectMesh" Dimensions="1 5 64")"));
  BOOST_TEST(holds(xml, ">0 1000 0</DataItem>"));
  BOOST_TEST(holds(xml, ">1 0.25 0.5</DataItem>"));
  BOOST_TEST(holds(xml, R"(<Attribute Name="u" AttributeType="Scalar" Center="Node">)"));
  BOOST_TEST(holds(xml, R"(Dimensions="1 5 64" NumberType="Float" Precision="8" Format="HDF">a.h5:/states<)"));
  BOOST_TEST(holds(xml, ">a.h5:/g/error<"));
  BOOST_TEST(count(xml, "<Grid ") == 1u);
}

BOOST_AUTO_TEST_CASE(a_collection_has_a_grid_for_each_time) {
  const std::string line = io::xdmf_collection("a.h5", {0, 0.5, 2}, {{8, 0, 0.1}}, {{"u", "states"}});
  BOOST_TEST(well_formed(line));
  BOOST_TEST(holds(line, R"(CollectionType="Temporal")"));
  BOOST_TEST(count(line, "<Time Value=") == 3u);
  BOOST_TEST(holds(line, R"(<Time Value="0.5"/>)"));
  BOOST_TEST(holds(line, R"(TopologyType="3DCoRectMesh" Dimensions="1 1 8")"));
  BOOST_TEST(holds(line, R"(<DataItem Dimensions="3 2" Format="XML">2 0 1 1 1 8<)"));
  BOOST_TEST(holds(line, R"(Dimensions="3 8" NumberType="Float" Precision="8" Format="HDF">a.h5:/states<)"));

  const std::string plane = io::xdmf_collection("a.h5", {0, 1}, {{4, -1, 0.5}, {8, 0, 0.25}}, {{"u", "states"}});
  BOOST_TEST(well_formed(plane));
  BOOST_TEST(holds(plane, R"(Dimensions="1 4 8")"));
  BOOST_TEST(holds(plane, ">0 -1 0</DataItem>"));
  BOOST_TEST(holds(plane, ">1 0.5 0.25</DataItem>"));
  BOOST_TEST(holds(plane, R"(<DataItem Dimensions="3 3" Format="XML">1 0 0 1 1 1 1 4 8<)"));
  BOOST_TEST(holds(plane, R"(Dimensions="2 4 8" NumberType="Float")"));
}

BOOST_AUTO_TEST_CASE(names_are_escaped) {
  const std::string xml = io::xdmf_space_time("a&b.h5", {2, 0, 1}, {2, 0, 1}, {{"\"u\" < v", "states"}});
  BOOST_TEST(well_formed(xml));
  BOOST_TEST(holds(xml, "a&amp;b.h5:/states"));
  BOOST_TEST(holds(xml, "Name=\"&quot;u&quot; &lt; v\""));
}

BOOST_AUTO_TEST_CASE(the_file_lies_beside_the_data) {
  const testing::TemporaryFolder folder;
  BOOST_TEST(io::xdmf_path("a/b.h5") == "a/b.xdmf");
  io::write_xdmf_space_time(folder.file("a.xdmf"), "a.h5", {2, 0, 1}, {2, 0, 1}, {{"u", "states"}});
  io::write_xdmf_collection(folder.file("b.xdmf"), "a.h5", {0, 1}, {{2, 0, 1}}, {{"u", "states"}});
  BOOST_TEST(testing::contents(folder.file("a.xdmf")) ==
             io::xdmf_space_time("a.h5", {2, 0, 1}, {2, 0, 1}, {{"u", "states"}}));
  BOOST_TEST(folder.size() == 2u);
  BOOST_CHECK_EXCEPTION(io::write_xdmf_space_time(folder.file("a.xdmf"), "b/a.h5", {2, 0, 1}, {2, 0, 1}, {}), UserError,
                        mentions("without its folder"));
  BOOST_CHECK_EXCEPTION(io::write_xdmf_collection(folder.file("none/a.xdmf"), "a.h5", {0}, {{2, 0, 1}}, {}), UserError,
                        mentions("none/a.xdmf", "No such file"));
}

BOOST_AUTO_TEST_CASE(grids_that_cannot_be_shown_are_refused) {
  BOOST_CHECK_THROW(io::xdmf_collection("a.h5", {0}, {}, {}), UserError);
  BOOST_CHECK_THROW(io::xdmf_collection("a.h5", {0}, std::vector<XdmfAxis>(4, XdmfAxis{2, 0, 1}), {}), UserError);
  BOOST_CHECK_THROW(io::xdmf_space_time("a.h5", {0, 0, 1}, {2, 0, 1}, {}), UserError);
  BOOST_CHECK_THROW(io::xdmf_space_time("a.h5", {2, 0, 1}, {2, 0, -1}, {}), UserError);
}

BOOST_AUTO_TEST_SUITE_END()
