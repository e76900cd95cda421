#ifndef MARTLET_CHIREDIS_H
#define MARTLET_CHIREDIS_H
#include <hiredis/hiredis.h>
#endif
