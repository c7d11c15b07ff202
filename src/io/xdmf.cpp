#include "espalier/io/xdmf.hpp"

#include <array>
#include <cstdio>
#include <filesystem>

#include "espalier/core/error.hpp"
#include "espalier/io/files.hpp"

namespace espalier::io {

namespace {

std::string number(double value) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.17g", value);
  return text.data();
}

std::string escape(const std::string& text) {
  std::string escaped;
  for (const char character : text) {
    switch (character) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += character;
    }
  }
  return escaped;
}

/// "a b c" of a list of extents.
std::string extents(const std::vector<std::size_t>& values) {
  std::string text;
  for (const std::size_t value : values) text += (text.empty() ? "" : " ") + std::to_string(value);
  return text;
}

/// Three axes for the viewer: missing ones, in front, have one point.
std::array<XdmfAxis, 3> three_axes(const std::vector<XdmfAxis>& axes) {
  ESPALIER_REQUIRE(!axes.empty() && axes.size() <= 3,
                   "XDMF: a grid has 1 to 3 axes, not " + std::to_string(axes.size()));
  std::array<XdmfAxis, 3> all{XdmfAxis{1, 0, 1}, XdmfAxis{1, 0, 1}, XdmfAxis{1, 0, 1}};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    all[3 - axes.size() + i] = axes[i];
    ESPALIER_REQUIRE(axes[i].points > 0 && axes[i].spacing > 0,
                     "XDMF: axis " + std::to_string(i) + " needs at least one point and a positive spacing");
  }
  return all;
}

// Viewers read the three-dimensional mesh most reliably; a thin one shows as a line or a picture.
std::string mesh(const std::array<XdmfAxis, 3>& axes, const std::string& indent) {
  std::string origin;
  std::string spacing;
  for (const XdmfAxis& axis : axes) {
    origin += (origin.empty() ? "" : " ") + number(axis.origin);
    spacing += (spacing.empty() ? "" : " ") + number(axis.spacing);
  }
  const std::string values = R"(<DataItem Dimensions="3" NumberType="Float" Precision="8" Format="XML">)";
  return indent + "<Topology TopologyType=\"3DCoRectMesh\" Dimensions=\"" +
         extents({axes[0].points, axes[1].points, axes[2].points}) + "\"/>\n" +  //
         indent + "<Geometry GeometryType=\"ORIGIN_DXDYDZ\">\n" +                //
         indent + "  " + values + origin + "</DataItem>\n" +                     //
         indent + "  " + values + spacing + "</DataItem>\n" +                    //
         indent + "</Geometry>\n";
}

std::string hdf_item(const std::string& hdf5_name, const std::string& dataset,
                     const std::vector<std::size_t>& dimensions, const std::string& indent) {
  return indent + "<DataItem Dimensions=\"" + extents(dimensions) +
         R"(" NumberType="Float" Precision="8" Format="HDF">)" + escape(hdf5_name) + ":/" + escape(dataset) +
         "</DataItem>\n";
}

std::string attribute(const XdmfField& field, const std::string& item, const std::string& indent) {
  return indent + "<Attribute Name=\"" + escape(field.name) + R"(" AttributeType="Scalar" Center="Node">)" + "\n" +
         item + indent + "</Attribute>\n";
}

std::string document(const std::string& grid) {
  return "<?xml version=\"1.0\" ?>\n<!DOCTYPE Xdmf SYSTEM \"Xdmf.dtd\" []>\n<Xdmf Version=\"2.0\">\n  <Domain>\n" +
         grid + "  </Domain>\n</Xdmf>\n";
}

// State i of a data set [T, ...] as one item: start, stride and count of each dimension.
std::string slab(const std::string& hdf5_name, const XdmfField& field, std::size_t i, std::size_t times,
                 const std::array<XdmfAxis, 3>& axes, std::size_t rank, const std::string& indent) {
  std::vector<std::size_t> whole{times};
  std::vector<std::size_t> start{i};
  std::vector<std::size_t> count{1};
  for (std::size_t axis = 3 - rank; axis < 3; ++axis) {
    whole.push_back(axes[axis].points);
    start.push_back(0);
    count.push_back(axes[axis].points);
  }
  const std::vector<std::size_t> stride(whole.size(), 1);
  return indent + "<DataItem ItemType=\"HyperSlab\" Dimensions=\"" +
         extents({axes[0].points, axes[1].points, axes[2].points}) + "\">\n" +  //
         indent + "  <DataItem Dimensions=\"3 " + std::to_string(whole.size()) + "\" Format=\"XML\">" + extents(start) +
         " " + extents(stride) + " " + extents(count) + "</DataItem>\n" +
         hdf_item(hdf5_name, field.dataset, whole, indent + "  ") +  //
         indent + "</DataItem>\n";
}

void require_beside(const std::string& path, const std::string& hdf5_name) {
  ESPALIER_REQUIRE(std::filesystem::path(hdf5_name).filename() == hdf5_name,
                   "XDMF " + path + ": name the HDF5 file " + hdf5_name + " without its folder; both lie in one");
}

}  // namespace

std::string xdmf_space_time(const std::string& hdf5_name, const XdmfAxis& time, const XdmfAxis& x,
                            const std::vector<XdmfField>& fields) {
  std::string grid = "    <Grid Name=\"space-time\" GridType=\"Uniform\">\n" + mesh(three_axes({time, x}), "      ");
  for (const XdmfField& field : fields)
    grid += attribute(field, hdf_item(hdf5_name, field.dataset, {1, time.points, x.points}, "        "), "      ");
  return document(grid + "    </Grid>\n");
}

std::string xdmf_collection(const std::string& hdf5_name, const std::vector<double>& times,
                            const std::vector<XdmfAxis>& axes, const std::vector<XdmfField>& fields) {
  const std::array<XdmfAxis, 3> all = three_axes(axes);
  std::string grid = "    <Grid Name=\"series\" GridType=\"Collection\" CollectionType=\"Temporal\">\n";
  for (std::size_t i = 0; i < times.size(); ++i) {
    grid += "      <Grid Name=\"state\" GridType=\"Uniform\">\n        <Time Value=\"" + number(times[i]) + "\"/>\n" +
            mesh(all, "        ");
    for (const XdmfField& field : fields)
      grid += attribute(field, slab(hdf5_name, field, i, times.size(), all, axes.size(), "          "), "        ");
    grid += "      </Grid>\n";
  }
  return document(grid + "    </Grid>\n");
}

void write_xdmf_space_time(const std::string& path, const std::string& hdf5_name, const XdmfAxis& time,
                           const XdmfAxis& x, const std::vector<XdmfField>& fields) {
  require_beside(path, hdf5_name);
  write_text(path, xdmf_space_time(hdf5_name, time, x, fields));
}

void write_xdmf_collection(const std::string& path, const std::string& hdf5_name, const std::vector<double>& times,
                           const std::vector<XdmfAxis>& axes, const std::vector<XdmfField>& fields) {
  require_beside(path, hdf5_name);
  write_text(path, xdmf_collection(hdf5_name, times, axes, fields));
}

std::string xdmf_path(const std::string& hdf5_path) {
  return std::filesystem::path(hdf5_path).replace_extension(".xdmf").string();
}

}  // namespace espalier::io
