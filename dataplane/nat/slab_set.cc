#include "dataplane/nat/slab_set.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "dataplane/nat/session_table.h"
#include "dataplane/nat/slab.h"

namespace portolan::nat {

namespace {

namespace fs = std::filesystem;

constexpr const char* new_suffix = ".new";

// A move in two steps: all new files are written, then this file says so, then they take the old ones' places. With it
// there the second step is to be finished, without it what there is of the first is to be thrown away.
std::string marker_path(const SlabSet& set) { return set.dir + "/moving"; }

void take_places(const SlabSet& set) {
  std::error_code error;
  for (unsigned worker = 0; worker < SlabSet::files_max; ++worker) {
    const std::string path = set.mappings_path(worker);
    fs::remove(set.sessions_path(worker), error);  // they name records of the files before
    if (worker >= set.workers) fs::remove(path, error);
    if (fs::exists(path + new_suffix, error)) fs::rename(path + new_suffix, path, error);
  }
  fs::remove(marker_path(set), error);
}

void end_interrupted_move(const SlabSet& set) {
  std::error_code error;
  if (std::ifstream marker(marker_path(set)); marker) {
    SlabSet then = set;
    marker >> then.workers;
    take_places(then);
  }
  for (unsigned worker = 0; worker < SlabSet::files_max; ++worker)
    fs::remove(set.mappings_path(worker) + new_suffix, error);
}

void move_aside(const std::string& path, const SlabKind& kind, const std::function<void(std::string_view)>& say) {
  const std::string fault = SlabFile::fault_of(path, kind);
  if (fault.empty()) return;
  std::error_code error;
  for (unsigned i = 1; i < 100; ++i) {
    const std::string aside = path + ".refused." + std::to_string(i);
    if (fs::exists(aside, error)) continue;
    fs::rename(path, aside, error);
    if (!error) say(path + ": " + fault + "; moved to " + aside + ", begun anew: its mappings are gone");
    return;
  }
}

struct Found {
  const Mapping* mapping;
  unsigned from;
};
struct Everything {
  std::vector<Slab> slabs;  // whose records these are
  std::vector<Found> found;
};

// What is in use, of all files. Half-written records stay behind.
net::Result<Everything, std::string> read_all(const SlabSet& set) {
  Everything all;
  for (unsigned worker = 0; worker < SlabSet::files_max; ++worker) {
    std::error_code error;
    if (!fs::exists(set.mappings_path(worker), error)) continue;
    auto opened = Slab::open(set.mappings_path(worker), 1);
    if (!opened) return tl::unexpected(opened.error());
    const Slab& slab = all.slabs.emplace_back(std::move(*opened));
    for (MappingIndex index = 1; index < slab.capacity(); ++index)
      if (slab[index].has(Mapping::in_use | Mapping::held) && (slab[index].version & 1) == 0)
        all.found.push_back({&slab[index], worker});
  }
  return all;
}

// Addresses stay with their owners, and their subscribers go there; shared addresses' blocks go to the subscribers.
// What the configuration says of a subscriber comes before what he had.
Pool pinned(const SlabSet& set, const Pool& pool, const std::vector<Found>& found) {
  Pool::Pins pins;
  std::vector<Pool::BlockClaim> claims;
  for (const StaticMapping& row : set.statics) {
    const auto number = pool.number_of(row.outside.address);
    if (!number) continue;
    const unsigned of_address = pool.owner(*number, row.outside.port);
    if (!pool.is_shared())
      pins.emplace(row.key.subscriber, static_cast<uint8_t>(of_address));
    else if (const uint32_t block = pool.layout().block_of(row.outside.port); block != PortLayout::no_block)
      claims.push_back({*number, block, static_cast<uint8_t>(pool.owner_of(row.key.subscriber))});
  }
  for (const Found& each : found) {
    const Mapping& mapping = *each.mapping;
    const auto number = pool.number_of(mapping.outside_address);
    if (!number) continue;
    const unsigned length = mapping.has(Mapping::plain) ? 96U + set.plain_prefix_length : set.subscriber_prefix_length;
    const net::Ipv6 subscriber = net::masked(mapping.b4, length);
    const auto of_subscriber = static_cast<uint8_t>(pool.owner_of(subscriber));
    const unsigned of_address = pool.owner(*number, mapping.outside_port);
    if (of_subscriber == of_address) continue;
    if (!pool.is_shared())
      pins.emplace(subscriber, static_cast<uint8_t>(of_address));
    else if (const uint32_t block = pool.layout().block_of(mapping.outside_port); block != PortLayout::no_block)
      claims.push_back({*number, block, of_subscriber});
  }
  return pool.with(std::move(pins), claims);
}

net::Result<void, std::string> move(const SlabSet& set, const std::vector<std::vector<const Mapping*>>& of_worker) {
  for (unsigned worker = 0; worker < set.workers; ++worker) {
    const auto& records = of_worker[worker];
    auto slab = Slab::open(set.mappings_path(worker) + new_suffix, static_cast<uint32_t>(records.size()) + 1);
    if (!slab) return tl::unexpected(slab.error());
    for (MappingIndex index = 1; index <= records.size(); ++index) slab->write(index, *records[index - 1]);
  }
  std::ofstream marker(marker_path(set));
  if (!(marker << set.workers << std::flush))
    return tl::unexpected(marker_path(set) + ": cannot be written; make room there or set another dataplane.state-dir");
  marker.close();
  take_places(set);
  return {};
}

}  // namespace

net::Result<Pool, std::string> SlabSet::prepare(const Pool& pool,
                                                const std::function<void(std::string_view)>& say) const {
  end_interrupted_move(*this);
  for (unsigned worker = 0; worker < files_max; ++worker) {
    move_aside(mappings_path(worker), SlabTraits<Mapping>::kind, say);
    move_aside(sessions_path(worker), SlabTraits<Session>::kind, say);
  }
  const auto all = read_all(*this);
  if (!all) return tl::unexpected(all.error());
  Pool ready = pinned(*this, pool, all->found);

  std::vector<std::vector<const Mapping*>> of_worker(workers);
  size_t moved = 0;
  for (const Found& each : all->found) {
    const auto number = ready.number_of(each.mapping->outside_address);
    // Of no address of ours any more: where it lies its shard ends it, and counts.
    const unsigned owner = number ? ready.owner(*number, each.mapping->outside_port) : std::min(each.from, workers - 1);
    of_worker[owner].push_back(each.mapping);
    if (owner != each.from) ++moved;
  }
  if (moved == 0) return ready;
  if (auto done = move(*this, of_worker); !done) {
    end_interrupted_move(*this);
    return tl::unexpected(done.error());
  }
  say(std::to_string(moved) + " of " + std::to_string(all->found.size()) +
      " mappings moved to the workers that own them now");
  return ready;
}

}  // namespace portolan::nat
