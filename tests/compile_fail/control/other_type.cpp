// refused: muster: quite another sentence
// names: long
template <typename T, bool fine>
inline constexpr bool crosses = fine;
static_assert(crosses<int, false>, "muster: quite another sentence than about long");
