// Shared memory as kernels see it: pointers that know their array. An element read or written
// through one is checked (shared_arena.h); a raw pointer into it cannot be had.
#ifndef SPARK_TESTS_SUPPORT_SIMT_SHARED_H_
#define SPARK_TESTS_SUPPORT_SIMT_SHARED_H_

#include <concepts>
#include <cstring>
#include <string>
#include <type_traits>

#include "simt/machine.h"

namespace spark::simt {

// An index, and the line that it stands on.
struct Index {
  template <std::integral I>
  Index(I i, Where w = Where::current())  // NOLINT: stands for the number
      : value(static_cast<ptrdiff_t>(i)), where(w) {}
  ptrdiff_t value;
  Where where;
};

template <typename T>
class SharedPtr;

// One element: reads as a T, takes a T.
template <typename T>
class SharedRef {
 public:
  SharedRef(T* at, const SharedArray* array, const Where& where)
      : at_(at), array_(array), where_(where) {}
  SharedRef(const SharedRef&) = default;

  operator T() const { return Read(); }  // NOLINT: stands for the element
  const SharedRef& operator=(T value) const {
    Touch(&value, false);
    return *this;
  }
  const SharedRef& operator=(const SharedRef& other) const { return *this = other.Read(); }
  const SharedRef& operator+=(T value) const { return *this = static_cast<T>(Read() + value); }
  const SharedRef& operator-=(T value) const { return *this = static_cast<T>(Read() - value); }
  const SharedRef& operator*=(T value) const { return *this = static_cast<T>(Read() * value); }
  const SharedRef& operator|=(T value) const { return *this = static_cast<T>(Read() | value); }
  const SharedRef& operator&=(T value) const { return *this = static_cast<T>(Read() & value); }
  const SharedRef& operator^=(T value) const { return *this = static_cast<T>(Read() ^ value); }
  SharedPtr<T> operator&() const;  // NOLINT: for atomics

  // The element becomes change(element) at once; returns what it was.
  template <typename Change>
  T Atomic(Change change) const {
    const T old = *at_;
    const T now = change(old);
    CheckWritten();
    Touch(&now, true);
    return old;
  }

 private:
  size_t offset() const {
    return static_cast<size_t>(reinterpret_cast<const std::byte*>(at_) - array_->base);
  }
  T Read() const {
    const Access access = Machine::Get().CurrentAccess();
    const uint32_t first = Machine::Get().shared().first_epoch();
    ForCells([&](SharedCell& cell) { return cell.Read(access, first); });
    return *at_;
  }
  void CheckWritten() const {
    const uint32_t first = Machine::Get().shared().first_epoch();
    ForCells([&](SharedCell& cell) {
      return cell.written_since(first) ? nullptr : "reads what this block has not written";
    });
  }
  void Touch(const T* value, bool atomic) const {
    const Access access = Machine::Get().CurrentAccess();
    ForCells([&](SharedCell& cell) { return cell.Write(access, atomic); });
    *at_ = *value;
  }
  template <typename Check>
  void ForCells(Check check) const {
    const size_t first = offset() / array_->granule;
    for (size_t c = first; c < first + sizeof(T) / array_->granule; ++c) {
      const uint32_t writer = array_->cells[c].writer();
      if (const char* wrong = check(array_->cells[c])) Complain(wrong, writer);
    }
  }
  [[noreturn]] void Complain(const char* wrong, uint32_t writer) const {
    std::string text = std::string(array_->name) + "[" + std::to_string(offset() / sizeof(T)) +
                       "]: a thread " + wrong;
    if (std::strstr(wrong, "barrier") != nullptr && writer < kMostThreads) {
      text += "; last written by thread " + std::to_string(writer);
    }
    Machine::Get().Raise(text, where_);
  }

  T* at_;
  const SharedArray* array_;
  Where where_;
};

template <typename T>
class SharedPtr {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  using Element = T;

  SharedPtr() = default;
  SharedPtr(T* at, const SharedArray* array) : at_(at), array_(array) {}

  SharedRef<T> operator[](Index i) const {
    if (array_ == nullptr) Machine::Get().Raise("a null pointer to shared memory", i.where);
    const ptrdiff_t from_base = reinterpret_cast<std::byte*>(at_) - array_->base +
                                i.value * static_cast<ptrdiff_t>(sizeof(T));
    if (from_base < 0 || static_cast<size_t>(from_base) + sizeof(T) > array_->bytes) {
      Machine::Get().Raise(std::string(array_->name) + "[" +
                               std::to_string(from_base / static_cast<ptrdiff_t>(sizeof(T))) +
                               "] is out of range: it has " +
                               std::to_string(array_->bytes / sizeof(T)) + " elements",
                           i.where);
    }
    if (static_cast<size_t>(from_base) % alignof(T) != 0) {
      Machine::Get().Raise(std::string(array_->name) + ": byte " + std::to_string(from_base) +
                               " is not aligned to " + std::to_string(alignof(T)),
                           i.where);
    }
    return {at_ + i.value, array_, i.where};
  }
  SharedRef<T> operator*() const { return (*this)[0]; }
  SharedPtr operator+(ptrdiff_t n) const { return {at_ + n, array_}; }
  SharedPtr operator-(ptrdiff_t n) const { return {at_ - n, array_}; }
  SharedPtr& operator+=(ptrdiff_t n) { return *this = *this + n; }
  ptrdiff_t operator-(const SharedPtr& other) const { return at_ - other.at_; }
  bool operator==(const SharedPtr& other) const { return at_ == other.at_; }

  T* unchecked() const { return at_; }
  const SharedArray* array() const { return array_; }

 private:
  T* at_ = nullptr;
  const SharedArray* array_ = nullptr;
};

template <typename T>
SharedPtr<T> SharedRef<T>::operator&() const {
  return {at_, array_};
}

// The same bytes as elements of another type: no smaller than those the memory was declared with.
template <typename U, typename T>
SharedPtr<U> SharedCast(const SharedPtr<T>& p) {
  if (sizeof(U) % p.array()->granule != 0) {
    throw Fault(std::string(p.array()->name) + ": elements of " +
                std::to_string(p.array()->granule) + " bytes read as some of " +
                std::to_string(sizeof(U)));
  }
  return {reinterpret_cast<U*>(p.unchecked()), p.array()};
}

template <typename T>
SharedPtr<T> StaticShared(SharedSlot& slot, size_t n) {
  const SharedArray& array = Machine::Get().shared().Static(slot, n * sizeof(T), sizeof(T));
  return {reinterpret_cast<T*>(array.base), &array};
}

template <typename T>
SharedPtr<T> DynamicShared(SharedSlot& slot) {
  const SharedArray& array = Machine::Get().shared().Dynamic(slot, sizeof(T));
  return {reinterpret_cast<T*>(array.base), &array};
}

}  // namespace spark::simt

// `name` is a SharedPtr<T> of N elements; one array a block, however often it is declared.
#define SPARK_SHARED(T, name, N)                       \
  static ::spark::simt::SharedSlot name##_slot{#name}; \
  const ::spark::simt::SharedPtr<T> name = ::spark::simt::StaticShared<T>(name##_slot, (N))

// All of the launch's dynamic bytes, as elements of type T.
#define SPARK_DYNAMIC_SHARED(T, name)                  \
  static ::spark::simt::SharedSlot name##_slot{#name}; \
  const ::spark::simt::SharedPtr<T> name = ::spark::simt::DynamicShared<T>(name##_slot)

#endif  // SPARK_TESTS_SUPPORT_SIMT_SHARED_H_
