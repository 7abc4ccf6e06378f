// GUPnP's side. Everything that touches a GLib object runs in the device's thread.
#include "ddns-client-ref/igd_device.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <future>
#include <libgupnp/gupnp.h>
#include <libsoup/soup.h>
#include <map>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <thread>

#include "dataplane/net/text.h"

namespace portolan::ddns {
namespace {

struct Unref {
  void operator()(gpointer object) const { g_object_unref(object); }
};
template <class T>
using Object = std::unique_ptr<T, Unref>;

// Runs `work` in the thread that iterates `context`.
void run_in(GMainContext* context, std::function<void()> work) {
  GSource* source = g_idle_source_new();
  g_source_set_priority(source, G_PRIORITY_DEFAULT);
  g_source_set_callback(
      source,
      [](gpointer data) -> gboolean {
        (*static_cast<std::function<void()>*>(data))();
        return G_SOURCE_REMOVE;
      },
      new std::function<void()>(std::move(work)),
      [](gpointer data) { delete static_cast<std::function<void()>*>(data); });
  g_source_attach(source, context);
  g_source_unref(source);
}

std::string taken(GError* error) {
  std::string text = error != nullptr ? error->message : "unknown error";
  g_clear_error(&error);
  return text;
}

// The description's files, for as long as the device serves them.
class Folder {
  std::string path_ = (std::filesystem::temp_directory_path() / "portolan-igd-XXXXXX").string();
  bool made_ = false;

 public:
  Folder() : made_(mkdtemp(path_.data()) != nullptr) {}
  ~Folder() {
    std::error_code ignored;
    if (made_) std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool fill(const std::map<std::string, std::string>& files) const {
    return made_ && std::ranges::all_of(files, [&](const auto& file) {
             std::ofstream out(path_ + "/" + file.first);
             return static_cast<bool>(out << file.second << std::flush);
           });
  }
};

std::optional<net::Ipv4> remote_of(GUPnPServiceAction* action) {
  const Object<SoupServerMessage> message(gupnp_service_action_get_message(action));
  const char* host = message ? soup_server_message_get_remote_host(message.get()) : nullptr;
  std::string_view text = host != nullptr ? host : "";
  if (text.starts_with("::ffff:")) text.remove_prefix(7);
  return net::parse_ipv4(text);
}

}  // namespace

struct IgdDevice::Glib {
  IgdDeviceSettings settings;
  Called called;
  Folder folder;
  GMainContext* context = g_main_context_new();
  GMainLoop* loop = g_main_loop_new(context, FALSE);
  std::thread thread;

  // Of the thread.
  Object<GUPnPContext> upnp;
  Object<GUPnPRootDevice> root;
  Object<GUPnPServiceInfo> connection, common;
  std::map<uint64_t, GUPnPServiceAction*> calls;
  uint64_t next_ticket = 1;
  IgdState state;

  Glib(const IgdDeviceSettings& wanted, Called on_call) : settings(wanted), called(std::move(on_call)) {}
  ~Glib() {
    if (thread.joinable()) {
      run_in(context, [this] { g_main_loop_quit(loop); });
      thread.join();
    }
    g_main_loop_unref(loop);
    g_main_context_unref(context);
  }
  Glib(const Glib&) = delete;
  Glib& operator=(const Glib&) = delete;

  void run(std::promise<std::string> started) {
    g_main_context_push_thread_default(context);
    std::string error = open();
    const bool good = error.empty();
    started.set_value(std::move(error));
    if (good) g_main_loop_run(loop);
    for (const auto& [ticket, action] : calls) gupnp_service_action_return_error(action, 501, "Action Failed");
    if (root) gupnp_root_device_set_available(root.get(), FALSE);
    connection.reset();
    common.reset();
    root.reset();
    upnp.reset();
    while (g_main_context_iteration(context, FALSE)) {
    }
    g_main_context_pop_thread_default(context);
  }

  std::string open() {
    if (!folder.fill(igd_files(settings.version, settings.unique_id))) return "cannot write to " + folder.path();
    GError* error = nullptr;
    const std::string text = net::to_text(settings.address);
    const Object<GInetAddress> address(g_inet_address_new_from_string(text.c_str()));
    upnp.reset(gupnp_context_new_for_address(address.get(), settings.port, GSSDP_UDA_VERSION_1_0, &error));
    if (!upnp) return text + ": " + taken(error);
    root.reset(gupnp_root_device_new(upnp.get(), igd_description_file, folder.path().c_str(), &error));
    if (!root) return "cannot describe the gateway: " + taken(error);
    find_services();
    if (!connection || !common) return "the gateway's description lacks a service";
    gupnp_root_device_set_available(root.get(), TRUE);
    return {};
  }

  void find_services() {
    const std::string prefix = "urn:schemas-upnp-org:", version = ":" + std::to_string(settings.version);
    const Object<GUPnPDeviceInfo> wan(
        gupnp_device_info_get_device(GUPNP_DEVICE_INFO(root.get()), (prefix + "device:WANDevice" + version).c_str()));
    if (!wan) return;
    const Object<GUPnPDeviceInfo> wan_connection(
        gupnp_device_info_get_device(wan.get(), (prefix + "device:WANConnectionDevice" + version).c_str()));
    common.reset(gupnp_device_info_get_service(wan.get(), (prefix + "service:WANCommonInterfaceConfig:1").c_str()));
    if (wan_connection)
      connection.reset(
          gupnp_device_info_get_service(wan_connection.get(), (prefix + "service:WANIPConnection" + version).c_str()));
    if (connection) serve(connection.get(), IgdService::wan_ip_connection);
    if (common) serve(common.get(), IgdService::wan_common_interface_config);
  }

  // GUPnP answers 401 to an action whose own signal nobody is connected to.
  void serve(GUPnPServiceInfo* service, IgdService kind) {
    for (const IgdAction& action : igd_actions(kind))
      g_signal_connect(service, ("action-invoked::" + std::string(action.name)).c_str(), G_CALLBACK(on_action), this);
    g_signal_connect(service, "query-variable", G_CALLBACK(on_query), this);
  }

  static void on_action(GUPnPService* service, GUPnPServiceAction* action, gpointer self) {
    Glib& glib = *static_cast<Glib*>(self);
    const bool is_connection = glib.connection.get() == GUPNP_SERVICE_INFO(service);
    glib.invoked(is_connection ? IgdService::wan_ip_connection : IgdService::wan_common_interface_config, action);
  }

  void invoked(IgdService service, GUPnPServiceAction* action) {
    const auto actions = igd_actions(service);
    const char* name = gupnp_service_action_get_name(action);
    const auto found = std::ranges::find(actions, std::string_view(name), &IgdAction::name);
    const auto from = remote_of(action);
    if (found == actions.end() || found->since > settings.version)
      return gupnp_service_action_return_error(action, 401, "Invalid Action");
    if (!from || calls.size() >= calls_max) return gupnp_service_action_return_error(action, 501, "Action Failed");
    IgdCall call{next_ticket++, name, {}, *from};
    for (const IgdArgument& argument : found->in) {
      const std::string key(argument.name);
      char* value = nullptr;
      gupnp_service_action_get(action, key.c_str(), G_TYPE_STRING, &value, nullptr);
      if (value != nullptr) call.arguments.emplace(key, value);
      g_free(value);
    }
    calls.emplace(call.ticket, action);
    called(std::move(call));
  }

  void answered(const IgdAnswer& answer) {
    const auto at = calls.find(answer.ticket);
    if (at == calls.end()) return;
    GUPnPServiceAction* action = at->second;
    calls.erase(at);
    if (answer.error != 0)
      return gupnp_service_action_return_error(action, static_cast<guint>(answer.error), answer.error_text.c_str());
    for (const auto& [name, value] : answer.values)
      gupnp_service_action_set(action, name.c_str(), G_TYPE_STRING, value.c_str(), nullptr);
    gupnp_service_action_return_success(action);
  }

  [[nodiscard]] const char* status() const { return state.connected ? "Connected" : "Disconnected"; }

  static void on_query(GUPnPService*, const char* variable, GValue* value, gpointer self) {
    static_cast<Glib*>(self)->query(variable, value);
  }

  void query(std::string_view variable, GValue* value) const {
    const auto text = [&](const char* content) {
      g_value_init(value, G_TYPE_STRING);
      g_value_set_string(value, content);
    };
    const auto number = [&](size_t content) {
      g_value_init(value, G_TYPE_UINT);
      g_value_set_uint(value, static_cast<guint>(content));
    };
    if (variable == "ConnectionStatus") return text(status());
    if (variable == "PossibleConnectionTypes") return text("IP_Routed");
    if (variable == "ExternalIPAddress") return text(state.external_address.c_str());
    if (variable == "PhysicalLinkStatus") return text(state.connected ? "Up" : "Down");
    if (variable == "PortMappingNumberOfEntries") return number(state.mappings);
    if (variable == "SystemUpdateID") return number(state.updates);
  }

  void changed(const IgdState& now) {
    const IgdState before = std::exchange(state, now);
    auto* service = GUPNP_SERVICE(connection.get());
    if (now.connected != before.connected) {
      gupnp_service_notify(service, "ConnectionStatus", G_TYPE_STRING, status(), nullptr);
      gupnp_service_notify(GUPNP_SERVICE(common.get()), "PhysicalLinkStatus", G_TYPE_STRING,
                           now.connected ? "Up" : "Down", nullptr);
    }
    if (now.external_address != before.external_address)
      gupnp_service_notify(service, "ExternalIPAddress", G_TYPE_STRING, now.external_address.c_str(), nullptr);
    if (now.mappings != before.mappings)
      gupnp_service_notify(service, "PortMappingNumberOfEntries", G_TYPE_UINT, static_cast<guint>(now.mappings),
                           nullptr);
    if (now.updates != before.updates && settings.version >= 2)
      gupnp_service_notify(service, "SystemUpdateID", G_TYPE_UINT, static_cast<guint>(now.updates), nullptr);
  }
};

IgdDevice::IgdDevice(std::unique_ptr<Glib> glib) : glib_(std::move(glib)) {}
IgdDevice::~IgdDevice() = default;

net::Result<std::unique_ptr<IgdDevice>, std::string> IgdDevice::make(const IgdDeviceSettings& settings, Called called) {
  auto glib = std::make_unique<Glib>(settings, std::move(called));
  std::promise<std::string> started;
  auto error = started.get_future();
  glib->thread =
      std::thread([raw = glib.get(), promise = std::move(started)]() mutable { raw->run(std::move(promise)); });
  if (std::string text = error.get(); !text.empty()) {
    glib->thread.join();
    return tl::unexpected(std::move(text));
  }
  return std::unique_ptr<IgdDevice>(new IgdDevice(std::move(glib)));
}

void IgdDevice::answer(IgdAnswer answer) {
  run_in(glib_->context, [raw = glib_.get(), answer = std::move(answer)] { raw->answered(answer); });
}

void IgdDevice::publish(IgdState state) {
  run_in(glib_->context, [raw = glib_.get(), state = std::move(state)] { raw->changed(state); });
}

std::string igd_unique_id() {
  std::ifstream in("/etc/machine-id");
  std::string machine;
  if (!(in >> machine)) machine = "no machine-id";
  constexpr std::string_view purpose = "portolan-ddns igd";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  HMAC(EVP_sha256(), machine.data(), static_cast<int>(machine.size()),
       reinterpret_cast<const unsigned char*>(purpose.data()), purpose.size(), digest.data(), &size);
  digest[6] = static_cast<unsigned char>((digest[6] & 0x0f) | 0x40);  // RFC 4122 §4.4
  digest[8] = static_cast<unsigned char>((digest[8] & 0x3f) | 0x80);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out.append({digits[digest[i] >> 4], digits[digest[i] & 15]});
  }
  return out;
}

}  // namespace portolan::ddns
