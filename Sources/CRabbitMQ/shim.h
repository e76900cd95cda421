#ifndef MARTLET_CRABBITMQ_H
#define MARTLET_CRABBITMQ_H
#include <rabbitmq-c/amqp.h>
#endif
