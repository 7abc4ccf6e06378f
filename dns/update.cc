#include "dns/update.h"

#include <algorithm>
#include <cstring>
#include <ldns/ldns.h>
#include <memory>
#include <netinet/in.h>
#include <sys/random.h>
#include <unistd.h>

#include "dataplane/net/text.h"

namespace portolan::dns {
namespace {

constexpr uint16_t tsig_fudge_s = 300;  // RFC 8945 §10

template <auto free_it>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    free_it(object);
  }
};
using Rdf = std::unique_ptr<ldns_rdf, Freer<ldns_rdf_deep_free>>;
using Rr = std::unique_ptr<ldns_rr, Freer<ldns_rr_free>>;
using RrList = std::unique_ptr<ldns_rr_list, Freer<ldns_rr_list_deep_free>>;
using Packet = std::unique_ptr<ldns_pkt, Freer<ldns_pkt_free>>;
using Buffer = std::unique_ptr<ldns_buffer, Freer<ldns_buffer_free>>;

struct Octets {
  std::unique_ptr<uint8_t, Freer<std::free>> data;
  size_t size = 0;
};

Failure failure(Failure::Kind kind, std::string text, bool is_sent = true) { return {kind, std::move(text), is_sent}; }

std::optional<uint16_t> random_id() {
  uint16_t id = 0;
  return getrandom(&id, sizeof id, 0) == sizeof id ? std::optional(id) : std::nullopt;
}
Failure no_id() { return failure(Failure::Kind::server, "no randomness for a message ID", false); }

ldns_rr_type type_of(const std::string& name) {  // not every build of ldns knows the last two
  if (name == "HTTPS") return static_cast<ldns_rr_type>(65);
  if (name == "SVCB") return static_cast<ldns_rr_type>(64);
  return ldns_get_rr_type_by_name(name.c_str());
}

// "owner type" without data. In class ANY it deletes the record set (RFC 2136 §2.5.2), in NONE it must not be there
// (§2.4.3).
Rr record_set_of(const std::string& record_set, ldns_rr_class rr_class) {
  const size_t space = record_set.find(' ');
  Rr rr(ldns_rr_new());
  ldns_rr_set_owner(rr.get(), ldns_dname_new_frm_str((record_set.substr(0, space) + ".").c_str()));
  ldns_rr_set_type(rr.get(), type_of(record_set.substr(space + 1)));
  ldns_rr_set_class(rr.get(), rr_class);
  ldns_rr_set_ttl(rr.get(), 0);
  return rr;
}

Rr addition_of(const Record& record) {
  const bool is_generic = record.data.starts_with("\\#");
  const std::string type = is_generic ? "TYPE" + std::to_string(type_of(record.type)) : record.type;
  const std::string text = record.owner + ". " + std::to_string(record.ttl_s) + " IN " + type + " " + record.data;
  ldns_rr* raw = nullptr;
  if (ldns_rr_new_frm_str(&raw, text.c_str(), 0, nullptr, nullptr) != LDNS_STATUS_OK) return nullptr;
  return Rr(raw);
}

net::Result<Packet, Failure> build(const Primary& primary, const Update& update) {
  const RrList updates(ldns_rr_list_new()), prerequisites(ldns_rr_list_new());
  for (const auto& each : update.must_not_exist)
    ldns_rr_list_push_rr(prerequisites.get(), record_set_of(each, LDNS_RR_CLASS_NONE).release());
  for (const auto& each : update.remove)
    ldns_rr_list_push_rr(updates.get(), record_set_of(each, LDNS_RR_CLASS_ANY).release());
  for (const Record& each : update.add) {
    Rr rr = addition_of(each);
    if (!rr)
      return tl::unexpected(failure(Failure::Kind::name,
                                    each.owner + " " + each.type + " " + each.data + ": ldns does not take this record",
                                    false));
    ldns_rr_list_push_rr(updates.get(), rr.release());
  }
  ldns_rdf* zone = ldns_dname_new_frm_str((primary.zone + ".").c_str());  // the packet takes it over
  Packet packet(ldns_update_pkt_new(zone, LDNS_RR_CLASS_IN, prerequisites.get(), updates.get(), nullptr));
  if (!packet) return tl::unexpected(failure(Failure::Kind::name, "ldns cannot build the update"));
  const auto id = random_id();
  if (!id) return tl::unexpected(no_id());
  ldns_pkt_set_id(packet.get(), *id);
  ldns_pkt_set_rd(packet.get(), false);  // reserved in an update (RFC 2136 §2.2)
  const auto& key = primary.key;
  const auto status = ldns_pkt_tsig_sign(packet.get(), (key.name + ".").c_str(), key.secret.c_str(), tsig_fudge_s,
                                         (key.algorithm + ".").c_str(), nullptr);
  if (status != LDNS_STATUS_OK)
    return tl::unexpected(
        failure(Failure::Kind::server, std::string("cannot sign: ") + ldns_get_errorstr_by_id(status)));
  return packet;
}

// Owner, type and data in lower case, so that the same record is the same text.
std::string text_of(const ldns_rr* record) {
  const Rr copy(ldns_rr_clone(record));
  ldns_rr_set_ttl(copy.get(), 0);
  ldns_rr2canonical(copy.get());
  const std::unique_ptr<char, Freer<std::free>> text(ldns_rr2str(copy.get()));
  return text ? std::string(text.get()) : "";
}

sockaddr_storage to_sockaddr(const SocketAddress& socket, socklen_t& bytes) {
  sockaddr_storage out{};
  const net::be16 port(socket.port);
  if (net::is_mapped(socket.address)) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = port.raw();
    v4.sin_addr.s_addr = net::unmapped(socket.address).bits.raw();
    std::memcpy(&out, &v4, bytes = sizeof v4);
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port.raw();
    std::memcpy(&v6.sin6_addr, socket.address.bytes.data(), socket.address.bytes.size());
    std::memcpy(&out, &v6, bytes = sizeof v6);
  }
  return out;
}

// A TCP connection to the server: exact results are wanted (RFC 2136 §7.9).
class Connection {
  int socket_ = -1;
  sockaddr_storage address_{};
  socklen_t address_bytes_ = 0;

  static timeval patience() { return {timeout.count(), 0}; }

 public:
  explicit Connection(const Primary& primary) {
    address_ = to_sockaddr(primary.server, address_bytes_);
    socket_ = ldns_tcp_connect2(&address_, address_bytes_, patience());
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    if (socket_ >= 0) close(socket_);
  }
  [[nodiscard]] bool is_open() const { return socket_ >= 0; }

  net::Result<Octets, Failure> exchange(const ldns_pkt* packet) {
    if (!is_open()) return tl::unexpected(failure(Failure::Kind::server, "no answer over TCP", false));
    const Buffer wire(ldns_buffer_new(LDNS_MAX_PACKETLEN));
    if (ldns_pkt2buffer_wire(wire.get(), packet) != LDNS_STATUS_OK)
      return tl::unexpected(failure(Failure::Kind::name, "the update is larger than a DNS message", false));
    Octets out;
    if (ldns_tcp_send_query(wire.get(), socket_, &address_, address_bytes_) == 0)
      return tl::unexpected(failure(Failure::Kind::server, "no answer over TCP"));
    out.data.reset(ldns_tcp_read_wire_timeout(socket_, &out.size, patience()));
    if (!out.data) return tl::unexpected(failure(Failure::Kind::server, "no answer over TCP"));
    return out;
  }
};

// The TSIG error of an answer (RFC 8945 §5.3), for people; 0 if it carries none.
std::string tsig_error_text(const ldns_pkt* answer) {
  const ldns_rr* tsig = ldns_pkt_tsig(answer);
  if (tsig == nullptr || ldns_rr_rd_count(tsig) < 6) return "the answer is not signed";
  switch (ldns_rdf2native_int16(ldns_rr_rdf(tsig, 5))) {
    case 16:
      return "BADSIG: the secret is not the server's";
    case 17:
      return "BADKEY: the server does not know this key name or algorithm";
    case 18:
      return "BADTIME: the clocks differ by more than five minutes";
    default:
      return "the answer's signature is wrong";
  }
}

net::Result<void, Failure> judge(const Primary& primary, const ldns_pkt* request, std::span<const uint8_t> wire) {
  ldns_pkt* raw = nullptr;
  if (ldns_wire2pkt(&raw, wire.data(), wire.size()) != LDNS_STATUS_OK)
    return tl::unexpected(failure(Failure::Kind::server, "the answer is not a DNS message"));
  const Packet answer(raw);
  const auto& key = primary.key;
  // The MAC of our request is part of what the server signs: this answer is to this request (RFC 8945 §5.3).
  const bool is_signed =
      ldns_pkt_tsig(raw) != nullptr && ldns_pkt_tsig_verify(raw, wire.data(), wire.size(), (key.name + ".").c_str(),
                                                            key.secret.c_str(), ldns_rr_rdf(ldns_pkt_tsig(request), 3));
  if (!is_signed || ldns_pkt_id(raw) != ldns_pkt_id(request))
    return tl::unexpected(failure(Failure::Kind::server, "key " + key.name + ": " + tsig_error_text(raw)));
  const ldns_pkt_rcode rcode = ldns_pkt_get_rcode(raw);
  if (rcode == LDNS_RCODE_NOERROR) return {};
  const std::unique_ptr<char, Freer<std::free>> text(ldns_pkt_rcode2str(rcode));
  if (rcode == LDNS_RCODE_YXRRSET)
    return tl::unexpected(failure(Failure::Kind::not_ours,
                                  "there are records of these names that were not made here; remove them, or set "
                                  "dns.take-over"));
  // SERVFAIL and NOTIMP speak of the server (RFC 2136 §4), NOTAUTH of the zone: no name will fare better.
  const bool is_server = rcode == LDNS_RCODE_SERVFAIL || rcode == LDNS_RCODE_NOTIMPL || rcode == LDNS_RCODE_NOTAUTH;
  return tl::unexpected(failure(is_server ? Failure::Kind::server : Failure::Kind::name,
                                std::string(text.get()) + ": does the zone allow updates with key " + key.name + "?"));
}

}  // namespace

net::Result<void, Failure> send_update(const Primary& primary, const Update& update) {
  const auto packet = build(primary, update);
  if (!packet) return tl::unexpected(packet.error());
  const auto answer = Connection(primary).exchange(packet->get());
  if (!answer) return tl::unexpected(answer.error());
  return judge(primary, packet->get(), {answer->data.get(), answer->size});
}

net::Result<void, Failure> judge_answer(const Primary& primary, const Update& update, std::span<const uint8_t> answer) {
  const auto packet = build(primary, update);
  if (!packet) return tl::unexpected(packet.error());
  return judge(primary, packet->get(), answer);
}

namespace {

// The server's records of a set, sorted, as text without TTL; a failure if it does not answer as an authority does.
net::Result<std::vector<std::string>, Failure> ask(Connection& connection, const std::string& record_set) {
  const size_t space = record_set.find(' ');
  const ldns_rr_type type = type_of(record_set.substr(space + 1));
  Packet query(ldns_pkt_query_new(ldns_dname_new_frm_str((record_set.substr(0, space) + ".").c_str()), type,
                                  LDNS_RR_CLASS_IN, 0));
  const auto id = random_id();
  if (!id) return tl::unexpected(no_id());
  ldns_pkt_set_id(query.get(), *id);
  const auto wire = connection.exchange(query.get());
  if (!wire) return tl::unexpected(wire.error());
  ldns_pkt* raw = nullptr;
  if (ldns_wire2pkt(&raw, wire->data.get(), wire->size) != LDNS_STATUS_OK)
    return tl::unexpected(failure(Failure::Kind::server, "the answer is not a DNS message"));
  const Packet answer(raw);
  const auto rcode = ldns_pkt_get_rcode(raw);
  if (ldns_pkt_id(raw) != *id || !ldns_pkt_aa(raw) || (rcode != LDNS_RCODE_NOERROR && rcode != LDNS_RCODE_NXDOMAIN))
    return tl::unexpected(failure(Failure::Kind::server, "it does not answer for the zone"));
  std::vector<std::string> out;
  const ldns_rr_list* answers = ldns_pkt_answer(raw);
  for (size_t i = 0; i < ldns_rr_list_rr_count(answers); ++i)
    if (ldns_rr_get_type(ldns_rr_list_rr(answers, i)) == type) out.push_back(text_of(ldns_rr_list_rr(answers, i)));
  std::ranges::sort(out);
  return out;
}

}  // namespace

net::Result<bool, Failure> has_records(const Primary& primary, const std::vector<std::string>& record_sets,
                                       const std::vector<Record>& records) {
  Connection connection(primary);
  for (const auto& each : record_sets) {
    const auto there = ask(connection, each);
    if (!there) return tl::unexpected(there.error());
    std::vector<std::string> wanted;
    for (const Record& record : records)
      if (record.owner + " " + record.type == each)
        if (const Rr rr = addition_of(record)) wanted.push_back(text_of(rr.get()));
    std::ranges::sort(wanted);
    if (*there != wanted) return false;
  }
  return true;
}

}  // namespace portolan::dns
