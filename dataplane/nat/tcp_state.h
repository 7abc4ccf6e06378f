// The TCP state of a mapping's connection (RFC 7857 §2, Fig. 1) as one pure function.
#pragma once

#include <cstdint>

#include "dataplane/nat/mapping.h"
#include "dataplane/net/wire.h"

namespace portolan::nat {

// The state after a segment with `flags`, sent outbound (by the inside host) or inbound.
constexpr TcpState after(TcpState state, bool outbound, uint8_t flags) {
  const bool syn = (flags & net::tcp_syn) != 0, fin = (flags & net::tcp_fin) != 0, rst = (flags & net::tcp_rst) != 0;
  switch (state) {
    case TcpState::none:
      return !syn ? state : outbound ? TcpState::init : TcpState::init_inbound;
    case TcpState::init:
    case TcpState::init_inbound:
      if (rst) return TcpState::trans;
      // The other side's SYN; an ACK alone could be anybody's.
      return syn && outbound != (state == TcpState::init) ? TcpState::established : state;
    case TcpState::established:
      if (rst) return TcpState::trans;
      if (fin) return outbound ? TcpState::client_fin : TcpState::server_fin;
      return state;
    case TcpState::client_fin:
      return rst ? TcpState::trans : fin && !outbound ? TcpState::both_fin : state;
    case TcpState::server_fin:
      return rst ? TcpState::trans : fin && outbound ? TcpState::both_fin : state;
    case TcpState::both_fin:  // last ACKs and retransmitted FINs pass and change nothing; a new connection may follow
      return syn ? (outbound ? TcpState::init : TcpState::init_inbound) : state;
    case TcpState::trans:  // a segment after an RST means that the RST was not the peer's (RFC 6146 §3.5.2.2)
      if (syn) return outbound ? TcpState::init : TcpState::init_inbound;
      return rst ? state : TcpState::established;
  }
  return state;
}

// Opening or closing (RFC 5382 REQ-5). One FIN does not shorten (RFC 7857 §2).
constexpr bool is_transitory(TcpState state) {
  return state != TcpState::established && state != TcpState::client_fin && state != TcpState::server_fin;
}

// A connection of which neither side has seen the other yet.
constexpr bool is_opening(TcpState state) {
  return state == TcpState::none || state == TcpState::init || state == TcpState::init_inbound;
}

// The state of a connection whose first segment seen here is this one. What has no SYN went on before we looked.
constexpr TcpState first_state(bool outbound, uint8_t flags) {
  const TcpState state = after(TcpState::none, outbound, flags);
  // A SYN-ACK from inside answers a SYN that was let in.
  if (state == TcpState::init && (flags & net::tcp_ack) != 0) return TcpState::established;
  return state == TcpState::none && outbound ? TcpState::established : state;
}

}  // namespace portolan::nat
