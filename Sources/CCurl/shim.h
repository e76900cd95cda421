#ifndef MARTLET_CCURL_H
#define MARTLET_CCURL_H
#include <curl/curl.h>
#endif
