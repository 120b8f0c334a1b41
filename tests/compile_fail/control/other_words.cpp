// refused: these words do not appear
static_assert(false, "muster: quite another sentence");
