// The alphabet in which byte-level BPE vocabularies are written (GPT-2's encoder.py): each of the
// 256 bytes has a printable character. Bytes that are printable in Latin-1 stand for themselves;
// the other 68 follow from U+0100 on, in order. So "Ġthe" is " the".
#ifndef SPARK_TEXT_BYTE_ALPHABET_H_
#define SPARK_TEXT_BYTE_ALPHABET_H_

#include <string>
#include <string_view>

namespace spark {

// Appends the bytes that `written` stands for. False, with `bytes` unchanged, if it holds a
// character outside the alphabet.
bool AppendBytesOf(std::string_view written, std::string& bytes);

}  // namespace spark

#endif  // SPARK_TEXT_BYTE_ALPHABET_H_
