// Given to the compiler before anything is searched or downloaded, by CMake and by build_backend.py.
#if defined(__clang__)
#if __clang_major__ < 14
#error nengo_dl needs clang++ 14 or g++ 11 at least
#endif
#elif !defined(__GNUC__) || __GNUC__ < 11
#error nengo_dl needs g++ 11 or clang++ 14 at least
#endif
