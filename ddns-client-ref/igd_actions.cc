// Tables after WANIPConnection:1 and :2 and WANCommonInterfaceConfig:1 of the UPnP Forum.
#include "ddns-client-ref/igd_actions.h"

#include <algorithm>
#include <sstream>

namespace portolan::ddns {
namespace {

using Arguments = std::vector<IgdArgument>;

const Arguments mapping_key = {
    {"NewRemoteHost", "RemoteHost"}, {"NewExternalPort", "ExternalPort"}, {"NewProtocol", "PortMappingProtocol"}};
const Arguments mapping_value = {{"NewInternalPort", "InternalPort"},
                                 {"NewInternalClient", "InternalClient"},
                                 {"NewEnabled", "PortMappingEnabled"},
                                 {"NewPortMappingDescription", "PortMappingDescription"},
                                 {"NewLeaseDuration", "PortMappingLeaseDuration"}};
Arguments joined(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const std::vector<IgdAction> connection_actions = {
    {"SetConnectionType", {{"NewConnectionType", "ConnectionType"}}, {}},
    {"GetConnectionTypeInfo",
     {},
     {{"NewConnectionType", "ConnectionType"}, {"NewPossibleConnectionTypes", "PossibleConnectionTypes"}}},
    {"RequestConnection", {}, {}},
    {"ForceTermination", {}, {}},
    {"GetStatusInfo",
     {},
     {{"NewConnectionStatus", "ConnectionStatus"},
      {"NewLastConnectionError", "LastConnectionError"},
      {"NewUptime", "Uptime"}}},
    {"GetNATRSIPStatus", {}, {{"NewRSIPAvailable", "RSIPAvailable"}, {"NewNATEnabled", "NATEnabled"}}},
    {"GetGenericPortMappingEntry",
     {{"NewPortMappingIndex", "PortMappingNumberOfEntries"}},
     joined(mapping_key, mapping_value)},
    {"GetSpecificPortMappingEntry", mapping_key, mapping_value},
    {"AddPortMapping", joined(mapping_key, mapping_value), {}},
    {"DeletePortMapping", mapping_key, {}},
    {"GetExternalIPAddress", {}, {{"NewExternalIPAddress", "ExternalIPAddress"}}},
    {"AddAnyPortMapping", joined(mapping_key, mapping_value), {{"NewReservedPort", "ExternalPort"}}, 2},
    {"DeletePortMappingRange",
     {{"NewStartPort", "ExternalPort"},
      {"NewEndPort", "ExternalPort"},
      {"NewProtocol", "PortMappingProtocol"},
      {"NewManage", "A_ARG_TYPE_Manage"}},
     {},
     2},
    {"GetListOfPortMappings",
     {{"NewStartPort", "ExternalPort"},
      {"NewEndPort", "ExternalPort"},
      {"NewProtocol", "PortMappingProtocol"},
      {"NewManage", "A_ARG_TYPE_Manage"},
      {"NewNumberOfPorts", "PortMappingNumberOfEntries"}},
     {{"NewPortListing", "A_ARG_TYPE_PortListing"}},
     2},
};
const std::vector<IgdAction> interface_actions = {
    {"GetCommonLinkProperties",
     {},
     {{"NewWANAccessType", "WANAccessType"},
      {"NewLayer1UpstreamMaxBitRate", "Layer1UpstreamMaxBitRate"},
      {"NewLayer1DownstreamMaxBitRate", "Layer1DownstreamMaxBitRate"},
      {"NewPhysicalLinkStatus", "PhysicalLinkStatus"}}},
};

struct Variable {
  std::string_view name, type;
  bool evented = false;
  std::vector<std::string_view> allowed{};
  unsigned since = 1;
};
const std::vector<Variable> connection_variables = {
    {"ConnectionType", "string"},
    {"PossibleConnectionTypes", "string", true, {"Unconfigured", "IP_Routed", "IP_Bridged"}},
    {"ConnectionStatus", "string", true, {"Unconfigured", "Connecting", "Connected", "Disconnected"}},
    {"Uptime", "ui4"},
    {"LastConnectionError", "string", false, {"ERROR_NONE", "ERROR_UNKNOWN"}},
    {"RSIPAvailable", "boolean"},
    {"NATEnabled", "boolean"},
    {"ExternalIPAddress", "string", true},
    {"PortMappingNumberOfEntries", "ui2", true},
    {"PortMappingEnabled", "boolean"},
    {"PortMappingLeaseDuration", "ui4"},
    {"RemoteHost", "string"},
    {"ExternalPort", "ui2"},
    {"InternalPort", "ui2"},
    {"PortMappingProtocol", "string", false, {"TCP", "UDP"}},
    {"InternalClient", "string"},
    {"PortMappingDescription", "string"},
    {"SystemUpdateID", "ui4", true, {}, 2},
    {"A_ARG_TYPE_Manage", "boolean", false, {}, 2},
    {"A_ARG_TYPE_PortListing", "string", false, {}, 2},
};
const std::vector<Variable> interface_variables = {
    {"WANAccessType", "string", false, {"DSL", "POTS", "Cable", "Ethernet"}},
    {"Layer1UpstreamMaxBitRate", "ui4"},
    {"Layer1DownstreamMaxBitRate", "ui4"},
    {"PhysicalLinkStatus", "string", true, {"Up", "Down", "Initializing", "Unavailable"}},
};

void write_arguments(std::ostream& out, const Arguments& arguments, const char* direction) {
  for (const IgdArgument& each : arguments)
    out << "<argument><name>" << each.name << "</name><direction>" << direction << "</direction><relatedStateVariable>"
        << each.variable << "</relatedStateVariable></argument>";
}

std::string service_description(std::span<const IgdAction> actions, const std::vector<Variable>& variables,
                                unsigned version) {
  std::ostringstream out;
  out << "<?xml version=\"1.0\"?>\n<scpd xmlns=\"urn:schemas-upnp-org:service-1-0\"><specVersion><major>1</major>"
         "<minor>0</minor></specVersion>\n<actionList>\n";
  for (const IgdAction& action : actions) {
    if (action.since > version) continue;
    out << "<action><name>" << action.name << "</name>";
    if (!action.in.empty() || !action.out.empty()) out << "<argumentList>";
    write_arguments(out, action.in, "in");
    write_arguments(out, action.out, "out");
    if (!action.in.empty() || !action.out.empty()) out << "</argumentList>";
    out << "</action>\n";
  }
  out << "</actionList>\n<serviceStateTable>\n";
  for (const Variable& variable : variables) {
    if (variable.since > version) continue;
    out << "<stateVariable sendEvents=\"" << (variable.evented ? "yes" : "no") << "\"><name>" << variable.name
        << "</name><dataType>" << variable.type << "</dataType>";
    if (!variable.allowed.empty()) out << "<allowedValueList>";
    for (const auto& value : variable.allowed) out << "<allowedValue>" << value << "</allowedValue>";
    if (!variable.allowed.empty()) out << "</allowedValueList>";
    out << "</stateVariable>\n";
  }
  out << "</serviceStateTable></scpd>\n";
  return out.str();
}

// A UUID for each of the three nested devices, told apart by the last digit.
std::string sibling(std::string unique_id, char last) {
  unique_id.back() = last;
  return unique_id;
}

std::string device_head(const std::string& type, unsigned version, const std::string& name, const std::string& id) {
  return "<device><deviceType>urn:schemas-upnp-org:device:" + type + ":" + std::to_string(version) +
         "</deviceType><friendlyName>" + name +
         "</friendlyName><manufacturer>Portolan</manufacturer><modelName>portolan-ddns</modelName>"
         "<modelDescription>UPnP IGD to PCP interworking (RFC 6970)</modelDescription><UDN>uuid:" +
         id + "</UDN>\n";
}

std::string service_entry(const std::string& type, unsigned version, const std::string& file) {
  return "<serviceList><service><serviceType>urn:schemas-upnp-org:service:" + type + ":" + std::to_string(version) +
         "</serviceType><serviceId>urn:upnp-org:serviceId:" + type + "1</serviceId><SCPDURL>/" + file +
         ".xml</SCPDURL><controlURL>/" + file + "/control</controlURL><eventSubURL>/" + file +
         "/events</eventSubURL></service></serviceList>\n";
}

}  // namespace

std::span<const IgdAction> igd_actions(IgdService service) {
  return service == IgdService::wan_ip_connection ? connection_actions : interface_actions;
}

std::map<std::string, std::string> igd_files(unsigned version, const std::string& unique_id) {
  const std::string description =
      "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\"><specVersion><major>1</major>"
      "<minor>0</minor></specVersion>\n" +
      device_head("InternetGatewayDevice", version, "Portolan", sibling(unique_id, '1')) + "<deviceList>" +
      device_head("WANDevice", version, "WANDevice", sibling(unique_id, '2')) +
      service_entry("WANCommonInterfaceConfig", 1, "wancommon") + "<deviceList>" +
      device_head("WANConnectionDevice", version, "WANConnectionDevice", sibling(unique_id, '3')) +
      service_entry("WANIPConnection", version, "wanip") +
      "</device></deviceList></device></deviceList></device></root>\n";
  return {{igd_description_file, description},
          {"wanip.xml", service_description(connection_actions, connection_variables, version)},
          {"wancommon.xml", service_description(interface_actions, interface_variables, version)}};
}

}  // namespace portolan::ddns
