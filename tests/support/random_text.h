// Seeded random text and bytes.
#ifndef SPARK_TESTS_SUPPORT_RANDOM_TEXT_H_
#define SPARK_TESTS_SUPPORT_RANDOM_TEXT_H_

#include <random>
#include <string>

namespace spark::testing {

// Surrogates too, as three bytes that are no UTF-8.
void AppendUtf8(char32_t code_point, std::string& text);

// A line of words, spaces, digits, contractions, scripts, emoji, special tokens and any other
// characters; valid UTF-8 of up to some 100 bytes.
std::string RandomUnicodeLine(std::mt19937& random);

// Up to `max_size` bytes, many of them such as make or almost make UTF-8.
std::string RandomBytes(std::mt19937& random, size_t max_size);

}  // namespace spark::testing

#endif  // SPARK_TESTS_SUPPORT_RANDOM_TEXT_H_
