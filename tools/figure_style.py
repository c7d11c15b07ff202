"""How the figures of tools/plot and tools/study look."""
import math
import re

from matplotlib.colors import ListedColormap
from matplotlib.ticker import LogFormatter

DPI = 150
WIDTH = 8.0  # inches: 1200 pixels
TRUTH = "#333333"
PREDICTION = "#c2410c"
TRAINING = "#1d5f9e"
HELD_OUT = "#c2410c"
MARK = "#111111"
NO_DATA = "#ececec"
# Okabe and Ito's, told apart with any kind of colour vision; without the yellow, which is faint on white.
SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]
DASHES = ["-", (0, (5, 1.5)), (0, (6, 1.5, 1.5, 1.5)), (0, (1.5, 1.5))]
MARKERS = "osD^vPX"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "savefig.dpi": DPI,
}


class PlainLogFormatter(LogFormatter):
    """Plain numbers at the ticks of a logarithmic axis, also at those inside a decade where there are few others."""

    def _num_to_string(self, x, vmin, vmax):
        return plain(x)


def plain(x):
    """As short as can be: 0.02, 3e-5, 20k."""
    if x != 0 and abs(x) < 1e-3:
        return re.sub(r"\.?0*e-0?", "e-", f"{x:.3e}")
    return f"{x / 1000:g}k" if abs(x) >= 10000 else f"{x:g}"


def plain_log(axis):
    """Makes an axis of a plot, such as axes.yaxis, logarithmic with plain numbers."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    decades = 2.2 if axis.axis_name == "y" else 1  # up to which ticks inside them are numbered: others would overlap
    axis.set_major_formatter(PlainLogFormatter())
    axis.set_minor_formatter(PlainLogFormatter(labelOnlyBase=False, minor_thresholds=(decades, 0.4)))


def legend_above(axes, columns):
    """Above the right end, where it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncol=columns, borderaxespad=0.2, columnspacing=1.4)


def oklch_to_srgb(lightness, chroma, hue):
    """sRGB of OKLCh, not clipped (B. Ottosson, 2020: https://bottosson.github.io/posts/oklab/)."""
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    s = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
    )
    return [12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055 for c in linear]


def in_gamut(lightness, chroma, hue):
    """sRGB of the colour with the largest chroma, up to the one given, that a screen can show."""
    while True:
        colour = oklch_to_srgb(lightness, chroma, hue)
        if all(-1e-6 <= c <= 1 + 1e-6 for c in colour):
            return [min(1.0, max(0.0, c)) for c in colour]
        chroma *= 0.98


def diverging_map(steps=256):
    """Blue to red through near white. Lightness falls linearly with the absolute value, so that equal differences of
    the value look equal, and the two signs look equally strong."""
    colours = []
    for i in range(steps):
        value = 2 * i / (steps - 1) - 1
        hue = math.radians(255 if value < 0 else 30)
        lightness = 0.975 - 0.58 * abs(value)
        chroma = 0.19 * math.sin(0.5 * math.pi * min(1.0, 1.25 * abs(value)))
        colours.append(in_gamut(lightness, chroma, hue))
    return ListedColormap(colours, name="espalier_diverging")


def sequential_map(steps=256):
    """Light to dark blue, lightness falling linearly."""
    parts = [i / (steps - 1) for i in range(steps)]
    colours = [in_gamut(0.93 - 0.68 * p, 0.06 + 0.1 * math.sin(math.pi * p), math.radians(255)) for p in parts]
    return ListedColormap(colours, name="espalier_sequential")
