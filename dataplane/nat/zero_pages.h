// A large array of zeros whose pages become real when touched: a pool's untouched addresses cost address space, not
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <sys/mman.h>
#include <type_traits>
#include <utility>

namespace portolan::nat {

template <class T>
requires std::is_trivially_copyable_v<T>
class ZeroPages {
 public:
  ZeroPages() = default;
  // Throws std::bad_alloc (start-up only). Asks for huge pages where the kernel gives them.
  explicit ZeroPages(size_t count) : count_(count) {
    if (count == 0) return;
    void* pages = mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    madvise(pages, bytes(), MADV_HUGEPAGE);
    items_ = static_cast<T*>(pages);
  }
  ZeroPages(ZeroPages&& other) noexcept
      : items_(std::exchange(other.items_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  ZeroPages& operator=(ZeroPages&& other) noexcept {
    std::swap(items_, other.items_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~ZeroPages() {
    if (items_ != nullptr) munmap(items_, bytes());
  }

  // Makes all pages real now, as far as there is memory: else the packet that touches one first, and all behind it,
  // wait while the kernel clears 2 MB.
  void populate() const {
    constexpr int populate_write = 23;  // MADV_POPULATE_WRITE, of Linux 5.14
    if (items_ != nullptr) madvise(items_, bytes(), populate_write);
  }

  T& operator[](size_t at) { return items_[at]; }
  const T& operator[](size_t at) const { return items_[at]; }
  T* data() const { return items_; }
  [[nodiscard]] size_t size() const { return count_; }
  [[nodiscard]] size_t bytes() const { return count_ * sizeof(T); }

 private:
  T* items_ = nullptr;
  size_t count_ = 0;
};

}  // namespace portolan::nat
