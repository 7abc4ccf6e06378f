#include "ddns-server/dns_update.h"

#include <cstring>
#include <ldns/ldns.h>
#include <memory>
#include <netinet/in.h>
#include <sodium.h>
#include <span>

#include "dataplane/net/text.h"
#include "ddns-server/limits.h"

namespace portolan::ddnsd {
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

DnsFailure failure(DnsFailure::Kind kind, std::string text) { return {kind, std::move(text)}; }

// "owner type" as RFC 2136 §2.5.2 deletes a record set: class ANY, TTL 0, no data.
Rr deletion_of(const std::string& record_set) {
  const size_t space = record_set.find(' ');
  Rr rr(ldns_rr_new());
  ldns_rr_set_owner(rr.get(), ldns_dname_new_frm_str((record_set.substr(0, space) + ".").c_str()));
  ldns_rr_set_type(rr.get(), ldns_get_rr_type_by_name(record_set.substr(space + 1).c_str()));
  ldns_rr_set_class(rr.get(), LDNS_RR_CLASS_ANY);
  ldns_rr_set_ttl(rr.get(), 0);
  return rr;
}

Rr addition_of(const Record& record) {
  const std::string text =
      record.owner + ". " + std::to_string(record.ttl_s) + " IN " + record.type + " " + record.data;
  ldns_rr* raw = nullptr;
  if (ldns_rr_new_frm_str(&raw, text.c_str(), 0, nullptr, nullptr) != LDNS_STATUS_OK) return nullptr;
  return Rr(raw);
}

net::Result<Packet, DnsFailure> build(const DnsConfig& config, const std::vector<std::string>& delete_sets,
                                      const std::vector<Record>& add) {
  const RrList updates(ldns_rr_list_new());
  for (const auto& each : delete_sets) ldns_rr_list_push_rr(updates.get(), deletion_of(each).release());
  for (const Record& each : add) {
    Rr rr = addition_of(each);
    if (!rr)
      return tl::unexpected(failure(
          DnsFailure::Kind::name, each.owner + " " + each.type + " " + each.data + ": ldns does not take this record"));
    ldns_rr_list_push_rr(updates.get(), rr.release());
  }
  ldns_rdf* zone = ldns_dname_new_frm_str((config.zone + ".").c_str());  // the packet takes it over
  Packet packet(ldns_update_pkt_new(zone, LDNS_RR_CLASS_IN, nullptr, updates.get(), nullptr));
  if (!packet) return tl::unexpected(failure(DnsFailure::Kind::name, "ldns cannot build the update"));
  uint16_t id = 0;
  randombytes_buf(&id, sizeof id);
  ldns_pkt_set_id(packet.get(), id);
  ldns_pkt_set_rd(packet.get(), false);  // reserved in an update (RFC 2136 §2.2)
  const auto& key = config.key;
  const auto status = ldns_pkt_tsig_sign(packet.get(), (key.name + ".").c_str(), key.secret.c_str(), tsig_fudge_s,
                                         (key.algorithm + ".").c_str(), nullptr);
  if (status != LDNS_STATUS_OK)
    return tl::unexpected(
        failure(DnsFailure::Kind::server, std::string("cannot sign: ") + ldns_get_errorstr_by_id(status)));
  return packet;
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

net::Result<Octets, DnsFailure> exchange(const DnsConfig& config, ldns_pkt* packet) {
  const Buffer wire(ldns_buffer_new(LDNS_MAX_PACKETLEN));
  if (ldns_pkt2buffer_wire(wire.get(), packet) != LDNS_STATUS_OK)
    return tl::unexpected(failure(DnsFailure::Kind::name, "the update is larger than a DNS message"));
  socklen_t address_bytes = 0;
  const sockaddr_storage address = to_sockaddr(config.server, address_bytes);
  const timeval timeout{limits::dns_timeout.count(), 0};
  uint8_t* answer = nullptr;
  Octets out;
  const auto status = ldns_tcp_send(&answer, wire.get(), &address, address_bytes, timeout, &out.size);
  out.data.reset(answer);
  if (status != LDNS_STATUS_OK || answer == nullptr)
    return tl::unexpected(failure(DnsFailure::Kind::server, "no answer over TCP"));
  return out;
}

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

net::Result<void, DnsFailure> judge(const DnsConfig& config, const ldns_pkt* request, const Octets& wire) {
  ldns_pkt* raw = nullptr;
  if (ldns_wire2pkt(&raw, wire.data.get(), wire.size) != LDNS_STATUS_OK)
    return tl::unexpected(failure(DnsFailure::Kind::server, "the answer is not a DNS message"));
  const Packet answer(raw);
  const auto& key = config.key;
  // The MAC of our request is part of what the server signs: this answer is to this request (RFC 8945 §5.3).
  const bool is_signed =
      ldns_pkt_tsig(raw) != nullptr && ldns_pkt_tsig_verify(raw, wire.data.get(), wire.size, (key.name + ".").c_str(),
                                                            key.secret.c_str(), ldns_rr_rdf(ldns_pkt_tsig(request), 3));
  if (!is_signed || ldns_pkt_id(raw) != ldns_pkt_id(request))
    return tl::unexpected(failure(DnsFailure::Kind::server, "key " + key.name + ": " + tsig_error_text(raw)));
  const ldns_pkt_rcode rcode = ldns_pkt_get_rcode(raw);
  if (rcode == LDNS_RCODE_NOERROR) return {};
  const std::unique_ptr<char, Freer<std::free>> text(ldns_pkt_rcode2str(rcode));
  // SERVFAIL and NOTIMP speak of the server (RFC 2136 §4), NOTAUTH of the zone: no name will fare better.
  const bool is_server = rcode == LDNS_RCODE_SERVFAIL || rcode == LDNS_RCODE_NOTIMPL || rcode == LDNS_RCODE_NOTAUTH;
  return tl::unexpected(failure(is_server ? DnsFailure::Kind::server : DnsFailure::Kind::name,
                                std::string(text.get()) + ": does the zone allow updates with key " + key.name + "?"));
}

}  // namespace

net::Result<void, DnsFailure> send_update(const DnsConfig& config, const std::vector<std::string>& delete_sets,
                                          const std::vector<Record>& add) {
  const auto packet = build(config, delete_sets, add);
  if (!packet) return tl::unexpected(packet.error());
  const auto answer = exchange(config, packet->get());
  if (!answer) return tl::unexpected(answer.error());
  return judge(config, packet->get(), *answer);
}

}  // namespace portolan::ddnsd
