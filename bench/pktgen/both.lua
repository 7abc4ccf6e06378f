-- Both directions at a rate for some seconds, then what was sent, received and lost:
--   pktgen -l 0-2 -n 4 <devices> -- -m "[1:1].0,[2:2].1" -s 0:up.pcap -s 1:down.pcap -f both.lua
-- Port 0 is towards the B4s, port 1 towards the internet. Rate (percent of what Pktgen takes for the link's speed) and
-- time come from the environment: PORTOLAN_RATE, PORTOLAN_SECONDS.
package.path = package.path .. ";?.lua;test/?.lua;app/?.lua"
require "Pktgen"

local rate = tonumber(os.getenv("PORTOLAN_RATE") or "1")
local seconds = tonumber(os.getenv("PORTOLAN_SECONDS") or "5")
local drain_ms = 1000

local function stats()
  local all = pktgen.portStats("all", "port")
  return { up_sent = all[0].opackets, up_back = all[1].ipackets, down_sent = all[1].opackets, down_back = all[0].ipackets }
end

local function say(name, sent, back)
  print(string.format("%s: %d sent, %d received, %d lost, %.3f Mpps received", name, sent, back, sent - back,
                      back / seconds / 1e6))
end

pktgen.screen("off")
pktgen.stop("all")
pktgen.set("all", "rate", rate)
pktgen.set("all", "count", 0)
pktgen.delay(500)
local before = stats()
pktgen.start("all")
pktgen.delay(seconds * 1000)
pktgen.stop("all")
pktgen.delay(drain_ms)
local after = stats()
say("upstream", after.up_sent - before.up_sent, after.up_back - before.up_back)
say("downstream", after.down_sent - before.down_sent, after.down_back - before.down_back)
pktgen.quit()
