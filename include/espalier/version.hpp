// Version of the library; the build file reads it from here.
#pragma once

#define ESPALIER_VERSION "0.1.0"
