// Who may use a mapping, and how long each of its connections lasts. A mapping with one remote keeps it in its own
// record; sessions exist where that is not enough: TCP's second and later remotes, filtering by remote, session limits.
// A mapping's remotes are all in its record or, with many_remotes, all in the session table.
#include "dataplane/nat/shard.h"
#include "dataplane/nat/tcp_state.h"

namespace portolan::nat {

namespace {

constexpr net::Endpoint none{};

constexpr uint8_t protocol_flag(net::Protocol protocol) {
  return protocol == net::Protocol::tcp ? Session::tcp : protocol == net::Protocol::udp ? Session::udp : uint8_t{0};
}

}  // namespace

std::optional<Verdict> Shard::admit_outbound(MappingIndex index, const net::Ipv6& b4, uint8_t softwire,
                                             net::Endpoint remote, uint8_t tcp_flags, uint32_t now_s) {
  now_s_ = now_s;
  const Mapping& mapping = slab_[index];
  if (mapping.softwire != softwire || mapping.b4 != b4)
    if (const auto refused = move_mapping(index, b4, softwire)) return refused;
  // A reset that answers inbound traffic keeps nothing alive (RFC 7857 §7.1).
  const bool is_answer = (tcp_flags & net::tcp_rst) != 0;
  bool keeps_alive = !is_answer;
  if (mapping.first_remote == remote && !mapping.has(Mapping::many_remotes)) {
    advance_tcp(index, true, tcp_flags);
    // After both FINs the transitory time runs out whatever is retransmitted (RFC 7857 §2, RFC 6146 §3.5.2.2).
    keeps_alive = !is_answer && mapping.tcp_state != TcpState::both_fin;
  } else if (mapping.protocol == net::Protocol::tcp || policy().knows_remotes()) {
    if (const auto refused = admit_to_other_remote(index, remote, tcp_flags)) return refused;
  }
  if (!keeps_alive) return std::nullopt;
  if (mapping.last_seen_s != now_s) slab_.set(index, &Mapping::last_seen_s, now_s);
  if (!mapping.has(Mapping::implicit_life)) set_life(index, Mapping::implicit_life, 0, mapping.expiry_s);
  return std::nullopt;
}

std::optional<Verdict> Shard::admit_inbound(MappingIndex index, net::Endpoint remote, uint8_t tcp_flags,
                                            uint32_t now_s) {
  now_s_ = now_s;
  const Mapping& mapping = slab_[index];
  constexpr uint8_t not_simple = Mapping::many_remotes | Mapping::listed;
  if (mapping.first_remote == remote && !mapping.has(not_simple)) {
    advance_tcp(index, false, tcp_flags);
  } else if (mapping.has(not_simple) || policy().knows_remotes()) {
    if (const auto refused = admit_from_other_remote(index, remote, tcp_flags)) return refused;
  }
  if (policy().timeouts.udp_inbound_refresh && mapping.protocol == net::Protocol::udp && mapping.last_seen_s != now_s)
    slab_.set(index, &Mapping::last_seen_s, now_s);
  return std::nullopt;
}

std::optional<Verdict> Shard::admit_outbound_error(MappingIndex index, const net::Ipv6& b4, uint8_t softwire,
                                                   uint32_t now_s) {
  now_s_ = now_s;
  const bool known = slab_[index].softwire == softwire && slab_[index].b4 == b4;
  return known ? std::nullopt : move_mapping(index, b4, softwire);
}

std::optional<Verdict> Shard::admit_inbound_error(MappingIndex index, net::Endpoint remote, uint32_t now_s) {
  now_s_ = now_s;
  if (slab_[index].has(Mapping::listed) && is_shut_to(index, remote)) return Verdict::filtered;
  const bool passes = slab_[index].first_remote == remote || !is_filtered(slab_[index]) || lets_in(index, remote);
  return passes ? std::nullopt : std::optional(Verdict::filtered);
}

// The state of the one connection in the record. What makes it end sooner counts from that segment.
void Shard::advance_tcp(MappingIndex index, bool outbound, uint8_t tcp_flags) {
  const Mapping& mapping = slab_[index];
  if (mapping.protocol != net::Protocol::tcp) return;
  const TcpState next = after(mapping.tcp_state, outbound, tcp_flags);
  if (next == mapping.tcp_state) return;
  const uint32_t timeout_before_s = idle_timeout_s(mapping);
  slab_.set(index, &Mapping::tcp_state, next);
  if (idle_timeout_s(mapping) >= timeout_before_s) return;
  slab_.set(index, &Mapping::last_seen_s, now_s_);
  relink(index);
}

// The same of a session. It keeps itself alive as mappings do.
void Shard::advance_session(SessionIndex index, bool outbound, uint8_t tcp_flags) {
  const Session& session = sessions_[index];
  bool seen =
      outbound ? (tcp_flags & net::tcp_rst) == 0 : session.has(Session::udp) && policy().timeouts.udp_inbound_refresh;
  if (session.has(Session::tcp)) {
    const uint32_t timeout_before_s = session_timeout_s(session);
    sessions_.set(index, &Session::tcp_state, after(session.tcp_state, outbound, tcp_flags));
    seen = (seen && session.tcp_state != TcpState::both_fin) || session_timeout_s(session) < timeout_before_s;
  }
  if (!seen || session.last_seen_s == now_s_) return;
  sessions_.set(index, &Session::last_seen_s, now_s_);
  if (session.has(Session::tcp)) refresh_grant(session.mapping, session.remote.address);
}

std::optional<Verdict> Shard::admit_to_other_remote(MappingIndex index, net::Endpoint remote, uint8_t tcp_flags) {
  if (const SessionIndex known = live_session(index, remote); known != null_session) {
    advance_session(known, true, tcp_flags);
    return std::nullopt;
  }
  if ((tcp_flags & net::tcp_rst) != 0) return std::nullopt;  // it answers, and opens nothing
  return open_session(index, remote, first_state(true, tcp_flags), false);
}

// A stranger's packet opens a session only where sessions are limited: else nobody outside may fill the table.
std::optional<Verdict> Shard::admit_from_other_remote(MappingIndex index, net::Endpoint remote, uint8_t tcp_flags) {
  if (slab_[index].has(Mapping::listed)) {
    if (is_shut_to(index, remote)) return Verdict::filtered;
    if (slab_[index].first_remote == remote && !slab_[index].has(Mapping::many_remotes)) {
      advance_tcp(index, false, tcp_flags);
      return std::nullopt;
    }
  }
  if (const SessionIndex known = live_session(index, remote); known != null_session) {
    advance_session(known, false, tcp_flags);
    return std::nullopt;
  }
  if (is_filtered(slab_[index]) && !lets_in(index, remote)) return Verdict::filtered;
  if (!policy().limits.count_sessions() || (tcp_flags & net::tcp_rst) != 0) return std::nullopt;
  return open_session(index, remote, first_state(false, tcp_flags), true);
}

// What PCP or the configuration made is open to everybody, whatever the mode (RFC 6887 §11).
bool Shard::is_filtered(const Mapping& mapping) const {
  return policy().filtering != Filtering::endpoint_independent && !mapping.has(Mapping::explicit_life);
}

bool Shard::needs_sessions(const Mapping& mapping) const {
  return policy().limits.count_sessions() || is_filtered(mapping);
}

// With address-dependent filtering a remote is an address; TCP connections still have their ports.
net::Endpoint Shard::session_remote(const Mapping& mapping, net::Endpoint remote) const {
  const bool by_address = policy().filtering == Filtering::address_dependent && mapping.protocol != net::Protocol::tcp;
  return by_address ? net::Endpoint{remote.address, {}} : remote;
}

bool Shard::lets_in(MappingIndex index, net::Endpoint remote) const {
  const Mapping& mapping = slab_[index];
  if (mapping.has(Mapping::listed) && is_listed(index, remote)) return true;
  if (!mapping.has(Mapping::many_remotes))
    return mapping.first_remote == remote ||
           (policy().filtering == Filtering::address_dependent && mapping.first_remote.address == remote.address);
  const auto lives = [&](net::Endpoint key) {
    const SessionIndex found = sessions_.find(index, key);
    return found != null_session && session_due_s(sessions_[found]) > now_s_;
  };
  return lives(remote) || (policy().filtering == Filtering::address_dependent && lives({remote.address, {}}));
}

// The remote's session; one whose time is up is ended here.
SessionIndex Shard::live_session(MappingIndex index, net::Endpoint remote) {
  if (!slab_[index].has(Mapping::many_remotes)) return null_session;
  const SessionIndex found = sessions_.find(index, session_remote(slab_[index], remote));
  if (found == null_session || session_due_s(sessions_[found]) > now_s_) return found;
  end_session(found);
  return null_session;
}

std::optional<Verdict> Shard::open_session(MappingIndex index, net::Endpoint remote, TcpState state, bool inbound) {
  const Mapping& mapping = slab_[index];
  const bool is_one = !mapping.has(Mapping::many_remotes), needed = needs_sessions(mapping);
  const bool is_first = is_one && mapping.first_remote == none;
  if (!needed && !is_first && mapping.protocol != net::Protocol::tcp) return std::nullopt;
  if (is_one && session_remote(mapping, mapping.first_remote) == session_remote(mapping, remote)) return std::nullopt;
  if (const auto refused = session_refusal(index, inbound)) {
    tell_of_quota(mapping.subscriber, *refused, mapping.protocol);
    return refused;
  }
  const bool replaces =
      !needed && is_opening(state) && (mapping.tcp_state == TcpState::both_fin || mapping.tcp_state == TcpState::trans);
  if (is_one && !inbound && (is_first || replaces)) {
    keep_in_record(index, remote, state);
    return std::nullopt;
  }
  const bool recorded = (needed || (!sessions_.is_scarce() && !(is_one && mapping.has(Mapping::untracked)))) &&
                        leave_record(index) &&
                        add_session(index, remote, state, now_s_, inbound ? Session::inbound : 0);
  if (recorded) {
    count_sessions(mapping.subscriber, 1, inbound ? 1 : 0);
    return std::nullopt;
  }
  if (needed) return Verdict::session_table_full;
  // Only the timing of TCP connections suffers, and the longer timeout is the safe one.
  if (!mapping.has(Mapping::untracked)) set_flags(index, Mapping::untracked, 0);
  return std::nullopt;
}

std::optional<Verdict> Shard::session_refusal(MappingIndex index, bool inbound) const {
  const Limits& limits = policy().limits;
  const Subscriber& subscriber = subscribers_[slab_[index].subscriber];
  if (limits.sessions_per_mapping_max != 0 && sessions_of(index) >= limits.sessions_per_mapping_max)
    return Verdict::session_limit;
  if (limits.sessions_max != 0 && subscriber.sessions >= limits.sessions_max) return Verdict::session_limit;
  if (inbound && limits.inbound_sessions_max != 0 && subscriber.inbound_sessions >= limits.inbound_sessions_max)
    return Verdict::inbound_session_limit;
  return std::nullopt;
}

uint32_t Shard::sessions_of(MappingIndex index) const {
  const Mapping& mapping = slab_[index];
  if (mapping.has(Mapping::many_remotes)) return sessions_.count_of(index);
  return mapping.first_remote == none ? 0 : 1;
}

void Shard::keep_in_record(MappingIndex index, net::Endpoint remote, TcpState state) {
  Mapping changed = slab_[index];
  if (changed.first_remote == none) count_sessions(changed.subscriber, 1, 0);
  changed.first_remote = remote;
  changed.tcp_state = changed.protocol == net::Protocol::tcp ? state : TcpState::none;
  slab_.write(index, changed);
}

// The session first: a crash between the two leaves the record's own remote in force.
bool Shard::leave_record(MappingIndex index) {
  Mapping changed = slab_[index];
  if (changed.has(Mapping::many_remotes)) return true;
  if (changed.first_remote != none &&
      !add_session(index, changed.first_remote, changed.tcp_state, changed.last_seen_s, 0))
    return false;
  changed.flags |= Mapping::many_remotes;
  changed.first_remote = none;
  changed.tcp_state = TcpState::none;
  slab_.write(index, changed);
  return true;
}

bool Shard::add_session(MappingIndex index, net::Endpoint remote, TcpState state, uint32_t last_seen_s, uint8_t flags) {
  const Mapping& mapping = slab_[index];
  Session session;
  session.outside = mapping.outside();
  session.remote = session_remote(mapping, remote);
  session.last_seen_s = last_seen_s;
  session.mapping = index;
  session.tcp_state = mapping.protocol == net::Protocol::tcp ? state : TcpState::none;
  session.flags = static_cast<uint8_t>(Session::in_use | protocol_flag(mapping.protocol) | flags);
  if (sessions_.add(session) == null_session) return false;
  if (mapping.protocol == net::Protocol::tcp) refresh_grant(index, remote.address);
  return true;
}

// A TCP remote's other ports are let in while a connection with the address lives. Without room for it they are not,
// which is the safe side.
void Shard::refresh_grant(MappingIndex index, net::Ipv4 address) {
  const Mapping& mapping = slab_[index];
  if (policy().filtering != Filtering::address_dependent || !is_filtered(mapping)) return;
  if (const SessionIndex known = sessions_.find(index, {address, {}}); known != null_session)
    return sessions_.set(known, &Session::last_seen_s, now_s_);
  Session grant;
  grant.outside = mapping.outside();
  grant.remote = {address, {}};
  grant.last_seen_s = now_s_;
  grant.mapping = index;
  grant.flags = Session::in_use | Session::tcp | Session::grant;
  sessions_.add(grant);
}

uint32_t Shard::session_timeout_s(const Session& session) const {
  const Timeouts& timeouts = policy().timeouts;
  if (session.has(Session::grant)) return timeouts.tcp_established_s;
  return idle_timeout_s(session.protocol(), session.tcp_state);
}

// As implicit_due_s: never earlier than promised.
uint32_t Shard::session_due_s(const Session& session) const {
  return session.last_seen_s + session_timeout_s(session) + 1;
}

// A mapping's last session takes the grants along and leaves its time to the record, so that the mapping ends when its
// last connection does (RFC 5382 REQ-5).
void Shard::end_session(SessionIndex index) {
  const Session session = sessions_[index];
  const MappingIndex of = session.mapping;
  sessions_.remove(index);
  if (session.has(Session::grant)) return;
  count_sessions(slab_[of].subscriber, -1, session.has(Session::inbound) ? -1 : 0);
  if (sessions_.count_of(of) > 0) return;
  while (sessions_.first_of(of) != null_session) sessions_.remove(sessions_.first_of(of));
  Mapping changed = slab_[of];
  changed.flags &= static_cast<uint8_t>(~Mapping::many_remotes);
  changed.tcp_state = session.tcp_state;
  changed.last_seen_s = session.last_seen_s;
  slab_.write(of, changed);
  relink(of);
}

// Of a mapping that ends.
void Shard::end_sessions(MappingIndex index) {
  const bool is_one = !slab_[index].has(Mapping::many_remotes) && slab_[index].first_remote != none;
  int ended = is_one ? 1 : 0, inbound = 0;
  for (SessionIndex at = sessions_.first_of(index); at != null_session; at = sessions_.first_of(index)) {
    if (!sessions_[at].has(Session::grant)) ++ended;
    if (sessions_[at].has(Session::inbound)) ++inbound;
    sessions_.remove(at);
  }
  if (ended > 0) count_sessions(slab_[index].subscriber, -ended, -inbound);
}

void Shard::count_sessions(uint32_t subscriber, int all, int inbound) {
  subscribers_.add(subscriber, &Subscriber::sessions, all);
  subscribers_.add(subscriber, &Subscriber::inbound_sessions, inbound);
}

}  // namespace portolan::nat
