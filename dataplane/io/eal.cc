#include "dataplane/io/eal.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <sstream>
#include <unistd.h>
#include <utility>

namespace portolan::io {

namespace {

constexpr uint64_t megabyte = 1 << 20;
constexpr size_t words_bytes_max = 600;
constexpr uint64_t memory_min_mb = 512;
constexpr uint64_t memory_of_eal_bytes = 64 * megabyte;  // rings, queues and EAL's own, beside the buffers

// Where DPDK's log goes. A global because rte_log is one.
struct LogSink {
  std::mutex mutex;
  Log log;
  std::string words;
};
LogSink& log_sink() {
  static LogSink sink;
  return sink;
}

ssize_t write_log(void*, const char* text, size_t bytes) {
  std::string_view line(text, bytes);
  while (line.ends_with('\n')) line.remove_suffix(1);
  auto& sink = log_sink();
  const std::scoped_lock lock(sink.mutex);
  if (line.empty()) return static_cast<ssize_t>(bytes);
  if (sink.words.size() + line.size() < words_bytes_max) sink.words.append(sink.words.empty() ? "" : "; ").append(line);
  if (sink.log)
    sink.log(line);
  else
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  return static_cast<ssize_t>(bytes);
}

// EAL's default is stdout and syslog; stdout is ours.
void redirect_log(Log log) {
  {
    const std::scoped_lock lock(log_sink().mutex);
    log_sink().log = std::move(log);
  }
  static FILE* stream = [] {
    cookie_io_functions_t functions{};
    functions.write = write_log;
    FILE* opened = fopencookie(nullptr, "w", functions);
    if (opened != nullptr) setvbuf(opened, nullptr, _IOLBF, BUFSIZ);
    return opened;
  }();
  if (stream != nullptr) rte_openlog_stream(stream);
}

// EAL prints its whole manual on stdout when an option is wrong; the error says which one it is.
class StdoutMuted {
  const int saved_ = dup(STDOUT_FILENO);

 public:
  StdoutMuted() {
    std::fflush(stdout);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0) return;
    dup2(null, STDOUT_FILENO);
    close(null);
  }
  ~StdoutMuted() {
    std::fflush(stdout);
    if (saved_ < 0) return;
    dup2(saved_, STDOUT_FILENO);
    close(saved_);
  }
  StdoutMuted(const StdoutMuted&) = delete;
  StdoutMuted& operator=(const StdoutMuted&) = delete;
};

// EAL makes a directory for its files even when told to make none, and forgets it.
void remove_runtime_folder() {
  if (const char* folder = rte_eal_get_runtime_dir(); folder != nullptr) rmdir(folder);
}

void leave_nothing() {
  remove_runtime_folder();
  redirect_log({});
}

int initialize(std::vector<char*>& argv) {
  const StdoutMuted muted;
  return rte_eal_init(static_cast<int>(argv.size()) - 1, argv.data());
}

uint64_t read_number(const std::filesystem::path& path) {
  uint64_t value = 0;
  std::ifstream(path) >> value;
  return value;
}

uint64_t find_huge_bytes_free() {
  uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    uint64_t kilobytes = 0;
    std::istringstream(entry.path().filename().string().substr(std::string_view("hugepages-").size())) >> kilobytes;
    bytes += read_number(entry.path() / "free_hugepages") * kilobytes * 1024;
  }
  return bytes;
}

std::vector<std::string> split(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

bool is_any_of(std::string_view word, std::initializer_list<std::string_view> options) {
  const auto name = word.substr(0, word.find('='));
  return std::ranges::find(options, name) != options.end();
}

// "0@(0,1),1@(2)": lcore 0 is the main one, lcore w + 1 worker w.
std::string lcores_of(const EalSettings& settings, const Machine& machine) {
  std::vector<unsigned> for_main;
  std::ranges::copy_if(machine.cpus, std::back_inserter(for_main),
                       [&](unsigned cpu) { return std::ranges::find(settings.cores, cpu) == settings.cores.end(); });
  if (for_main.empty()) for_main = machine.cpus;
  std::string text;
  const auto add = [&text](unsigned lcore, const std::vector<unsigned>& cpus) {
    text += (text.empty() ? "" : ",") + std::to_string(lcore) + "@(";
    for (size_t i = 0; i < cpus.size(); ++i) text += (i == 0 ? "" : ",") + std::to_string(cpus[i]);
    text += ')';
  };
  add(0, for_main);
  for (unsigned worker = 0; worker < settings.workers; ++worker)
    add(worker + 1, settings.cores.empty() ? machine.cpus : std::vector{settings.cores[worker]});
  return text;
}

std::string find_core_error(const EalSettings& settings, const Machine& machine) {
  if (settings.cores.empty()) return {};
  if (settings.cores.size() != settings.workers)
    return "cores names " + std::to_string(settings.cores.size()) + " CPUs for " + std::to_string(settings.workers) +
           " workers: name one per worker, or none to let them float";
  for (size_t i = 0; i < settings.cores.size(); ++i) {
    const unsigned core = settings.cores[i];
    if (std::ranges::find(machine.cpus, core) == machine.cpus.end())
      return "cores names CPU " + std::to_string(core) +
             ", which this process may not use; 'nproc' and 'taskset -p' tell";
    if (std::ranges::count(settings.cores, core) > 1)
      return "cores names CPU " + std::to_string(core) + " twice: one worker per CPU";
  }
  return {};
}

// Either way without files: what a killed process leaves behind would keep the next one from its hugepages.
void choose_memory(const EalSettings& settings, const Machine& machine, EalPlan& plan) {
  const uint64_t bytes = settings.memory_bytes + memory_of_eal_bytes;
  if (machine.huge_bytes_free >= bytes) {
    plan.arguments.emplace_back("--in-memory");
    plan.memory = "memory: hugepages, " + std::to_string(machine.huge_bytes_free / megabyte) + " MB free, up to " +
                  std::to_string(bytes / megabyte) + " MB wanted";
    return;
  }
  const std::string megabytes = std::to_string(std::max(memory_min_mb, (bytes + megabyte - 1) / megabyte));
  plan.arguments.insert(plan.arguments.end(), {"--no-shconf", "--no-huge", "-m", megabytes});
  plan.memory = "memory: " + megabytes + " MB of ordinary pages, as " +
                std::to_string(machine.huge_bytes_free / megabyte) + " MB of hugepages are free and " +
                std::to_string(bytes / megabyte) + " MB wanted";
}

}  // namespace

Machine Machine::look() {
  Machine machine;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) machine.cpus.push_back(cpu);
  machine.huge_bytes_free = find_huge_bytes_free();
  return machine;
}

net::Result<EalPlan, std::string> plan_eal(const EalSettings& settings, const Machine& machine) {
  const auto options = split(settings.options);
  bool memory_given = false, no_in_memory = false;
  for (const auto& option : options) {
    if (is_any_of(option, {"-l", "-c", "-s", "-S", "--lcores", "--main-lcore", "--vdev"}) ||
        (option.size() > 2 && (option.starts_with("-l") || option.starts_with("-c"))))
      return tl::unexpected("eal option " + option + ": set workers, cores and device instead");
    no_in_memory |= is_any_of(option, {"--no-huge", "--huge-dir", "--huge-unlink", "--legacy-mem"});
    memory_given |= no_in_memory || option.starts_with("-m") || is_any_of(option, {"--socket-mem", "--in-memory"});
  }
  if (auto error = find_core_error(settings, machine); !error.empty()) return tl::unexpected(std::move(error));

  EalPlan plan;
  plan.arguments = {"--lcores",      lcores_of(settings, machine),          "--no-telemetry", "--log-level=warning",
                    "--file-prefix", "portolan-" + std::to_string(getpid())};
  if (settings.pci_devices.empty()) plan.arguments.emplace_back("--no-pci");
  for (const auto& device : settings.pci_devices) plan.arguments.insert(plan.arguments.end(), {"-a", device});
  if (memory_given) {
    plan.arguments.emplace_back(no_in_memory ? "--no-shconf" : "--in-memory");
    plan.memory = "memory: as the eal option says";
  } else {
    choose_memory(settings, machine, plan);
  }
  plan.arguments.insert(plan.arguments.end(), options.begin(), options.end());
  return plan;
}

net::Result<std::unique_ptr<Eal>, std::string> Eal::start(const EalPlan& plan, Log log) {
  static bool started = false;
  if (std::exchange(started, true)) return tl::unexpected(std::string("EAL starts once per process, and it has"));
  redirect_log(std::move(log));
  static std::vector<std::string> arguments;  // EAL keeps pointers into its arguments
  arguments = plan.arguments;
  arguments.insert(arguments.begin(), "portoland");
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (initialize(argv) < 0) {
    std::string command;
    for (const auto& argument : plan.arguments) command += ' ' + argument;
    std::string error = std::string("EAL did not start (") + rte_strerror(rte_errno) + "): " + take_words() +
                        "; its arguments were" + command;
    leave_nothing();
    return tl::unexpected(std::move(error));
  }
  remove_runtime_folder();  // now, so that kill -9 leaves none either
  return std::unique_ptr<Eal>(new Eal);
}

Eal::~Eal() {
  rte_eal_cleanup();
  leave_nothing();
}

std::string Eal::take_words() {
  const std::scoped_lock lock(log_sink().mutex);
  return std::exchange(log_sink().words, {});
}

void Eal::forget_words() {
  const std::scoped_lock lock(log_sink().mutex);
  log_sink().words.clear();
}

}  // namespace portolan::io
