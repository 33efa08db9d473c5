// What a test program says and returns.
#pragma once

#include <cmath>
#include <iostream>
#include <string>
#include <vector>

inline int failures = 0;

inline void expect(bool good, const std::string& what) {
  if (!good) ++failures, std::cout << "failed: " << what << std::endl;
}

// Equal up to rounding of float64.
inline void expect_near(const std::vector<double>& got, const std::vector<double>& expected, const std::string& what) {
  bool good = got.size() == expected.size();
  for (size_t i = 0; good && i < got.size(); ++i)
    good = std::abs(got[i] - expected[i]) <= 1e-12 * (1 + std::abs(expected[i]));
  if (good) return;
  std::cout << "got     ";
  for (double v : got) std::cout << " " << v;
  std::cout << "\nexpected";
  for (double v : expected) std::cout << " " << v;
  std::cout << "\n";
  expect(false, what);
}

// Whether f() throws an E whose message has these words in it.
template <class E, class F>
void expect_throw(F&& f, const std::string& words) {
  try {
    f();
  } catch (const E& e) {
    return expect(std::string(e.what()).find(words) != std::string::npos,
                  "expected a message with '" + words + "', got '" + e.what() + "'");
  }
  expect(false, "expected an error with '" + words + "'");
}
