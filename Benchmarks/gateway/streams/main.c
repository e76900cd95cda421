// Streams of tokens: a model server that makes them, and clients that measure how late each chunk comes.
//
//   streams serve PORT CHUNKS MILLISECONDS
//       Answers a request for a stream with CHUNKS chunks, so many milliseconds apart, each with the moment it was
//       sent; then the use of tokens, then [DONE], all in chunked encoding. Answers any other request at once.
//   streams ask PORT FILE STREAMS CHUNKS MILLISECONDS
//       Opens STREAMS streams evenly over so many milliseconds, each with the body in FILE and the key in BENCH_KEY,
//       and prints as JSON how they ended and how late their chunks came.
//
// Both read CLOCK_MONOTONIC of the same machine.

#include "streams.h"

static long number(const char *text, long most) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < 0 || value > most) {
        fprintf(stderr, "streams: '%s' is no number from 0 to %ld\n", text, most);
        exit(2);
    }
    return value;
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
