// The model server: one thread that waits in epoll.

#include "streams.h"

struct connection {
    int fd;  // -1 once it is closed while it is in the queue
    bool is_queued;
    int sent;
    uint64_t due;
    struct connection *next;
    size_t have;
    char request[REQUEST_LIMIT + 1];
};

// Connections that stream, the one that is due first at the head: all wait equally long, so the last one is due last.
struct queue {
    struct connection *head, *tail;
};

static void enqueue(struct queue *queue, struct connection *connection) {
    connection->next = NULL;
    connection->is_queued = true;
    if (queue->head) queue->tail->next = connection;
    else queue->head = connection;
    queue->tail = connection;
}

static struct connection *dequeue(struct queue *queue) {
    struct connection *connection = queue->head;
    queue->head = connection->next;
    connection->is_queued = false;
    return connection;
}

// A connection in the queue is freed when its turn comes.
static void drop(struct connection *connection) {
    close(connection->fd);
    connection->fd = -1;
    if (!connection->is_queued) free(connection);
}

static const char OBJECT[] =
    "\"id\":\"chatcmpl-4b5c\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\"";

static size_t write_event(char *out, const char *rest) {
    char event[512];
    int length = snprintf(event, sizeof event, "data: {%s,%s}\n\n", OBJECT, rest);
    return (size_t)sprintf(out, "%x\r\n%s\r\n", (unsigned)length, event);
}

static bool send_chunk(struct connection *connection) {
    char rest[160], out[600];
    snprintf(rest, sizeof rest,
             "\"choices\":[{\"index\":0,\"delta\":{%s%020llu\"},\"logprobs\":null,\"finish_reason\":null}]", MARK,
             (unsigned long long)now());
    return send_all(connection->fd, out, write_event(out, rest));
}

static bool send_beginning(struct connection *connection) {
    char out[1024];
    int length = sprintf(out, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                              "transfer-encoding: chunked\r\n\r\n");
    size_t event = write_event(
        out + length, "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]");
    return send_all(connection->fd, out, (size_t)length + event);
}

static bool send_end(struct connection *connection, long chunks) {
    char rest[160], out[1024];
    snprintf(rest, sizeof rest,
             "\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"total_tokens\":%ld,\"completion_tokens\":%ld}",
             20 + chunks, chunks);
    size_t length = write_event(out, rest);
    length += (size_t)sprintf(out + length, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    return send_all(connection->fd, out, length);
}

static bool send_answer(struct connection *connection) {
    static const char body[] =
        "{\"id\":\"chatcmpl-4b5c\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"bench\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Yes.\"},"
        "\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":20,\"total_tokens\":22,\"completion_tokens\":2}}";
    char out[1024];
    int length = sprintf(out, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                         sizeof body - 1, body);
    return send_all(connection->fd, out, (size_t)length);
}

// Whether the request is whole: its head, and as much of a body as the head says.
static bool is_whole(const struct connection *connection) {
    const char *end = strstr(connection->request, "\r\n\r\n");
    if (!end) return false;
    const char *body = end + 4;
    if (strcasestr(connection->request, "\ntransfer-encoding: chunked")) return strstr(body - 2, "\r\n0\r\n\r\n");
    const char *field = strcasestr(connection->request, "\ncontent-length:");
    size_t length = field && field < end ? (size_t)atol(field + 16) : 0;
    return connection->have >= (size_t)(body - connection->request) + length;
}

// False: the connection is over.
static bool receive(struct connection *connection, struct queue *queue, uint64_t interval) {
    size_t room = REQUEST_LIMIT - connection->have;
    ssize_t count = recv(connection->fd, connection->request + connection->have, room, 0);
    if (count < 0 && errno == EAGAIN) return true;
    // Nobody asks again before the answer has ended: what comes then is the end of the connection.
    if (count <= 0 || connection->is_queued) return false;
    connection->have += (size_t)count;
    connection->request[connection->have] = 0;
    if (!is_whole(connection)) return connection->have < REQUEST_LIMIT;
    bool is_stream = strstr(connection->request, "\"stream\":true") || strstr(connection->request, "\"stream\": true");
    connection->have = 0;
    if (!is_stream) return send_answer(connection);
    connection->sent = 0;
    connection->due = now() + interval;
    enqueue(queue, connection);
    return send_beginning(connection);
}

static void send_due(struct queue *queue, long chunks, uint64_t interval) {
    uint64_t moment = now();
    while (queue->head && queue->head->due <= moment) {
        struct connection *connection = dequeue(queue);
        if (connection->fd < 0) {
            free(connection);
            continue;
        }
        bool is_open = send_chunk(connection);
        connection->sent += 1;
        connection->due += interval;
        if (is_open && connection->sent == chunks) is_open = send_end(connection, chunks);
        else if (is_open) enqueue(queue, connection);
        if (!is_open) drop(connection);
    }
}

_Noreturn void serve(long port, long chunks, uint64_t interval) {
    struct sockaddr_in address = loopback(port);
    int on = 1, poller = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
    if (poller < 0 || listener < 0) fail("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
    if (listen(listener, 4096) < 0) fail("listen");
    set_up(listener);
    watch(poller, listener, NULL);
    struct queue queue = {NULL, NULL};
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poller, events, EVENTS, queue.head ? 1 : -1);
        for (int index = 0; index < count; index++) {
            struct connection *connection = events[index].data.ptr;
            if (connection) {
                if (!receive(connection, &queue, interval)) drop(connection);
                continue;
            }
            int fd = accept(listener, NULL, NULL);
            if (fd < 0) continue;
            set_up(fd);
            connection = calloc(1, sizeof *connection);
            if (!connection) fail("calloc");
            connection->fd = fd;
            watch(poller, fd, connection);
        }
        send_due(&queue, chunks, interval);
    }
}
