// When to look at a mapping again: one slot a second, the mappings of a slot linked through their own records. Lazy: a
// packet only stamps its record; when a slot comes up, a mapping that is not due yet is put where it will be. So a
// mapping costs one look per timeout, whatever its packets. Owner: the worker; the links are in the records, the heads
// here.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/nat/mapping.h"
#include "dataplane/nat/slab.h"

namespace portolan::nat {

class TimingWheel {
 public:
  static constexpr uint32_t slots = 8192;  // > tcp-established; what lies beyond is looked at once a turn

  TimingWheel(Slab& slab, uint32_t now_s) : slab_(slab), cursor_s_(now_s) {}

  // The mapping is looked at in second `due_s`, or the next one if that has passed. It must not be linked.
  void link(MappingIndex index, uint32_t due_s) {
    const uint32_t earliest = cursor_s_ + 1, latest = cursor_s_ + slots - 1;
    const uint32_t at = due_s < earliest ? earliest : due_s > latest ? latest : due_s;
    MappingIndex& head = heads_[at % slots];
    slab_.set(index, &Mapping::wheel_next, head);
    slab_.set(index, &Mapping::wheel_previous, slot_mark | at % slots);
    if (head != null_mapping) slab_.set(head, &Mapping::wheel_previous, index);
    head = index;
  }

  void unlink(MappingIndex index) {
    const MappingIndex next = slab_[index].wheel_next, previous = slab_[index].wheel_previous;
    if ((previous & slot_mark) != 0)
      heads_[previous & ~slot_mark] = next;
    else
      slab_.set(previous, &Mapping::wheel_next, next);
    if (next != null_mapping) slab_.set(next, &Mapping::wheel_previous, previous);
  }

  // So many seconds have come up whose mappings were not all taken.
  [[nodiscard]] uint32_t behind_s(uint32_t now_s) const { return now_s > cursor_s_ ? now_s - cursor_s_ : 0; }

  // Takes out the next mapping whose slot has come up to now_s, or null_mapping. The caller ends it or links it again.
  MappingIndex take(uint32_t now_s) {
    if (now_s - cursor_s_ > slots && now_s > cursor_s_) cursor_s_ = now_s - slots;  // asleep for more than a turn
    while (cursor_s_ < now_s) {
      const MappingIndex head = heads_[(cursor_s_ + 1) % slots];
      if (head != null_mapping) {
        unlink(head);
        return head;
      }
      ++cursor_s_;
    }
    return null_mapping;
  }

 private:
  // In wheel_previous: the first of a slot names its slot. Slab::capacity_max keeps indexes below it.
  static constexpr MappingIndex slot_mark = 0x8000'0000;

  Slab& slab_;
  uint32_t cursor_s_;  // every slot up to and including this second is empty
  std::array<MappingIndex, slots> heads_{};
};

}  // namespace portolan::nat
