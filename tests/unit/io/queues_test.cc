// Every queue has exactly one worker, every worker exactly one sender, whatever the numbers.
#include "dataplane/io/queues.h"

#include <gtest/gtest.h>

namespace portolan::io {
namespace {

using pipeline::Side;

TEST(QueueMap, every_queue_is_served_and_every_worker_can_send) {
  for (unsigned workers = 1; workers <= 5; ++workers)
    for (uint16_t queues = 1; queues <= workers; ++queues)
      for (const Side side : {Side::access, Side::internet}) {
        const QueueMap map{workers, {queues, queues}};
        unsigned served = 0;
        for (unsigned worker = 0; worker < workers; ++worker) {
          const auto queue = map.queue_of(side, worker);
          if (queue) {
            ++served;
            EXPECT_LT(*queue, queues);
            EXPECT_EQ(map.worker_of(side, *queue), worker);
          }
          EXPECT_TRUE(map.queue_of(side, map.sender_for(side, worker)));
        }
        EXPECT_EQ(served, queues) << workers << " workers";
      }
}

TEST(QueueMap, single_queues_of_two_sides_go_to_two_workers) {
  const QueueMap map{2, {1, 1}};
  EXPECT_EQ(map.worker_of(Side::access, 0), 0U);
  EXPECT_EQ(map.worker_of(Side::internet, 0), 1U);
}

}  // namespace
}  // namespace portolan::io
