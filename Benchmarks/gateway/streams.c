// Streams of tokens: a model server that makes them, and clients that measure how late each chunk comes.
//
//   streams serve PORT CHUNKS MILLISECONDS
//       Answers a request for a stream with CHUNKS chunks, so many milliseconds apart, each with the moment it was
//       sent; then the use of tokens, then [DONE], all in chunked encoding. Answers any other request at once.
//   streams ask PORT FILE STREAMS CHUNKS MILLISECONDS
//       Opens STREAMS streams evenly over so many milliseconds, each with the body in FILE and the key in BENCH_KEY,
//       and prints as JSON how they ended and how late their chunks came.
//
// Both read CLOCK_MONOTONIC of the same machine. One thread each, which waits in epoll.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, REQUEST_LIMIT = 8192, LINE_LIMIT = 4096 };

static const uint64_t MILLISECOND = 1000000;
static const uint64_t SECOND = 1000000000;

// What a chunk's text begins with; the moment follows, in nanoseconds, as 20 digits.
static const char MARK[] = "\"content\":\"@";

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "streams: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long number(const char *text, long most) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < 0 || value > most) {
        fprintf(stderr, "streams: '%s' is no number from 0 to %ld\n", text, most);
        exit(2);
    }
    return value;
}

static struct sockaddr_in loopback(long port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void set_up(int fd) {
    int on = 1;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) fail("fcntl");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void watch(int poller, int fd, void *owner) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

// All or nothing: what waits in a socket here stays far below the size of its buffer.
static bool send_all(int fd, const char *bytes, size_t count) {
    return send(fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count;
}

// MARK: The model server

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

static _Noreturn void serve(long port, long chunks, uint64_t interval) {
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

// MARK: The clients

enum part { HEAD, SIZE, DATA, DATA_END, REST, OVER };

struct client {
    int fd;
    enum part part;
    bool is_done;    // [DONE] was received
    bool is_broken;  // not 200, or no answer that can be read
    bool is_chunked;
    bool has_status;
    long chunks;
    size_t left;  // bytes of the chunked encoding's chunk
    size_t length;
    char line[LINE_LIMIT + 1];
};

// How late each chunk came, in nanoseconds.
struct record {
    int64_t *late;
    size_t count, room;
};

static int compare(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static double microseconds(const struct record *record, double share) {
    if (record->count == 0) return 0;
    size_t place = (size_t)(share * (double)record->count);
    return (double)record->late[place < record->count ? place : record->count - 1] / 1e3;
}

static void take_event_line(struct client *client, struct record *record, uint64_t moment) {
    if (strncmp(client->line, "data: [DONE]", 12) == 0) client->is_done = true;
    const char *mark = strstr(client->line, MARK);
    if (!mark) return;
    client->chunks += 1;
    uint64_t sent = strtoull(mark + sizeof MARK - 1, NULL, 10);
    if (record->count < record->room) record->late[record->count++] = (int64_t)(moment - sent);
}

static void take_head_line(struct client *client) {
    if (!client->has_status) {
        client->has_status = true;
        client->is_broken = strncmp(client->line, "HTTP/1.1 200", 12) != 0;
    } else if (strcasestr(client->line, "transfer-encoding: chunked") == client->line) {
        client->is_chunked = true;
    } else if (client->line[0] == '\r') {
        client->part = client->is_chunked ? SIZE : REST;
    }
}

// Whether the line is whole with this byte; one that is too long is cut.
static bool collect(struct client *client, char byte) {
    if (byte != '\n') {
        if (client->length < LINE_LIMIT) client->line[client->length++] = byte;
        return false;
    }
    client->line[client->length] = 0;
    client->length = 0;
    return true;
}

static void take(struct client *client, char byte, struct record *record, uint64_t moment) {
    switch (client->part) {
    case HEAD:
        if (collect(client, byte)) take_head_line(client);
        break;
    case SIZE:
        if (byte == '\n') client->part = client->left > 0 ? DATA : OVER;
        else if (byte != '\r') {
            char digit[2] = {byte, 0};
            client->left = client->left * 16 + strtoul(digit, NULL, 16);
        }
        break;
    case DATA:
        // Lines of events go on over the borders of chunks; lines of the encoding are not collected.
        if (collect(client, byte)) take_event_line(client, record, moment);
        if (--client->left == 0) client->part = DATA_END;
        break;
    case DATA_END:
        if (byte == '\n') client->part = SIZE;
        break;
    case REST:
        if (collect(client, byte)) take_event_line(client, record, moment);
        break;
    case OVER: break;
    }
}

// False: its answer has ended, or never will.
static bool read_answer(struct client *client, struct record *record) {
    static char bytes[1 << 16];
    ssize_t count = recv(client->fd, bytes, sizeof bytes, 0);
    uint64_t moment = now();
    if (count < 0 && errno == EAGAIN) return true;
    if (count <= 0) return false;
    for (ssize_t index = 0; index < count; index++) take(client, bytes[index], record, moment);
    return client->part != OVER && !client->is_broken;
}

static char *make_request(const char *path, long port, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    char body[REQUEST_LIMIT / 2];
    size_t size = fread(body, 1, sizeof body - 1, file);
    fclose(file);
    body[size] = 0;
    const char *key = getenv("BENCH_KEY");
    char *request;
    int count = asprintf(&request,
                         "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%ld\r\n"
                         "content-type: application/json\r\nauthorization: Bearer %s\r\ncontent-length: %zu\r\n\r\n%s",
                         port, key ? key : "none", size, body);
    if (count < 0) fail("asprintf");
    *length = (size_t)count;
    return request;
}

static bool begin(struct client *client, int poller, long port, const char *request, size_t length) {
    struct sockaddr_in address = loopback(port);
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (client->fd < 0) fail("socket");
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0) return false;
    set_up(client->fd);
    watch(poller, client->fd, client);
    return send_all(client->fd, request, length);
}

static int ask(long port, const char *path, long streams, long chunks, uint64_t ramp) {
    size_t length;
    char *request = make_request(path, port, &length);
    struct client *clients = calloc((size_t)streams, sizeof *clients);
    struct record record = {.room = (size_t)(streams * chunks)};
    record.late = calloc(record.room + 1, sizeof *record.late);
    int poller = epoll_create1(0);
    if (!clients || !record.late || poller < 0) fail("start");
    long opened = 0, open = 0, most = 0, whole = 0;
    uint64_t began = now();
    while (opened < streams || open > 0) {
        uint64_t passed = now() - began;
        if (passed > 120 * SECOND) break;
        for (; opened < streams && passed >= ramp * (uint64_t)opened / (uint64_t)streams; opened++) {
            struct client *client = &clients[opened];
            if (begin(client, poller, port, request, length)) open++;
            else close(client->fd);
        }
        if (open > most) most = open;
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poller, events, EVENTS, opened < streams ? 1 : 1000);
        for (int index = 0; index < count; index++) {
            struct client *client = events[index].data.ptr;
            if (read_answer(client, &record)) continue;
            close(client->fd);
            open--;
            if (client->is_done && !client->is_broken && client->chunks == chunks) whole++;
        }
    }
    qsort(record.late, record.count, sizeof *record.late, compare);
    printf("{\"streams\": %ld, \"whole\": %ld, \"at_once\": %ld, \"chunks\": %zu, \"seconds\": %.3f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
           streams, whole, most, record.count, (double)(now() - began) / (double)SECOND, microseconds(&record, 0.5),
           microseconds(&record, 0.99), microseconds(&record, 1));
    return 0;
}

int main(int count, char **words) {
    if (count == 5 && strcmp(words[1], "serve") == 0)
        serve(number(words[2], 65535), number(words[3], 1000000), (uint64_t)number(words[4], 60000) * MILLISECOND);
    if (count == 7 && strcmp(words[1], "ask") == 0)
        return ask(number(words[2], 65535), words[3], number(words[4], 100000), number(words[5], 1000000),
                   (uint64_t)number(words[6], 60000) * MILLISECOND);
    fprintf(stderr, "usage: streams serve PORT CHUNKS MILLISECONDS\n"
                    "       streams ask PORT FILE STREAMS CHUNKS MILLISECONDS\n");
    return 2;
}
