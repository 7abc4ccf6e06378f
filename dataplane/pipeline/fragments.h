// What becomes of fragments: IPv6 ones from a B4 are put together (RFC 8200 §4.5), IPv4 ones follow the first, which
// alone shows ports (RFC 4787 REQ-14). Owner: one worker; the tables hold the buffers of what waits.
#pragma once

#include "dataplane/pipeline/counters.h"
#include "dataplane/pipeline/fragment_table.h"
#include "dataplane/pipeline/packet.h"

namespace portolan::pipeline {

class Fragments {
 public:
  // `count`: datagrams under way and, beside them, packets that wait; half of it for each way.
  Fragments(uint32_t count, Buffers& buffers, WorkerCounters& counters);
  ~Fragments();  // gives back what waits
  Fragments(const Fragments&) = delete;
  Fragments& operator=(const Fragments&) = delete;

  // An IPv6 fragment. True if the datagram is whole: `packet` is it then, as a frame that came in uncut.
  bool reassemble(Packet& packet, const net::Ipv6& subscriber, uint32_t now_s);
  // An IPv4 fragment. Undecided afterwards: packet.port is known, what waited for it is released.
  void follow(Packet& packet, const net::Ipv6& subscriber, uint32_t now_s);
  // The record of an outbound IPv4 fragment that follow() or release let go on.
  Datagram& record_of(const Packet& packet) { return outbound_[packet.datagram]; }

  // False while no datagram is under way: then there is nothing else to ask.
  [[nodiscard]] bool busy() const { return busy_; }
  // Whether something is to be done even without a packet.
  [[nodiscard]] bool due(uint32_t now_s) const {
    return busy_ && (outbound_.has_released() || inbound_.has_released() || outbound_.overdue(now_s) != 0 ||
                     inbound_.overdue(now_s) != 0);
  }
  // Ends what is overdue; what must be answered goes into the burst, its fate decided.
  void expire(Burst& burst, uint32_t now_s);
  // Puts released packets at the burst's end, as far as there is room.
  void take_released(Burst& burst, bool outbound);
  void end_burst();  // forgets datagrams of which all has come

 private:
  FragmentTable& table(bool outbound) { return outbound ? outbound_ : inbound_; }
  bool join(Packet& packet, uint32_t datagram);
  void expire(FragmentTable& table, Burst& burst, uint32_t now_s);
  void drop_held(FragmentTable& table, uint32_t datagram, nat::Verdict verdict);
  void close_complete(FragmentTable& table);

  Buffers& buffers_;
  WorkerCounters& counters_;
  bool busy_ = false;
  FragmentTable outbound_, inbound_;  // so that neither way can use up the other's room
};

}  // namespace portolan::pipeline
