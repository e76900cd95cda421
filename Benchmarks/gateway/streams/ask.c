// The clients: one thread that waits in epoll.

#include "streams.h"

enum { LINE_LIMIT = 4096 };

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

int ask(long port, const char *path, long streams, long chunks, uint64_t ramp) {
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
