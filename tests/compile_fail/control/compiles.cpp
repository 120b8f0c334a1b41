// refused: nothing is wrong with this file
#include <muster/version.hpp>
static_assert(MUSTER_VERSION_MAJOR >= 0);
