/* librabbitmq: what Swift cannot call, which is what is variadic. */
#ifndef MARTLET_CRABBITMQ_H
#define MARTLET_CRABBITMQ_H

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
/* Before 0.12 the headers have no folder of their own. */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

static inline amqp_rpc_reply_t martlet_amqp_login(
    amqp_connection_state_t state, const char *virtual_host, int channel_max, int frame_max,
    int heartbeat, const amqp_table_t *properties, const char *username, const char *password) {
    return amqp_login_with_properties(state, virtual_host, channel_max, frame_max, heartbeat,
                                      properties, AMQP_SASL_METHOD_PLAIN, username, password);
}

#endif
