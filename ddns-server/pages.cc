#include "ddns-server/pages.h"

#include <array>
#include <sodium.h>
#include <string>

#include "dataplane/net/markup.h"
#include "dataplane/net/text.h"
#include "dns/idn.h"

namespace portolan::ddnsd {
namespace {

// Contrast is at least 4.5:1 in both schemes (WCAG 2.1 AA); targets are at least 44 px high for a thumb.
constexpr std::string_view style = R"css(
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#16202c;--soft:#53606e;--line:#d7dde4;--link:#0a5ad0}
@media(prefers-color-scheme:dark){
:root{--page:#10151b;--card:#1a222b;--ink:#e9eef4;--soft:#9fadbb;--line:#2d3844;--link:#82b4ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{max-width:38rem;margin:0 auto;padding:2.5rem 1.25rem}
h1{margin:0;font-size:1.6rem;line-height:1.25;overflow-wrap:anywhere}
p{margin:.75rem 0;color:var(--soft)}
ul{list-style:none;margin:1.5rem 0;padding:0;display:grid;gap:.75rem}
li>a,li>div{display:block;padding:.9rem 1.1rem;background:var(--card);color:inherit;text-decoration:none;
border:1px solid var(--line);border-radius:.75rem}
li>a:hover,li>a:focus-visible{border-color:var(--link);outline:2px solid var(--link);outline-offset:1px}
li b{display:block;font-size:1.1rem;font-weight:600;overflow-wrap:anywhere}
li span{display:block;color:var(--soft);font:.9rem/1.5 ui-monospace,monospace;overflow-wrap:anywhere}
li>a span{color:var(--link);text-decoration:underline;text-underline-offset:.15em}
code{font:.9rem ui-monospace,monospace;color:var(--ink);overflow-wrap:anywhere}
)css";

// The one style sheet is allowed by its hash; scripts, images, frames and forms are not allowed at all (CSP level 2).
const std::string& security_policy() {
  static const std::string policy = [] {
    std::array<unsigned char, crypto_hash_sha256_BYTES> digest{};
    crypto_hash_sha256(digest.data(), reinterpret_cast<const unsigned char*>(style.data()), style.size());
    std::array<char, sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, sodium_base64_VARIANT_ORIGINAL)> text{};
    sodium_bin2base64(text.data(), text.size(), digest.data(), digest.size(), sodium_base64_VARIANT_ORIGINAL);
    return "default-src 'none'; style-src 'sha256-" + std::string(text.data()) +
           "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
  }();
  return policy;
}

// `title` is text, `content` is HTML.
Reply page(unsigned status, std::string_view title, std::string_view content) {
  Reply reply;
  reply.status = status;
  reply.content_type = "text/html; charset=utf-8";
  reply.body = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>" +
               net::escaped_markup(title) +
               "</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>" +
               std::string(style) + "</style>\n</head>\n<body>\n<main>\n<h1>" + net::escaped_markup(title) + "</h1>\n" +
               std::string(content) + "</main>\n</body>\n</html>\n";
  reply.headers = {{"Cache-Control", "no-store"},
                   {"Content-Security-Policy", security_policy()},
                   {"Referrer-Policy", "no-referrer"},
                   {"X-Content-Type-Options", "nosniff"}};
  return reply;
}

// <bdi>: a title in another writing direction cannot rearrange what stands around it.
std::string item(const Service& service) {
  const std::string title = "<b><bdi>" + net::escaped_markup(title_of(service)) + "</bdi></b>";
  const std::string uri = net::escaped_markup(uri_of(service));
  if (uri.empty())
    return "<li><div>" + title + "<span>" + net::to_text(service.outside) + " (" + net::to_text(service.protocol) +
           ")</span></div></li>\n";
  return "<li><a href=\"" + uri + "\" rel=\"noreferrer\">" + title + "<span>" + uri + "</span></a></li>\n";
}

}  // namespace

Reply redirect_to(const Service& service, const Target& target, std::string_view method, unsigned redirect_code) {
  const bool is_root = target.path == "/" && !service.path.empty();
  std::string path = is_root ? service.path : target.path;
  if (target.query) path += (path.find('?') == std::string::npos ? "?" : "&") + *target.query;
  Reply reply;
  // A 301 or 302 lets a browser turn POST into GET (RFC 9110 §15.4.2); 307 does not.
  const bool is_read = method == "GET" || method == "HEAD";
  reply.status = is_read || redirect_code >= 307 ? redirect_code : 307;
  const std::string location = service.scheme + "://" + net::to_text(service.outside) + uri_safe(path);
  reply.content_type = "text/plain; charset=utf-8";
  reply.body = location + "\n";
  // A browser may keep a 301 for good, but the port changes: forbid it (DDN-011).
  reply.headers = {{"Location", location}, {"Cache-Control", "no-store"}};
  return reply;
}

Reply portal_page(std::string_view fqdn, const std::vector<Service>& services) {
  std::string content = services.size() == 1
                            ? "<p>One service can be reached here.</p>\n"
                            : "<p>" + std::to_string(services.size()) + " services can be reached here.</p>\n";
  content += "<ul>\n";
  for (const Service& each : services) content += item(each);
  content += "</ul>\n<p>Addresses and ports change. Keep <code>" + net::escaped_markup(dns::to_unicode(fqdn)) +
             "</code> as your bookmark: this page always has the current ones.</p>\n";
  return page(200, dns::to_unicode(fqdn), content);
}

Reply nothing_here_page(std::string_view fqdn, std::string_view hostname) {
  return page(404, dns::to_unicode(fqdn),
              "<p>Nothing can be reached under this name right now: its services are switched off, or their port "
              "mappings have ended.</p>\n<p><b>Visiting?</b> Try again in a minute.</p>\n"
              "<p><b>Is it yours?</b> Start your DDNS client (portolan-ddns, ddclient, inadyn …) with <code>" +
                  net::escaped_markup(hostname) +
                  "</code> as its server; the service appears here with its first update.</p>\n");
}

Reply unknown_name_page(std::string_view name) {
  return page(
      404, "No such name here",
      "<p><code>" + net::escaped_markup(dns::to_unicode(name)) +
          "</code> leads to this server, but is not registered with it.</p>\n<p><b>Visiting?</b> Check the "
          "spelling.</p>\n<p><b>Is it yours?</b> Ask the operator to register it:<br><code>portolan-ddnsd -c FILE "
          "name add " +
          net::escaped_markup(dns::to_unicode(name)) + " ACCOUNT</code></p>\n");
}

Reply welcome_page(std::string_view hostname) {
  return page(200, hostname,
              "<p>This is a dynamic DNS server: it keeps names of services behind shared addresses, with the port each "
              "can be reached by.</p>\n<p>Update with any dyndns2 client at <code>/nic/update</code>, or with JSON at "
              "<code>/api/v1/names/NAME/services/ID</code>.</p>\n");
}

Reply bad_request_page(std::string_view what) {
  return page(400, "Bad request", "<p>" + net::escaped_markup(what) + "</p>\n");
}

Reply plain(unsigned status, std::string_view text) {
  Reply reply;
  reply.status = status;
  reply.content_type = "text/plain; charset=utf-8";
  reply.body = text;
  reply.headers = {{"Cache-Control", "no-store"}};
  return reply;
}

}  // namespace portolan::ddnsd
