// Every queue has exactly one worker, every worker exactly one sender, whatever the numbers.
#include "dataplane/io/queues.h"

#include <gtest/gtest.h>

namespace portolan::io {
namespace {

TEST(QueueMap, every_queue_is_served_and_every_worker_can_send) {
  for (unsigned workers = 1; workers <= 5; ++workers)
    for (uint16_t queues = 1; queues <= workers; ++queues)
      for (size_t device = 0; device < 3; ++device) {
        const QueueMap map{workers, {queues, queues, queues}};
        unsigned served = 0;
        for (unsigned worker = 0; worker < workers; ++worker) {
          const auto queue = map.queue_of(device, worker);
          if (queue) {
            ++served;
            EXPECT_LT(*queue, queues);
            EXPECT_EQ(map.worker_of(device, *queue), worker);
          }
          EXPECT_TRUE(map.queue_of(device, map.sender_for(device, worker)));
        }
        EXPECT_EQ(served, queues) << workers << " workers";
      }
}

TEST(QueueMap, single_queues_go_to_different_workers) {
  const QueueMap two{2, {1, 1}}, three{3, {1, 1, 1}}, one{4, {1}};
  EXPECT_EQ(two.worker_of(0, 0), 0U);
  EXPECT_EQ(two.worker_of(1, 0), 1U);
  for (unsigned device = 0; device < 3; ++device) EXPECT_EQ(three.worker_of(device, 0), device);
  EXPECT_EQ(one.worker_of(0, 0), 0U);
}

}  // namespace
}  // namespace portolan::io
