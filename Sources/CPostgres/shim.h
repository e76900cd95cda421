#ifndef MARTLET_CPOSTGRES_H
#define MARTLET_CPOSTGRES_H
#include <libpq-fe.h>
#endif
