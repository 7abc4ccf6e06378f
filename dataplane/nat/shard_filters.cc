// Mappings that say themselves who may send in: PCP's FILTER, and the remotes of PEER where the policy filters. Only
// records with the flag `listed` come here, so that others pay nothing.
#include "dataplane/nat/shard.h"

namespace portolan::nat {

// The list from now on; an empty one lifts it. False: no room for a list, and nothing has changed.
bool Shard::let_in(MappingIndex index, const FilterList& filters) {
  if (filters.count == 0) {
    forget_list(index);
    return true;
  }
  if (!filters_.set(index, filters)) return false;
  if (!slab_[index].has(Mapping::listed)) set_flags(index, Mapping::listed, 0);
  return true;
}

void Shard::forget_list(MappingIndex index) {
  if (!slab_[index].has(Mapping::listed)) return;
  filters_.remove(index);
  set_flags(index, 0, Mapping::listed);
}

bool Shard::is_listed(MappingIndex index, net::Endpoint remote) const { return filters_.has(index, remote); }

// The list of an explicit mapping shuts out everybody else, whom the inside has written to as well: "the device will
// drop packets [...] that don't match the filter fields" (RFC 6887 §13.3). Another mapping's list only adds to whom the
// policy lets in.
bool Shard::is_shut_to(MappingIndex index, net::Endpoint remote) const {
  return slab_[index].has(Mapping::explicit_life) && !is_listed(index, remote);
}

}  // namespace portolan::nat
