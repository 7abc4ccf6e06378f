// Every bound of portolan-ddnsd in one place: what one visitor, account or name may take of a server that all share.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace portolan::ddnsd::limits {

// HTTP
constexpr uint32_t header_bytes_max = 8 * 1024;
constexpr uint64_t body_bytes_max = 16 * 1024;
constexpr std::chrono::seconds request_timeout{10};  // from the first octet we wait for to the end of the body
constexpr std::chrono::seconds reply_timeout{10};
constexpr unsigned connections_per_source_divisor = 4;  // one source holds at most a quarter of connections-max

// Claims: a mapping made a moment ago is looked for again, this often, this far apart
constexpr unsigned claim_tries_max = 10;
constexpr std::chrono::milliseconds claim_retry{100};

// Registry
constexpr size_t account_name_bytes_max = 64;
constexpr size_t token_bytes_max = 256;
constexpr size_t services_per_name_max = 32;
constexpr size_t service_id_bytes_max = 32;
constexpr size_t path_bytes_max = 512;
constexpr size_t title_bytes_max = 120;
constexpr size_t hosts_per_update_max = 20;
// ddclient refreshes after 25 days at the latest (DYN-014): whoever names no lifetime must outlive that.
constexpr uint32_t lifetime_max_s = 30 * 86400;
constexpr uint32_t lifetime_default_s = lifetime_max_s;

// Authentication
constexpr unsigned failures_burst = 10;
constexpr unsigned failure_refill_s = 30;  // a failed attempt is forgiven after this long
constexpr int64_t verdict_right_s = 300;   // how long a verified token is not verified again
constexpr int64_t verdict_wrong_s = 60;
constexpr size_t verdicts_max = 4096;
constexpr size_t rate_limiter_sources_max = 65536;
constexpr unsigned verifications_waiting_max = 64;

// Updates of one account (RFC 7393 §4). OpenWrt asks every few minutes and is no abuse (DYN-013, DYN-015).
constexpr unsigned updates_burst = 120;
constexpr unsigned update_refill_s = 5;

// DNS publication
constexpr uint32_t dns_ttl_max_s = 60;  // DDN-019
constexpr int64_t rest_min_s = 60;  // of a port before it may carry another account's name
constexpr std::chrono::seconds dns_poll_interval{1};
constexpr size_t dns_names_per_update_max = 64, dns_records_per_update_max = 600;  // well below 64 KiB
constexpr size_t dns_checks_per_turn = 20;
constexpr int64_t dns_backoff_min_s = 1, dns_backoff_max_s = 60;

}  // namespace portolan::ddnsd::limits
