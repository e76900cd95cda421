/* libcurl's variadic calls, one function per argument type: Swift cannot call a variadic C function. */
#ifndef MARTLET_CCURL_H
#define MARTLET_CCURL_H

#include <curl/curl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

/* The parentheses keep curl's type-checking macros out: they need a constant option. */
static inline CURLcode martlet_easy_set_long(CURL *easy, CURLoption option, long value) {
    return (curl_easy_setopt)(easy, option, value);
}

static inline CURLcode martlet_easy_set_off(CURL *easy, CURLoption option, curl_off_t value) {
    return (curl_easy_setopt)(easy, option, value);
}

static inline CURLcode martlet_easy_set_string(CURL *easy, CURLoption option, const char *value) {
    return (curl_easy_setopt)(easy, option, value);
}

static inline CURLcode martlet_easy_set_pointer(CURL *easy, CURLoption option, void *value) {
    return (curl_easy_setopt)(easy, option, value);
}

static inline CURLcode martlet_easy_set_list(CURL *easy, CURLoption option, struct curl_slist *value) {
    return (curl_easy_setopt)(easy, option, value);
}

typedef size_t (*martlet_data_callback)(char *, size_t, size_t, void *);
typedef int (*martlet_seek_callback)(void *, curl_off_t, int);
typedef curl_socket_t (*martlet_socket_callback)(void *, curlsocktype, struct curl_sockaddr *);
typedef int (*martlet_prereq_callback)(void *, char *, char *, int, int);

static inline CURLcode martlet_easy_set_data(CURL *easy, CURLoption option, martlet_data_callback value) {
    return (curl_easy_setopt)(easy, option, value);
}

static inline CURLcode martlet_easy_set_seek(CURL *easy, martlet_seek_callback value) {
    return (curl_easy_setopt)(easy, CURLOPT_SEEKFUNCTION, value);
}

static inline CURLcode martlet_easy_set_socket(CURL *easy, martlet_socket_callback value) {
    return (curl_easy_setopt)(easy, CURLOPT_OPENSOCKETFUNCTION, value);
}

static inline CURLcode martlet_easy_set_prereq(CURL *easy, martlet_prereq_callback value) {
    return (curl_easy_setopt)(easy, CURLOPT_PREREQFUNCTION, value);
}

static inline CURLcode martlet_easy_get_long(CURL *easy, CURLINFO info, long *value) {
    return (curl_easy_getinfo)(easy, info, value);
}

static inline CURLcode martlet_easy_get_off(CURL *easy, CURLINFO info, curl_off_t *value) {
    return (curl_easy_getinfo)(easy, info, value);
}

static inline CURLcode martlet_easy_get_socket(CURL *easy, curl_socket_t *value) {
    return (curl_easy_getinfo)(easy, CURLINFO_ACTIVESOCKET, value);
}

static inline CURLMcode martlet_multi_set_long(CURLM *multi, CURLMoption option, long value) {
    return (curl_multi_setopt)(multi, option, value);
}

/* The result of a finished transfer: a union member, which Swift does not reach by name. */
static inline CURLcode martlet_message_result(const CURLMsg *message) {
    return message->data.result;
}

/* The address behind a curl_sockaddr. */
static inline const struct sockaddr *martlet_socket_address(const struct curl_sockaddr *address) {
    return &address->addr;
}

/* Bytes in the kernel's send queue that the peer has not acknowledged; 0 when unknown. */
static inline int martlet_unacknowledged(curl_socket_t socket) {
    int count = 0;
    return ioctl(socket, SIOCOUTQ, &count) == 0 ? count : 0;
}

/* The kernel keeps 15 bytes of the name. */
static inline int martlet_curl_name_thread(const char *name) {
    return prctl(PR_SET_NAME, name, 0, 0, 0);
}

static const size_t martlet_write_pause = CURL_WRITEFUNC_PAUSE;
static const size_t martlet_read_pause = CURL_READFUNC_PAUSE;
static const size_t martlet_read_abort = CURL_READFUNC_ABORT;
static const long martlet_global_default = CURL_GLOBAL_DEFAULT;

#endif
