#include "bench/generator/options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "bench/generator/measurements.h"
#include "dataplane/net/text.h"

namespace portolan::bench {

namespace po = boost::program_options;

namespace {

constexpr uint32_t flows_max = 64'000'000;

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');)
    if (!word.empty()) words.push_back(word);
  return words;
}

template <class Number>
std::vector<Number> numbers(const std::string& option, const std::string& text, uint64_t min, uint64_t max) {
  std::vector<Number> values;
  for (const auto& word : split(text)) {
    const auto value = net::parse_number(word);
    if (!value || *value < min || *value > max)
      throw std::invalid_argument("--" + option + " " + word + ": not a number from " + std::to_string(min) + " to " +
                                  std::to_string(max));
    values.push_back(static_cast<Number>(*value));
  }
  if (values.empty()) throw std::invalid_argument("--" + option + ": nothing given");
  return values;
}

void must_be_one_of(const std::string& what, const std::string& word, const std::vector<std::string>& known) {
  if (std::ranges::find(known, word) != known.end()) return;
  std::string list;
  for (const auto& name : known) list += (list.empty() ? "" : ", ") + name;
  throw std::invalid_argument(what + " '" + word + "' is not one of " + list);
}

std::vector<size_t> frame_sizes(const std::string& text) {
  std::vector<size_t> sizes;
  for (const auto& word : split(text))
    sizes.push_back(word == "imix" ? FrameSizes::imix
                                   : numbers<size_t>("frame-bytes", word, frame_min_bytes, frame_max_bytes).front());
  if (sizes.empty()) throw std::invalid_argument("--frame-bytes: nothing given");
  return sizes;
}

double share_of(const std::string& word) {
  size_t read = 0;
  double share = 0;
  try {
    share = std::stod(word, &read);
  } catch (const std::logic_error&) {
  }
  if (read != word.size() || !(share > 0 && share <= 1))
    throw std::invalid_argument("--fresh-shares " + word + ": not a share, more than 0 and at most 1");
  return share;
}

Options options_of(const po::variables_map& values) {
  Options options;
  options.dut_name = values["dut"].as<std::string>();
  must_be_one_of("--dut", options.dut_name, {"dslite", "nat44", "io"});
  options.dut = options.dut_name == "dslite" ? Dut::dslite : options.dut_name == "nat44" ? Dut::nat44 : Dut::io;
  if (values.count("device") != 0) options.devices = values["device"].as<std::vector<std::string>>();
  if (options.devices.size() != 2)
    throw std::invalid_argument("two --device are needed: towards the subscribers, and the internet");
  options.eal = values["eal"].as<std::string>();
  options.core = values["core"].as<unsigned>();
  options.descriptors = values["descriptors"].as<uint16_t>();
  options.mappings = numbers<uint32_t>("mappings", values["mappings"].as<std::string>(), 1, flows_max);
  if (!std::ranges::is_sorted(options.mappings)) throw std::invalid_argument("--mappings: from few to many");
  options.frame_bytes = frame_sizes(values["frame-bytes"].as<std::string>());
  options.directions = split(values["directions"].as<std::string>());
  for (const auto& word : options.directions) must_be_one_of("--directions", word, {"both", "upstream", "downstream"});
  if (values.count("measurement") != 0) options.measurements = values["measurement"].as<std::vector<std::string>>();
  for (const auto& word : options.measurements) must_be_one_of("measurement", word, measurement_names());
  options.flows_per_subscriber = values["flows-per-subscriber"].as<uint32_t>();
  options.hosts_per_subscriber = options.dut == Dut::nat44 ? 1 : values["hosts-per-subscriber"].as<uint32_t>();
  options.seconds = values["seconds"].as<double>();
  options.open_rate = values["open-rate"].as<double>();
  options.load = values["load"].as<double>();
  for (const auto& word : split(values["fresh-shares"].as<std::string>()))
    options.fresh_shares.push_back(share_of(word));
  options.fresh_max = values["fresh-max"].as<uint32_t>();
  options.new_rate_max = values["new-rate-max"].as<double>();
  options.clear_command = values["clear-command"].as<std::string>();
  options.rested_command = values["rested-command"].as<std::string>();
  options.patience_s = values["patience"].as<unsigned>();
  options.loss = values["loss"].as<double>();
  options.repetitions = values["repetitions"].as<unsigned>();
  options.expiring = values["expiring"].as<uint32_t>();
  options.idle_timeout_s = values["idle-timeout"].as<double>();
  options.abuse_pps = values["abuse-pps"].as<double>();
  options.cli_socket = values["cli-socket"].as<std::string>();
  if (!(options.loss >= 0 && options.loss < 1)) throw std::invalid_argument("--loss is at least 0 and less than 1");
  if (options.repetitions == 0) throw std::invalid_argument("--repetitions is at least 1");
  if (!(options.load > 0 && options.load <= 1)) throw std::invalid_argument("--load is more than 0 and at most 1");
  if (!(options.new_rate_max > 0)) throw std::invalid_argument("--new-rate-max is more than 0");
  if (!(options.seconds > 0) || !(options.open_rate >= 0))
    throw std::invalid_argument("times and rates are not negative");
  return options;
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  po::options_description known("Options");
  auto add = known.add_options();
  add("help", "this text");
  add("dut", po::value<std::string>()->default_value("dslite"), "what is measured: dslite, nat44, or io (testpmd)");
  add("device", po::value<std::vector<std::string>>(), "DPDK device towards the subscribers, and again: the internet");
  add("eal", po::value<std::string>()->default_value("--in-memory --single-file-segments"), "more arguments for DPDK");
  add("core", po::value<unsigned>()->default_value(0), "CPU the generator runs on");
  add("descriptors", po::value<uint16_t>()->default_value(1024), "slots of a ring; of a memif it is rsize that says");
  add("mappings", po::value<std::string>()->default_value("1000"), "how many, a comma between: 1000,100000");
  add("frame-bytes", po::value<std::string>()->default_value("64"),
      "Ethernet frame of the IPv4 side with FCS: 64,1400,imix");
  add("directions", po::value<std::string>()->default_value("both"), "both,upstream,downstream");
  add("flows-per-subscriber", po::value<uint32_t>()->default_value(256), "mappings of a subscriber");
  add("hosts-per-subscriber", po::value<uint32_t>()->default_value(4), "inside hosts of a B4");
  add("seconds", po::value<double>()->default_value(2), "of a trial");
  add("open-rate", po::value<double>()->default_value(0), "mappings a second opened; 0: as fast as none gets lost");
  add("load", po::value<double>()->default_value(0.5), "share of the saturated throughput, for latency and mix");
  add("fresh-shares", po::value<std::string>()->default_value("0.001,0.01,0.1"), "frames that open mappings, for mix");
  add("fresh-max", po::value<uint32_t>()->default_value(0), "flows kept for mix beyond --mappings");
  add("new-rate-max", po::value<double>()->default_value(4e6), "where new-rate begins to search, mappings a second");
  add("clear-command", po::value<std::string>()->default_value(""),
      "empties the device's table, for new-rate, tear-down");
  add("rested-command", po::value<std::string>()->default_value(""), "waits until cleared ports can be had again");
  add("loss", po::value<double>()->default_value(0.001), "share of new mappings new-rate's second search lets go");
  add("repetitions", po::value<unsigned>()->default_value(3), "of back-to-back's search");
  add("expiring", po::value<uint32_t>()->default_value(1'000'000), "mappings that expire at once, kept from fresh-max");
  add("idle-timeout", po::value<double>()->default_value(120), "seconds after which the device ends idle ones");
  add("abuse-pps", po::value<double>()->default_value(1e6), "frames a second of the abusive subscriber");
  add("cli-socket", po::value<std::string>()->default_value(""), "the device's, for reads");
  add("patience", po::value<unsigned>()->default_value(30), "seconds to wait for the device");
  add("measurement", po::value<std::vector<std::string>>(),
      "what to do at each number of mappings; bench/README.md lists them");
  po::positional_options_description positions;
  positions.add("measurement", -1);
  po::variables_map values;
  po::store(po::command_line_parser(argc, argv).options(known).positional(positions).run(), values);
  po::notify(values);
  if (values.count("help") != 0) {
    std::cout << "portolan-bench --device DEVARGS --device DEVARGS [OPTION...] MEASUREMENT...\n" << known;
    return {};
  }
  return options_of(values);
}

}  // namespace portolan::bench
