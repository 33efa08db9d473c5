// Which build this is: a library of another build may have other classes of the same names.
#pragma once

#ifndef NENGO_DL_BUILD_STAMP
#error "NENGO_DL_BUILD_STAMP must be defined as text that is another for every build, as CMakeLists.txt does"
#endif
