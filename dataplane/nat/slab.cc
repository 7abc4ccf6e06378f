#include "dataplane/nat/slab.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include <utility>

namespace portolan::nat {

namespace {

struct Header {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t record_bytes;
  uint32_t capacity;
  uint32_t zero;
  std::array<char, 40> boot_id;  // whose clock last_seen_s and expiry_s count in
};
constexpr size_t header_bytes = 4096;
static_assert(sizeof(Header) <= header_bytes);

std::array<char, 40> boot_id() {
  std::array<char, 40> id{};
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen("/proc/sys/kernel/random/boot_id", "re"), std::fclose);
  if (file) id[std::fread(id.data(), 1, id.size() - 1, file.get())] = 0;
  return id;
}

std::string fault(const std::string& path, const char* what) {
  return path + ": " + what + ": " + std::strerror(errno);
}

// hugetlbfs takes sizes in whole huge pages only.
size_t rounded_for(int file, size_t bytes) {
  struct statfs fs;
  size_t unit = header_bytes;
  if (fstatfs(file, &fs) == 0 && fs.f_bsize > 0) unit = static_cast<size_t>(fs.f_bsize);
  return (bytes + unit - 1) / unit * unit;
}

// Empty: the file may be used as it is (or is new). Else why not.
std::string fault_of(const Header& header, const SlabKind& kind) {
  if (header.magic == 0 && header.layout_version == 0) return {};
  if (header.magic != kind.magic) return std::string("is not a ") + kind.name;
  if (header.layout_version != kind.layout_version || header.record_bytes != kind.record_bytes)
    return std::string(kind.name) + " of layout " + std::to_string(header.layout_version) +
           ", this version reads layout " + std::to_string(kind.layout_version);
  return {};
}

void outlive_boot(void* records, uint32_t count, const SlabKind& kind) {
  if (kind.outlive_boot == nullptr) {
    std::memset(records, 0, size_t{count} * kind.record_bytes);
    return;
  }
  for (uint32_t index = 0; index < count; ++index)
    kind.outlive_boot(static_cast<uint8_t*>(records) + size_t{index} * kind.record_bytes);
}

constexpr const char* way_out = "; move it away, or set dataplane.state-dir elsewhere";

}  // namespace

std::string SlabFile::fault_of(const std::string& path, const SlabKind& kind) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (!file) return {};
  Header header{};
  const size_t bytes = std::fread(&header, 1, sizeof header, file.get());
  if (bytes == 0) return {};
  if (std::fseek(file.get(), 0, SEEK_END) == 0 && std::ftell(file.get()) < static_cast<long>(header_bytes))
    return std::string("is not a ") + kind.name;
  return nat::fault_of(header, kind);
}

// Opens the file, locked, at bytes_ or what it has if that is more, with room for all of it; a file made here that gets
// no room is removed again.
net::Result<void, std::string> SlabFile::open_file(const std::string& path, const SlabKind& kind) {
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file_ < 0) return tl::unexpected(fault(path, "cannot be opened"));
  if (flock(file_, LOCK_EX | LOCK_NB) != 0)
    return tl::unexpected(path + ": in use by another portoland; stop it or set another dataplane.state-dir");
  struct stat status;
  if (fstat(file_, &status) != 0) return tl::unexpected(fault(path, "cannot be read"));
  const auto present = static_cast<size_t>(status.st_size);
  if (present > 0 && present < header_bytes) return tl::unexpected(path + ": is not a " + kind.name + way_out);
  Header found{};
  if (pread(file_, &found, sizeof found, 0) < 0) return tl::unexpected(fault(path, "cannot be read"));
  if (const auto why = nat::fault_of(found, kind); !why.empty()) return tl::unexpected(path + ": " + why + way_out);
  bytes_ = std::max(rounded_for(file_, bytes_), present);  // a smaller max-mappings never cuts live records off
  // Not ftruncate: a hole that the file system cannot fill later would be a SIGBUS in a worker.
  if (const int error = posix_fallocate(file_, 0, static_cast<off_t>(bytes_)); error != 0) {
    if (present == 0) unlink(path.c_str());
    if (present > 0 && ftruncate(file_, status.st_size) != 0) return tl::unexpected(fault(path, "cannot be cut back"));
    errno = error;
    return tl::unexpected(fault(
        path,
        ("has no room for the " + std::to_string(bytes_ >> 20) + " MiB that " + kind.setting + " needs").c_str()));
  }
  return {};
}

net::Result<SlabFile, std::string> SlabFile::open(const std::string& path, const SlabKind& kind, uint32_t capacity) {
  SlabFile slab;
  slab.bytes_ = header_bytes + size_t{capacity} * kind.record_bytes;
  if (!path.empty())
    if (auto opened = slab.open_file(path, kind); !opened) return tl::unexpected(std::move(opened.error()));
  slab.memory_ = mmap(nullptr, slab.bytes_, PROT_READ | PROT_WRITE,
                      path.empty() ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | MAP_POPULATE, slab.file_, 0);
  if (slab.memory_ == MAP_FAILED) {
    slab.memory_ = nullptr;
    return tl::unexpected(fault(path, (std::string("cannot be mapped into memory; lower ") + kind.setting).c_str()));
  }
  madvise(slab.memory_, slab.bytes_, MADV_HUGEPAGE);  // where the kernel may; on hugetlbfs they are huge already
  auto& header = *static_cast<Header*>(slab.memory_);
  // A header that claims more than the file holds is believed as far as the file goes.
  const auto known =
      static_cast<uint32_t>(std::min<size_t>(header.capacity, (slab.bytes_ - header_bytes) / kind.record_bytes));
  slab.capacity_ = std::max(capacity, known);
  if (known > 0 && header.boot_id != boot_id()) outlive_boot(slab.records(), known, kind);
  header = {kind.magic, kind.layout_version, kind.record_bytes, slab.capacity_, 0, boot_id()};
  return slab;
}

void* SlabFile::records() const { return static_cast<uint8_t*>(memory_) + header_bytes; }

SlabFile::SlabFile(SlabFile&& other) noexcept { *this = std::move(other); }

SlabFile& SlabFile::operator=(SlabFile&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  std::swap(file_, other.file_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

SlabFile::~SlabFile() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
  if (file_ >= 0) close(file_);
}

}  // namespace portolan::nat
