// RFC 7857 Fig. 1 as a table: every state, both directions, every segment that matters.
#include "dataplane/nat/tcp_state.h"

#include <gtest/gtest.h>

namespace portolan::nat {
namespace {

using enum TcpState;
constexpr uint8_t syn = net::tcp_syn, fin = net::tcp_fin, rst = net::tcp_rst, ack = net::tcp_ack;

struct Row {
  TcpState before;
  bool outbound;
  uint8_t flags;
  TcpState after;
};

constexpr bool out = true, in = false;
constexpr Row rows[] = {
    // TCP-016: a SYN from either side, then the other side's
    {none, out, syn, init},
    {none, in, syn, init_inbound},
    {none, out, ack, none},
    {none, in, fin, none},
    {init, out, syn, init},
    {init, in, syn | ack, established},
    {init, in, syn, established},  // TCP-003
    {init, in, ack, init},
    {init, in, fin | ack, init},
    {init, out, fin, init},
    {init_inbound, out, syn | ack, established},
    {init_inbound, in, syn, init_inbound},
    {init_inbound, out, ack, init_inbound},
    // TCP-017: one FIN
    {established, out, fin | ack, client_fin},
    {established, in, fin, server_fin},
    {established, in, ack, established},
    {established, out, syn, established},
    {client_fin, out, fin, client_fin},
    {client_fin, in, ack, client_fin},
    {server_fin, in, fin, server_fin},
    {server_fin, out, ack, server_fin},
    // TCP-018: both; what still comes changes nothing, a SYN begins anew
    {client_fin, in, fin | ack, both_fin},
    {server_fin, out, fin | ack, both_fin},
    {both_fin, out, ack, both_fin},
    {both_fin, in, fin, both_fin},
    {both_fin, out, syn, init},
    {both_fin, in, syn, init_inbound},
    // TCP-019, TCP-020: RST, and life after it
    {init, in, rst | ack, trans},
    {established, in, rst, trans},
    {established, out, rst, trans},
    {client_fin, in, rst, trans},
    {server_fin, out, rst, trans},
    {trans, in, rst, trans},
    {trans, in, ack, established},
    {trans, out, ack, established},
    {trans, out, syn, init},
    {trans, in, syn, init_inbound},
};

// Also shows TCP-003.
TEST(TcpState, TCP_016_to_020_table) {
  for (const Row& row : rows)
    EXPECT_EQ(after(row.before, row.outbound, row.flags), row.after)
        << "row " << &row - rows << ": state " << static_cast<int>(row.before) << ", flags " << int{row.flags};
}

TEST(TcpState, TCP_017_only_open_and_half_closed_live_long) {
  for (const TcpState state : {none, init, init_inbound, both_fin, trans}) EXPECT_TRUE(is_transitory(state));
  for (const TcpState state : {established, client_fin, server_fin}) EXPECT_FALSE(is_transitory(state));
}

}  // namespace
}  // namespace portolan::nat
